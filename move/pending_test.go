package move

import (
	"context"
	"sync/atomic"
	"testing"

	"domicile"
)

// TestMailThatWaitsToBeSent: an account is not frozen while mail from it waits to be sent; and mail that was accepted at the moment of
// the freeze keeps the account's key from being destroyed until it is gone, while the account serves at its next home already.
func TestMailThatWaitsToBeSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	from, to := w.sides[ie], w.sides[us]
	var asked atomic.Int64
	var drained atomic.Bool
	from.machine().cfg.Pending = func(context.Context, domicile.AccountID) (bool, error) {
		n := asked.Add(1)
		return n <= 3 || n > 4 && !drained.Load(), nil // three times before the freeze, not at it, and then again
	}
	from.run()
	to.run()
	w.until("three questions", func() bool {
		n := asked.Load()
		if n > 0 && n <= 3 && !from.serves() {
			t.Error("frozen while mail waits")
		}
		return n > 3
	})
	w.until("the erasure to be put off", func() bool { return to.serves() && asked.Load() > 6 })
	if _, err := from.store.Account(ctx, ann); err != nil || from.state(id) == Erased {
		t.Errorf("the account was erased while its mail waits: %s, %v", from.state(id), err)
	}
	drained.Store(true)
	w.until("the erasure", func() bool { return from.state(id) == Erased && to.state(id) == Erased })
	if _, err := from.store.Account(ctx, ann); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("after the erasure: %v", err)
	}
}
