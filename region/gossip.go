package region

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"domicile"
)

// meta is what a node says of itself: JSON, at most 512 bytes. Nothing of a person, nothing of who owns what.
type meta struct {
	Format  int             `json:"v"` // 1
	Region  domicile.Region `json:"r"` // or "witness/NAME"
	Roles   []string        `json:"o"`
	RPC     string          `json:"a"`           // literal IP:port
	Admin   string          `json:"m,omitempty"` // literal IP:port, where operators reach it
	Catalog uint64          `json:"c"`
	Started int64           `json:"s"` // Unix milliseconds

	// Where the nodes of its own region reach it, literal IP:port, if elsewhere. Others do not use them.
	RPCInside    string `json:"i,omitempty"`
	GossipInside string `json:"g,omitempty"`
}

const (
	maxMembers   = 4096
	gossipLabel  = "domicile/1"
	reclaimAfter = 15 * time.Second // a dead node's name may come back at another address after this
	joinFirst    = 200 * time.Millisecond
	joinMost     = 15 * time.Second
	joinCalm     = 3 * time.Second // nobody is missing
)

// gossip is a running memberlist.
type gossip struct {
	node *Node
	list *memberlist.Memberlist
	addr string // what others are told
	meta func() []byte
	ring *memberlist.Keyring
}

// startGossip listens and, alone at first, waits for others. The caller holds n.mu.
func (n *Node) startGossip() (*gossip, error) {
	g := &gossip{node: n}
	rpc := n.rpcAddr
	g.meta = func() []byte {
		raw, _ := json.Marshal(meta{1, n.self.owner(), n.cfg.Roles, rpc, n.cfg.AdminAdvertise, n.cfg.Catalog().Version, n.started.UnixMilli(),
			n.cfg.RPCInside, n.cfg.GossipInside})
		return raw
	}
	if len(g.meta()) > memberlist.MetaMaxSize { // memberlist would panic
		return nil, domicile.E("gossip", domicile.Invalid, "names, roles and address of this node are too long to gossip")
	}
	var err error
	if g.ring, err = memberlist.NewKeyring(n.cfg.GossipKeys, n.cfg.GossipKeys[0]); err != nil {
		return nil, domicile.W("gossip", err)
	}
	listen := netip.MustParseAddrPort(n.cfg.GossipListen)
	transport, err := n.gossipTransport(listen)
	if err != nil {
		return nil, domicile.W("gossip", err)
	}
	advertise := netip.AddrPortFrom(listen.Addr(), uint16(transport.GetAutoBindPort()))
	if n.cfg.GossipAdvertise != "" {
		advertise = netip.MustParseAddrPort(n.cfg.GossipAdvertise)
	}
	g.addr = advertise.String()
	g.list, err = memberlist.Create(g.config(transport, advertise))
	if err != nil {
		transport.Shutdown()
		return nil, domicile.W("gossip", err)
	}
	return g, nil
}

// config is memberlist's WAN profile, quickened: a dead node is known after some 15 s, and a lab joins in one.
func (g *gossip) config(t memberlist.Transport, advertise netip.AddrPort) *memberlist.Config {
	c := memberlist.DefaultWANConfig()
	c.Name = string(g.node.cfg.Node)
	c.Transport = t
	c.BindAddr, c.BindPort = advertise.Addr().String(), int(advertise.Port())
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, c.BindPort
	c.Keyring, c.GossipVerifyIncoming, c.GossipVerifyOutgoing = g.ring, true, true
	c.Label = gossipLabel
	c.DeadNodeReclaimTime = reclaimAfter
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = 2*time.Second, time.Second, 4
	c.GossipInterval, c.PushPullInterval, c.TCPTimeout = 200*time.Millisecond, 20*time.Second, 5*time.Second
	c.Delegate, c.Events, c.Conflict, c.Merge, c.Alive = g, g, g, g, g
	c.Logger = stdLog(g.node.log, "gossip")
	return c
}

// keepJoined tries the seeds, and nodes that were known and died, for ever: after a partition nobody else would. It also
// tells the others when a newer catalog is in force here.
func (g *gossip) keepJoined(ctx context.Context) {
	version := g.node.cfg.Catalog().Version
	for wait := joinFirst; ; wait = min(2*wait, joinMost) {
		missing := g.missing()
		for _, addr := range missing {
			if _, err := g.list.Join([]string{addr}); err != nil {
				g.node.log.Debug("not joined yet", "err", err)
			}
			if g.node.ended(ctx) {
				return
			}
		}
		if len(missing) == 0 {
			wait = joinCalm
		}
		if v := g.node.cfg.Catalog().Version; v != version {
			version = v
			g.list.UpdateNode(time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-g.node.done:
			return
		case <-time.After(wait):
		}
	}
}

func (n *Node) ended(ctx context.Context) bool {
	select {
	case <-n.done:
		return true
	default:
		return ctx.Err() != nil
	}
}

// missing returns the seeds, and the last addresses of dead nodes, at which no living node is known.
func (g *gossip) missing() []string {
	alive, dead := g.node.members.addresses()
	var out []string
	for _, addr := range append(slices.Clone(g.node.cfg.Seeds), dead...) {
		if addr != g.addr && addr != g.node.cfg.GossipInside && !alive[addr] && !slices.Contains(out, addr) && len(out) < 64 {
			out = append(out, addr)
		}
	}
	return out
}

// SetGossipKeys replaces the keyring of a started node: the first encrypts from now on, all decrypt. Invalid changes nothing.
func (n *Node) SetGossipKeys(keys [][]byte) error {
	const op = "replace the gossip keys"
	if len(keys) == 0 {
		return domicile.E(op, domicile.Invalid, "gossip needs a key")
	}
	for _, key := range keys {
		if err := memberlist.ValidateKey(key); err != nil {
			return domicile.E(op, domicile.Invalid, err.Error())
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gossip == nil {
		return domicile.E(op, domicile.Conflict, "the node was not started")
	}
	return domicile.W(op, n.gossip.setKeys(keys))
}

// setKeys adds before it uses, and uses before it removes: what arrives in between still opens.
func (g *gossip) setKeys(keys [][]byte) error {
	for _, key := range keys {
		if err := g.ring.AddKey(key); err != nil {
			return err
		}
	}
	if err := g.ring.UseKey(keys[0]); err != nil {
		return err
	}
	for _, old := range slices.Clone(g.ring.GetKeys()) {
		if slices.ContainsFunc(keys, func(key []byte) bool { return bytes.Equal(key, old) }) {
			continue
		}
		if err := g.ring.RemoveKey(old); err != nil {
			return err
		}
	}
	return nil
}

func (g *gossip) leave() error {
	g.list.Leave(time.Second) // best effort: the others will notice
	return g.list.Shutdown()
}

// read takes a node as memberlist has it, and refuses what makes no sense or is of no region of the catalog.
func (g *gossip) read(m *memberlist.Node) (known, meta, error) {
	var said meta
	if err := json.Unmarshal(m.Meta, &said); err != nil || said.Format != 1 {
		return known{}, said, errors.New("its metadata is of no format that this release reads")
	}
	if _, err := domicile.ParseRegion(m.Name); err != nil {
		return known{}, said, errors.New("its name is malformed")
	}
	if !g.node.cfg.Catalog().knows(said.Region) {
		return known{}, said, errors.New("it claims a region that is not in the catalog")
	}
	if _, err := netip.ParseAddrPort(said.RPC); err != nil || len(said.Roles) > 8 {
		return known{}, said, errors.New("its address is not literal, or it has too many roles")
	}
	for _, addr := range []string{said.Admin, said.RPCInside, said.GossipInside} {
		if _, err := netip.ParseAddrPort(addr); addr != "" && err != nil {
			return known{}, said, errors.New("an address of it is not literal")
		}
	}
	k := known{Member: Member{domicile.Node(m.Name), said.Region, said.Roles, said.RPC, said.Admin, said.Catalog, true},
		gossip: net.JoinHostPort(m.Addr.String(), fmt.Sprint(m.Port)), since: time.Now()}
	if said.Region == g.node.self.owner() {
		k.rpcInside, k.gossipInside = said.RPCInside, said.GossipInside
	}
	return k, said, nil
}

// ---- what memberlist asks and tells

// NodeMeta is memberlist.Delegate.
func (g *gossip) NodeMeta(limit int) []byte {
	if raw := g.meta(); len(raw) <= limit {
		return raw
	}
	return nil
}

// NotifyMsg, GetBroadcasts, LocalState and MergeRemoteState are memberlist.Delegate: nothing but metadata is gossiped.
func (g *gossip) NotifyMsg([]byte)                       {}
func (g *gossip) GetBroadcasts(overhead, n int) [][]byte { return nil }
func (g *gossip) LocalState(join bool) []byte            { return nil }
func (g *gossip) MergeRemoteState([]byte, bool)          {}

// NotifyJoin, NotifyUpdate and NotifyLeave are memberlist.EventDelegate.
func (g *gossip) NotifyJoin(m *memberlist.Node) {
	if k, _, err := g.read(m); err == nil {
		g.node.members.put(k)
		g.node.log.Info("node is alive", "member", m.Name, "region", string(k.Region))
	}
}

func (g *gossip) NotifyUpdate(m *memberlist.Node) {
	if k, _, err := g.read(m); err == nil {
		g.node.members.put(k)
	}
}

func (g *gossip) NotifyLeave(m *memberlist.Node) {
	if k, _, err := g.read(m); err == nil {
		k.Alive = false
		g.node.members.put(k)
		g.node.log.Info("node is gone", "member", m.Name, "region", string(k.Region))
	}
}

// NotifyAlive is memberlist.AliveDelegate: a member that it refuses is not taken in.
func (g *gossip) NotifyAlive(m *memberlist.Node) error {
	k, said, err := g.read(m)
	if err != nil {
		return err
	}
	return g.unique(k, said)
}

// NotifyMerge is memberlist.MergeDelegate: one that it refuses does not join, nor learn the others.
func (g *gossip) NotifyMerge(peers []*memberlist.Node) error {
	for _, m := range peers {
		if m.State != memberlist.StateAlive && m.State != memberlist.StateSuspect {
			continue
		}
		k, said, err := g.read(m)
		if err != nil {
			continue // that one is refused by NotifyAlive; an older catalog must not cut off all others
		}
		if err := g.unique(k, said); err != nil {
			return err
		}
	}
	return nil
}

// NotifyConflict is memberlist.ConflictDelegate.
func (g *gossip) NotifyConflict(existing, other *memberlist.Node) {
	if k, said, err := g.read(other); err == nil {
		g.unique(k, said)
	}
}

// unique refuses a name that a living node has at another address. If the name is this node's own, whoever is at the
// other address is asked for its certificate.
func (g *gossip) unique(k known, said meta) error {
	if k.Name == g.node.cfg.Node {
		if k.gossip == g.addr {
			return nil
		}
		go g.node.meetTwin(k.Member, said.Started)
		return errors.New("it has the name of this node")
	}
	if addr, ok := g.node.members.living(k.Name); ok && addr != k.gossip {
		return errors.New("a living node has that name at another address")
	}
	return nil
}
