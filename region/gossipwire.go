package region

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"domicile"
)

// meteredTransport is memberlist's own transport with every byte that it sends counted under the standing permits of class
// gossip: one for each region and witness, and the node's own region's for addresses that are not known yet. To a node of its
// own region it goes by that one's address inside the region, so that a region that is cut off stays together.
type meteredTransport struct {
	*memberlist.NetTransport
	node    *Node
	streams chan net.Conn
	stop    chan struct{}
}

func (n *Node) gossipTransport(listen netip.AddrPort) (*meteredTransport, error) {
	var inner *memberlist.NetTransport
	var err error
	for range 10 { // port 0 means one that is free for TCP, and may then be taken for UDP
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{listen.Addr().String()}, BindPort: int(listen.Port()), Logger: stdLog(n.log, "gossip"),
		})
		if err == nil || listen.Port() != 0 {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	t := &meteredTransport{inner, n, make(chan net.Conn), make(chan struct{})}
	go t.wrapStreams()
	return t, nil
}

// let lets n bytes out to an address.
func (t *meteredTransport) let(n int, addr string) error {
	if t.node.cfg.Guard == nil {
		return nil
	}
	to := t.node.members.ownerAt(addr)
	if to == "" {
		to = t.node.cfg.Region
	}
	p, err := t.node.standing(context.Background(), domicile.Gossip, to, "")
	if err != nil {
		return err
	}
	return p.message(int64(n))
}

func (t *meteredTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *meteredTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if err := t.let(len(b), a.Addr); err != nil {
		return time.Time{}, err
	}
	if inside := t.node.members.inside(domicile.Node(a.Name), a.Addr); inside != "" {
		a.Addr = inside
	}
	return t.NetTransport.WriteToAddress(b, a)
}

func (t *meteredTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *meteredTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	told := a.Addr
	if inside := t.node.members.inside(domicile.Node(a.Name), told); inside != "" {
		a.Addr = inside
		if c, err := t.NetTransport.DialAddressTimeout(a, timeout); err == nil {
			return &gossipConn{c, t, told}, nil
		}
		a.Addr = told
	}
	c, err := t.NetTransport.DialAddressTimeout(a, timeout)
	if err != nil {
		return nil, err
	}
	return &gossipConn{c, t, told}, nil
}

func (t *meteredTransport) StreamCh() <-chan net.Conn { return t.streams }

func (t *meteredTransport) wrapStreams() {
	for {
		select {
		case <-t.stop:
			return
		case c := <-t.NetTransport.StreamCh():
			select {
			case t.streams <- &gossipConn{c, t, ""}:
			case <-t.stop:
				c.Close()
				return
			}
		}
	}
}

func (t *meteredTransport) Shutdown() error {
	close(t.stop)
	return t.NetTransport.Shutdown()
}

// gossipConn is a push/pull connection. One that came in has no address by which its sender is known.
type gossipConn struct {
	net.Conn
	t    *meteredTransport
	addr string
}

func (c *gossipConn) Write(b []byte) (int, error) {
	if err := c.t.let(len(b), c.addr); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
