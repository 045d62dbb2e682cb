package netlink

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"domicile"
	"domicile/config"
	"domicile/tests/harness"
)

// Mode says what the proxies do with calls.
type Mode int

const (
	Blind  Mode = iota // TLS ends at the nodes, and nothing is kept
	Tapped             // TLS ends here, and everything is kept
)

// Link is one direction between two nodes.
type Link struct{ From, To domicile.Node }

func (l Link) back() Link { return Link{l.To, l.From} }

// node is what the network knows of one node.
type node struct {
	name          domicile.Node
	owner         domicile.Region // or "witness/NAME"
	config        string          // path of node.toml, by which its process is found
	rpc, gossip   string          // where it listens
	toRPC         net.Listener    // what the others are told
	toGossip      net.Listener
	packets       *net.UDPConn
	identity      tls.Certificate
	rpcAt, gossAt string // addresses of toRPC and toGossip
}

// Net is the network of one lab. Safe for concurrent use.
type Net struct {
	mode   Mode
	nodes  map[domicile.Node]*node
	key    []byte // of gossip
	done   chan struct{}
	once   sync.Once
	work   sync.WaitGroup
	flying chan struct{} // one slot for each packet that waits

	mu      sync.Mutex
	faults  map[Link]*state    // guarded by mu
	changed chan struct{}      // guarded by mu: closed, and a new one made, when a fault changes
	conns   map[*conn]struct{} // guarded by mu
	tape    tape               // guarded by mu
}

// Lay puts the network between the nodes of a lab that was not started. It ends with the test, or by Close. Linux only: elsewhere the
// test is skipped.
func Lay(t testing.TB, c *harness.Cluster, mode Mode) *Net {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("who dials a link is read from /proc: run the test on Linux")
	}
	n := &Net{mode: mode, nodes: map[domicile.Node]*node{}, done: make(chan struct{}), flying: make(chan struct{}, maxFlying),
		faults: map[Link]*state{}, changed: make(chan struct{}), conns: map[*conn]struct{}{}}
	t.Cleanup(n.Close)
	paths := map[string]domicile.Region{c.Witness.Config: domicile.Region("witness/" + c.Witness.Name)}
	for _, x := range c.Nodes {
		paths[x.Config] = x.Region
	}
	for path, owner := range paths {
		if err := n.add(c, path, owner); err != nil {
			t.Fatal(err)
		}
	}
	for path := range paths {
		if err := n.rewrite(c.Path(path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range n.nodes {
		n.work.Go(func() { n.accept(x, x.toRPC, callKind) })
		n.work.Go(func() { n.accept(x, x.toGossip, gossipKind) })
		n.work.Go(func() { n.relay(x) })
	}
	return n
}

// add reads a node's configuration and opens its proxies.
func (n *Net) add(c *harness.Cluster, path string, owner domicile.Region) error {
	conf, err := readConfig(c.Path(path))
	if err != nil {
		return err
	}
	x := &node{name: domicile.Node(conf.Name), owner: owner, config: c.Path(path), rpc: conf.RPC.Listen, gossip: conf.Gossip.Listen}
	n.nodes[x.name] = x
	if x.identity, err = readIdentity(c.Path(conf.Name + "/identity.pem")); err != nil {
		return err
	}
	raw, err := os.ReadFile(c.Path("gossip.key"))
	if err == nil {
		n.key, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(raw)))
	}
	if err != nil {
		return err
	}
	if x.toRPC, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	x.rpcAt = x.toRPC.Addr().String()
	for range 20 { // a port that is free for TCP may be taken for UDP
		if x.toGossip, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return err
		}
		x.gossAt = x.toGossip.Addr().String()
		if x.packets, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(x.toGossip.Addr().(*net.TCPAddr).AddrPort())); err == nil {
			return nil
		}
		x.toGossip.Close()
	}
	return err
}

// rewrite has a node tell the others of its proxies, and find its seeds through theirs.
func (n *Net) rewrite(path string) error {
	conf, err := readConfig(path)
	if err != nil {
		return err
	}
	x := n.nodes[domicile.Node(conf.Name)]
	conf.RPC.Advertise, conf.Gossip.Advertise = x.rpcAt, x.gossAt
	for i, seed := range conf.Gossip.Seeds {
		for _, other := range n.nodes {
			if other.gossip == seed {
				conf.Gossip.Seeds[i] = other.gossAt
			}
		}
	}
	text, err := toml.Marshal(conf)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// readConfig reads a node.toml as it stands, its paths relative.
func readConfig(path string) (*config.Node, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var conf config.Node
	if err := toml.Unmarshal(raw, &conf); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &conf, nil
}

func readIdentity(path string) (tls.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(raw, raw)
}

// Owner is the region of a node, or "witness/NAME".
func (n *Net) Owner(name domicile.Node) domicile.Region {
	if x := n.nodes[name]; x != nil {
		return x.owner
	}
	return ""
}

// Nodes are the names of all nodes.
func (n *Net) Nodes() []domicile.Node { return slices.Sorted(maps.Keys(n.nodes)) }

// Close ends the network and waits until nothing of it runs. Safe to repeat.
func (n *Net) Close() {
	n.once.Do(func() {
		close(n.done)
		for _, x := range n.nodes {
			for _, l := range []net.Listener{x.toRPC, x.toGossip} {
				if l != nil {
					l.Close()
				}
			}
			if x.packets != nil {
				x.packets.Close()
			}
		}
		n.mu.Lock()
		for c := range n.conns {
			c.cut()
		}
		n.mu.Unlock()
	})
	n.work.Wait()
}
