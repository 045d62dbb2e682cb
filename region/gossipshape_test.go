package region

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"domicile"
)

// TestMetadataFits makes a node of the longest names, roles and addresses that a configuration may have: what it says of itself fits the
// 512 bytes past which memberlist panics, and has the keys of FORMATS and no others.
func TestMetadataFits(t *testing.T) {
	t.Parallel()
	long := domicile.Region("r" + strings.Repeat("x", 31))
	w := newWorld(t, long)
	n := w.unstarted(domicile.Node("n"+strings.Repeat("x", 31)), long, []string{RoleFront, RoleStore, RoleAdmin}, nil)
	const addr = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"
	n.cfg.RPCAdvertise, n.cfg.AdminAdvertise, n.cfg.RPCInside, n.cfg.GossipInside = addr, addr, addr, addr
	catalog := *w.cat
	catalog.Version = math.MaxUint64
	n.cfg.Catalog = func() *Catalog { return &catalog }
	n.started = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw := n.gossip.NodeMeta(memberlist.MetaMaxSize)
	var said map[string]any
	if err := json.Unmarshal(raw, &said); err != nil || len(raw) > memberlist.MetaMaxSize {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	if keys := slices.Sorted(maps.Keys(said)); !slices.Equal(keys, []string{"a", "c", "g", "i", "m", "o", "r", "s", "v"}) {
		t.Errorf("it says %v", keys)
	}
	if short := n.gossip.NodeMeta(len(raw) - 1); short != nil {
		t.Errorf("%d bytes where %d fit", len(short), len(raw)-1)
	}
	if n.gossip.GetBroadcasts(0, 1400) != nil || n.gossip.LocalState(true) != nil || n.gossip.LocalState(false) != nil {
		t.Error("something else than metadata is gossiped")
	}

	n = w.unstarted("n-1", long, []string{RoleStore}, nil)
	n.cfg.Roles = slices.Repeat([]string{RoleStore}, 80)
	wantKind(t, n.Start(t.Context()), domicile.Invalid)
}

// TestGossipUnsealed has strangers knock: without a key, without the label, with another label. None joins or becomes known; neither
// does what a member sends beside metadata do anything.
func TestGossipUnsealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.node("us-1", "us-east", []string{RoleStore}, nil, nil)
	knock := func(name string, change func(*memberlist.Config)) (*memberlist.Memberlist, error) {
		c := memberlist.DefaultLocalConfig()
		c.Name, c.BindAddr, c.BindPort, c.AdvertisePort = name, "127.0.0.1", 0, 0
		c.Logger, c.Label, c.SecretKey, c.TCPTimeout = stdLog(quiet(), "stranger"), gossipLabel, w.gossip, 5*time.Second
		c.Delegate = rogueMeta{[]byte(`{"v":1,"r":"eu-ireland","o":["store"],"a":"127.0.0.1:9","c":1,"s":1}`)}
		change(c)
		list, err := memberlist.Create(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { list.Shutdown() })
		_, err = list.Join([]string{us.GossipAddr()})
		return list, err
	}
	for name, change := range map[string]func(*memberlist.Config){
		"ie-keyless":   func(c *memberlist.Config) { c.SecretKey = nil },
		"ie-unlabeled": func(c *memberlist.Config) { c.Label = "" },
		"ie-labeled":   func(c *memberlist.Config) { c.Label = "domicile/2" },
	} {
		if _, err := knock(name, change); err == nil || knows(us, domicile.Node(name))() {
			t.Errorf("%s joined", name)
		}
	}
	member, err := knock("ie-member", func(*memberlist.Config) {}) // the control: with both it joins
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the member is known", knows(us, "ie-member"))
	for _, to := range member.Members() {
		if to.Name == "us-1" {
			for _, size := range []int{1, 1000, 1 << 20} {
				if err := member.SendReliable(to, make([]byte, size)); err != nil {
					t.Error(err)
				}
			}
			if err := member.SendBestEffort(to, make([]byte, 1000)); err != nil {
				t.Error(err)
			}
		}
	}
	late := w.node("ie-2", "eu-ireland", []string{RoleStore}, []string{us.GossipAddr()}, nil)
	waitFor(t, "gossip goes on", knows(late, "us-1"))
	if known := us.Members(); len(known) != 3 {
		t.Errorf("%+v", known)
	}
}
