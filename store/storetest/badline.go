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
	"StoreFlags": true, "Subscribe": true, "Forget": true, "Import": true, "Activate": true, "Abandon": true, "Put": true}

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
	r.MustDeliver(ann, "INBOX", "gone", store.Deleted)
	r.MustDeliver(ann, "INBOX", "kept")
	inbox := r.Box(ann, "INBOX")
	f := &faulty{Store: r.Store, next: func(string) fault { return lostAnswer }}
	flag := func(s store.Store, flag string, unless store.ModSeq) ([]store.Message, []store.UID, error) {
		return s.StoreFlags(ctx, ann, inbox.ID, []store.UID{2}, store.FlagsAdd, []string{flag}, unless)
	}

	_, _, err := flag(f, store.Seen, 0)
	r.is(domicile.Unknown, err)
	seq := r.Box(ann, "INBOX").HighestModSeq
	done, _, err := flag(r, store.Seen, 0)
	r.no(err)
	r.same("flags stored once", []any{done[0].Flags, done[0].ModSeq}, []any{[]string{store.Seen}, seq})

	_, _, err = flag(f, store.Flagged, seq)
	r.is(domicile.Unknown, err)
	_, failed, err := flag(r, store.Flagged, seq)
	r.no(err)
	r.same("changed by ourselves", []any{failed, r.List(ann, "INBOX")[1].Flags}, []any{[]store.UID{2}, []string{store.Flagged, store.Seen}})

	_, err = f.Expunge(ctx, ann, inbox.ID, nil)
	r.is(domicile.Unknown, err)
	gone, err := r.Expunge(ctx, ann, inbox.ID, nil)
	r.no(err)
	c, err := r.Since(ctx, ann, inbox.ID, inbox.HighestModSeq)
	r.no(err)
	r.same("expunged once", []any{len(gone), c.Vanished}, []any{0, []store.UID{1}})

	r.is(domicile.Unknown, f.Subscribe(ctx, ann, "Junk", false))
	r.no(r.Subscribe(ctx, ann, "Junk", false))
	r.same("subscribed", r.Box(ann, "Junk").Subscribed, false)

	junk := r.Box(ann, "Junk").ID
	r.is(domicile.Unknown, f.RenameMailbox(ctx, ann, "Junk", "Spam/Old"))
	r.is(domicile.NotExist, r.RenameMailbox(ctx, ann, "Junk", "Spam/Old"))
	r.same("renamed", r.Box(ann, "Spam/Old").ID, junk)

	r.is(domicile.Unknown, f.RenameMailbox(ctx, ann, "INBOX", "Before"))
	r.is(domicile.Exist, r.RenameMailbox(ctx, ann, "INBOX", "Before"))
	r.same("INBOX renamed", []any{len(r.List(ann, "Before")), len(r.List(ann, "INBOX"))}, []any{1, 0})

	r.is(domicile.Unknown, f.DeleteMailbox(ctx, ann, "Before"))
	r.is(domicile.NotExist, r.DeleteMailbox(ctx, ann, "Before"))

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
