package region

import (
	"errors"
	"time"

	"domicile"
	"domicile/placement"
)

// Connections are those of one listener for clients, operators or monitors, since it listens.
type Connections struct {
	Open    int
	Taken   uint64
	Refused uint64 // past a limit, closed before a byte was read
}

func (l *limitedListener) connections() Connections {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.seen
	c.Open = l.all
	return c
}

// Connections returns how many connections each listener of the node has, by the address it listens at.
func (n *Node) Connections() map[string]Connections {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[string]Connections{}
	for _, l := range n.listeners {
		if c, ok := l.(interface{ connections() Connections }); ok {
			out[l.Addr().String()] = c.connections()
		}
	}
	return out
}

// Cosigned says what a cosigner signed last of this region's log, as this process has seen it. The zero value: nothing yet.
type Cosigned struct {
	Size uint64
	When time.Time
}

// Cosigned returns that for each cosigner of the catalog in force.
func (n *Node) Cosigned() map[domicile.Region]Cosigned {
	out := map[domicile.Region]Cosigned{}
	n.cosigned.mu.Lock()
	defer n.cosigned.mu.Unlock()
	for who := range n.cosigners() {
		out[who] = Cosigned{n.cosigned.size[who], n.cosigned.when[who]}
	}
	return out
}

// PermitForm is what permits are counted by.
type PermitForm struct {
	Class domicile.EgressClass
	Kind  placement.PermitKind
}

// Live counts the permits that were given and not closed yet.
func (g *Guard) Live() map[PermitForm]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[PermitForm]int{}
	for p := range g.live {
		out[PermitForm{p.req.Class, p.req.Kind}]++
	}
	return out
}

// Err says why the journal takes nothing more, nil while it does.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.broken.Load():
		return unwritten("write the journal", errors.New("a write to its files failed"))
	case j.closing:
		return domicile.E("write the journal", domicile.Unavailable, "it is closed")
	}
	return nil
}
