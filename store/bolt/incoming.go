package bolt

import (
	"context"
	"time"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
)

const actDeliver = "deliver a message"

// incoming is a message on its way in. Its bytes are sealed into the staging
// folder as they come.
type incoming struct {
	s     *Store
	acct  domicile.AccountID
	body  *staged
	limit int64
	size  int64
	err   error // of an earlier Write; Commit returns it too
	ended bool
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
	err := s.view(func(tx *bbolt.Tx) error {
		_, err := s.served(tx, acct)
		return err
	})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	body, err := s.bodies.stage(acct, domicile.MessageID(domicile.NewID("m")))
	if err != nil {
		return nil, domicile.W(op, unavailable(err))
	}
	return &incoming{s: s, acct: acct, body: body, limit: limit}, nil
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
	n, err := in.body.Write(p)
	in.size += int64(n)
	if err != nil {
		in.err = domicile.W(op, unavailable(err))
	}
	return n, in.err
}

var errEnded = domicile.E("receive message", domicile.Invalid, "it was committed or aborted already")

// Abort forgets the bytes.
func (in *incoming) Abort() {
	if !in.ended {
		in.ended = true
		in.body.discard()
	}
}

// Commit makes first the body durable, then index, counters and token in one
// commit. Only an Unknown outcome leaves the body's file in place: if the commit
// was lost, the next opening sweeps it.
func (in *incoming) Commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	const op = "deliver message"
	if in.ended {
		return store.Message{}, errEnded
	}
	in.ended = true
	rec, repeated, err := in.commit(ctx, tok, mailbox, flags, internal)
	if repeated || (err != nil && domicile.KindOf(err) != domicile.Unknown) {
		in.body.discard()
	}
	if err != nil {
		return store.Message{}, domicile.W(op, err)
	}
	return rec.message(), nil
}

func (in *incoming) commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (rec messageRecord, repeated bool, err error) {
	name, err1 := store.MailboxName(mailbox)
	flags, err2 := store.CanonicalFlags(flags)
	if err := firstError(in.err, err1, err2, checkToken(tok)); err != nil {
		return rec, false, err
	}
	err = in.s.view(func(tx *bbolt.Tx) error { // a repeated call need not wait for the disk
		a, err := in.s.served(tx, in.acct)
		if err == nil {
			repeated, err = a.didBefore(tok, actDeliver, &rec)
		}
		return err
	})
	if err != nil || repeated {
		return rec, repeated, err
	}
	if err := in.body.publish(); err != nil {
		return rec, false, unavailable(err)
	}
	now := in.s.cfg.Now()
	fresh := messageRecord{ID: in.body.id, Flags: flags, Saved: now.Unix(), Size: in.size}
	fresh.Internal, fresh.Zone = internalDate(internal, now)
	err = in.s.update(ctx, in.acct, func(tx *bbolt.Tx) error {
		rec, repeated, err = in.index(tx, tok, name, fresh)
		return err
	})
	return rec, repeated, err
}

// index enters the message in a transaction, unless tok did it before.
func (in *incoming) index(tx *bbolt.Tx, tok store.Token, name string, rec messageRecord) (messageRecord, bool, error) {
	a, err := in.s.served(tx, in.acct)
	if err != nil {
		return rec, false, err
	}
	var first messageRecord
	if done, err := a.didBefore(tok, actDeliver, &first); done || err != nil {
		return first, done, err
	}
	m, err := a.mailboxNamed(name)
	if err != nil {
		return rec, false, err
	}
	if err := a.newBody(rec.ID, rec.Size); err != nil {
		return rec, false, err
	}
	m.modseq++
	if rec, err = m.add(rec); err != nil {
		return rec, false, err
	}
	return rec, false, firstError(m.save(), a.remember(tok, actDeliver, rec))
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
