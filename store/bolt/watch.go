package bolt

import (
	"sync"

	"domicile"
	"domicile/store"
)

// hints are the channels of those who watch an account. The zero value is ready.
type hints struct {
	mu  sync.Mutex
	all map[domicile.AccountID]map[chan store.Hint]struct{} // guarded by mu
}

// Watch gives a hint after each change of the account; see store.Store. The
// channel is never closed.
func (s *Store) Watch(acct domicile.AccountID) (<-chan store.Hint, func()) {
	return s.hints.watch(acct)
}

func (h *hints) watch(acct domicile.AccountID) (<-chan store.Hint, func()) {
	c := make(chan store.Hint, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[domicile.AccountID]map[chan store.Hint]struct{}{}
	}
	if h.all[acct] == nil {
		h.all[acct] = map[chan store.Hint]struct{}{}
	}
	h.all[acct][c] = struct{}{}
	return c, func() { h.stop(acct, c) }
}

func (h *hints) stop(acct domicile.AccountID, c chan store.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all[acct], c)
	if len(h.all[acct]) == 0 {
		delete(h.all, acct)
	}
}

// push never blocks: a hint that nobody took yet is joined with the new one. h.mu makes it the only one that sends.
func (h *hints) push(acct domicile.AccountID, hint store.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.all[acct] {
		say := hint
		select {
		case waiting := <-c:
			say = waiting.Join(hint)
		default:
		}
		c <- say
	}
}
