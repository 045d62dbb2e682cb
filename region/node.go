package region

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
)

// Config of a node's network side.
type Config struct {
	Node                          domicile.Node
	Region                        domicile.Region // "" for a witness
	Roles                         []string        // front, store, admin, witness
	Catalog                       func() *Catalog // the one in force, always the same pointer for the same version
	Identity                      []byte          // PEM of IssueNode
	Guard                         *Guard          // nil for a witness
	RPCListen, RPCAdvertise       string          // literal host:port; port 0 picks a free one
	GossipListen, GossipAdvertise string
	RPCInside, GossipInside       string   // where the nodes of the same region reach this one, literal host:port; "" if as the others
	AdminAdvertise                string   // where operators reach this node, told to the others; "" if nowhere
	Seeds                         []string // literal host:port of some nodes' gossip
	FrontLimits                   Limits   // of each mail front by itself; zero = 4096 open, 256 of one network, 600 new a minute
	GossipKeys                    [][]byte // the first encrypts, all decrypt; 16, 24 or 32 bytes each
	BeforeCosign                  func()   // called before others are asked to cosign this region's log: what they will know of is copied first; nil = nothing
	Log                           *slog.Logger
	Now                           func() time.Time // nil = time.Now
}

// The roles of a node.
const (
	RoleFront   = "front"
	RoleStore   = "store"
	RoleAdmin   = "admin"
	RoleWitness = "witness"
)

// Node listens, dials and gossips for one node. Safe for concurrent use once started.
type Node struct {
	cfg      Config
	id       identity
	self     Peer
	trust    *trust
	log      *slog.Logger
	methods  map[string]method // not changed after Start
	calls    chan struct{}     // one slot for each call being answered
	bounds   *bounds           // of each region's calls
	members  *members
	reached  reached
	started  time.Time
	cosigned cosigned
	clock    clock
	pace     pace // not changed after Start
	sessions sessions

	mu         sync.Mutex
	running    bool                      // guarded by mu
	rpc        *http.Server              // guarded by mu
	rpcAddr    string                    // guarded by mu: what others are told
	gossip     *gossip                   // guarded by mu
	transports map[route]*http.Transport // guarded by mu
	forCatalog *Catalog                  // guarded by mu: the one that transports verify by
	listeners  []net.Listener            // guarded by mu: fronts and operators
	failure    error                     // guarded by mu: why the node stopped by itself
	twin       atomic.Bool               // somebody of this node's name is being looked at
	done       chan struct{}             // closed when it has been told to end
	once       sync.Once
	background sync.WaitGroup
}

// New prepares; Handle and ListenFront may be called; Start listens and joins (seeds out of reach are retried for ever);
// Close ends all. It refuses an identity that is not of the node, region and catalog it is for.
func New(cfg Config) (*Node, error) {
	const op = "make a node"
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.FrontLimits == (Limits{}) {
		cfg.FrontLimits = usualLimits
	}
	if err := cfg.check(); err != nil {
		return nil, domicile.W(op, err)
	}
	n := &Node{cfg: cfg, log: cfg.Log.With("node", string(cfg.Node)), methods: map[string]method{}, started: cfg.Now(),
		trust: &trust{catalog: cfg.Catalog, now: cfg.Now}, calls: make(chan struct{}, maxCalls), bounds: newBounds(time.Now), members: newMembers(),
		transports: map[route]*http.Transport{}, done: make(chan struct{}), pace: usualPace}
	self, err := n.readOwn(cfg.Identity)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	n.self = self
	return n, nil
}

// Reload takes a new identity file of the same node for the connections from now on: certificates are renewed without a
// restart. One that would not be believed, or is another node's, is refused and the old one stays.
func (n *Node) Reload(identity []byte) error {
	_, err := n.readOwn(identity)
	return domicile.W("reload the node's certificate", err)
}

// readOwn verifies an identity file as the others would, and takes it if it is this node's.
func (n *Node) readOwn(text []byte) (Peer, error) {
	id, err := readIdentity(text)
	if err != nil {
		return Peer{}, err
	}
	var chain []*x509.Certificate
	for _, der := range id.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return Peer{}, err
		}
		chain = append(chain, c)
	}
	p, err := n.trust.peer(chain, caNodes, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return Peer{}, err
	}
	if p.Node != n.cfg.Node || p.Region != n.cfg.Region || n.self.Witness != "" && p.Witness != n.self.Witness {
		return Peer{}, domicile.Refuse("read an identity file", domicile.WrongRegion, "house/own-identity", "it is that of node "+
			string(p.Node)+" of "+string(p.owner())+", not of the node and region of the configuration")
	}
	n.id.Store(&id)
	return p, nil
}

func (c *Config) check() error {
	bad := func(s string) error { return domicile.E("configuration", domicile.Invalid, s) }
	if _, err := domicile.ParseRegion(string(c.Node)); err != nil {
		return bad("the node's name is malformed")
	}
	if c.Catalog == nil || c.Catalog() == nil {
		return bad("a catalog is needed")
	}
	witness := slices.Contains(c.Roles, RoleWitness)
	for _, r := range c.Roles {
		if !slices.Contains([]string{RoleFront, RoleStore, RoleAdmin, RoleWitness}, r) {
			return bad("a role is one of front, store, admin and witness")
		}
	}
	switch {
	case len(c.Roles) == 0 || witness && len(c.Roles) > 1:
		return bad("a node has roles; a witness has no other")
	case witness != (c.Region == "") || witness != (c.Guard == nil):
		return bad("a node of a region has a region and a guard; a witness has neither")
	case c.Guard != nil && c.Guard.region != c.Region:
		return bad("the guard is another region's")
	case len(c.GossipKeys) == 0:
		return bad("gossip needs a key")
	}
	for _, a := range append([]string{c.RPCListen, c.GossipListen}, c.Seeds...) {
		if _, err := netip.ParseAddrPort(a); err != nil {
			return bad(a + " is not a literal IP address and port")
		}
	}
	for _, a := range []string{c.AdminAdvertise, c.RPCInside, c.GossipInside} {
		if _, err := netip.ParseAddrPort(a); a != "" && err != nil {
			return bad(a + " is not a literal IP address and port")
		}
	}
	for _, p := range [][2]string{{c.RPCListen, c.RPCAdvertise}, {c.GossipListen, c.GossipAdvertise}} {
		if _, err := netip.ParseAddrPort(p[1]); p[1] != "" && err != nil {
			return bad(p[1] + " is not a literal IP address and port")
		}
		if netip.MustParseAddrPort(p[0]).Addr().IsUnspecified() && p[1] == "" {
			return bad(p[0] + " listens everywhere: say which address to tell the others")
		}
	}
	return nil
}

// Start listens for other nodes and joins the gossip. It returns when both listen; joining goes on behind it until ctx
// ends or Close.
func (n *Node) Start(ctx context.Context) error {
	const op = "start the node"
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running {
		return domicile.E(op, domicile.Conflict, "it was started already")
	}
	n.running = true
	if err := n.listenRPC(); err != nil {
		return domicile.W(op, err)
	}
	g, err := n.startGossip()
	if err != nil {
		n.rpc.Close()
		return domicile.W(op, err)
	}
	n.gossip = g
	n.background.Go(func() { g.keepJoined(ctx) })
	return nil
}

// Done is closed when the node has ended, by Close or by itself; Err then says why it ended by itself, nil after Close.
func (n *Node) Done() <-chan struct{} { return n.done }

func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failure
}

// fail ends the node by itself.
func (n *Node) fail(err error) {
	n.mu.Lock()
	if n.failure == nil {
		n.failure = err
	}
	n.mu.Unlock()
	n.log.Error("the node stops serving", "err", err)
	go n.Close()
}

// Close tells the others, stops listening, lets calls that are being answered end for five seconds, and cuts the rest.
// Fronts drain before it.
func (n *Node) Close() error {
	var errs []error
	n.once.Do(func() {
		close(n.done)
		n.mu.Lock()
		rpc, g, ls := n.rpc, n.gossip, n.listeners
		n.mu.Unlock()
		for _, l := range ls {
			l.Close()
		}
		if g != nil {
			errs = append(errs, g.leave())
		}
		if rpc != nil {
			ctx, cancel := context.WithTimeout(context.Background(), n.pace.drain)
			defer cancel()
			if rpc.Shutdown(ctx) != nil { // some did not end in time: their callers learn that they do not know
				errs = append(errs, rpc.Close())
			}
		}
		n.background.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, t := range n.transports {
			t.CloseIdleConnections()
		}
	})
	return errors.Join(errs...)
}

// RPCAddr and GossipAddr are where others reach the node, once started.
func (n *Node) RPCAddr() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rpcAddr
}

func (n *Node) GossipAddr() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gossip == nil {
		return ""
	}
	return n.gossip.addr
}
