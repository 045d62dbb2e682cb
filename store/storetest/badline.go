package storetest

import (
	"sync"
	"testing"

	"domicile"
	"domicile/store"
)

// answersOnce are the methods whose second try returns what the first did, by their token or by what they do: a
// patient client cannot tell that an answer was lost. Of the others "Unsure" tries what the contract says instead.
var answersOnce = map[string]bool{"CreateAccount": true, "CreateMailbox": true, "Commit": true, "Copy": true, "Move": true,
	"RenameMailbox": true, "DeleteMailbox": true, "StoreFlags": true, "Expunge": true, "Subscribe": true, "Annotate": true, "Forget": true, "Import": true, "Activate": true, "Abandon": true, "Put": true}

// overBadLine opens a store of which every call is lost at first, then, if it answers once, its answer, and then neither,
// and gives it to a patient client: each act must come out as if it had been done once.
func overBadLine(t testing.TB, open Open) *Rig {
	var mu sync.Mutex
	calls := map[string]int{} // guarded by mu
	next := func(method string) fault {
		mu.Lock()
		defer mu.Unlock()
		kinds := []fault{lostStep, noFault}
		if answersOnce[method] {
			kinds = []fault{lostStep, lostAnswer, noFault}
		}
		calls[method]++
		return kinds[(calls[method]-1)%len(kinds)]
	}
	return newRig(t, open, Region, "storetest", func(s store.Store) store.Store {
		return &patient{Store: &faulty{Store: s, next: next}}
	})
}

// moveOverBadLine moves an account while every step and every answer is lost once.
func moveOverBadLine(r *Rig) {
	from := overBadLine(r.T, r.open)
	far := from.other()
	id := from.furnished()
	want, err := portrait(from.Store, id)
	r.no(err)
	r.no(freeze(from, id))
	r.no(transfer(from, far, id, 300))
	r.no(far.Activate(ctx, id, func(a *store.Account) error { a.State = store.Active; return nil }))
	got, err := portrait(far.Store, id)
	r.no(err)
	r.same("behind the move", got, want)
	r.no(from.DeleteAccount(ctx, id))
	far.goesOn(id)
}

// unsure loses the answer of each method that takes no token, and does what the contract says then.
func unsure(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	f := &faulty{Store: r.Store, next: func(string) fault { return lostAnswer }}

	move := func(a *store.Account) error { a.Epoch = 2; return nil }
	r.is(domicile.Unknown, f.UpdateAccount(ctx, ann, move))
	r.no(r.UpdateAccount(ctx, ann, move))

	t := r.table("names")
	r.no(t.Put("k", []byte("first")))
	bad, err := f.Table("names")
	r.no(err)
	_, err = bad.CompareAndSwap("k", []byte("first"), []byte("second"))
	r.is(domicile.Unknown, err)
	v, _, err := t.Get("k")
	r.no(err)
	r.same("swapped", string(v), "second")

	r.is(domicile.Unknown, f.DeleteAccount(ctx, bob))
	r.is(domicile.NotExist, r.DeleteAccount(ctx, bob))
	r.same("bob's key", r.At.Sealer.HasKey(bob), false)
}
