package login

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// A stampede of thousands who were all forgotten is served, no more at once than there are places, with a guesser among them.
func TestStampede(t *testing.T) {
	var now, most atomic.Int64
	kept := &plainKept{hash: func() {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(100 * time.Microsecond)
		now.Add(-1)
	}}
	ann := store.Account{ID: "a-1", Address: "ann@example.com", Password: "hash of pw", Scram: "v", State: store.Active}
	check := &Checker{Address: parse, Kept: safeKept{kept}, Accounts: anyone{ann}}
	var served, all sync.WaitGroup
	var guesses atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	for range 100 {
		all.Go(func() {
			for ctx.Err() == nil {
				check.Verify(ctx, From{IMAP, "guesser"}, Credential{Name: "ann@example.com", Password: "guess"})
				guesses.Add(1)
			}
		})
	}
	for i := range 4000 {
		served.Go(func() {
			if _, err := check.Verify(t.Context(), From{IMAP, fmt.Sprint("n", i)}, Credential{Name: fmt.Sprintf("u%d@example.com", i), Password: "pw"}); err != nil {
				t.Error(err)
			}
		})
	}
	served.Wait()
	cancel()
	all.Wait()
	if int(most.Load()) > min(8, runtime.GOMAXPROCS(0)) {
		t.Errorf("%d at once", most.Load())
	}
	if n := guesses.Load(); n > 4000 {
		t.Errorf("%d guesses were served meanwhile", n)
	}
}

// anyone has an account of any address.
type anyone struct{ like store.Account }

func (a anyone) AccountByAddress(_ context.Context, addr domicile.Address) (store.Account, error) {
	a.like.ID, a.like.Address = domicile.AccountID(addr), addr
	return a.like, nil
}

// safeKept hashes without counting, for many at once.
type safeKept struct{ *plainKept }

func (k safeKept) Check(kept, password string) (bool, error) {
	k.hash()
	return kept == "hash of "+password, nil
}
