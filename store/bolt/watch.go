package bolt

import (
	"sync"

	"domicile"
)

// hints are the channels of those who watch an account. The zero value is ready.
type hints struct {
	mu  sync.Mutex
	all map[domicile.AccountID]map[chan struct{}]struct{} // guarded by mu
}

// Watch gives a hint after each change of the account; see store.Store. The
// channel is never closed.
func (s *Store) Watch(acct domicile.AccountID) (<-chan struct{}, func()) {
	return s.hints.watch(acct)
}

func (h *hints) watch(acct domicile.AccountID) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[domicile.AccountID]map[chan struct{}]struct{}{}
	}
	if h.all[acct] == nil {
		h.all[acct] = map[chan struct{}]struct{}{}
	}
	h.all[acct][c] = struct{}{}
	return c, func() { h.stop(acct, c) }
}

func (h *hints) stop(acct domicile.AccountID, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all[acct], c)
	if len(h.all[acct]) == 0 {
		delete(h.all, acct)
	}
}

// push never blocks: a full channel has a hint in it already.
func (h *hints) push(acct domicile.AccountID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.all[acct] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
