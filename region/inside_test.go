package region

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"

	"domicile"
)

// behind makes a node whose address for other regions leads nowhere, as when the network between regions is cut: it
// listens on 127.0.0.1, which it names as its address inside its region, and tells the others 127.0.0.9.
func behind(t *testing.T, w *world, name domicile.Node, r domicile.Region, roles, seeds []string) *Node {
	t.Helper()
	n := w.unstarted(name, r, roles, seeds)
	n.cfg.RPCListen, n.cfg.GossipListen = freePort(t), freePort(t)
	n.cfg.RPCInside, n.cfg.GossipInside = n.cfg.RPCListen, n.cfg.GossipListen
	n.cfg.RPCAdvertise, n.cfg.GossipAdvertise = wide(n.cfg.RPCListen), wide(n.cfg.GossipListen)
	return n
}

func wide(inside string) string { return strings.Replace(inside, "127.0.0.1:", "127.0.0.9:", 1) }

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestRegionCutOffStaysTogether: nodes of a region that no other region can reach still gossip and call each other, by their
// addresses inside the region; a node of another region is told of these, and does not use them.
func TestRegionCutOffStaysTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.node("us-1", "us-east", []string{RoleStore}, nil, nil)
	store := behind(t, w, "ie-1", "eu-ireland", []string{RoleStore}, []string{us.GossipAddr()})
	store.Handle("hello", domicile.Lookup, 64, func(context.Context, *Call) (any, error) { return "hello", nil })
	front := behind(t, w, "ie-2", "eu-ireland", []string{RoleFront}, []string{store.cfg.GossipInside})
	for _, n := range []*Node{store, front} {
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the region is together", func() bool { return knows(front, "ie-1")() && knows(store, "ie-2")() })
	if err := front.Ask(t.Context(), domicile.Lookup, "eu-ireland", "hello", nil, nil); err != nil {
		t.Error(err)
	}
	for _, pair := range [][2]*Node{{front, store}, {store, front}} { // a probe and its answer, each to the address that the others are told
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(pair[1].cfg.GossipAdvertise))
		if _, err := pair[0].gossip.list.Ping(string(pair[1].cfg.Node), to); err != nil {
			t.Errorf("%s does not reach %s: %v", pair[0].cfg.Node, pair[1].cfg.Node, err)
		}
	}
	if again := front.gossip.missing(); slices.Contains(again, store.cfg.GossipInside) {
		t.Errorf("a seed that is alive is looked for again: %v", again)
	}

	waitFor(t, "us-1 was told of ie-1", knows(us, "ie-1"))
	if c := us.candidates("eu-ireland"); !slices.Equal(c, []string{store.cfg.RPCAdvertise}) {
		t.Errorf("another region would call %v", c)
	}
	if at := us.members.inside("ie-1", store.cfg.GossipAdvertise); at != "" {
		t.Errorf("another region would gossip to %s", at)
	}
	if c := front.candidates("eu-ireland"); !slices.Equal(c, []string{store.cfg.RPCInside, store.cfg.RPCAdvertise}) {
		t.Errorf("the same region would call %v", c)
	}
}

// TestInsideAddressOfAnotherIsNotTaken: a member that says it gossips from another node's address draws nothing away from it.
func TestInsideAddressOfAnotherIsNotTaken(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	g := &gossip{node: w.unstarted("ie-2", "eu-ireland", []string{RoleStore}, nil), addr: "127.0.0.1:1"}
	for name, inside := range map[string]string{"ie-1": "10.0.0.1:9", "ie-0": "10.6.6.6:9"} {
		raw, err := json.Marshal(meta{1, "eu-ireland", []string{RoleStore}, "127.0.0.1:5", "", 1, 0, "", inside})
		if err != nil {
			t.Fatal(err)
		}
		g.NotifyJoin(&memberlist.Node{Name: name, Addr: []byte{192, 0, 2, 1}, Port: 9, Meta: raw})
	}
	m := g.node.members
	for _, c := range []struct {
		name       domicile.Node
		addr, want string
	}{{"ie-1", "192.0.2.1:9", "10.0.0.1:9"}, {"ie-1", "192.0.2.2:9", ""}, {"ie-0", "192.0.2.1:9", "10.6.6.6:9"}, {"", "192.0.2.1:9", ""}, {"ie-7", "192.0.2.1:9", ""}} {
		if got := m.inside(c.name, c.addr); got != c.want {
			t.Errorf("inside(%q, %q) = %q, want %q", c.name, c.addr, got, c.want)
		}
	}
}

// TestOwnAccount: a front learns of its region's accounts from the node with the store; a node of another region does not.
func TestOwnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	store := w.node("ie-1", "eu-ireland", []string{RoleStore}, nil, func(n *Node) {
		n.ServeOwn(func(_ context.Context, a domicile.Address) (domicile.AccountID, uint64, error) {
			if a == "anna@example.com" {
				return "a1", 7, nil
			}
			return "", 0, domicile.E("account", domicile.NotExist, "")
		})
	})
	front := w.node("ie-2", "eu-ireland", []string{RoleFront}, []string{store.GossipAddr()}, nil)
	us := w.node("us-1", "us-east", []string{RoleStore}, []string{store.GossipAddr()}, nil)
	waitFor(t, "join", func() bool { return knows(front, "ie-1")() && knows(us, "ie-1")() })
	if id, epoch, err := front.OwnAccount(t.Context(), "anna@example.com"); id != "a1" || epoch != 7 || err != nil {
		t.Errorf("%q, epoch %d, %v", id, epoch, err)
	}
	_, _, err := front.OwnAccount(t.Context(), "nobody@example.com")
	wantKind(t, err, domicile.NotExist)
	_, _, err = front.OwnAccount(t.Context(), "Anna+tag@example.com")
	wantKind(t, err, domicile.Invalid)
	wantReason(t, us.Ask(t.Context(), domicile.Lookup, "eu-ireland", methodOwn, ownCall{"anna@example.com"}, nil), domicile.WrongRegion)
	store.Close()
	waitFor(t, "ie-2 sees ie-1 leave", func() bool { return !knows(front, "ie-1")() })
	_, _, err = front.OwnAccount(t.Context(), "anna@example.com")
	wantKind(t, err, domicile.Unavailable)
}
