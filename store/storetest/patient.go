package storetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"domicile"
	"domicile/store"
)

// patient is a client as the contract wants one: it gives each act a token of its own, and asks again, with the same
// words, after Unavailable and Unknown. Above a faulty store it must look like a sound store.
type patient struct{ store.Store }

// tries bounds how often an act is asked again: more often than a call is lost in a row, and few enough that what is unavailable for good ends soon.
const tries = 64

func again(act func() error) (err error) {
	for range tries {
		err = act()
		if k := domicile.KindOf(err); err == nil || k != domicile.Unavailable && k != domicile.Unknown {
			return err
		}
	}
	return err
}

// orNew keeps a token that the caller gave.
func orNew(tok store.Token) store.Token { return cmp.Or(tok, store.Token(domicile.NewID("t"))) }

func (p *patient) CreateAccount(ctx context.Context, tok store.Token, a store.Account) error {
	tok = orNew(tok)
	return again(func() error { return p.Store.CreateAccount(ctx, tok, a) })
}

func (p *patient) UpdateAccount(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	return again(func() error { return p.Store.UpdateAccount(ctx, id, fn) })
}

func (p *patient) DeleteAccount(ctx context.Context, id domicile.AccountID) error {
	return again(func() error { return p.Store.DeleteAccount(ctx, id) })
}

func (p *patient) CreateMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, name, use string) (m store.Mailbox, err error) {
	tok = orNew(tok)
	err = again(func() (err error) { m, err = p.Store.CreateMailbox(ctx, tok, acct, name, use); return err })
	return m, err
}

func (p *patient) RenameMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, from, to string) error {
	tok = orNew(tok)
	return again(func() error { return p.Store.RenameMailbox(ctx, tok, acct, from, to) })
}

func (p *patient) DeleteMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, name string) error {
	tok = orNew(tok)
	return again(func() error { return p.Store.DeleteMailbox(ctx, tok, acct, name) })
}

func (p *patient) NumberMailbox(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, validity uint32, next store.UID) error {
	return again(func() error { return p.Store.NumberMailbox(ctx, acct, mbox, validity, next) })
}

func (p *patient) Subscribe(ctx context.Context, tok store.Token, acct domicile.AccountID, name string, on bool) error {
	tok = orNew(tok)
	return again(func() error { return p.Store.Subscribe(ctx, tok, acct, name, on) })
}

func (p *patient) Annotate(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, set []store.Annotation) (changed uint64, err error) {
	tok = orNew(tok)
	err = again(func() (err error) { changed, err = p.Store.Annotate(ctx, tok, acct, mbox, set); return err })
	return changed, err
}

func (p *patient) StoreFlags(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, op store.FlagOp, flags []string, unless store.ModSeq) (f store.Stored, err error) {
	tok = orNew(tok)
	err = again(func() (err error) {
		f, err = p.Store.StoreFlags(ctx, tok, acct, mbox, uids, op, flags, unless)
		return err
	})
	return f, err
}

func (p *patient) Copy(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (validity uint32, from []store.UID, made []store.Message, err error) {
	tok = orNew(tok)
	err = again(func() (err error) {
		validity, from, made, err = p.Store.Copy(ctx, tok, acct, mbox, uids, to)
		return err
	})
	return validity, from, made, err
}

func (p *patient) Move(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (validity uint32, from []store.UID, made []store.Message, err error) {
	tok = orNew(tok)
	err = again(func() (err error) {
		validity, from, made, err = p.Store.Move(ctx, tok, acct, mbox, uids, to)
		return err
	})
	return validity, from, made, err
}

func (p *patient) Expunge(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID) (gone []store.UID, err error) {
	tok = orNew(tok)
	err = again(func() (err error) { gone, err = p.Store.Expunge(ctx, tok, acct, mbox, uids); return err })
	return gone, err
}

func (p *patient) Forget(ctx context.Context, acct domicile.AccountID, tok store.Token) error {
	return again(func() error { return p.Store.Forget(ctx, acct, tok) })
}

// Import asks where the import stands if the part is no longer the next after an answer was lost.
func (p *patient) Import(ctx context.Context, id domicile.AccountID, part store.Part) error {
	unsure := false
	return again(func() error {
		err := p.Store.Import(ctx, id, part)
		if at, e := p.Imported(ctx, id); unsure && domicile.KindOf(err) == domicile.Conflict && e == nil && at.At == part.Next {
			return nil
		}
		unsure = unsure || domicile.KindOf(err) == domicile.Unknown
		return err
	})
}

func (p *patient) Activate(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	return again(func() error { return p.Store.Activate(ctx, id, fn) })
}

func (p *patient) Abandon(ctx context.Context, id domicile.AccountID) error {
	return again(func() error { return p.Store.Abandon(ctx, id) })
}

func (p *patient) Incoming(ctx context.Context, acct domicile.AccountID, limit int64) (store.Incoming, error) {
	in, err := p.Store.Incoming(ctx, acct, limit)
	if err != nil {
		return nil, err
	}
	return &patientIncoming{Incoming: in, p: p, acct: acct, limit: limit}, nil
}

// patientIncoming keeps the bytes, to bring them in anew.
type patientIncoming struct {
	store.Incoming
	p     *patient
	acct  domicile.AccountID
	limit int64
	bytes []byte
	ended bool
}

func (in *patientIncoming) Write(b []byte) (int, error) {
	in.bytes = append(in.bytes, b...)
	return in.Incoming.Write(b)
}

func (in *patientIncoming) Abort() {
	in.ended = true
	in.Incoming.Abort()
}

func (in *patientIncoming) anew(ctx context.Context) error {
	fresh, err := in.p.Store.Incoming(ctx, in.acct, in.limit)
	if err == nil {
		in.Incoming = fresh
		fresh.Write(in.bytes)
	}
	return err
}

func (in *patientIncoming) Commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	return commitAlone(ctx, in.p, in.acct, in, tok, mailbox, flags, internal)
}

func (p *patient) Commit(ctx context.Context, tok store.Token, acct domicile.AccountID, to string, letters []store.Letter, instead *store.Instead) (validity uint32, made []store.Message, err error) {
	if slices.ContainsFunc(letters, func(l store.Letter) bool { return l.Token == "" }) {
		tok = orNew(tok)
	}
	first := true
	err = again(func() (err error) {
		bare, came := slices.Clone(letters), map[*patientIncoming]bool{}
		for i, l := range letters {
			in, ok := l.Bytes.(*patientIncoming)
			if !ok {
				continue
			}
			if !first && !in.ended && !came[in] {
				if err := in.anew(ctx); err != nil {
					return err
				}
			}
			came[in], bare[i].Bytes = true, in.Incoming
		}
		first = false
		validity, made, err = p.Store.Commit(ctx, tok, acct, to, bare, instead)
		return err
	})
	for _, l := range letters {
		if in, ok := l.Bytes.(*patientIncoming); ok {
			in.ended = true
		}
	}
	return validity, made, err
}

func (p *patient) Table(name string) (store.Table, error) {
	t, err := p.Store.Table(name)
	return patientTable{t}, err
}

type patientTable struct{ store.Table }

func (t patientTable) Put(key string, value []byte) error {
	return again(func() error { return t.Table.Put(key, value) })
}

func (t patientTable) CompareAndSwap(key string, old, new []byte) (did bool, err error) {
	err = again(func() (err error) { did, err = t.Table.CompareAndSwap(key, old, new); return err })
	return did, err
}
