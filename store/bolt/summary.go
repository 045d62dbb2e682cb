package bolt

import (
	"bytes"
	"context"

	"domicile"
	"domicile/message"
	"domicile/store"
)

// maxSummarized is up to which size a message is parsed as it comes in. A larger one is when somebody wants its summary: parsing needs all of it in memory.
const maxSummarized = 1 << 20

// A summary is bound to the message, not to its place in a mailbox: copies have it too.
func summaryPlace(acct domicile.AccountID, id domicile.MessageID) []byte {
	return place("summary", string(acct), string(id))
}

// ofSummary says whether a key of the index is one of a summary: a/<account>/m/<mailbox>/e <uid>.
func ofSummary(key []byte) bool {
	for _, want := range [][]byte{bAccounts, nil, bMailboxes, nil, bSummaries} {
		if len(key) == 0 || len(key) < 1+int(key[0]) {
			return false
		}
		name := key[1 : 1+int(key[0])]
		if want != nil && !bytes.Equal(name, want) {
			return false
		}
		key = key[1+len(name):]
	}
	return len(key) > 0 && key[0] == 0
}

// summarize seals the summary of a message that comes in.
func (s *Store) summarize(acct domicile.AccountID, id domicile.MessageID, raw []byte) ([]byte, error) {
	return s.sealSummary(acct, id, message.Parse(raw).Summarize())
}

func (s *Store) sealSummary(acct domicile.AccountID, id domicile.MessageID, sum *message.Summary) ([]byte, error) {
	return s.cfg.Sealer.SealRecord(acct, packSummary(sum), summaryPlace(acct, id))
}

func (s *Store) openSummary(acct domicile.AccountID, id domicile.MessageID, sealed []byte) (*message.Summary, error) {
	plain, err := s.cfg.Sealer.OpenRecord(acct, sealed, summaryPlace(acct, id))
	if err != nil {
		return nil, err
	}
	return unpackSummary(plain)
}

// Listing opens records and summaries outside of the snapshot. A summary that is not there, or does not open, is made anew from the message, and kept.
func (s *Store) Listing(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Listed, error) {
	const op = "list messages"
	rows, messages, summaries, err := s.part(acct, mbox, after, limit, true)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	out, made := make([]store.Listed, len(messages)), []store.Listed(nil)
	for i, e := range messages {
		r, err := s.openMessage(acct, rows, readUID(e.key), e.value)
		if err != nil {
			return nil, domicile.W(op, err)
		}
		out[i].Message = r.message()
		for len(summaries) > 0 && bytes.Compare(summaries[0].key, e.key) < 0 {
			summaries = summaries[1:]
		}
		if len(summaries) > 0 && bytes.Equal(summaries[0].key, e.key) {
			out[i].Summary, _ = s.openSummary(acct, r.ID, summaries[0].value)
		}
		if out[i].Summary == nil {
			if out[i].Summary, err = s.makeSummary(ctx, acct, r.ID); err != nil {
				return nil, domicile.W(op, err)
			}
			if out[i].Summary != nil {
				made = append(made, out[i])
			}
		}
	}
	if len(made) > 0 {
		s.keepSummaries(ctx, acct, mbox, made)
	}
	return out, nil
}

// Messages opens records outside of the snapshot.
func (s *Store) Messages(_ context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Message, error) {
	const op = "list messages"
	rows, sealed, _, err := s.part(acct, mbox, after, limit, false)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	all, err := s.openMessages(acct, rows, sealed)
	return all, domicile.W(op, err)
}

// part copies out what is behind a UID, and where it was.
func (s *Store) part(acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int, summarized bool) (rows domicile.MailboxID, messages, summaries []entry, err error) {
	limit = max(1, min(limit, store.MaxPage))
	take := func(to *[]entry) func(k, v []byte) error {
		return func(k, v []byte) error {
			if len(*to) >= limit {
				return errStop
			}
			*to = append(*to, cloneEntry(k, v))
			return nil
		}
	}
	err = s.view(func(tx *txn) error {
		messages, summaries = nil, nil
		m, err := s.mailboxByID(tx, acct, mbox)
		if err != nil || after == 1<<32-1 {
			return err
		}
		rows = m.rowsOf(mbox)
		err = m.eachRow(bMessages, after+1, take(&messages))
		if err == nil && summarized {
			err = m.eachRow(bSummaries, after+1, take(&summaries))
		}
		return err
	})
	return rows, messages, summaries, err
}

// makeSummary reads the message: nil if its bytes are damaged or gone. A process that is out of files or memory says nothing of them.
func (s *Store) makeSummary(ctx context.Context, acct domicile.AccountID, id domicile.MessageID) (out *message.Summary, err error) {
	_, err = s.whole(ctx, acct, id, nil, func(raw []byte) error {
		out = message.Parse(raw).Summarize()
		return nil
	})
	if damage(err) {
		s.cfg.Log.Warn("store: a message does not open and is listed without its summary: run fsck", "error", err)
		return nil, nil
	}
	return out, err
}

// keepSummaries keeps those that had to be made anew. Where that cannot be done, they are made anew again.
func (s *Store) keepSummaries(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, made []store.Listed) {
	sealed := make([][]byte, len(made))
	for i, l := range made {
		var err error
		if sealed[i], err = s.sealSummary(acct, l.ID, l.Summary); err != nil {
			return
		}
	}
	err := s.update(ctx, "", func(tx *txn) error {
		m, err := s.mailboxByID(tx, acct, mbox)
		if err != nil {
			return err
		}
		for i, l := range made {
			if id, _, err := splitMessage(m.rows.sub(bMessages).Get(uidKey(l.UID))); err == nil && string(id) == string(l.ID) { // else it is gone
				m.rows.sub(bSummaries).Put(uidKey(l.UID), sealed[i])
			}
		}
		return nil
	})
	if err != nil {
		s.cfg.Log.Debug("store: summaries that were made anew are not kept", "error", err)
	}
}
