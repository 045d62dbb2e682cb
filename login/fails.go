package login

import (
	"context"
	"net"
	"sync"
	"time"
)

// Limits against guessing.
const (
	slowest   = 8                // times the first delay is the longest
	memory    = 10 * time.Minute // how long a failure counts
	maxFailed = 10000            // sources remembered
)

// Fails answers failed logins of one source later and later. Safe for concurrent use.
type Fails struct {
	step time.Duration
	free int

	mu    sync.Mutex
	seen  map[string]failures // guarded by mu
	swept time.Time           // guarded by mu: when the old ones were last forgotten
}

type failures struct {
	n     int
	last  time.Time
	tried time.Time // see may
}

// NewFails makes a counter whose first delay is step; after free failures each one doubles it, up to eight
// times the first.
func NewFails(step time.Duration, free int) *Fails {
	return &Fails{step: step, free: free, seen: map[string]failures{}}
}

// Wait counts a failure of a source and returns when its answer is due, counted from when the login began, or when ctx ends.
func (f *Fails) Wait(ctx context.Context, source string, began time.Time) {
	now := time.Now()
	wait(ctx, f.count(source, now)-now.Sub(began))
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// may says whether a source that has failed often may try again: one try after each rest.
func (f *Fails) may(source string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, known := f.seen[source]
	if !known || v.n < nameLimit || now.Sub(v.last) > memory {
		return true
	}
	if now.Sub(v.tried) < nameRest {
		return false
	}
	v.tried = now
	f.seen[source] = v
	return true
}

func (f *Fails) count(source string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, known := f.seen[source]
	if !known && len(f.seen) >= maxFailed {
		f.makeRoom(now)
	}
	if now.Sub(v.last) > memory {
		v.n = 0
	}
	v.n, v.last = v.n+1, now
	f.seen[source] = v
	return min(f.step<<min(max(v.n-1-f.free, 0), 10), slowest*f.step)
}

// makeRoom forgets what is old or, if nothing is, any source: who makes up many forgets mostly its own. f.mu is held.
func (f *Fails) makeRoom(now time.Time) {
	if now.Sub(f.swept) > memory/10 {
		f.swept = now
		for k, v := range f.seen {
			if now.Sub(v.last) > memory {
				delete(f.seen, k)
			}
		}
	}
	for k := range f.seen {
		if len(f.seen) < maxFailed {
			return
		}
		delete(f.seen, k)
	}
}

// Network is the source that an address counts as: without its port; of IPv6 the /64.
func Network(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return a.String()
	}
	if t.IP.To4() == nil && len(t.IP) == net.IPv6len {
		return t.IP.Mask(net.CIDRMask(64, 128)).String()
	}
	return t.IP.String()
}
