package storetest

import (
	"context"
	"slices"
	"time"

	"domicile"
	"domicile/store"
)

// fault is what becomes of a call on its way to the store and back.
type fault int

const (
	noFault    fault = iota
	lostStep         // the store never hears of it: Unavailable
	lostAnswer       // it is done, or refused, and nobody hears what came of it: Unknown
)

// faulty is a store behind a bad line: next says what becomes of each call that changes something.
type faulty struct {
	store.Store
	next func(method string) fault // called concurrently
}

func (f *faulty) call(method string, act func() error) error {
	switch f.next(method) {
	case lostStep:
		return domicile.E(method, domicile.Unavailable, "the step was lost")
	case lostAnswer:
		act()
		return domicile.E(method, domicile.Unknown, "the answer was lost")
	}
	return act()
}

func (f *faulty) CreateAccount(ctx context.Context, tok store.Token, a store.Account) error {
	return f.call("CreateAccount", func() error { return f.Store.CreateAccount(ctx, tok, a) })
}

func (f *faulty) UpdateAccount(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	return f.call("UpdateAccount", func() error { return f.Store.UpdateAccount(ctx, id, fn) })
}

func (f *faulty) DeleteAccount(ctx context.Context, id domicile.AccountID) error {
	return f.call("DeleteAccount", func() error { return f.Store.DeleteAccount(ctx, id) })
}

func (f *faulty) CreateMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, name, use string) (m store.Mailbox, err error) {
	err = f.call("CreateMailbox", func() (err error) { m, err = f.Store.CreateMailbox(ctx, tok, acct, name, use); return err })
	return m, err
}

func (f *faulty) RenameMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, from, to string) error {
	return f.call("RenameMailbox", func() error { return f.Store.RenameMailbox(ctx, tok, acct, from, to) })
}

func (f *faulty) DeleteMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, name string) error {
	return f.call("DeleteMailbox", func() error { return f.Store.DeleteMailbox(ctx, tok, acct, name) })
}

func (f *faulty) NumberMailbox(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, validity uint32, next store.UID) error {
	return f.call("NumberMailbox", func() error { return f.Store.NumberMailbox(ctx, acct, mbox, validity, next) })
}

func (f *faulty) Subscribe(ctx context.Context, tok store.Token, acct domicile.AccountID, name string, on bool) error {
	return f.call("Subscribe", func() error { return f.Store.Subscribe(ctx, tok, acct, name, on) })
}

func (f *faulty) Annotate(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, set []store.Annotation) (changed uint64, err error) {
	err = f.call("Annotate", func() (err error) { changed, err = f.Store.Annotate(ctx, tok, acct, mbox, set); return err })
	return changed, err
}

func (f *faulty) StoreFlags(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, op store.FlagOp, flags []string, unless store.ModSeq) (done store.Stored, err error) {
	err = f.call("StoreFlags", func() (err error) {
		done, err = f.Store.StoreFlags(ctx, tok, acct, mbox, uids, op, flags, unless)
		return err
	})
	return done, err
}

func (f *faulty) Copy(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (validity uint32, from []store.UID, made []store.Message, err error) {
	err = f.call("Copy", func() (err error) {
		validity, from, made, err = f.Store.Copy(ctx, tok, acct, mbox, uids, to)
		return err
	})
	return validity, from, made, err
}

func (f *faulty) Move(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (validity uint32, from []store.UID, made []store.Message, err error) {
	err = f.call("Move", func() (err error) {
		validity, from, made, err = f.Store.Move(ctx, tok, acct, mbox, uids, to)
		return err
	})
	return validity, from, made, err
}

func (f *faulty) Expunge(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID) (gone []store.UID, err error) {
	err = f.call("Expunge", func() (err error) { gone, err = f.Store.Expunge(ctx, tok, acct, mbox, uids); return err })
	return gone, err
}

func (f *faulty) Forget(ctx context.Context, acct domicile.AccountID, tok store.Token) error {
	return f.call("Forget", func() error { return f.Store.Forget(ctx, acct, tok) })
}

func (f *faulty) Import(ctx context.Context, id domicile.AccountID, p store.Part) error {
	return f.call("Import", func() error { return f.Store.Import(ctx, id, p) })
}

func (f *faulty) Activate(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	return f.call("Activate", func() error { return f.Store.Activate(ctx, id, fn) })
}

func (f *faulty) Abandon(ctx context.Context, id domicile.AccountID) error {
	return f.call("Abandon", func() error { return f.Store.Abandon(ctx, id) })
}

func (f *faulty) Incoming(ctx context.Context, acct domicile.AccountID, limit int64) (store.Incoming, error) {
	in, err := f.Store.Incoming(ctx, acct, limit)
	if err != nil {
		return nil, err
	}
	return &faultyIncoming{in, f, acct}, nil
}

type faultyIncoming struct {
	store.Incoming
	f    *faulty
	acct domicile.AccountID
}

func (in *faultyIncoming) Commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	return commitAlone(ctx, in.f, in.acct, in, tok, mailbox, flags, internal)
}

// Commit of a message alone, by a driver's Commit of several.
func commitAlone(ctx context.Context, s store.Store, acct domicile.AccountID, in store.Incoming, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	_, made, err := s.Commit(ctx, "", acct, mailbox, []store.Letter{{Bytes: in, Flags: flags, Internal: internal, Token: tok}}, nil)
	if err != nil {
		return store.Message{}, err
	}
	return made[0], nil
}

// Commit is lost, or its answer is. Either way the letters are ended, as the contract says.
func (f *faulty) Commit(ctx context.Context, tok store.Token, acct domicile.AccountID, to string, letters []store.Letter, instead *store.Instead) (validity uint32, made []store.Message, err error) {
	letters = slices.Clone(letters)
	for i, l := range letters {
		if in, ok := l.Bytes.(*faultyIncoming); ok {
			letters[i].Bytes = in.Incoming
			defer in.Abort()
		}
	}
	err = f.call("Commit", func() (err error) {
		validity, made, err = f.Store.Commit(ctx, tok, acct, to, letters, instead)
		return err
	})
	return validity, made, err
}

func (f *faulty) Table(name string) (store.Table, error) {
	t, err := f.Store.Table(name)
	if err != nil {
		return nil, err
	}
	return &faultyTable{t, f}, nil
}

type faultyTable struct {
	store.Table
	f *faulty
}

func (t *faultyTable) Put(key string, value []byte) error {
	return t.f.call("Put", func() error { return t.Table.Put(key, value) })
}

func (t *faultyTable) CompareAndSwap(key string, old, new []byte) (did bool, err error) {
	err = t.f.call("CompareAndSwap", func() (err error) { did, err = t.Table.CompareAndSwap(key, old, new); return err })
	return did, err
}
