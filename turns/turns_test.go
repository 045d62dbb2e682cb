package turns

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// fill takes all places of a line and returns one.
func fill(t *testing.T, l *Line) (turn *Turn) {
	t.Helper()
	for range l.width() {
		var err error
		if turn, err = l.Enter(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
	}
	return turn
}

// queued waits until so many stand in line.
func queued(t *testing.T, l *Line, want int) {
	t.Helper()
	for range 60000 {
		if l.Waiting() == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("they do not stand in line")
}

// Names take turns: one with many in line does not hold up one with few.
func TestLineIsFair(t *testing.T) {
	var l Line
	turn := fill(t, &l)
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	for i := range 55 {
		name := "many"
		if i >= 50 {
			name = fmt.Sprint("one ", i)
		}
		all.Go(func() {
			turn, err := l.Enter(t.Context(), name)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			order = append(order, name)
			mu.Unlock()
			turn.Leave()
		})
		queued(t, &l, i+1)
	}
	turn.Leave()
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	for i, name := range order {
		if name != "many" && i > 6 {
			t.Errorf("%s came as number %d", name, i)
		}
	}
	if len(l.waiting) != 0 || len(l.turns) != 0 || l.length != 0 || l.inside != l.width()-1 {
		t.Errorf("left behind: %d, %d, %d, %d inside", len(l.waiting), len(l.turns), l.length, l.inside)
	}
}

// The line is bounded, for one name too, and nobody who gave up holds a place in it.
func TestLineIsBounded(t *testing.T) {
	var l Line
	turn := fill(t, &l)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range maxOwn {
		all.Go(func() {
			if _, err := l.Enter(ctx, "n"); err == nil {
				t.Error("it was let in")
			}
		})
	}
	queued(t, &l, maxOwn)
	if _, err := l.Enter(t.Context(), "n"); err != errBusy {
		t.Errorf("one more of the name: %v", err)
	}
	l.mu.Lock()
	l.length += maxLine
	l.mu.Unlock()
	if _, err := l.Enter(t.Context(), "other"); err != errBusy {
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
	turn.Leave()
	if again, err := l.Enter(t.Context(), "n"); err != nil {
		t.Error(err)
	} else {
		again.Leave()
	}
}

// Who passes between two pieces of work lets all others in before the next piece, and none if nobody waits.
func TestPass(t *testing.T) {
	l := Line{Width: 1}
	turn, err := l.Enter(t.Context(), "long")
	if err != nil {
		t.Fatal(err)
	}
	if err := turn.Pass(t.Context()); err != nil || l.inside != 1 {
		t.Fatalf("nobody waits: %v, %d inside", err, l.inside)
	}
	var order []string // guarded by the one place
	var all sync.WaitGroup
	for i, name := range []string{"a", "a", "b"} {
		all.Go(func() {
			turn, err := l.Enter(t.Context(), name)
			if err != nil {
				t.Error(err)
				return
			}
			order = append(order, name)
			turn.Leave()
		})
		queued(t, &l, i+1)
	}
	for range 2 {
		if err := turn.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		order = append(order, "long")
	}
	turn.Leave()
	all.Wait()
	if got := fmt.Sprint(order); got != "[a b long a long]" {
		t.Errorf("%v", got)
	}
	if l.inside != 0 {
		t.Errorf("%d are left inside", l.inside)
	}
}

// Who is refused another turn has left its place.
func TestPassInVain(t *testing.T) {
	l := Line{Width: 1}
	turn, err := l.Enter(t.Context(), "long")
	if err != nil {
		t.Fatal(err)
	}
	came, left := make(chan *Turn), make(chan struct{})
	go func() {
		defer close(left)
		turn, err := l.Enter(t.Context(), "other")
		if err != nil {
			t.Error(err)
			return
		}
		came <- turn
	}()
	queued(t, &l, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := turn.Pass(ended); err != errBusy {
		t.Fatalf("it was let in: %v", err)
	}
	(<-came).Leave()
	turn.Leave()
	<-left
	if l.inside != 0 || l.length != 0 {
		t.Errorf("%d inside, %d wait", l.inside, l.length)
	}
}
