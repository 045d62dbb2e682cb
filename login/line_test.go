package login

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// fill takes all places of a line and returns how to leave one.
func fill(t *testing.T, l *line) (leave func()) {
	t.Helper()
	for range lineWidth() {
		var err error
		if leave, err = l.enter(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
	}
	return leave
}

// queued waits until so many stand in line.
func queued(t *testing.T, l *line, want int) {
	t.Helper()
	for range 60000 {
		l.mu.Lock()
		n := l.length
		l.mu.Unlock()
		if n == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("they do not stand in line")
}

// Networks take turns: one with many in line does not hold up one with few.
func TestLineIsFair(t *testing.T) {
	var l line
	leave := fill(t, &l)
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	for i := range 55 {
		network := "many"
		if i >= 50 {
			network = fmt.Sprint("one ", i)
		}
		all.Go(func() {
			leave, err := l.enter(t.Context(), network)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, network)
			mu.Unlock()
			leave()
		})
		queued(t, &l, i+1)
	}
	leave()
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	for i, network := range order {
		if network != "many" && i > 6 {
			t.Errorf("%s came as number %d", network, i)
		}
	}
	if len(l.waiting) != 0 || len(l.turns) != 0 || l.length != 0 || l.inside != lineWidth()-1 {
		t.Errorf("left behind: %d, %d, %d, %d inside", len(l.waiting), len(l.turns), l.length, l.inside)
	}
}

// The line is bounded, for one network too, and nobody who gave up holds a place in it.
func TestLineIsBounded(t *testing.T) {
	var l line
	leave := fill(t, &l)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range maxOwn {
		all.Go(func() {
			if _, err := l.enter(ctx, "n"); err == nil {
				t.Error("it was let in")
			}
		})
	}
	queued(t, &l, maxOwn)
	if _, err := l.enter(t.Context(), "n"); err != errBusy {
		t.Errorf("one more of the network: %v", err)
	}
	l.mu.Lock()
	l.length += maxLine
	l.mu.Unlock()
	if _, err := l.enter(t.Context(), "other"); err != errBusy {
		t.Errorf("one more than all: %v", err)
	}
	l.mu.Lock()
	l.length -= maxLine
	l.mu.Unlock()
	cancel()
	all.Wait()
	if len(l.waiting) != 0 || len(l.turns) != 0 || l.length != 0 {
		t.Errorf("left behind: %d, %d, %d", len(l.waiting), len(l.turns), l.length)
	}
	leave()
	if again, err := l.enter(t.Context(), "n"); err != nil {
		t.Error(err)
	} else {
		again()
	}
}

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
			if _, _, err := check.Verify(t.Context(), From{IMAP, fmt.Sprint("n", i)}, Credential{Name: fmt.Sprintf("u%d@example.com", i), Password: "pw"}); err != nil {
				t.Error(err)
			}
		})
	}
	served.Wait()
	cancel()
	all.Wait()
	if int(most.Load()) > lineWidth() {
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
