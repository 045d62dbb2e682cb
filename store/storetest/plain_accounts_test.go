package storetest

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/store"
)

var firstBoxes = [][2]string{{store.Inbox, ""}, {"Archive", "\\Archive"}, {"Drafts", "\\Drafts"}, {"Junk", "\\Junk"}, {"Sent", "\\Sent"}, {"Trash", "\\Trash"}}

func validID(id string) bool {
	return len(id) >= 1 && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func (p *plain) newDoc(a store.Account) (*doc, error) {
	if !validID(string(a.ID)) || len(a.Address) > store.MaxAddress || a.Address.Local() == "" || a.Address.Domain() == "" || a.Quota < 0 {
		return nil, plainError(domicile.Invalid, "an id, an address or a quota that cannot be")
	}
	a.State, a.Class, a.Epoch = cmp.Or(a.State, store.Active), cmp.Or(a.Class, "standard"), cmp.Or(a.Epoch, 1)
	if a.Created.IsZero() {
		a.Created = p.at.Now()
	}
	a.Created = a.Created.UTC().Truncate(time.Second)
	return &doc{Account: a, Bodies: map[domicile.MessageID]int64{}, Tokens: map[store.Token]*used{}, Subscribed: map[string]bool{},
		Sizes: map[domicile.MessageID]int64{}, Parts: map[domicile.MessageID][]byte{}}, nil
}

func (p *plain) CreateAccount(ctx context.Context, tok store.Token, a store.Account) error {
	d, err := p.newDoc(a)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || ctx.Err() != nil {
		return plainError(domicile.Unavailable, "closed, or the context ended")
	}
	if old := p.docs[a.ID]; old != nil && old.Tokens[tok] != nil {
		_, err := once(p, old, tok, "create", func() (int, error) { return 0, nil })
		return err
	}
	if err := p.taken(d.Account); err != nil {
		return err
	}
	for _, b := range firstBoxes {
		d.make(p, b[0], b[1])
		d.Subscribed[b[0]] = true
	}
	if _, err := once(p, d, tok, "create", func() (int, error) { return 0, nil }); err != nil {
		return err
	}
	if err := p.at.Sealer.CreateAccountKey(a.ID); err != nil {
		return plainError(domicile.Unavailable, err.Error())
	}
	return p.put(d)
}

// taken says whether another account has the id or the address.
func (p *plain) taken(a store.Account) error {
	if p.docs[a.ID] != nil || p.arriving[a.ID] != nil {
		return plainError(domicile.Exist, "the id is taken")
	}
	for _, d := range p.docs {
		if d.Account.Address == a.Address {
			return plainError(domicile.Exist, "the address is taken")
		}
	}
	return nil
}

func (p *plain) Account(_ context.Context, id domicile.AccountID) (store.Account, error) {
	d, err := p.load(id)
	if err != nil {
		return store.Account{}, err
	}
	return d.Account, nil
}

func (p *plain) Used(_ context.Context, id domicile.AccountID) (used int64, err error) {
	d, err := p.served(id)
	if err == nil {
		used = d.used()
	}
	return used, err
}

func (p *plain) AccountByAddress(ctx context.Context, addr domicile.Address) (store.Account, error) {
	all, err := p.accounts()
	i := slices.IndexFunc(all, func(a store.Account) bool { return a.Address == addr })
	if err == nil && i < 0 {
		err = plainError(domicile.NotExist, "no such address")
	}
	if err != nil {
		return store.Account{}, err
	}
	return all[i], nil
}

func (p *plain) Accounts(_ context.Context, after domicile.AccountID, limit int) ([]store.Account, error) {
	if after != "" && !validID(string(after)) {
		return nil, plainError(domicile.Invalid, "no id")
	}
	all, err := p.accounts()
	slices.SortFunc(all, func(a, b store.Account) int { return cmp.Compare(a.ID, b.ID) })
	all = slices.DeleteFunc(all, func(a store.Account) bool { return a.ID <= after })
	return all[:min(len(all), max(1, min(limit, store.MaxPage)))], err
}

func (p *plain) accounts() (all []store.Account, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, plainError(domicile.Unavailable, "closed")
	}
	for _, d := range p.docs {
		all = append(all, d.Account)
	}
	return all, nil
}

func (p *plain) UpdateAccount(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	for {
		old, err := p.load(id)
		if err != nil {
			return err
		}
		a := old.Account
		if err := edit(&a, fn); err != nil {
			return err
		}
		changed := errors.New("the account changed meanwhile")
		err = p.swap(ctx, id, func(d *doc) error {
			if p.docs[id] != old && p.bug != "loses updates" {
				return changed
			}
			d.Account = a
			return nil
		})
		if !errors.Is(err, changed) {
			return err
		}
	}
}

// edit applies fn within what it may change.
func edit(a *store.Account, fn func(*store.Account) error) error {
	old := *a
	if err := fn(a); err != nil {
		return err
	}
	a.ID, a.Address, a.Created = old.ID, old.Address, old.Created
	switch {
	case a.Epoch < old.Epoch:
		return plainError(domicile.Conflict, "the epoch never goes down")
	case len(a.Recipient)+len(a.Password)+len(a.TokenKey) > store.MaxRecord-1000:
		return plainError(domicile.TooLarge, "over 64 KiB")
	case a.Quota < 0:
		return plainError(domicile.Invalid, "a quota is not negative")
	}
	return nil
}

func (p *plain) DeleteAccount(_ context.Context, id domicile.AccountID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return plainError(domicile.Unavailable, "closed")
	}
	if p.docs[id] == nil {
		return plainError(domicile.NotExist, "no such account")
	}
	delete(p.docs, id)
	p.hint(id)
	return p.remove(id, ".account")
}

// remove takes a file out of the store by its name, which counts; then the key goes, then the file.
func (p *plain) remove(id domicile.AccountID, kind string) error {
	path := filepath.Join(p.at.Dir, string(id))
	err := os.Rename(path+kind, path+".erased")
	if err == nil {
		err = p.erase(id)
	}
	if err != nil {
		return &domicile.Error{Op: "plain", Kind: domicile.Unknown, Err: err}
	}
	return nil
}

func (p *plain) erase(id domicile.AccountID) error {
	if p.bug != "keeps the key" {
		if err := p.at.Sealer.DestroyAccountKey(id); err != nil {
			return err
		}
	}
	bodies, err := filepath.Glob(filepath.Join(p.at.Dir, bodyName(id, "*")))
	for _, body := range bodies {
		err = cmp.Or(err, os.Remove(body))
	}
	return cmp.Or(err, os.Remove(filepath.Join(p.at.Dir, string(id)+".erased")))
}
