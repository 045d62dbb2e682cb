package imapd

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"time"

	"domicile"
	"domicile/imapd/wire"
	"domicile/login"
	"domicile/region"
	"domicile/store"
)

// Register serves, on n, the sessions that fronts of other nodes hand over.
func (h *Home) Register(n *region.Node) {
	n.ServeSessions(sessionIMAP, h.serveSession)
	if h.cfg.TLS != nil {
		n.ServeSessions(sessionIMAPS, h.servePassed)
	}
}

// serveSession verifies a login that a front of another node hands over, and serves the session behind it.
func (h *Home) serveSession(ctx context.Context, s *region.Session) error {
	const op = "login"
	if s.Login == nil || !wire.IsTag(s.Tag) {
		return domicile.E(op, domicile.Invalid, "a login and its tag are needed")
	}
	began := time.Now()
	cred := login.Credential(*s.Login)
	if err := h.check.Take(cred); err != nil {
		return err
	}
	who, err := h.check.Verify(ctx, login.From{Service: login.IMAP, Network: string(s.From.Region) + "/" + s.Client}, cred)
	if domicile.KindOf(err) == domicile.NotExist {
		h.check.Tries.Handed.Wait(h.ctx, s.From.Region, s.Client, began)
	}
	a := who.Account
	if err == nil {
		err = login.MayServe(a)
	}
	if err == nil {
		err = h.mayReadAt(ctx, s, a)
	}
	if err != nil {
		return err
	}
	if err := h.enter(a.ID); err != nil {
		return err
	}
	s.Signature = who.Signature
	c, err := h.accept(ctx, s, a)
	if err != nil {
		h.exit(a.ID)
		return err
	}
	conn := wire.NewConn(c, wire.After)
	ended := make(chan struct{})
	defer close(ended)
	go drainWith(conn, s, ended)
	who.Means.Abroad = s.From.Region != h.cfg.Region
	h.serve(conn, who.Means, s.Tag, h.cfg.MaxSize, false)
	return nil
}

// accept takes the connection of a login that was verified, under a permit.
func (h *Home) accept(ctx context.Context, s *region.Session, a store.Account) (net.Conn, error) {
	p, err := h.permit(ctx, region.Request{Crossing: s.Crossing(a.ID, h.cfg.Region)})
	if err != nil {
		return nil, err
	}
	c, err := s.Accept(p)
	if err != nil {
		p.Close()
		return nil, err
	}
	return c, nil
}

// slow delays a wrong login on a connection passed through as those of its region are, beside the delay of its network.
func (h *Home) slow(c net.Conn, began time.Time) {
	from, _, _ := strings.Cut(c.RemoteAddr().String(), "/")
	h.check.Tries.Handed.WaitRegion(h.ctx, domicile.Region(from), began)
}

// mayReadAt holds the owner's choice of how mail is read through another region, once the owner is known to ask.
func (h *Home) mayReadAt(ctx context.Context, s *region.Session, a store.Account) error {
	if s.From.Region == h.cfg.Region {
		return nil
	}
	reason, why := login.Abroad(a)
	if reason == "" {
		return nil
	}
	return h.refuse(ctx, region.Request{Crossing: s.Crossing(a.ID, h.cfg.Region)}, reason, "house/abroad", why)
}

// servePassed speaks TLS, and IMAP within it, with a client whose connection a front passes through unread.
func (h *Home) servePassed(_ context.Context, s *region.Session) error {
	if s.Login != nil {
		return domicile.E("session", domicile.Invalid, "what is passed through unread has no login beside it")
	}
	c, err := s.Accept(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	d := h.passed.admit(tls.Server(c, h.cfg.TLS))
	defer d.leave()
	ended := make(chan struct{})
	defer close(ended)
	go drainWith(d.conn, s, ended)
	d.serve()
	return nil
}

// drainWith drains a session between two commands where the front that handed it over closes down.
func drainWith(d interface{ Drain() }, s *region.Session, ended <-chan struct{}) {
	select {
	case <-s.Draining():
		d.Drain()
	case <-ended:
	}
}

// receive begins a connection within TLS. Who asks for the host of another region is passed through to it, unread: TLS ends there.
func (d *door) receive() {
	d.net.SetDeadline(d.began.Add(loginTime))
	host, hello, err := region.ClientHello(d.net)
	if err != nil {
		d.conn.Close()
		return
	}
	s := d.srv
	if s.cfg.RegionOf != nil && s.cfg.Network != nil {
		if home, ok := s.cfg.RegionOf(host); ok && home != s.cfg.Region {
			d.pass(home, hello)
			return
		}
	}
	d.within(ahead{d.net, io.MultiReader(bytes.NewReader(hello), d.net)})
	d.serve()
}

// pass hands the connection to a region unread. Until the home says who logged in, each direction has a small allowance.
func (d *door) pass(home domicile.Region, hello []byte) {
	defer d.conn.Close()
	s := d.srv
	client := d.net
	t, err := s.cfg.Network.OpenSession(s.ctx, home, sessionIMAPS, region.SessionRequest{Client: login.Network(client.RemoteAddr()),
		LoggedIn: func(t *region.Conn, id domicile.AccountID) error { return s.relay(s.ctx, client, t, id, home) }})
	if err != nil {
		return
	}
	defer t.Close()
	if !d.relayed(t) {
		go t.Drain()
	}
	if _, err := t.Write(hello); err != nil {
		return
	}
	t.Join(client)
}
