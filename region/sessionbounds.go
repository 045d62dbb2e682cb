package region

import (
	"sync"

	"domicile"
)

// sessions counts the tunnels of a node. The number of its entries is bounded by the catalog's regions, the fronts, and the
// tunnels themselves.
type sessions struct {
	handlers map[string]SessionHandler // not changed after Start

	mu      sync.Mutex
	open    [2]int                     // guarded by mu: served, and opened
	each    [2]map[domicile.Region]int // guarded by mu
	pending map[pendingKey]int         // guarded by mu: served, not logged in
	ended   map[SessionOutcome]uint64  // guarded by mu
}

// pendingKey is whose places are taken: those of logins that are being verified, which is soon over, and of connections passed
// through, which may wait for their client, apart. client is "" for all of a region.
type pendingKey struct {
	from   domicile.Region
	passed bool
	client string
}

// SessionForm is what tunnels are counted by.
type SessionForm struct {
	Out   bool   // opened by a front of this node; else served by its store
	Front string // of the closed list of fronts
}

// SessionOutcome is how sessions of a form began: "ok", a reason code, or the kind of another error.
type SessionOutcome struct {
	SessionForm
	Result string
}

func side(out bool) int {
	if out {
		return 1
	}
	return 0
}

// enter counts a tunnel in, or returns false. leave may be called more than once.
func (s *sessions) enter(out bool, with domicile.Region) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := side(out)
	if s.open[i] >= maxTunnels || s.each[i][with] >= maxTunnelsEach {
		return nil, false
	}
	if s.each[i] == nil {
		s.each[i] = map[domicile.Region]int{}
	}
	s.open[i]++
	s.each[i][with]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open[i]--
		if s.each[i][with]--; s.each[i][with] == 0 {
			delete(s.each[i], with)
		}
	}), true
}

// wait counts a session in that is not logged in yet, or returns false: these are the places of those who guess passwords.
func (s *sessions) wait(k pendingKey) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, most := pendingKey{from: k.from, passed: k.passed}, maxVerified
	if k.passed {
		most = maxPassed
	}
	k.client = "network " + k.client
	if s.pending[all] >= most || s.pending[k] >= maxPendingEach {
		return nil, false
	}
	if s.pending == nil {
		s.pending = map[pendingKey]int{}
	}
	s.pending[all]++
	s.pending[k]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, k := range []pendingKey{all, k} {
			if s.pending[k]--; s.pending[k] == 0 {
				delete(s.pending, k)
			}
		}
	}), true
}

func (s *sessions) count(f SessionForm, err error) {
	result := "ok"
	if err != nil {
		if result = string(domicile.ReasonOf(err)); result == "" {
			result = domicile.KindOf(err).String()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = map[SessionOutcome]uint64{}
	}
	s.ended[SessionOutcome{f, result}]++
}

// Sessions returns how many tunnels are open, those that this node opened (out) and those that it serves, and how all began.
func (n *Node) Sessions() (out, served int, began map[SessionOutcome]uint64) {
	s := &n.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	began = map[SessionOutcome]uint64{}
	for front := range s.handlers { // a count that is watched begins at 0
		began[SessionOutcome{SessionForm{Front: front}, "ok"}] = 0
	}
	for k, v := range s.ended {
		began[k] = v
	}
	return s.open[side(true)], s.open[side(false)], began
}
