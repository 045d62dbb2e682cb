package bolt

import "sync"

// arriving knows the segments that hold chunks of messages on their way in: nothing names those yet, and they must not be reclaimed.
type arriving struct {
	mu  sync.Mutex
	all map[*incoming]map[uint32]bool // guarded by mu
}

func (a *arriving) pin(in *incoming, segment uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[*incoming]map[uint32]bool{}
	}
	if a.all[in] == nil {
		a.all[in] = map[uint32]bool{}
	}
	a.all[in][segment] = true
}

func (a *arriving) done(in *incoming) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, in)
}

func (a *arriving) pinned(segment uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, segments := range a.all {
		if segments[segment] {
			return true
		}
	}
	return false
}
