package imapd

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
)

// TryAcquire takes n bytes for a test, whoever holds the rest: all of them are there if nobody holds any.
func (m *shares) TryAcquire(n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.free < n {
		return false
	}
	m.free -= n
	return true
}

// Release gives back what TryAcquire took.
func (m *shares) Release(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free += n
}

// Acquire is TryAcquire, soon.
func (m *shares) Acquire(ctx context.Context, n int64) error {
	for !m.TryAcquire(n) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Each account has half of what others leave, whoever came before, and however many sessions it has.
func TestShares(t *testing.T) {
	m := newShares(1 << 20)
	of := func(i int) *share { return &share{of: m, acct: domicile.AccountID(fmt.Sprint(i))} }
	var all []*share
	left := int64(1 << 20)
	for i := range 10 {
		s, another := of(i), of(i)
		if !s.TryAcquire(left/4) || !another.TryAcquire(left/4) || s.TryAcquire(1) || another.TryAcquire(1) {
			t.Fatalf("account %d has another share than half of %d", i, left)
		}
		left /= 2
		all = append(all, s, another)
	}
	if m.free != left {
		t.Errorf("%d are free, want %d", m.free, left)
	}
	for i, s := range all {
		s.Release(int64(1<<20) >> (i/2 + 2))
	}
	if m.free != 1<<20 || len(m.held) != 0 || len(m.holders) != 0 {
		t.Errorf("%d are free, %d and %d hold some", m.free, len(m.held), len(m.holders))
	}
}

// Who waits is served in order, past whom there is too little for, and what comes too late goes back.
func TestSharesInOrder(t *testing.T) {
	m := newShares(1000)
	of := func(acct domicile.AccountID) *share {
		return &share{of: m, acct: acct, cut: func() { t.Error("cut off") }}
	}
	first := of("first")
	first.TryAcquire(500)
	wait := func(ctx context.Context, s *share, n int64) chan error {
		m.mu.Lock()
		before := len(m.waiting)
		m.mu.Unlock()
		got := make(chan error, 1)
		go func() { got <- s.Acquire(ctx, n) }()
		waitFor(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.waiting) > before })
		return got
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := wait(ctx, of("gone"), 300)
	large, small := of("large"), of("small")
	largeGot, smallGot := wait(t.Context(), large, 400), wait(t.Context(), small, 260)
	cancel()
	if err := <-gone; err != errNoShare {
		t.Errorf("whoever does not wait any more got it: %v", err)
	}
	first.Release(250) // 750 are left to others, and half of them to one: too little for 400, and enough for 260
	if err := <-smallGot; err != nil {
		t.Error(err)
	}
	first.Release(250)
	small.Release(260)
	if err := <-largeGot; err != nil {
		t.Error(err)
	}
	large.Release(400)
	if m.free != 1000 || len(m.held) != 0 || len(m.waiting) != 0 {
		t.Errorf("%d are free, %d hold some, %d wait", m.free, len(m.held), len(m.waiting))
	}
}

// Two accounts whose clients do not read what they asked for do not keep memory from a third. They are cut off once another waits for what
// they hold, and not before.
func TestHostileClientsDoNotRead(t *testing.T) {
	w := newWorld(t)
	large := "Subject: x\r\n\r\n" + strings.Repeat("y", 1<<20)
	w.home.memory = newShares(6 << 20) // of which a message takes a little over two MiB
	w.home.memory.hold = 0
	w.put("INBOX", large)
	mute := w.login()
	mute.do("b SELECT INBOX", "b OK")
	mute.send("c FETCH 1 (BODY.PEEK[] BODY.PEEK[] BODY.PEEK[]" + strings.Repeat(" BODY.PEEK[]", 50) + ")\r\n")
	waitFor(t, func() bool {
		w.home.memory.mu.Lock()
		defer w.home.memory.mu.Unlock()
		return w.home.memory.free < 4<<20
	})
	b := w.withBob()
	b.do("c FETCH 1 BODY[]", "c OK") // a small share is there: nobody is cut off
	w.deliver(bob, "INBOX", large)
	b.do("d NOOP", "d OK")
	if got := b.do("e FETCH 2 (BODY.PEEK[] BODY.PEEK[HEADER])", "e OK"); len(got) < 1<<20 {
		t.Errorf("%d bytes", len(got))
	}
	waitFor(t, func() bool { w.home.mu.Lock(); defer w.home.mu.Unlock(); return w.home.places[ann] == 0 })
	b.do("f LOGOUT", "f OK")
	waitFor(t, func() bool { return w.home.memory.TryAcquire(6 << 20) })
}
