package turns

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"domicile"
)

// Limits of a line.
const (
	maxWait = 30 * time.Second // that one waits: mail programs give up not much later
	maxLine = 1 << 13          // that wait
	maxOwn  = 1 << 9           // of one name
	cores   = 8                // that are used at most, if nothing is said
)

// Line lets some in at once, and takes those who wait by turns of their names. The zero value is ready; safe for concurrent use.
type Line struct {
	Width int           // that are inside at once; 0 = as many as there are cores, 8 at most. Not changed after the first use
	Wait  time.Duration // that one waits at most; 0 = 30 s

	mu      sync.Mutex
	inside  int                        // guarded by mu
	waiting map[string][]chan struct{} // guarded by mu: by name, each in the order in which they came
	turns   []string                   // guarded by mu: the names of waiting, the next first
	length  int                        // guarded by mu
}

func (l *Line) width() int {
	if l.Width > 0 {
		return l.Width
	}
	return max(1, min(cores, runtime.GOMAXPROCS(0)))
}

var errBusy = domicile.E("wait for a turn", domicile.Unavailable, "too many wait")

// Turn is a place inside. It belongs to one goroutine.
type Turn struct {
	line   *Line
	name   string
	inside bool
}

// Enter waits for a turn of name. Unavailable if too many wait, or it takes too long, or ctx ends.
func (l *Line) Enter(ctx context.Context, name string) (*Turn, error) {
	l.mu.Lock()
	if l.inside < l.width() && l.length == 0 {
		l.inside++
		l.mu.Unlock()
		return &Turn{l, name, true}, nil
	}
	turn, err := l.queue(name)
	l.mu.Unlock()
	if err == nil {
		err = l.await(ctx, name, turn)
	}
	if err != nil {
		return nil, err
	}
	return &Turn{l, name, true}, nil
}

// Pass lets those in who wait, and waits for another turn, if anybody waits. Behind an error, as of Enter, the turn is over.
func (t *Turn) Pass(ctx context.Context) error {
	l := t.line
	l.mu.Lock()
	if l.length == 0 {
		l.mu.Unlock()
		return nil
	}
	turn, err := l.queue(t.name)
	l.next()
	l.mu.Unlock()
	if err == nil {
		err = l.await(ctx, t.name, turn)
	}
	t.inside = err == nil
	return err
}

// Leave lets the next in. Safe to repeat.
func (t *Turn) Leave() {
	if t.inside {
		t.inside = false
		t.line.leave()
	}
}

// Waiting is how many wait.
func (l *Line) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.length
}

// queue takes a place in the line. l.mu is held.
func (l *Line) queue(name string) (turn chan struct{}, err error) {
	own := l.waiting[name]
	if l.length >= maxLine || len(own) >= maxOwn {
		return nil, errBusy
	}
	if l.waiting == nil {
		l.waiting = map[string][]chan struct{}{}
	}
	if len(own) == 0 {
		l.turns = append(l.turns, name)
	}
	turn = make(chan struct{})
	l.waiting[name] = append(own, turn)
	l.length++
	return turn, nil
}

// await waits for a turn that was queued.
func (l *Line) await(ctx context.Context, name string, turn chan struct{}) error {
	late := time.NewTimer(cmp.Or(l.Wait, maxWait))
	defer late.Stop()
	select {
	case <-turn:
		return nil
	case <-late.C:
	case <-ctx.Done():
	}
	if !l.giveUp(name, turn) { // its turn came meanwhile
		l.leave()
	}
	return errBusy
}

func (l *Line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next()
}

// next lets the next in, whose place inside it takes. l.mu is held.
func (l *Line) next() {
	if len(l.turns) == 0 {
		l.inside--
		return
	}
	name := l.turns[0]
	own := l.waiting[name]
	close(own[0])
	l.length--
	l.turns = l.turns[1:]
	if own = own[1:]; len(own) > 0 {
		l.waiting[name] = own
		l.turns = append(l.turns, name)
	} else {
		delete(l.waiting, name)
	}
}

// giveUp takes one out of the line; false if it is in it no more.
func (l *Line) giveUp(name string, turn chan struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.waiting[name]
	i := slices.Index(own, turn)
	if i < 0 {
		return false
	}
	l.length--
	if own = slices.Delete(own, i, i+1); len(own) > 0 {
		l.waiting[name] = own
		return true
	}
	delete(l.waiting, name)
	l.turns = slices.DeleteFunc(l.turns, func(n string) bool { return n == name })
	return true
}
