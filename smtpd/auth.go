package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// How a login on the submission ports ends.
const (
	LoginOK          = "ok"
	LoginWrong       = "wrong"       // no such account here, or the wrong password
	LoginRefused     = "refused"     // suspended, or the border says no
	LoginUnavailable = "unavailable" // not now
)

const maxFails = 3 // failed logins on one connection

// The answers of RFC 4954 4 and 6. The first is the same for a name that is unknown and for a wrong password.
var (
	errWrongLogin    = reply(535, smtp.EnhancedCode{5, 7, 8}, "No such account, or the wrong password")
	errLoginRefused  = reply(535, smtp.EnhancedCode{5, 7, 13}, "The account is suspended")
	errLoginNow      = reply(454, smtp.EnhancedCode{4, 7, 0}, "Not now; try again later")
	errLoginWithin   = reply(503, smtp.EnhancedCode{5, 5, 1}, "AUTH stands before MAIL")
	errMechanism     = reply(504, smtp.EnhancedCode{5, 5, 4}, "The mechanism is not offered; EHLO says which are")
	errMalformed     = reply(501, smtp.EnhancedCode{5, 5, 2}, "The response is malformed, or was made for another connection")
	errNotOneself    = reply(535, smtp.EnhancedCode{5, 7, 8}, "An account can act for itself alone")
	errLoginMissing  = reply(530, smtp.EnhancedCode{5, 7, 0}, "Log in first")
	errCancelled     = reply(421, smtp.EnhancedCode{4, 7, 0}, "The login before was cancelled; connect again")
	errLoginOver     = reply(421, smtp.EnhancedCode{4, 7, 0}, "The password of this session lets nobody in any more")
	errTooManyLogins = reply(421, smtp.EnhancedCode{4, 7, 0}, "Too many failed logins")
)

// mayLogin says whether a password may travel on the connection: within TLS, or in a lab within this machine.
func (s *Server) mayLogin(g *gate) bool {
	loopback := func(a net.Addr) bool {
		t, ok := a.(*net.TCPAddr)
		return ok && t.IP.IsLoopback()
	}
	return g.within() || s.cfg.Lab && loopback(g.RemoteAddr()) && loopback(g.LocalAddr())
}

// AuthMechanisms are those that EHLO offers.
func (s *submitSession) AuthMechanisms() []string {
	if !s.srv.mayLogin(s.gate) {
		return nil
	}
	return s.options().Mechanisms()
}

// options are those of a login on this connection. A login is bound to TLS where it ends at a node that has the accounts of the region
// whose host the client asked for.
func (s *submitSession) options() login.Options {
	o := login.Options{Salt: s.srv.cfg.Check.Salt, Verify: s.verify}
	if c, ok := s.gate.Conn.(*tls.Conn); ok && s.srv.cfg.Home != nil && s.srv.cfg.HostOf != nil {
		o.Binding = login.Binding(c, s.srv.cfg.HostOf(s.srv.cfg.Region))
	}
	return o
}

// Auth begins a login.
func (s *submitSession) Auth(mechanism string) (sasl.Server, error) {
	switch {
	case s.mail:
		return nil, errLoginWithin
	case s.onward != nil: // verified, and cancelled by the client: the connection may be under a permit already
		s.gate.finish = true
		return nil, errCancelled
	}
	x, err := s.options().Begin(mechanism)
	if err != nil {
		return nil, errMechanism
	}
	return &exchange{s, x}, nil
}

// exchange gives the steps of a login the answers of SMTP, and has the session begin behind the last.
type exchange struct {
	s *submitSession
	x *login.Exchange
}

// Next takes the client's answer to the last challenge.
func (e *exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = e.x.Next(response)
	var no *smtp.SMTPError
	switch {
	case err == nil && done:
		e.s.onward()
		return nil, true, nil
	case err == nil, errors.As(err, &no):
		return challenge, false, err
	case errors.Is(err, login.ErrOther):
		return nil, false, errNotOneself
	}
	return nil, false, errMalformed
}

// verify checks a credential at the account's home, and before anything is taken puts the connection under a permit. Unknown and wrong
// look alike, in words and in time.
func (s *submitSession) verify(c login.Credential) (signature []byte, err error) {
	began := time.Now()
	network := login.Network(s.gate.RemoteAddr())
	var loc placement.Location
	if err = s.srv.cfg.Check.Tries.May(network, c.Name); err == nil {
		loc, signature, err = s.atHome(c)
	}
	if s.srv.cfg.Login != nil {
		s.srv.cfg.Login(loginResult(err))
	}
	if err == nil {
		s.srv.cfg.Check.Tries.Right(network, c.Name)
		return signature, nil
	}
	if domicile.KindOf(err) == domicile.NotExist {
		s.srv.cfg.Check.Tries.Wait(s.srv.ctx, network, c.Name, began)
		if s.fails++; s.fails >= maxFails {
			s.gate.finish = true
			return nil, errTooManyLogins
		}
	}
	return nil, s.srv.loginAnswer(err, loc.Home)
}

// atHome verifies at home, wherever that is.
func (s *submitSession) atHome(c login.Credential) (loc placement.Location, signature []byte, err error) {
	loc, err = s.srv.locate(c.Name)
	switch {
	case err == nil:
		signature, err = s.at(c, loc)
		if now, moved := s.srv.movedOn(c.Name, loc, err); moved {
			loc = now
			signature, err = s.at(c, now)
		}
	case domicile.KindOf(err) == domicile.NotExist:
		err = s.srv.cfg.Check.Nobody(s.srv.ctx, s.from(), c) // the same work as for an account that rests here
	}
	return loc, signature, err
}

func (s *submitSession) from() login.From {
	return login.From{Service: login.SMTP, Network: login.Network(s.gate.RemoteAddr())}
}

// at logs in at the account's home: here, or through a tunnel.
func (s *submitSession) at(c login.Credential, loc placement.Location) (signature []byte, err error) {
	switch srv := s.srv; {
	case srv.isHome(loc):
		return s.here(c)
	case srv.open == nil || login.Bound(c): // bound to TLS that ends here: it is meant for an account that is at home here
		return nil, srv.cfg.Check.Nobody(srv.ctx, s.from(), c)
	}
	return s.away(c, loc)
}

func (s *Server) isHome(loc placement.Location) bool {
	return loc.Home == s.cfg.Region && s.cfg.Home != nil
}

func loginResult(err error) string {
	switch domicile.KindOf(err) {
	case domicile.NotExist:
		return LoginWrong
	case domicile.Refused:
		return LoginRefused
	}
	if err != nil {
		return LoginUnavailable
	}
	return LoginOK
}

// here logs in to an account of this node.
func (s *submitSession) here(c login.Credential) (signature []byte, err error) {
	who, err := s.srv.cfg.Check.Verify(s.srv.ctx, s.from(), c)
	a := who.Account
	if err == nil {
		err = login.MayServe(a)
	}
	if err != nil {
		return nil, err
	}
	if err := s.srv.attach(s.gate, a); err != nil {
		s.srv.cfg.Log.Warn("a session was refused", "account", string(a.ID), "reason", string(domicile.ReasonOf(err)))
		return nil, err
	}
	s.onward = func() { s.account, s.means = a, who.Means }
	return who.Signature, nil
}

// underPermit puts a connection under a stream permit for the account, so that the session is on record.
func (s *Server) underPermit(c net.Conn, a store.Account) error {
	front, ok := region.FrontConn(c)
	if !ok {
		return domicile.Refuse("session", domicile.NoPermit, "house/one-door", "the connection is not one of the region's front")
	}
	p, err := s.cfg.Guard.Permit(s.ctx, region.Request{Crossing: front.Crossing(a.ID, s.cfg.Region)})
	if err != nil {
		return err
	}
	if err := front.Attach(p); err != nil {
		p.Close()
		return err
	}
	return nil
}

// checkNow reads the account again: it may have been suspended, or moved, since it logged in, and what it logged in with may have been taken away.
func (s *submitSession) checkNow(ctx context.Context) error {
	if s.account.ID == "" {
		return errLoginMissing
	}
	a, err := s.srv.cfg.Queue.cfg.Store.Account(ctx, s.account.ID)
	if err != nil {
		return errLoginNow
	}
	if err := login.MayServe(a); err != nil {
		return s.srv.loginAnswer(err, s.srv.cfg.Region)
	}
	if !s.means.Stand(a) {
		s.gate.finish = true
		return errLoginOver
	}
	return nil
}
