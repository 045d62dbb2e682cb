package netlink

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"domicile"
)

// Limits of what is kept. Past them taking is an error: nothing is left out in silence.
const (
	maxSide     = 64 << 20
	maxConns    = 4096
	maxPackets  = 1 << 18
	maxFindings = 100
)

// side is one direction of a connection, as it left the sender.
type side struct {
	data  []byte
	marks []mark
}

// mark says when the bytes from an offset on came.
type mark struct {
	offset int
	at     time.Time
}

// when says when the byte at an offset came.
func (s *side) when(offset int) time.Time {
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].offset > offset })
	if i == 0 {
		return time.Time{}
	}
	return s.marks[i-1].at
}

// tape is everything that is kept.
type tape struct {
	conns    []*conn
	packets  []packet
	findings []error
}

type packet struct {
	link Link
	at   time.Time
	data []byte
}

func (n *Net) record(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.tape.conns) >= maxConns {
		n.found(errors.New("more connections than are kept"))
		return
	}
	n.tape.conns = append(n.tape.conns, c)
}

func (n *Net) tapped(s *side, data []byte, at time.Time) {
	if s == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(s.data)+len(data) > maxSide {
		n.found(errors.New("a connection carried more than is kept"))
		return
	}
	s.marks = append(s.marks, mark{len(s.data), at})
	s.data = append(s.data, data...)
}

func (n *Net) packet(l Link, data []byte) {
	if n.mode != Tapped {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.tape.packets) >= maxPackets {
		n.found(errors.New("more packets than are kept"))
		return
	}
	n.tape.packets = append(n.tape.packets, packet{l, time.Now(), data})
}

// complain notes what must not be.
func (n *Net) complain(err error) {
	if errors.Is(err, errBroken) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.found(err)
}

// found is complain for who holds mu.
func (n *Net) found(err error) {
	if len(n.tape.findings) < maxFindings {
		n.tape.findings = append(n.tape.findings, err)
	}
}

// Taken is everything that crossed a tapped network.
type Taken struct {
	Calls  []Call
	Gossip []Gossip
	Raw    map[domicile.Node]int64     // bytes of gossip that left a node, as sealed on the wire
	Began  map[domicile.Node]time.Time // when the first of them did
}

// gossiped counts sealed bytes of gossip.
func (t *Taken) gossiped(from domicile.Node, size int, at time.Time) {
	if size == 0 {
		return
	}
	t.Raw[from] += int64(size)
	if first, ok := t.Began[from]; !ok || at.Before(first) {
		t.Began[from] = at
	}
}

// Take ends the network and takes apart what crossed. Its error says all that is not of the known shape, and all that was
// seen and should not be.
func (n *Net) Take() (Taken, error) {
	n.Close()
	t := Taken{Raw: map[domicile.Node]int64{}, Began: map[domicile.Node]time.Time{}}
	errs := n.tape.findings
	for _, c := range n.tape.conns {
		var err error
		if c.kind == callKind {
			var calls []Call
			calls, err = readCalls(c, n.nodes[c.link.To].rpcAt)
			t.Calls = append(t.Calls, calls...)
		} else {
			var said []Gossip
			said, err = n.readStreams(c)
			t.Gossip = append(t.Gossip, said...)
			t.gossiped(c.link.From, len(c.there.data), c.there.when(0))
			t.gossiped(c.link.To, len(c.backAgain.data), c.backAgain.when(0))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s to %s, %s: %w", c.link.From, c.link.To, c.kind, err))
		}
	}
	for _, p := range n.tape.packets {
		said, err := n.readPacket(p)
		if err != nil {
			errs = append(errs, fmt.Errorf("a packet of %s to %s: %w", p.link.From, p.link.To, err))
		}
		t.Gossip = append(t.Gossip, said...)
		t.gossiped(p.link.From, len(p.data), p.at)
	}
	sort.SliceStable(t.Calls, func(i, j int) bool { return t.Calls[i].At.Before(t.Calls[j].At) })
	return t, errors.Join(errs...)
}
