package region

import (
	"context"
	"net"
	"sync"
	"time"

	"domicile"
	"domicile/placement"
)

var usualLimits = Limits{Open: 4096, OpenEach: 256, NewEachMinute: 600}

// ListenFront listens for mail clients at a literal address. Its connections are *Conn: metered, and before Attach good for
// preLogin bytes out, which count under a standing permit of class client_session. Their number and rate are bounded by
// Config.FrontLimits.
func (n *Node) ListenFront(addr string, preLogin int64) (net.Listener, error) {
	const op = "listen for clients"
	if n.cfg.Guard == nil || preLogin <= 0 {
		return nil, domicile.E(op, domicile.Invalid, "a witness has no fronts, and bytes before login need a limit")
	}
	l, err := listenTCP(addr)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	f := &frontListener{newLimited(l, n.cfg.FrontLimits), n.cfg.Guard, preLogin}
	n.keepListener(f)
	return f, nil
}

func (n *Node) keepListener(l net.Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listeners = append(n.listeners, l)
}

type frontListener struct {
	*limitedListener
	guard    *Guard
	preLogin int64
}

func (l *frontListener) Accept() (net.Conn, error) {
	c, err := l.limitedListener.Accept()
	if err != nil {
		return nil, err
	}
	return &Conn{raw: c, guard: l.guard, left: l.preLogin, preLogin: l.preLogin, to: standingKey{domicile.ClientSession, placement.ToClient, ""}}, nil
}

// Conn is a client's connection, or the tunnel of a client's session between two nodes: a net.Conn whose every Write is
// metered. Attach spends a stream permit for the rest of its life, or until Detach. The raw connection cannot be had from it.
type Conn struct {
	raw      net.Conn
	guard    *Guard
	to       standingKey                    // where its bytes go
	attached func(domicile.AccountID) error // called behind Attach; nil = nothing to do
	preLogin int64                          // of a client's connection: what left begins with

	mu     sync.Mutex
	left   int64   // guarded by mu: bytes that may leave before login
	p      *permit // guarded by mu: after Attach, until Detach
	closed bool    // guarded by mu
}

// Crossing describes what the session of an account that rests in home sends on this connection, for Guard.Permit.
func (c *Conn) Crossing(account domicile.AccountID, home domicile.Region) placement.Crossing {
	x := placement.Crossing{Class: c.to.class, Kind: placement.Stream, From: c.guard.region, Party: c.to.party, To: c.to.to,
		Account: account, Home: home}
	if x.Party == placement.ToClient && home != x.From {
		x.Class = domicile.Relay
	}
	x.Ceiling = placement.Ceiling(x.Class, x.Kind)
	return x
}

// Attach spends p, which then meters the connection until it is closed, or detached. A connection has one permit at a time.
func (c *Conn) Attach(p *Permit) error {
	in, err := c.attach(p)
	if err != nil || c.attached == nil {
		return err
	}
	return c.attached(in.req.Account)
}

func (c *Conn) attach(p *Permit) (*permit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.p != nil:
		return nil, refusePermit(domicile.PermitForeign, "the connection has a permit already")
	case c.closed: // Close may not come again: that of TLS above passes on the first alone
		return nil, refusePermit(domicile.PermitForeign, "the connection is closed")
	}
	in, err := c.guard.spend(p, placement.Stream, func(x placement.Crossing) bool {
		return x.Class == c.Crossing(x.Account, x.Home).Class && x.Party == c.to.party && x.To == c.to.to
	})
	if err == nil {
		c.p = in
	}
	return in, err
}

// Detach ends the permit that Attach spent and has that written down: the session is over, and the client stays. The connection is then
// what it was before that login: good for as many bytes, under the standing permit, until it is attached anew, for whatever account. Of a
// tunnel it is refused: the other end would not know. Not while a Write is under way.
func (c *Conn) Detach() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.p == nil || c.to.party != placement.ToClient {
		return refusePermit(domicile.NoPermit, "the connection has no permit, or is a tunnel")
	}
	if err := c.p.close(); err != nil { // closed all the same: nothing leaves any more
		return err
	}
	c.p, c.left = nil, c.preLogin
	return nil
}

// Write sends b, or nothing of it if that would pass what may leave: PermitExceeded. While the journal cannot be written nothing may,
// and the connection is closed: its client would wait for an answer that cannot come.
func (c *Conn) Write(b []byte) (int, error) {
	p, err := c.take(int64(len(b)))
	if domicile.ReasonOf(err) == domicile.JournalUnavailable {
		c.Close()
	}
	if err != nil {
		return 0, err
	}
	n, err := c.raw.Write(b)
	if p != nil {
		p.took(b, n)
	}
	return n, err
}

// take lets n bytes out: of the permit, or of what is left before login.
func (c *Conn) take(n int64) (*permit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.p != nil {
		return c.p, c.p.take(int(n))
	}
	if n > c.left {
		return nil, refusePermit(domicile.PermitExceeded, "more bytes than a client may be sent before login")
	}
	s, err := c.guard.standingFor(context.Background(), c.to)
	if err == nil {
		err = s.message(n)
	}
	if err != nil {
		return nil, err
	}
	c.left -= n
	return nil, nil
}

// Close ends the connection and its permit.
func (c *Conn) Close() error {
	c.mu.Lock()
	p := c.p
	c.closed = true
	c.mu.Unlock()
	if p != nil {
		p.close()
	}
	return c.raw.Close()
}

func (c *Conn) Read(b []byte) (int, error)         { return c.raw.Read(b) }
func (c *Conn) LocalAddr() net.Addr                { return c.raw.LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr               { return c.raw.RemoteAddr() }
func (c *Conn) SetDeadline(t time.Time) error      { return c.raw.SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.raw.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

// FrontConn finds the *Conn under c, through TLS and other wrappers that have NetConn().
func FrontConn(c net.Conn) (*Conn, bool) {
	for range 8 {
		switch x := c.(type) {
		case *Conn:
			return x, x != nil
		case interface{ NetConn() net.Conn }:
			c = x.NetConn()
		default:
			return nil, false
		}
	}
	return nil, false
}
