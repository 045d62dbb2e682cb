package smtpd

import (
	"bufio"
	"context"
	"net"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// A customer may submit at any front. The front hands name and password to the account's home, which alone can check them, and then
// the connection: what is said behind the login is said between customer and home, and passes the front in memory.

// sessionSubmission is the name under which a session is handed over. The request's tag is the word of the trace field.
const sessionSubmission = "submission"

// locate finds the home of a login's name; NotExist for what is no name here.
func (s *Server) locate(name string) (placement.Location, error) {
	a, err := placement.ParseAddress(name)
	if err != nil {
		return placement.Location{}, login.Wrong()
	}
	ctx, cancel := context.WithTimeout(s.ctx, resolveTime)
	defer cancel()
	loc, err := s.resolve(ctx, a)
	switch {
	case domicile.ReasonOf(err) == domicile.DomainNotServed, domicile.KindOf(err) == domicile.NotExist:
		return loc, login.Wrong()
	case err != nil:
		return loc, domicile.E("login", domicile.Unavailable, "it cannot be known now where the account rests")
	}
	return loc, nil
}

// movedOn asks anew where an account rests whose remembered home does not know it, or not now: it may have moved meanwhile.
func (s *Server) movedOn(name string, was placement.Location, err error) (now placement.Location, moved bool) {
	if k := domicile.KindOf(err); err == nil || s.moved == nil || s.open == nil || s.isHome(was) || k != domicile.NotExist && k != domicile.Unavailable {
		return was, false
	}
	a, err := placement.ParseAddress(name)
	if err != nil {
		return was, false
	}
	s.moved(a)
	now, err = s.locate(name)
	return now, err == nil && (now.Home != was.Home || now.Epoch != was.Epoch)
}

// away hands login and connection to the account's home: the latter once the client has been told that it is logged in.
func (s *submitSession) away(c login.Credential, loc placement.Location) (signature []byte, err error) {
	srv, cred := s.srv, region.Credential(c)
	t, err := srv.open(srv.ctx, loc.Home, sessionSubmission, region.SessionRequest{
		Client: login.Network(s.gate.RemoteAddr()), Login: &cred, Tag: s.gate.protocol("ESMTP"),
		Verified: func(b []byte) { signature = b }})
	if err != nil {
		return nil, err
	}
	if err := srv.relay(srv.ctx, s.gate, t, loc.Account, loc.Home); err != nil {
		t.Close()
		return nil, err
	}
	s.abandon = t.Close
	s.onward = func() {
		s.abandon = nil
		s.gate.replied = append(s.gate.replied, func(sent error) {
			if sent != nil || !srv.join(s.gate, t) {
				t.Close()
			}
		})
	}
	return signature, nil
}

// join takes the connection from go-smtp and carries bytes between it and the tunnel; false if the front closes down.
func (s *Server) join(g *gate, t *region.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	g.handed.Store(true)
	g.end()
	s.tunnels[t] = g.Conn
	s.joins.Go(func() {
		t.Join(ahead{g.Conn, g.br})
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.tunnels, t)
	})
	return true
}

// ahead is a connection of which some bytes were read already.
type ahead struct {
	net.Conn
	br *bufio.Reader
}

func (a ahead) Read(p []byte) (int, error) { return a.br.Read(p) }

// drainTunnels has the homes of relayed sessions end them between two commands, and cuts those that are left when ctx ends.
func (s *Server) drainTunnels(ctx context.Context) {
	cut := func(end func(t *region.Conn, client net.Conn)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for t, client := range s.tunnels {
			end(t, client)
		}
	}
	cut(func(t *region.Conn, _ net.Conn) { go t.Drain() })
	stop := context.AfterFunc(ctx, func() { cut(func(t *region.Conn, client net.Conn) { t.Close(); client.Close() }) })
	defer stop()
	s.joins.Wait()
}

// Register serves, on n, the submissions that fronts of other nodes hand over. Call it before n starts.
func (s *Server) Register(n *region.Node) {
	s.handed = newFeed(nil)
	s.mu.Lock()
	s.listeners = append(s.listeners, s.handed)
	s.mu.Unlock()
	go s.secure.Serve(s.handed)
	n.ServeSessions(sessionSubmission, s.serveSession)
}

// serveSession verifies a login that a front of another node hands over, and serves the session behind it.
func (s *Server) serveSession(ctx context.Context, in *region.Session) error {
	const op = "login"
	if in.Login == nil || in.Tag != "ESMTP" && in.Tag != "ESMTPS" {
		return domicile.E(op, domicile.Invalid, "a login and the protocol are needed")
	}
	began := time.Now()
	cred := login.Credential(*in.Login)
	if err := s.cfg.Check.Take(cred); err != nil {
		return err
	}
	who, err := s.cfg.Check.Verify(ctx, login.From{Service: login.SMTP, Network: string(in.From.Region) + "/" + in.Client}, cred)
	if domicile.KindOf(err) == domicile.NotExist {
		s.cfg.Check.Tries.Handed.Wait(s.ctx, in.From.Region, in.Client, began)
	}
	a := who.Account
	if err == nil {
		err = s.maySend(ctx, in, a)
	}
	if err != nil {
		return err
	}
	p, err := s.cfg.Guard.Permit(ctx, region.Request{Crossing: in.Crossing(a.ID, s.cfg.Region)})
	if err != nil {
		return err
	}
	in.Signature = who.Signature
	c, err := in.Accept(p)
	if err != nil {
		p.Close()
		return err
	}
	who.Means.Abroad = in.From.Region != s.cfg.Region
	g := s.takeOver(c, who, in.Tag)
	select {
	case <-in.Draining():
		g.drain()
	case <-g.gone:
	}
	<-g.gone
	return nil
}

// maySend holds an account's state, and its owner's choice of being served through another region.
func (s *Server) maySend(ctx context.Context, in *region.Session, a store.Account) error {
	if err := login.MayServe(a); err != nil {
		return err
	}
	reason, why := login.Abroad(a)
	if reason == "" || in.From.Region == s.cfg.Region {
		return nil
	}
	return s.cfg.Guard.Refuse(ctx, region.Request{Crossing: in.Crossing(a.ID, s.cfg.Region)}, reason, "house/abroad", why)
}

// takeOver serves a connection on which an account has logged in elsewhere. The client has been greeted and has said EHLO there; here
// the gate says it in the client's place, and keeps back what is answered.
func (s *Server) takeOver(c net.Conn, who login.Verified, word string) *gate {
	g := s.admit(c)
	g.auth, g.who, g.word, g.mute, g.gone = authDone, who, word, 2, make(chan struct{})
	g.hand([]byte("EHLO relayed"))
	leave := g.closed
	g.closed = func() {
		leave()
		close(g.gone)
	}
	s.handed.put(g)
	return g
}

// loginAnswer is what the client is told of a login that failed.
func (s *Server) loginAnswer(err error, home domicile.Region) *smtp.SMTPError {
	reason := domicile.ReasonOf(err)
	switch {
	case domicile.KindOf(err) == domicile.NotExist:
		return errWrongLogin
	case reason == domicile.AccountSuspended:
		return errLoginRefused
	case domicile.KindOf(err) != domicile.Refused || reason == domicile.JournalUnavailable || reason == domicile.PeerUnverified:
		return errLoginNow
	case reason == domicile.ReadAtHome && s.cfg.HostOf != nil && s.cfg.HostOf(home) != "":
		return reply(535, smtp.EnhancedCode{5, 7, 8}, "Log in at "+s.cfg.HostOf(home)+" ("+string(reason)+")")
	}
	return reply(535, smtp.EnhancedCode{5, 7, 8}, "Refused ("+string(reason)+")")
}
