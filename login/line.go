package login

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"domicile"
)

// Limits of the line to argon2id.
const (
	lineTime = 30 * time.Second // that one waits: mail programs give up not much later
	maxLine  = 1 << 13          // that wait
	maxOwn   = 1 << 9           // of one network
)

// line lets as many through at once as there are cores, and takes those who wait by turns of their networks: whoever comes from one with
// few in line is not held up by one with many. The zero value is ready; safe for concurrent use.
type line struct {
	mu      sync.Mutex
	inside  int                        // guarded by mu
	waiting map[string][]chan struct{} // guarded by mu: by network, each in the order in which they came
	turns   []string                   // guarded by mu: the networks of waiting, the next first
	length  int                        // guarded by mu
}

func lineWidth() int { return max(1, min(8, runtime.GOMAXPROCS(0))) }

var errBusy = domicile.E("login", domicile.Unavailable, "too many wait for their passwords to be checked")

// enter waits for its turn. Unavailable if too many wait, or it takes too long, or ctx ends.
func (l *line) enter(ctx context.Context, network string) (leave func(), err error) {
	l.mu.Lock()
	if l.inside < lineWidth() && l.length == 0 {
		l.inside++
		l.mu.Unlock()
		return l.leave, nil
	}
	own := l.waiting[network]
	if l.length >= maxLine || len(own) >= maxOwn {
		l.mu.Unlock()
		return nil, errBusy
	}
	if l.waiting == nil {
		l.waiting = map[string][]chan struct{}{}
	}
	if len(own) == 0 {
		l.turns = append(l.turns, network)
	}
	turn := make(chan struct{})
	l.waiting[network] = append(own, turn)
	l.length++
	l.mu.Unlock()

	late := time.NewTimer(lineTime)
	defer late.Stop()
	select {
	case <-turn:
		return l.leave, nil
	case <-late.C:
	case <-ctx.Done():
	}
	if !l.giveUp(network, turn) { // its turn came meanwhile
		l.leave()
	}
	return nil, errBusy
}

// leave lets the next in, whose place inside it takes.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.turns) == 0 {
		l.inside--
		return
	}
	network := l.turns[0]
	own := l.waiting[network]
	close(own[0])
	l.length--
	l.turns = l.turns[1:]
	if own = own[1:]; len(own) > 0 {
		l.waiting[network] = own
		l.turns = append(l.turns, network)
	} else {
		delete(l.waiting, network)
	}
}

// giveUp takes one out of the line; false if it is in it no more.
func (l *line) giveUp(network string, turn chan struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.waiting[network]
	i := slices.Index(own, turn)
	if i < 0 {
		return false
	}
	l.length--
	if own = slices.Delete(own, i, i+1); len(own) > 0 {
		l.waiting[network] = own
		return true
	}
	delete(l.waiting, network)
	l.turns = slices.DeleteFunc(l.turns, func(n string) bool { return n == network })
	return true
}
