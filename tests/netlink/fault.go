package netlink

import (
	"math/rand/v2"
	"time"

	"domicile"
)

// Fault is what is wrong with one direction of a link. The zero Fault: nothing.
type Fault struct {
	Delay    time.Duration // of every byte and packet
	Rate     int           // bytes a second that pass, over all connections; 0 = any
	Silent   bool          // nothing passes and nothing is closed; packets are lost
	Cut      bool          // connections are reset, and new ones too; packets are lost
	CutAfter int64         // once so many more bytes of calls have passed, connections are reset, and this fault is over; 0 = never
	Drop     float64       // share of packets that are lost
}

// state is a fault with what has passed since.
type state struct {
	Fault
	left int64     // of CutAfter
	free time.Time // when the next byte may pass, by Rate
	lost int       // packets
}

// Set replaces the fault of one direction.
func (n *Net) Set(l Link, f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[l] = &state{Fault: f, left: f.CutAfter}
	n.tell()
}

// Both sets the same fault on both directions between two nodes.
func (n *Net) Both(a, b domicile.Node, f Fault) {
	n.Set(Link{a, b}, f)
	n.Set(Link{b, a}, f)
}

// Alone sets a fault on every link from and to a node.
func (n *Net) Alone(name domicile.Node, f Fault) {
	for other := range n.nodes {
		if other != name {
			n.Both(name, other, f)
		}
	}
}

// Heal takes every fault away.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.faults)
	n.tell()
}

// Lost returns how many packets the present fault of a direction has lost.
func (n *Net) Lost(l Link) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.faults[l]; s != nil {
		return s.lost
	}
	return 0
}

// Cutting reports whether a CutAfter of a direction has yet to happen.
func (n *Net) Cutting(l Link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.faults[l]
	return s != nil && s.CutAfter > 0
}

// tell wakes all that wait for a change, and resets what a cut resets. The caller holds mu.
func (n *Net) tell() {
	close(n.changed)
	n.changed = make(chan struct{})
	for c := range n.conns {
		if n.is(c.link).Cut || n.is(c.link.back()).Cut {
			c.cut()
		}
	}
}

// is returns the fault of a direction. The caller holds mu.
func (n *Net) is(l Link) Fault {
	if s := n.faults[l]; s != nil {
		return s.Fault
	}
	return Fault{}
}

// pass waits until size bytes that came in at a time may go on, and returns how many of them do; fewer means that the
// connection is to be reset behind them.
func (n *Net) pass(l Link, kind string, at time.Time, size int, dead <-chan struct{}) int {
	paced := false
	for {
		n.mu.Lock()
		s, changed := n.faults[l], n.changed
		if s == nil {
			n.mu.Unlock()
			return size
		}
		wait := time.Until(at.Add(s.Delay))
		if s.Rate > 0 && !paced && wait <= 0 && !s.Silent { // its place in the queue, taken once
			paced = true
			now := time.Now()
			if s.free.Before(now) {
				s.free = now
			}
			s.free = s.free.Add(time.Duration(size) * time.Second / time.Duration(s.Rate))
			at = s.free.Add(-s.Delay)
			wait = time.Until(s.free)
		}
		switch {
		case s.Cut:
			n.mu.Unlock()
			return 0
		case s.Silent:
			wait = time.Hour
		case wait <= 0:
			size = s.count(kind, size)
			n.mu.Unlock()
			return size
		}
		n.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-dead:
			timer.Stop()
			return 0
		}
		timer.Stop()
	}
}

// count counts bytes toward CutAfter and returns how many of them pass.
func (s *state) count(kind string, size int) int {
	if s.CutAfter == 0 || kind != callKind {
		return size
	}
	if int64(size) <= s.left {
		s.left -= int64(size)
		return size
	}
	size = int(s.left)
	s.Fault.CutAfter = 0
	return size
}

// fate decides of one packet: lost, or how long it waits.
func (n *Net) fate(l Link) (wait time.Duration, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.faults[l]
	if s == nil {
		return 0, false
	}
	if s.Cut || s.Silent || rand.Float64() < s.Drop {
		s.lost++
		return 0, true
	}
	return s.Delay, false
}
