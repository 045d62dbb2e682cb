package region

import (
	"context"
	"crypto/tls"
	"net"

	"domicile"
)

// meetTwin finds out whether a node of this one's name lives elsewhere. Gossip's word is not enough (it may be this node's
// own former address, or a lie): only a certificate is. Of two, the one that started later stops: one of them is a copy.
func (n *Node) meetTwin(m Member, started int64) {
	if m.RPC == n.RPCAddr() || !n.twin.CompareAndSwap(false, true) {
		return
	}
	defer n.twin.Store(false)
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: n.trust.nodeClient(&n.id, n.self.owner())}
	ctx, cancel := context.WithTimeout(context.Background(), 2*dialTimeout)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", m.RPC)
	if err != nil {
		return
	}
	defer c.Close()
	n.judgeTwin(c.(*tls.Conn).ConnectionState(), started)
}

func (n *Node) judgeTwin(cs tls.ConnectionState, started int64) {
	p, err := leafPeer(cs.PeerCertificates[0], caNodes) // verified in the handshake
	if err != nil || p.Node != n.cfg.Node {
		return
	}
	if started > n.started.UnixMilli() {
		n.log.Error("another living node has the name of this one, which started first and goes on")
		return
	}
	n.fail(domicile.E("gossip", domicile.Conflict, "another living node has the name "+string(n.cfg.Node)+
		"; node names are unique: give this one a name and a certificate of its own"))
}
