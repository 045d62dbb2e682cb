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

// summarize seals the summary of a message that comes in.
func (s *Store) summarize(acct domicile.AccountID, id domicile.MessageID, raw []byte) ([]byte, error) {
	plain := message.Parse(raw).Summarize().AppendBinary(make([]byte, 0, 1<<10))
	return s.cfg.Sealer.SealRecord(acct, plain, summaryPlace(acct, id))
}

func (s *Store) openSummary(acct domicile.AccountID, id domicile.MessageID, sealed []byte) (*message.Summary, error) {
	plain, err := s.cfg.Sealer.OpenRecord(acct, sealed, summaryPlace(acct, id))
	if err != nil {
		return nil, err
	}
	return message.ParseSummary(plain)
}

// maxList bounds what Listing and MessagesAfter copy out at once.
const maxList = 1000

// Listing opens records and summaries outside of the snapshot. A summary that is not there, or does not open, is made anew from the message.
func (s *Store) Listing(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Listed, error) {
	const op = "list messages"
	messages, summaries, err := s.part(acct, mbox, after, limit, true)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	out := make([]store.Listed, len(messages))
	for i, e := range messages {
		r, err := s.openMessage(acct, mbox, readUID(e.key), e.value)
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
			if out[i].Summary, err = s.makeSummary(ctx, acct, r); err != nil {
				return nil, domicile.W(op, err)
			}
		}
	}
	return out, nil
}

// MessagesAfter opens records outside of the snapshot.
func (s *Store) MessagesAfter(_ context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Message, error) {
	const op = "list messages"
	sealed, _, err := s.part(acct, mbox, after, limit, false)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	all, err := s.openMessages(acct, mbox, sealed)
	return all, domicile.W(op, err)
}

// part copies out what is behind a UID.
func (s *Store) part(acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int, summarized bool) (messages, summaries []entry, err error) {
	limit = min(limit, maxList)
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
		from := uidKey(after + 1)
		err = m.b.sub(bMessages).ForEachFrom(from, take(&messages))
		if err == nil && summarized {
			err = m.b.sub(bSummaries).ForEachFrom(from, take(&summaries))
		}
		return err
	})
	return messages, summaries, err
}

// makeSummary reads the message: nil if its bytes are damaged or gone.
func (s *Store) makeSummary(ctx context.Context, acct domicile.AccountID, r messageRecord) (*message.Summary, error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	s.parsing.Lock() // one large message in memory at a time
	defer s.parsing.Unlock()
	raw, err := s.readBody(ctx, acct, r.ID, nil)
	if err != nil {
		if domicile.KindOf(err) == domicile.Unavailable {
			return nil, err
		}
		s.cfg.Log.Warn("store: a message does not open and is listed without its summary: run fsck", "error", err)
		return nil, nil
	}
	return message.Parse(raw).Summarize(), nil
}

// readBody reads a body into buf, or into more room if that is not enough.
func (s *Store) readBody(ctx context.Context, acct domicile.AccountID, id domicile.MessageID, buf []byte) ([]byte, error) {
	r, err := s.Body(ctx, acct, id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	w := bytes.NewBuffer(buf[:0])
	_, err = w.ReadFrom(r)
	return w.Bytes(), err
}
