package imapd

import (
	"sync"

	"domicile"
	"domicile/store"
)

// hubs hand the store's hints on to the sessions that listen, in IDLE or by NOTIFY: one watch of the store for each account that has such sessions. The
// zero value is ready.
type hubs struct {
	mu  sync.Mutex
	all map[domicile.AccountID]*hub // guarded by mu
}

type hub struct {
	sessions map[*session]struct{} // guarded by hubs.mu
	over     chan struct{}         // closed when the last session has left
}

// join has s nudged from now on.
func (h *hubs) join(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[domicile.AccountID]*hub{}
	}
	a := h.all[s.acct]
	if a == nil {
		a = &hub{sessions: map[*session]struct{}{}, over: make(chan struct{})}
		h.all[s.acct] = a
		hint, stop := s.store().Watch(s.acct)
		go h.serve(a, hint, stop)
	}
	a.sessions[s] = struct{}{}
}

func (h *hubs) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.all[s.acct]
	delete(a.sessions, s)
	if len(a.sessions) == 0 {
		delete(h.all, s.acct)
		close(a.over)
	}
}

// serve nudges the sessions of a hub until it is over.
func (h *hubs) serve(a *hub, hint <-chan store.Hint, stop func()) {
	defer stop()
	for {
		var where store.Hint
		select {
		case where = <-hint:
		case <-a.over:
			return
		}
		h.mu.Lock()
		for s := range a.sessions {
			s.nudge(where)
		}
		h.mu.Unlock()
	}
}
