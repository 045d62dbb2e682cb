package bolt

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"domicile"
	"domicile/store"
)

// firstMailboxes are what a new account has, all subscribed.
var firstMailboxes = []struct{ name, use string }{
	{store.Inbox, ""}, {"Drafts", "\\Drafts"}, {"Sent", "\\Sent"},
	{"Junk", "\\Junk"}, {"Trash", "\\Trash"}, {"Archive", "\\Archive"},
}

// CreateAccount makes the account's key first: a key without an account is harmless, the other way round is not.
func (s *Store) CreateAccount(ctx context.Context, tok store.Token, a store.Account) error {
	const op = "create account"
	a, err := s.newAccount(a)
	if err != nil {
		return domicile.W(op, err)
	}
	if err := checkToken(tok); err != nil {
		return domicile.W(op, err)
	}
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	done, err := s.mayCreate(tok, a)
	if done || err != nil {
		return domicile.W(op, err)
	}
	if err := s.cfg.step("create key", func() error { return s.cfg.Sealer.CreateAccountKey(a.ID) }); err != nil {
		return domicile.W(op, unavailable(err))
	}
	err = s.update(ctx, a.ID, func(tx *txn) error { return s.createAccount(tx, tok, a) })
	return domicile.W(op, err)
}

// newAccount checks what a caller gave and fills what was left empty.
func (s *Store) newAccount(a store.Account) (store.Account, error) {
	if !validID(string(a.ID)) {
		return a, domicile.E("account", domicile.Invalid, "an account id is 1 to 64 characters of a-z, 0-9, '-' and '_'")
	}
	if len(a.Address) > store.MaxAddress || a.Address.Local() == "" || a.Address.Domain() == "" {
		return a, domicile.E("account", domicile.Invalid, "an address is local@domain, at most 320 bytes")
	}
	if a.Quota < 0 {
		return a, domicile.E("account", domicile.Invalid, "a quota is not negative")
	}
	a.State = cmp.Or(a.State, store.Active)
	a.Class = cmp.Or(a.Class, "standard")
	a.Epoch = cmp.Or(a.Epoch, 1)
	if a.Created.IsZero() {
		a.Created = s.cfg.Now()
	}
	a.Created = a.Created.UTC().Truncate(time.Second)
	return a, nil
}

// mayCreate says whether tok did it before. No one else makes or erases accounts meanwhile.
func (s *Store) mayCreate(tok store.Token, a store.Account) (done bool, err error) {
	err = s.view(func(tx *txn) error {
		switch string(s.accountIn(tx, a.ID).b.Get(kState)) {
		case string(isErased):
			return domicile.E("account", domicile.Conflict, "an account with this id is being erased: choose another id")
		case string(isComing):
			return domicile.E("account", domicile.Exist, "an account with this id is coming in from another region")
		}
		if old, err := s.account(tx, a.ID); err == nil {
			if done, err = old.didBefore(tok, "create account", nil); done || err != nil {
				return err
			}
			return domicile.E("account", domicile.Exist, "the id is taken")
		}
		if tx.root(bAddresses).Get(s.addressKey(a.Address)) != nil {
			return domicile.E("account", domicile.Exist, "the address is taken")
		}
		return nil
	})
	return done, err
}

func (s *Store) createAccount(tx *txn, tok store.Token, a store.Account) error {
	acct := s.accountIn(tx, a.ID)
	if err := acct.putRecord(a); err != nil {
		return err
	}
	for _, m := range firstMailboxes {
		if _, err := acct.makeMailbox(mailboxRecord{Name: m.name, SpecialUse: m.use, Subscribed: true}); err != nil {
			return err
		}
	}
	if err := acct.remember(tok, "create account", nil); err != nil {
		return err
	}
	key := s.addressKey(a.Address)
	acct.b.Put(kAddress, key)
	tx.root(bAddresses).Put(key, []byte(a.ID))
	return nil
}

func (s *Store) addressKey(a domicile.Address) []byte {
	return s.cfg.Sealer.Digest("address", string(a))
}

func accountPlace(id domicile.AccountID) []byte { return place("account", string(id)) }

func (a account) putRecord(rec store.Account) error {
	sealed, err := a.seal(rec, accountPlace(a.id))
	if err != nil {
		return err
	}
	if len(sealed) > store.MaxRecord {
		return domicile.E("account", domicile.TooLarge, "the account's record is over 64 KiB")
	}
	a.b.Put(kRecord, sealed)
	a.b.Put(kQuota, number(uint64(rec.Quota)))
	if rec.State == store.Moving {
		a.b.Put(kState, isMoving)
	} else {
		a.b.Delete(kState)
	}
	return nil
}

// accountIDs returns the ids of all accounts that are here.
func (s *Store) accountIDs(tx *txn) (ids []domicile.AccountID) {
	tx.root(bAccounts).ForEachBucket(func(id []byte) error {
		if _, err := s.account(tx, domicile.AccountID(id)); err == nil {
			ids = append(ids, domicile.AccountID(id))
		}
		return nil
	})
	return ids
}

// Account returns NotExist if the account is not in this store.
func (s *Store) Account(_ context.Context, id domicile.AccountID) (store.Account, error) {
	a, _, err := s.readAccount(id)
	return a, domicile.W("read account", err)
}

// readAccount also returns the sealed bytes, which change with every write.
func (s *Store) readAccount(id domicile.AccountID) (a store.Account, sealed []byte, err error) {
	return s.readAccountOf(func(*txn) (domicile.AccountID, error) { return id, nil })
}

// readAccountOf is readAccount of the account that of names.
func (s *Store) readAccountOf(of func(*txn) (domicile.AccountID, error)) (a store.Account, sealed []byte, err error) {
	var id domicile.AccountID
	age := s.accounts.age()
	err = s.view(func(tx *txn) (err error) {
		if id, err = of(tx); err != nil {
			return err
		}
		_, record, err := s.known(tx, id)
		sealed = bytes.Clone(record)
		return err
	})
	if err != nil {
		return a, nil, err
	}
	if a, ok := s.accounts.get(id, sealed); ok {
		return a, sealed, nil
	}
	if err = s.openRecord(id, sealed, accountPlace(id), &a); err == nil {
		s.accounts.put(age, id, sealed, a)
	}
	return a, sealed, err
}

// openedAccounts are records of accounts. A caller may change what it gets.
type openedAccounts struct {
	opened[domicile.AccountID, store.Account]
}

func (o *openedAccounts) get(id domicile.AccountID, sealed []byte) (store.Account, bool) {
	a, ok := o.opened.get(id, sealed)
	return ownAccount(a), ok
}

func (o *openedAccounts) put(age int, id domicile.AccountID, sealed []byte, a store.Account) {
	o.opened.put(age, id, sealed, ownAccount(a))
}

// ownAccount shares nothing with a.
func ownAccount(a store.Account) store.Account {
	a.TokenKey, a.AppPasswords = bytes.Clone(a.TokenKey), slices.Clone(a.AppPasswords)
	return a
}

// Used returns the sum of the sizes of an account's bodies and annotations.
func (s *Store) Used(_ context.Context, id domicile.AccountID) (used int64, err error) {
	err = s.view(func(tx *txn) error {
		a, err := s.served(tx, id)
		if err == nil {
			used = int64(readNumber(a.b.Get(kUsage)))
		}
		return err
	})
	return used, domicile.W("read account", err)
}

// AccountByAddress finds an account by its canonical address.
func (s *Store) AccountByAddress(_ context.Context, addr domicile.Address) (store.Account, error) {
	key := s.addressKey(addr)
	a, _, err := s.readAccountOf(func(tx *txn) (domicile.AccountID, error) {
		id := domicile.AccountID(tx.root(bAddresses).Get(key))
		if id == "" {
			return "", domicile.E("account", domicile.NotExist, "no account of that address here")
		}
		return id, nil
	})
	return a, domicile.W("find account", err)
}

// Accounts returns accounts behind an id, by the lengths of ids and then by ids, as the index has them.
func (s *Store) Accounts(_ context.Context, after domicile.AccountID, limit int) ([]store.Account, error) {
	const op = "list accounts"
	if after != "" && !validID(string(after)) {
		return nil, domicile.E(op, domicile.Invalid, "that is no account's id")
	}
	limit = max(1, min(limit, store.MaxPage))
	var sealed []entry
	err := s.view(func(tx *txn) error {
		sealed = nil
		return tx.root(bAccounts).ForEachBucketAfter([]byte(after), func(id []byte) error {
			if a, err := s.account(tx, domicile.AccountID(id)); err == nil {
				sealed = append(sealed, cloneEntry(id, a.b.Get(kRecord)))
			}
			if len(sealed) == limit {
				return errStop
			}
			return nil
		})
	})
	all := make([]store.Account, len(sealed))
	for i, e := range sealed {
		id := domicile.AccountID(e.key)
		if err == nil {
			err = s.openRecord(id, e.value, accountPlace(id), &all[i])
		}
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return all, nil
}

// entry is a key and value copied out of a snapshot.
type entry struct{ key, value []byte }

// updateTries bounds how often UpdateAccount starts over when others keep winning.
const updateTries = 100

// UpdateAccount runs fn outside the transaction, so that it can block nobody, and
// starts over if the account changed meanwhile.
func (s *Store) UpdateAccount(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	const op = "update account"
	for range updateTries {
		old, sealed, err := s.readAccount(id)
		if err != nil {
			return domicile.W(op, err)
		}
		now := old
		if err := fn(&now); err != nil {
			return err
		}
		now.ID, now.Address, now.Created = old.ID, old.Address, old.Created
		if now.Epoch < old.Epoch {
			return domicile.E(op, domicile.Conflict, "the epoch of ownership never goes down")
		}
		if now.Quota < 0 {
			return domicile.E(op, domicile.Invalid, "a quota is not negative")
		}
		if now.State == store.Moving && old.State != store.Moving {
			err = s.freezeAccount(ctx, sealed, now)
		} else {
			err = s.replaceAccount(ctx, sealed, now)
		}
		if err != errChanged {
			return domicile.W(op, err)
		}
	}
	return domicile.W(op, errChanged)
}

// freezeAccount puts the record of an account of which nothing changes from then on. No large copy begins before it is done, which would leave something anew.
func (s *Store) freezeAccount(ctx context.Context, sealed []byte, now store.Account) error {
	if err := s.enterLarge(ctx); err != nil {
		return err
	}
	defer s.leaveLarge()
	if err := s.sweepAccount(ctx, now.ID, true); err != nil {
		return err
	}
	return s.replaceAccount(ctx, sealed, now)
}

// replaceAccount puts a record in the place of that which was read; errChanged if it is not there any more, or if the account cannot move yet.
func (s *Store) replaceAccount(ctx context.Context, sealed []byte, now store.Account) error {
	return s.update(ctx, now.ID, func(tx *txn) error {
		acct, err := s.account(tx, now.ID)
		if err != nil {
			return err
		}
		if !bytes.Equal(acct.b.Get(kRecord), sealed) || now.State == store.Moving && !acct.left().Empty() {
			return errChanged
		}
		return acct.putRecord(now)
	})
}

var errChanged = domicile.E("account", domicile.Conflict, "the account changed meanwhile: read again and retry")
