package login

import (
	"slices"
	"testing"

	"domicile/store"
)

// What a session began with stands until that is taken away or set anew, or the account may not be served.
func TestMeansStand(t *testing.T) {
	at := &accounts{known: store.Account{ID: "a-1", Address: "ann@example.com", Password: "hash of pw", Scram: "main", State: store.Active, AppPasswords: []store.AppPassword{
		{ID: "1", Kept: "app phone", Scram: "phone's"}, {ID: "2", Kept: "app desk", Scram: "desk's"}}}}
	check := &Checker{Accounts: at, Address: parse, Kept: &plainKept{}}
	var all []Means // by the account's own, then by the phone's, each in two ways
	for _, c := range []Credential{{Password: "pw"}, {Exchange: said("ann@example.com"), Proof: []byte("main")},
		{Password: "phone"}, {Exchange: said("ann@example.com"), Proof: []byte("phone's")}} {
		c.Name = "ann@example.com"
		v, err := check.Verify(t.Context(), From{IMAP, "n"}, c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v.Means)
	}
	for name, x := range map[string]struct {
		change   func(*store.Account)
		own, app bool
	}{
		"nothing":               {func(*store.Account) {}, true, true},
		"something else":        {func(a *store.Account) { a.Quota, a.AppPasswords[0].Used = 7, "2026-01-02" }, true, true},
		"the password":          {func(a *store.Account) { a.Password = "hash of other" }, false, true},
		"the phone's":           {func(a *store.Account) { a.AppPasswords = a.AppPasswords[1:] }, true, false},
		"the desk's":            {func(a *store.Account) { a.AppPasswords = a.AppPasswords[:1] }, true, true},
		"suspended":             {func(a *store.Account) { a.State = store.Suspended }, false, false},
		"on its way":            {func(a *store.Account) { a.State = store.Moving }, false, false},
		"another account's now": {func(a *store.Account) { a.ID = "a-2" }, false, false},
		"gone":                  {func(a *store.Account) { *a = store.Account{} }, false, false},
	} {
		now := at.known
		now.AppPasswords = slices.Clone(now.AppPasswords)
		x.change(&now)
		for i, m := range all {
			want := x.own
			if i >= 2 {
				want = x.app
			}
			if got := m.Stand(now); got != want {
				t.Errorf("%s: %d stands: %v", name, i, got)
			}
		}
	}
}

// A session through another region ends when its owner wants none any more; others stay.
func TestMeansAbroad(t *testing.T) {
	a := store.Account{ID: "a-1", State: store.Active, Password: "kept"}
	here, abroad := Own(a), Own(a)
	abroad.Abroad = true
	for choice, want := range map[store.Abroad]bool{store.AbroadRelay: true, store.AbroadRefer: false, store.AbroadRefuse: false} {
		a.Abroad = choice
		if !here.Stand(a) || abroad.Stand(a) != want {
			t.Errorf("%q: at home %v, abroad %v, want %v", choice, here.Stand(a), abroad.Stand(a), want)
		}
	}
}
