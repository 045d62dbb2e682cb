package region

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"domicile"
)

// A node of a known region, started later on a port that nobody has listed, takes part without an edit elsewhere; one of
// an unknown key, or whose seed comes up after it, is handled.
func TestGossipFindsLateNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.node("us-1", "us-east", []string{"store"}, nil, nil)
	ie := w.node("ie-1", "eu-ireland", []string{"store"}, []string{us.GossipAddr()}, nil)
	wit := w.node("w1-1", "witness/w1", []string{"witness"}, []string{us.GossipAddr()}, nil)
	late := w.node("ie-2", "eu-ireland", []string{"front"}, []string{ie.GossipAddr()}, nil)
	for _, n := range []*Node{us, ie, wit, late} {
		waitFor(t, string(n.cfg.Node)+" knows all", knows(n, "us-1", "ie-1", "ie-2", "w1-1"))
	}
	for _, m := range us.Members() {
		if m.Name == "w1-1" && m.Region != "witness/w1" || m.Name == "ie-2" && (m.Region != "eu-ireland" || m.RPC != late.RPCAddr() || m.Catalog != 1) {
			t.Errorf("%+v", m)
		}
	}
	late.Close()
	waitFor(t, "us-1 sees ie-2 leave", func() bool { return !knows(us, "ie-2")() })
}

func TestGossipWithAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.node("us-1", "us-east", []string{"store"}, nil, nil)
	right := w.gossip
	w.gossip = make([]byte, 32)
	rand.Read(w.gossip)
	stranger := w.node("us-2", "us-east", []string{"store"}, []string{us.GossipAddr()}, nil)
	if n, err := stranger.gossip.list.Join([]string{us.GossipAddr()}); err == nil || n > 0 {
		t.Error("a node with another key joined")
	}
	w.gossip = right
	ok := w.node("ie-1", "eu-ireland", []string{"store"}, []string{us.GossipAddr()}, nil)
	waitFor(t, "join", knows(us, "ie-1"))
	if knows(us, "us-2")() || knows(ok, "us-2")() {
		t.Error("the stranger is known")
	}
}

func TestSeedOutOfReachIsRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.unstarted("us-1", "us-east", []string{"store"}, nil)
	first := w.unstarted("ie-0", "eu-ireland", []string{"store"}, nil) // to find a free port
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := first.GossipAddr()
	first.Close()
	us.cfg.Seeds = []string{addr}
	if err := us.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	ie := w.unstarted("ie-1", "eu-ireland", []string{"store"}, nil)
	ie.cfg.GossipListen = addr
	if err := ie.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "us-1 finds its seed", knows(us, "ie-1"))
}

// Of two living nodes of one name, the later one does not join, and stops; the first goes on.
func TestNameUsedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.node("us-1", "us-east", []string{"store"}, nil, nil)
	ie := w.node("ie-1", "eu-ireland", []string{"store"}, []string{us.GossipAddr()}, nil)
	waitFor(t, "join", knows(us, "ie-1"))
	time.Sleep(2 * time.Millisecond)
	twin := w.node("ie-1", "eu-ireland", []string{"store"}, []string{us.GossipAddr()}, nil)
	select {
	case <-twin.Done():
	case <-time.After(time.Minute):
		t.Fatal("the twin goes on")
	}
	waitFor(t, "the reason", func() bool { return twin.Err() != nil })
	wantKind(t, twin.Err(), domicile.Conflict)
	if us.ended(t.Context()) || ie.ended(t.Context()) {
		t.Error("another node stopped")
	}
	if m := us.Members(); len(m) != 2 || m[0].RPC != ie.RPCAddr() {
		t.Errorf("us-1 knows %+v", m)
	}
}

func TestGossipRefusesWhatMakesNoSense(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	g := &gossip{node: w.unstarted("us-1", "us-east", []string{"store"}, nil), addr: "127.0.0.1:1"}
	node := func(name string, m meta) *memberlist.Node {
		raw, _ := json.Marshal(m)
		return &memberlist.Node{Name: name, Addr: []byte{127, 0, 0, 1}, Port: 9, Meta: raw}
	}
	good := meta{1, "eu-ireland", []string{"store"}, "127.0.0.1:5", "127.0.0.1:6", 1, 0, "127.0.0.1:7", "127.0.0.1:8"}
	if err := g.NotifyAlive(node("ie-1", good)); err != nil {
		t.Error(err)
	}
	with := func(f func(*meta)) meta { m := good; f(&m); return m }
	for name, m := range map[string]*memberlist.Node{
		"unknown region":  node("ie-1", with(func(m *meta) { m.Region = "atlantis" })),
		"unknown witness": node("ie-1", with(func(m *meta) { m.Region = "witness/zz" })),
		"another format":  node("ie-1", with(func(m *meta) { m.Format = 2 })),
		"admin by name":   node("ie-1", with(func(m *meta) { m.Admin = "evil.example:5" })),
		"inside by name":  node("ie-1", with(func(m *meta) { m.RPCInside = "evil.example:5" })),
		"gossip by name":  node("ie-1", with(func(m *meta) { m.GossipInside = "evil.example:5" })),
		"a host name":     node("ie-1", with(func(m *meta) { m.RPC = "evil.example:5" })),
		"a bad name":      node("Evil Node", good),
		"no metadata":     {Name: "ie-1", Addr: []byte{127, 0, 0, 1}, Port: 9},
		"this one's name": node("us-1", good),
	} {
		if g.NotifyAlive(m) == nil {
			t.Errorf("%s was taken in", name)
		}
	}
	g.NotifyJoin(node("ie-1", good))
	moved := node("ie-1", good)
	moved.Port = 10
	if g.NotifyAlive(moved) == nil || g.NotifyMerge([]*memberlist.Node{moved}) == nil {
		t.Error("the name of a living node was taken at another address")
	}
	g.NotifyLeave(node("ie-1", good))
	if err := g.NotifyAlive(moved); err != nil {
		t.Errorf("a dead node's name stays taken: %v", err)
	}
	if n := len(g.meta0(w)); n > memberlist.MetaMaxSize {
		t.Errorf("the longest metadata is %d bytes", n)
	}
}

// meta0 is the longest metadata that the limits of names allow.
func (g *gossip) meta0(*world) []byte {
	long := strings.Repeat("x", 32)
	addr := "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
	raw, _ := json.Marshal(meta{1, domicile.Region(witnessPrefix + long), []string{"front", "store", "admin", "witness"}, addr, addr, 1<<63 - 1, 1<<63 - 1, addr, addr})
	return raw
}

// A node that is killed and comes back at its addresses is called again at once, over connections that are new.
func TestRestartAtTheSameAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.node("us-1", "us-east", []string{"store"}, nil, nil)
	start := func(rpc, gossip string) *Node {
		n := w.unstarted("ie-1", "eu-ireland", []string{"store"}, []string{us.GossipAddr()})
		n.cfg.RPCListen, n.cfg.GossipListen = rpc, gossip
		n.Handle("hello", domicile.Lookup, 64, func(context.Context, *Call) (any, error) { return "hello", nil })
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ask := func() error { return us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "hello", nil, nil) }
	ie := start("127.0.0.1:0", "127.0.0.1:0")
	waitFor(t, "join", func() bool { return knows(us, "ie-1")() && knows(ie, "us-1")() })
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	rpc, gossip := ie.RPCAddr(), ie.GossipAddr()
	ie.mu.Lock() // killed: nobody is told
	ie.gossip.list.Shutdown()
	ie.gossip = nil
	ie.mu.Unlock()
	ie.rpc.Close()
	wantKind(t, ask(), domicile.Unavailable)
	again := start(rpc, gossip)
	waitFor(t, "rejoin", knows(again, "us-1"))
	if err := ask(); err != nil {
		t.Error(err)
	}
	if again.Err() != nil || us.Err() != nil {
		t.Errorf("a node stopped: %v, %v", again.Err(), us.Err())
	}
}

// TestGossipKeysAreRotated: in each round the key file of one node after the other changes, and at no time is a node that
// joins anew shut out; after the last, the old key opens nothing.
func TestGossipKeysAreRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.node("us-1", "us-east", []string{"store"}, nil, nil)
	ie := w.node("ie-1", "eu-ireland", []string{"store"}, []string{us.GossipAddr()}, nil)
	waitFor(t, "ie-1 joins", knows(us, "ie-1"))
	old, next := w.gossip, make([]byte, 32)
	rand.Read(next)
	joins := func(round string) {
		t.Helper()
		for _, from := range []*Node{us, ie} {
			to := map[*Node]*Node{us: ie, ie: us}[from]
			if n, err := from.gossip.list.Join([]string{to.GossipAddr()}); err != nil || n != 1 {
				t.Errorf("%s: %s does not reach %s: %v", round, from.cfg.Node, to.cfg.Node, err)
			}
		}
	}
	for _, round := range []struct {
		name string
		keys [][]byte
	}{{"add", [][]byte{old, next}}, {"use", [][]byte{next, old}}, {"remove", [][]byte{next}}} {
		for _, n := range []*Node{us, ie} {
			if err := n.SetGossipKeys(round.keys); err != nil {
				t.Fatal(err)
			}
			joins(round.name)
		}
	}
	stranger := w.node("us-2", "us-east", []string{"store"}, nil, nil) // with the old key
	if _, err := stranger.gossip.list.Join([]string{us.GossipAddr()}); err == nil {
		t.Error("the old key still opens the door")
	}
	for _, bad := range [][][]byte{nil, {old[:5]}} {
		wantKind(t, us.SetGossipKeys(bad), domicile.Invalid)
	}
	joins("after bad keys")
	wantKind(t, w.unstarted("us-3", "us-east", []string{"store"}, nil).SetGossipKeys([][]byte{next}), domicile.Conflict)
}
