package region

import (
	"slices"
	"strings"
	"sync"
	"time"

	"domicile"
)

// reached remembers at which addresses a node proved lately to be of the region that was called, and at which none did. Gossip is
// no proof: whoever has its key can name any number of nodes that stay silent, and each would hold a call up.
type reached struct {
	mu sync.Mutex
	at map[string]reach // guarded by mu
}

type reach struct {
	good bool
	when time.Time
}

const failureMemory = time.Minute // so long an address that failed comes last

func (r *reached) note(addr string, good bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil || len(r.at) > maxMembers {
		r.at = map[string]reach{}
	}
	r.at[addr] = reach{good, now}
}

// rank orders addresses: 0 proved itself, 1 is not known, 2 failed lately.
func (r *reached) rank(addr string, now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch k, ok := r.at[addr]; {
	case ok && k.good:
		return 0
	case ok && now.Sub(k.when) < failureMemory:
		return 2
	}
	return 1
}

// candidates returns the RPC addresses of the nodes of a region that hold its store (or of a witness): this node first, then
// those that proved themselves, last those that failed lately. Among equals an address inside this node's own region is first.
func (n *Node) candidates(to domicile.Region) []string {
	role := RoleStore
	if strings.HasPrefix(string(to), witnessPrefix) {
		role = RoleWitness
	}
	now, ranks, out := time.Now(), map[string]int{}, []string(nil)
	for _, m := range n.members.sorted() {
		if !m.Alive || m.Region != to || !hasRole(m.Roles, role) {
			continue
		}
		for _, addr := range []string{m.rpcInside, m.RPC} {
			if addr == "" {
				continue
			}
			if _, twice := ranks[addr]; !twice {
				out = append(out, addr)
			}
			ranks[addr] = n.reached.rank(addr, now)
			if m.Name == n.cfg.Node {
				ranks[addr] = -1
			}
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return ranks[a] - ranks[b] })
	return out
}
