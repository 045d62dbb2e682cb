package bolt

import (
	"context"
	"slices"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// What a Commit is to tokens: an export takes along those of deliveries.
const (
	actDeliver = "deliver a message" // by a letter's token
	actCommit  = "commit messages"   // all of them
)

// ready is a message of which all is sealed, and that is in no mailbox yet.
type ready struct {
	in      *incoming
	token   store.Token // its own
	rec     messageRecord
	last    []byte        // what follows its chunks
	at      segment.Place // where that is, if it was written ahead
	summary []byte        // nil for one that is too large
}

// committed is what the token of a Commit remembers,
type committed struct {
	Validity uint32
	Made     records
}

// and delivered what that of a letter does. An earlier release wrote no Validity.
type delivered struct {
	messageRecord
	Validity uint32 `json:",omitempty"`
}

// Commit makes the ends of the bodies, index, counters and token durable with one flush.
func (s *Store) Commit(ctx context.Context, tok store.Token, acct domicile.AccountID, to string, letters []store.Letter, instead *store.Instead) (uint32, []store.Message, error) {
	const op = "commit messages"
	for _, l := range letters {
		if l.Bytes != nil {
			defer l.Bytes.Abort()
		}
	}
	to, err := store.MailboxName(to)
	if err := firstError(err, checkToken(tok)); err != nil {
		return 0, nil, domicile.W(op, err)
	}
	if tok != "" && slices.ContainsFunc(letters, func(l store.Letter) bool { return l.Token == tok }) {
		return 0, nil, domicile.E(op, domicile.Invalid, "a token is of one message or of all")
	}
	if instead != nil && slices.ContainsFunc(letters, func(l store.Letter) bool { return l.Token != "" }) {
		return 0, nil, domicile.E(op, domicile.Invalid, "what comes in the place of another has no token of its own")
	}
	all, err := s.ready(acct, letters)
	if err == nil {
		err = s.writeAhead(ctx, all)
	}
	if err != nil {
		return 0, nil, domicile.W(op, err)
	}
	var c committed
	err = s.once(ctx, acct, tok, actCommit, &c, func(a account) (err error) {
		c, err = a.commit(to, all, instead)
		return err
	})
	if err != nil {
		return 0, nil, domicile.W(op, err)
	}
	s.indexer.came(acct, len(all))
	return c.Validity, messagesOf(c.Made), nil
}

// ready seals messages that have come in. It is not done in the writer, who would have all others wait.
func (s *Store) ready(acct domicile.AccountID, letters []store.Letter) ([]*ready, error) {
	switch {
	case len(letters) == 0:
		return nil, domicile.E("letters", domicile.Invalid, "there is none")
	case len(letters) > store.MaxPage:
		return nil, domicile.E("letters", domicile.TooLarge, "at most 1000 messages are committed together")
	}
	now := s.cfg.Now()
	all, known := make([]*ready, len(letters)), map[*incoming]bool{}
	for i, l := range letters {
		in, ok := l.Bytes.(*incoming)
		switch {
		case !ok || in.s != s || in.acct != acct || known[in]:
			return nil, domicile.E("letters", domicile.Invalid, "one came in elsewhere, or is named twice")
		case in.ended:
			return nil, errEnded
		}
		known[in] = true
		var err error
		if all[i], err = in.ready(l, now); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (in *incoming) ready(l store.Letter, now time.Time) (*ready, error) {
	flags, err := store.CanonicalFlags(l.Flags)
	if err := firstError(in.err, err, checkToken(l.Token)); err != nil {
		return nil, err
	}
	r := &ready{in: in, token: l.Token, rec: messageRecord{ID: in.id, Flags: flags, Saved: now.Unix(), Size: in.size}}
	r.rec.Internal, r.rec.Zone = internalDate(l.Internal, now)
	digests := make([]digest, len(in.chunks))
	for i, c := range in.chunks {
		digests[i] = c.digest
	}
	r.last, err = in.s.sealLast(in.acct, in.id, in.size, digests, in.buf[in.piece:])
	if err == nil && in.whole {
		r.summary, err = in.s.summarize(in.acct, in.id, in.buf)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return r, nil
}

// writeAhead has no group be large: of many messages it writes all bytes but the last ones before the act. Nothing names them until then, and their segments stay until
// the messages have ended, as with chunks.
func (s *Store) writeAhead(ctx context.Context, all []*ready) error {
	room, first, size := int(s.scaled(partBytes)), 0, 0
	for i, r := range all {
		if size += len(r.last); size <= room || i == first {
			continue
		}
		err := s.update(ctx, "", func(tx *txn) error {
			for _, r := range all[first:i] {
				r.at = tx.frame(frameBody, r.last)
				r.in.pin.hold(r.at.Segment)
			}
			return nil
		})
		if err != nil {
			return unavailable(err)
		}
		first, size = i, len(r.last)
	}
	return nil
}

// commit puts messages into a mailbox, but those of tokens that did so before.
func (a account) commit(to string, all []*ready, instead *store.Instead) (c committed, err error) {
	var m *mailbox
	for _, r := range all {
		var d delivered
		done, err := a.didBefore(r.token, actDeliver, &d)
		if err == nil && !done {
			if m == nil {
				m, err = a.receiving(to, instead)
			}
			if err == nil {
				d, err = m.receive(r)
			}
		}
		if err != nil {
			return c, err
		}
		c.Validity, c.Made = d.Validity, append(c.Made, d.messageRecord)
	}
	if m != nil {
		m.save()
	}
	return c, nil
}

// receiving is the mailbox into which messages come, and what goes has gone. Both have one ModSeq, if they are in the same one.
func (a account) receiving(to string, instead *store.Instead) (*mailbox, error) {
	m, err := a.mailboxNamed(to)
	if err != nil {
		return nil, err
	}
	m.modseq++
	if instead != nil {
		err = m.replace(*instead)
	}
	return m, err
}

func (m *mailbox) receive(r *ready) (d delivered, err error) {
	at := r.at
	if at == (segment.Place{}) {
		at = m.b.tx.frame(frameBody, r.last)
	}
	if err := m.newBody(r.rec.ID, r.rec.Size, r.in.chunks, at); err != nil {
		return d, err
	}
	rec, err := m.add(r.rec)
	if err != nil {
		return d, err
	}
	if r.summary != nil {
		m.rows.sub(bSummaries).Put(uidKey(rec.UID), r.summary)
	}
	d = delivered{rec, m.validity}
	return d, m.remember(r.token, actDeliver, d)
}

// replace removes the message in whose place others come, of this mailbox or of another one.
func (m *mailbox) replace(x store.Instead) (err error) {
	from := m
	if x.Mailbox != m.id {
		if from, err = m.account.mailbox(x.Mailbox); err != nil {
			return err
		}
		from.modseq++
	}
	records, err := from.some([]store.UID{x.UID})
	switch {
	case err != nil:
		return err
	case len(records) == 0:
		return domicile.E("message", domicile.NotExist, "the message to be replaced is not there")
	}
	if err := from.drop(records); err != nil {
		return err
	}
	from.save()
	return nil
}
