package netlink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The two kinds of connection.
const (
	callKind   = "call"
	gossipKind = "gossip"
)

const (
	chunkSize   = 32 << 10
	maxChunks   = 64   // that wait in one direction of a connection
	maxFlying   = 4096 // packets that wait
	dialTime    = 10 * time.Second
	maxDatagram = 64 << 10
)

// conn is one connection through the network.
type conn struct {
	link             Link // from who dialled
	kind             string
	client, server   net.Conn // as TCP
	dead             chan struct{}
	once             sync.Once
	there, backAgain *side // what is kept, nil if nothing
}

// cut resets both ends.
func (c *conn) cut() {
	c.once.Do(func() {
		close(c.dead)
		for _, x := range []net.Conn{c.client, c.server} {
			if tcp, ok := x.(*net.TCPConn); ok {
				tcp.SetLinger(0)
				tcp.Close()
			}
		}
	})
}

// accept takes connections to a node's proxy.
func (n *Net) accept(to *node, l net.Listener, kind string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // closed
		}
		n.work.Go(func() { n.carry(to, client, kind) })
	}
}

// carry takes one connection to the node, until one side ends it.
func (n *Net) carry(to *node, client net.Conn, kind string) {
	from := n.dialler(client)
	c := &conn{link: Link{from, to.name}, kind: kind, client: client, dead: make(chan struct{})}
	defer c.cut()
	if from == "" || !n.keep(c) { // it is gone already, or no node of this lab
		return
	}
	defer n.forget(c)
	// A connection is a word and its answer: each way must be open.
	if n.pass(c.link, "", time.Now(), 1, c.dead) == 0 || n.pass(c.link.back(), "", time.Now(), 1, c.dead) == 0 {
		return
	}
	address := to.rpc
	if kind == gossipKind {
		address = to.gossip
	}
	server, err := net.DialTimeout("tcp", address, dialTime)
	if err != nil {
		return
	}
	n.mu.Lock()
	c.server = server
	n.mu.Unlock()
	select {
	case <-c.dead: // cut before it had a server to close
		server.Close()
		return
	default:
	}
	inner, outer := client, server
	if n.mode == Tapped {
		c.there, c.backAgain = &side{}, &side{}
		if kind == callKind {
			if inner, outer, err = n.between(c); err != nil {
				n.complain(fmt.Errorf("%s to %s: %w", c.link.From, c.link.To, err))
				return
			}
		}
		n.record(c)
	}
	var both sync.WaitGroup
	both.Go(func() { n.flow(c, c.link, inner, outer, c.there) })
	both.Go(func() { n.flow(c, c.link.back(), outer, inner, c.backAgain) })
	both.Wait()
}

// keep counts a connection in, unless its link is cut or the network is closed.
func (n *Net) keep(c *conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.done:
		return false
	default:
	}
	if n.is(c.link).Cut || n.is(c.link.back()).Cut {
		return false
	}
	n.conns[c] = struct{}{}
	return true
}

func (n *Net) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

var errOther = errors.New("the certificate is not the one that the lab made for this node")

// between makes the proxy the man in the middle: to each side it shows the other's certificate.
func (n *Net) between(c *conn) (client, server net.Conn, err error) {
	from, to := n.nodes[c.link.From], n.nodes[c.link.To]
	only := func(whose *node) func(tls.ConnectionState) error {
		return func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 || string(cs.PeerCertificates[0].Raw) != string(whose.identity.Certificate[0]) {
				return errOther
			}
			return nil
		}
	}
	a := tls.Server(c.client, &tls.Config{Certificates: []tls.Certificate{to.identity}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		ClientAuth: tls.RequireAnyClientCert, VerifyConnection: only(from)})
	b := tls.Client(c.server, &tls.Config{Certificates: []tls.Certificate{from.identity}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		InsecureSkipVerify: true, VerifyConnection: only(to)}) // the lab's own certificate or none
	for _, x := range []*tls.Conn{a, b} {
		x.SetDeadline(time.Now().Add(dialTime))
		if err := x.Handshake(); errors.Is(err, errOther) {
			return nil, nil, err
		} else if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errBroken, err)
		}
		x.SetDeadline(time.Time{})
	}
	return a, b, nil
}

// errBroken marks a connection that broke before anything was said in it: no finding.
var errBroken = errors.New("broken")

// chunk is what came in at once.
type chunk struct {
	data []byte
	at   time.Time
}

// flow takes the bytes of one direction from src to dst until src ends or the connection is cut.
func (n *Net) flow(c *conn, l Link, src, dst net.Conn, tap *side) {
	queue := make(chan chunk, maxChunks)
	clean := false // src ended well; written before queue is closed
	n.work.Go(func() {
		defer close(queue)
		for {
			buf := make([]byte, chunkSize)
			size, err := src.Read(buf)
			if size > 0 {
				at := time.Now()
				n.tapped(tap, buf[:size], at)
				select {
				case queue <- chunk{buf[:size], at}:
				case <-c.dead:
					return
				}
			}
			if err != nil {
				clean = isEnd(err)
				return
			}
		}
	})
	for q := range queue {
		size := n.pass(l, c.kind, q.at, len(q.data), c.dead)
		if _, err := dst.Write(q.data[:size]); err != nil || size < len(q.data) {
			c.cut()
		}
	}
	if !clean {
		c.cut()
		return
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// relay takes packets of gossip to a node.
func (n *Net) relay(to *node) {
	target := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to.gossip))
	buf := make([]byte, maxDatagram)
	for {
		size, addr, err := to.packets.ReadFromUDPAddrPort(buf)
		select {
		case <-n.done:
			return
		default:
		}
		if err != nil {
			continue // an answer of the kernel that nobody listens there
		}
		from := n.gossiper(addr.String())
		if from == "" {
			n.complain(fmt.Errorf("a packet to %s from %s, which is no node of the lab", to.name, addr))
			continue
		}
		l, data := Link{from, to.name}, append([]byte(nil), buf[:size]...)
		n.packet(l, data)
		wait, lost := n.fate(l)
		if lost {
			continue
		}
		if wait == 0 {
			to.packets.WriteToUDP(data, target)
			continue
		}
		select {
		case n.flying <- struct{}{}:
		default:
			continue // too many wait: lost
		}
		n.work.Go(func() {
			defer func() { <-n.flying }()
			select {
			case <-time.After(wait):
				to.packets.WriteToUDP(data, target)
			case <-n.done:
			}
		})
	}
}
