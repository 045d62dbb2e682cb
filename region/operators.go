package region

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"

	"domicile"
	"domicile/placement"
)

const (
	maxOperatorConns = 512
	// handshakeBytes may leave before it is known who is there; to an operator of another region, whom the table lets have
	// nothing, it is all there is: a handshake and a refusal.
	handshakeBytes = 64 << 10
)

// ListenOperators listens for mTLS (1.2 and later) of operators of any region of the catalog: a client without such a
// certificate fails in the handshake. OperatorOf says who it is; what they may do is for the caller to decide. Answers to
// operators of this region are metered by a standing permit of class operator; one of another region gets no more bytes
// than a refusal needs. Its connections are *tls.Conn, as net/http wants them.
func (n *Node) ListenOperators(addr string) (net.Listener, error) {
	const op = "listen for operators"
	if n.cfg.Guard == nil {
		return nil, domicile.E(op, domicile.Invalid, "a witness has no operators' interface")
	}
	l, err := listenTCP(addr)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	metered := &operatorListener{newLimited(l, Limits{Open: maxOperatorConns, OpenEach: maxOperatorConns}), n.cfg.Guard}
	n.keepListener(metered)
	return tls.NewListener(metered, n.operatorServer()), nil
}

// operatorServer is the TLS side: the certificate is checked in each handshake, which then tells the meter who is there.
func (n *Node) operatorServer() *tls.Config {
	base := &tls.Config{GetCertificate: n.id.server, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert,
		NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true}
	outer := base.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		meter, ok := hello.Conn.(*operatorConn)
		if !ok {
			return nil, domicile.E("handshake", domicile.Other, "the connection is not metered")
		}
		c := base.Clone()
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			p, err := n.OperatorOf(cs)
			if err == nil {
				meter.known(p)
			}
			return err
		}
		return c, nil
	}
	return outer
}

// OperatorOf says whose connection it is, by the catalog now in force. Refused PeerUnverified.
func (n *Node) OperatorOf(cs tls.ConnectionState) (Peer, error) {
	return n.trust.peer(cs.PeerCertificates, caOperators, x509.ExtKeyUsageClientAuth)
}

type operatorListener struct {
	*limitedListener
	guard *Guard
}

func (l *operatorListener) Accept() (net.Conn, error) {
	c, err := l.limitedListener.Accept()
	if err != nil {
		return nil, err
	}
	return &operatorConn{Conn: c, guard: l.guard, left: handshakeBytes}, nil
}

// operatorConn meters what leaves to an operator, below TLS.
type operatorConn struct {
	net.Conn
	guard *Guard

	mu   sync.Mutex
	left int64   // guarded by mu: bytes to whom nothing else is allowed
	p    *permit // guarded by mu: of an operator of this region
}

// known asks for the permit of who was found. Without one (another region's) the handshake's bytes are all.
func (c *operatorConn) known(who Peer) {
	p, err := c.guard.standingFor(context.Background(), standingKey{domicile.Operator, placement.ToOperator, who.Region})
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p = p
}

func (c *operatorConn) Write(b []byte) (int, error) {
	if err := c.take(int64(len(b))); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *operatorConn) take(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.p
	if p == nil {
		if c.left -= n; c.left < 0 {
			return refusePermit(domicile.PermitExceeded, "more bytes than may go to somebody who is no operator of this region")
		}
		var err error
		if p, err = c.guard.standingFor(context.Background(), standingKey{domicile.Operator, placement.ToOperator, c.guard.region}); err != nil {
			return err
		}
	}
	return p.message(n)
}
