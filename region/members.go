package region

import (
	"slices"
	"strings"
	"sync"
	"time"

	"domicile"
)

// Member is a node as gossip tells it: a hint who is alive and where, never who owns. A witness's Region is "witness/NAME".
type Member struct {
	Name    domicile.Node
	Region  domicile.Region
	Roles   []string
	RPC     string
	Admin   string // where operators of its region reach it, "" if nowhere
	Catalog uint64
	Alive   bool
}

// members is what gossip told. It has a lock of its own: memberlist calls with its lock held.
type members struct {
	mu sync.Mutex
	by map[domicile.Node]known // guarded by mu
}

type known struct {
	Member
	gossip string
	since  time.Time

	rpcInside, gossipInside string // of a node of this one's own region, "" if it has no other address there
}

func newMembers() *members { return &members{by: map[domicile.Node]known{}} }

func (m *members) put(k known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, old := m.by[k.Name]; !old && len(m.by) >= maxMembers {
		return
	}
	m.by[k.Name] = k
	for name, o := range m.by { // the dead are forgotten after a day
		if !o.Alive && time.Since(o.since) > 24*time.Hour {
			delete(m.by, name)
		}
	}
}

// living returns the gossip address of a living node.
func (m *members) living(name domicile.Node) (addr string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.by[name]
	return k.gossip, ok && k.Alive
}

// ownerAt returns whose node gossips from an address, "" if that is not known.
func (m *members) ownerAt(addr string) domicile.Region {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.by {
		if k.gossip == addr {
			return k.Region
		}
	}
	return ""
}

func (m *members) addresses() (alive map[string]bool, dead []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	alive = map[string]bool{}
	for _, k := range m.by {
		for _, addr := range []string{k.gossipInside, k.gossip} {
			switch {
			case addr == "":
			case k.Alive:
				alive[addr] = true
			default:
				dead = append(dead, addr)
			}
		}
	}
	return alive, dead
}

// inside returns where a node that gossips from addr is reached on the network of this node's own region, "" if it has no
// other address there. Both the name and the address must be the node's: a name of somebody's own making beside the
// address of another node draws nothing away from that.
func (m *members) inside(name domicile.Node, addr string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.by[name]; k.gossip == addr {
		return k.gossipInside
	}
	return ""
}

// Members returns what gossip knows, self included, by name.
func (n *Node) Members() []Member {
	known := n.members.sorted()
	out := make([]Member, 0, len(known))
	for _, k := range known {
		k.Roles = slices.Clone(k.Roles)
		out = append(out, k.Member)
	}
	return out
}

// sorted returns all that is known, by name.
func (m *members) sorted() []known {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]known, 0, len(m.by))
	for _, k := range m.by {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b known) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

func hasRole(roles []string, role string) bool { return slices.Contains(roles, role) }
