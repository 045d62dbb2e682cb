package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"domicile"
	"domicile/store"
)

func accounts(r *Rig) {
	a := store.Account{ID: "a1", Address: "zoe@example.com", Residence: "IE", Class: "e2e", Recipient: "age1key",
		Password: "$argon2id$x", State: store.Suspended, Abroad: store.AbroadRefuse, Epoch: 3, Quota: 5000, Created: r.At.Now()}
	r.no(r.CreateAccount(ctx, "", a))
	r.no(r.CreateAccount(ctx, "", store.Account{ID: "a2", Address: "adam@example.com", Residence: "FR"}))
	r.is(domicile.Exist, r.CreateAccount(ctx, "", store.Account{ID: "a1", Address: "other@example.com"}))
	r.is(domicile.Exist, r.CreateAccount(ctx, "", store.Account{ID: "a3", Address: "zoe@example.com"}))
	for _, bad := range []store.Account{
		{ID: "", Address: "x@example.com"}, {ID: "../a", Address: "x@example.com"}, {ID: "a.b", Address: "x@example.com"},
		{ID: domicile.AccountID(strings.Repeat("a", 65)), Address: "x@example.com"},
		{ID: "a4", Address: "x"}, {ID: "a4", Address: "@example.com"}, {ID: "a4", Address: "x@example.com", Quota: -1},
		{ID: "a4", Address: domicile.Address(strings.Repeat("x", 320) + "@example.com")},
	} {
		r.is(domicile.Invalid, r.CreateAccount(ctx, "", bad))
	}
	r.Reopen()
	a.Created = a.Created.UTC()
	got, err := r.Account(ctx, "a1")
	r.no(err)
	r.same("account", got, a)
	got, err = r.AccountByAddress(ctx, "adam@example.com")
	r.no(err)
	r.same("defaults", []any{got.ID, got.State, got.Class, got.Epoch, got.Created.Unix()},
		[]any{"a2", store.Active, "standard", 1, r.At.Now().Unix()})
	_, err = r.Account(ctx, "a9")
	r.is(domicile.NotExist, err)
	_, err = r.AccountByAddress(ctx, "nobody@example.com")
	r.is(domicile.NotExist, err)
	r.same("all accounts", r.accounts(), []domicile.AccountID{"a1", "a2"})
	if r.Region() != Region {
		r.T.Fatal("region is", r.Region())
	}
}

// accountPages reads accounts in parts, while some come and go.
func accountPages(r *Rig) {
	var all []domicile.AccountID
	add := func(id domicile.AccountID) {
		r.no(r.CreateAccount(ctx, "", store.Account{ID: id, Address: domicile.Address(string(id) + "@example.com")}))
		all = append(all, id)
	}
	for _, id := range []domicile.AccountID{"b", "a", "aa", "z", "zzz", "a-longer-one", "0", "_", "-"} {
		add(id)
	}
	pages := func(limit int, between func()) (ids []domicile.AccountID) {
		for after := domicile.AccountID(""); ; {
			part, err := r.Accounts(ctx, after, limit)
			r.no(err)
			for _, a := range part {
				r.same("its record", a.Address, string(a.ID)+"@example.com")
				ids, after = append(ids, a.ID), a.ID
			}
			if len(part) < limit {
				return ids
			}
			between()
		}
	}
	whole := pages(100, func() {})
	for limit := range 10 {
		r.same("in parts", pages(limit+1, func() {}), whole)
	}
	r.Reopen()
	last := whole[0]
	r.same("while some go", pages(1, func() {
		if last != "" {
			r.no(r.DeleteAccount(ctx, last)) // behind which the next part begins
			last = ""
		}
	}), whole)
	r.same("without that one", pages(3, func() {}), whole[1:])
	slices.Sort(all)
	r.same("all", r.accounts(), slices.DeleteFunc(all, func(id domicile.AccountID) bool { return id == whole[0] }))
	for _, bad := range []string{"a.b", strings.Repeat("x", 300)} {
		_, err := r.Accounts(ctx, domicile.AccountID(bad), 1)
		r.is(domicile.Invalid, err)
	}
}

func updateAccount(r *Rig) {
	id := r.Person("ann")
	r.no(r.UpdateAccount(ctx, id, func(a *store.Account) error {
		a.ID, a.Address, a.Quota, a.Epoch, a.State = "other", "other@example.com", 77, 2, store.Moving
		return nil
	}))
	a, err := r.Account(ctx, id)
	r.no(err)
	r.same("account", []any{a.ID, a.Address, a.Quota, a.Epoch, a.State}, []any{id, "ann@example.com", 77, 2, store.Moving})
	mine := errors.New("mine")
	if err := r.UpdateAccount(ctx, id, func(a *store.Account) error { a.Quota = 1; return mine }); !errors.Is(err, mine) {
		r.T.Fatal("the function's error is lost:", err)
	}
	r.is(domicile.Conflict, r.UpdateAccount(ctx, id, func(a *store.Account) error { a.Epoch = 1; return nil }))
	r.is(domicile.TooLarge, r.UpdateAccount(ctx, id, func(a *store.Account) error {
		a.Recipient = strings.Repeat("k", store.MaxRecord)
		return nil
	}))
	r.is(domicile.NotExist, r.UpdateAccount(ctx, "a9", func(*store.Account) error { return nil }))

	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if err := r.UpdateAccount(ctx, id, func(a *store.Account) error { a.Quota++; return nil }); err != nil {
					r.T.Error(err)
				}
			}
		})
	}
	wg.Wait()
	a, err = r.Account(ctx, id)
	r.no(err)
	r.same("no update lost", a.Quota, 77+8*5)
}

func deleteAccount(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	m := r.MustDeliver(ann, "INBOX", "ann's")
	kept := r.MustDeliver(bob, "INBOX", "bob's")
	r.no(r.DeleteAccount(ctx, ann))
	r.is(domicile.NotExist, r.DeleteAccount(ctx, ann))
	if r.At.Sealer.HasKey(ann) {
		r.T.Fatal("the key of a deleted account is there")
	}
	_, err := r.Body(ctx, ann, m.ID)
	r.is(domicile.NotExist, err)
	_, err = r.AccountByAddress(ctx, "ann@example.com")
	r.is(domicile.NotExist, err)
	_, err = r.Incoming(ctx, ann, 10)
	r.is(domicile.NotExist, err)
	r.Reopen()
	body, err := r.ReadBody(bob, kept.ID)
	r.no(err)
	r.same("body", body, "bob's")
	r.same("the address is free", r.Person("ann") != ann, true)
}

func wrongRegion(r *Rig) {
	r.no(r.Close())
	other := r.At
	other.Region = "us-east"
	s, err := r.open(other)
	if err == nil {
		s.Close()
	}
	r.is(domicile.Refused, err)
	if domicile.ReasonOf(err) != domicile.WrongRegion {
		r.T.Fatal("reason is", domicile.ReasonOf(err))
	}
	other = r.At
	other.Sealer = NewSealer("another root key")
	if s, err = r.open(other); err == nil {
		s.Close()
		r.T.Fatal("a store opened under another root key")
	}
	r.mustOpen()
}
