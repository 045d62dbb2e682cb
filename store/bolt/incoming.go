package bolt

import (
	"context"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

const actDeliver = "deliver a message"

// incoming is a message on its way in. Whole chunks go to the log as they come; nothing names them before Commit, so that those of a
// message that is given up are reclaimed by compaction.
type incoming struct {
	s      *Store
	acct   domicile.AccountID
	id     domicile.MessageID
	buf    []byte // of the chunk that is not full
	places []segment.Place
	limit  int64
	size   int64
	err    error // of an earlier Write; Commit returns it too
	ended  bool
}

// Incoming opens room for a message; see store.Incoming.
func (s *Store) Incoming(ctx context.Context, acct domicile.AccountID, limit int64) (store.Incoming, error) {
	const op = "receive message"
	if limit <= 0 {
		return nil, domicile.E(op, domicile.Invalid, "a limit of bytes is needed")
	}
	if err := ctx.Err(); err != nil {
		return nil, domicile.W(op, unavailable(err))
	}
	err := s.view(func(tx *txn) error {
		_, err := s.served(tx, acct)
		return err
	})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	s.tally.incoming.Add(1)
	return &incoming{s: s, acct: acct, id: domicile.MessageID(domicile.NewID("m")), limit: limit}, nil
}

func (in *incoming) Write(p []byte) (int, error) {
	const op = "receive message"
	switch {
	case in.ended:
		return 0, errEnded
	case in.err != nil:
		return 0, in.err
	case int64(len(p)) > in.limit-in.size:
		in.err = domicile.E(op, domicile.TooLarge, "the message is over the limit")
		return 0, in.err
	}
	in.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		if len(in.buf) == chunkSize { // and more follows: this is not the last
			if in.err = domicile.W(op, in.flush()); in.err != nil {
				return 0, in.err
			}
		}
		n := min(len(rest), chunkSize-len(in.buf))
		in.buf, rest = append(in.buf, rest[:n]...), rest[n:]
	}
	return len(p), nil
}

// flush writes a chunk that is not the last.
func (in *incoming) flush() error {
	payload, err := in.s.sealChunk(in.acct, in.id, len(in.places), false, in.buf)
	if err != nil {
		return unavailable(err)
	}
	var place segment.Place
	err = in.s.update(context.Background(), "", func(tx *txn) error { place = tx.chunk(payload); return nil })
	if err != nil {
		return unavailable(err)
	}
	in.places, in.buf = append(in.places, place), in.buf[:0]
	return nil
}

var errEnded = domicile.E("receive message", domicile.Invalid, "it was committed or aborted already")

// Abort forgets the bytes.
func (in *incoming) Abort() {
	if !in.ended {
		in.s.tally.incoming.Add(-1)
	}
	in.ended, in.buf = true, nil
}

// Commit makes the last chunk, index, counters and token durable with one flush.
func (in *incoming) Commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	const op = "deliver message"
	if in.ended {
		return store.Message{}, errEnded
	}
	defer in.Abort()
	rec, err := in.commit(ctx, tok, mailbox, flags, internal)
	if err != nil {
		return store.Message{}, domicile.W(op, err)
	}
	return rec.message(), nil
}

func (in *incoming) commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (rec messageRecord, err error) {
	name, err1 := store.MailboxName(mailbox)
	flags, err2 := store.CanonicalFlags(flags)
	if err := firstError(in.err, err1, err2, checkToken(tok)); err != nil {
		return rec, err
	}
	last, err := in.s.sealChunk(in.acct, in.id, len(in.places), true, in.buf)
	if err != nil {
		return rec, unavailable(err)
	}
	now := in.s.cfg.Now()
	fresh := messageRecord{ID: in.id, Flags: flags, Saved: now.Unix(), Size: in.size}
	fresh.Internal, fresh.Zone = internalDate(internal, now)
	err = in.s.update(ctx, in.acct, func(tx *txn) (err error) {
		rec, err = in.index(tx, tok, name, fresh, last)
		return err
	})
	return rec, err
}

// index enters the message in a transaction, unless tok did it before.
func (in *incoming) index(tx *txn, tok store.Token, name string, rec messageRecord, last []byte) (messageRecord, error) {
	a, err := in.s.served(tx, in.acct)
	if err != nil {
		return rec, err
	}
	var first messageRecord
	if done, err := a.didBefore(tok, actDeliver, &first); done || err != nil {
		return first, err
	}
	m, err := a.mailboxNamed(name)
	if err != nil {
		return rec, err
	}
	if err := a.newBody(rec.ID, rec.Size, append(in.places[:len(in.places):len(in.places)], tx.chunk(last))); err != nil {
		return rec, err
	}
	m.modseq++
	if rec, err = m.add(rec); err != nil {
		return rec, err
	}
	m.save()
	return rec, a.remember(tok, actDeliver, rec)
}

// internalDate gives seconds and the zone in minutes; a date that is zero, or
// that RFC 9051 cannot write, becomes now.
func internalDate(t, now time.Time) (seconds int64, zone int) {
	if t.IsZero() || t.Year() < 0 || t.Year() > 9999 {
		t = now.UTC()
	}
	_, offset := t.Zone()
	return t.Unix(), offset / 60
}
