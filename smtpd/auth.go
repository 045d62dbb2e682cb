package smtpd

import (
	"context"
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
	errMechanism     = reply(504, smtp.EnhancedCode{5, 5, 4}, "PLAIN and LOGIN are offered")
	errNotOneself    = reply(535, smtp.EnhancedCode{5, 7, 8}, "An account can act for itself alone")
	errLoginMissing  = reply(530, smtp.EnhancedCode{5, 7, 0}, "Log in first")
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
	return []string{sasl.Plain, sasl.Login}
}

// Auth begins a login.
func (s *submitSession) Auth(mechanism string) (sasl.Server, error) {
	if s.mail {
		return nil, errLoginWithin
	}
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(identity, name, password string) error {
			if identity != "" && identity != name {
				return errNotOneself
			}
			return s.login(name, password)
		}), nil
	case sasl.Login:
		return &loginServer{login: s.login}, nil
	}
	return nil, errMechanism
}

// login checks a password at the account's home, and before anything is taken puts the connection under a permit. Unknown and wrong
// look alike, in words and in time.
func (s *submitSession) login(name, password string) error {
	began := time.Now()
	c := region.Credential{Name: name, Password: password}
	loc, err := s.srv.locate(name)
	switch {
	case err == nil:
		err = s.at(c, loc)
		if now, moved := s.srv.movedOn(name, loc, err); moved {
			loc, err = now, s.at(c, now)
		}
	case domicile.KindOf(err) == domicile.NotExist:
		_, err = s.srv.nobody.Account(s.srv.ctx, name, password) // the same work as for an account that rests here
	}
	if s.srv.cfg.Login != nil {
		s.srv.cfg.Login(loginResult(err))
	}
	if err == nil {
		return nil
	}
	if domicile.KindOf(err) == domicile.NotExist {
		s.srv.fails.Wait(s.srv.ctx, login.Network(s.gate.RemoteAddr()), began)
		if s.fails++; s.fails >= maxFails {
			s.gate.finish = true
			return errTooManyLogins
		}
	}
	return s.srv.loginAnswer(err, loc.Home)
}

// at logs in at the account's home: here, or through a tunnel.
func (s *submitSession) at(c region.Credential, loc placement.Location) error {
	switch srv := s.srv; {
	case srv.isHome(loc):
		return s.here(c.Name, c.Password)
	case srv.open == nil:
		_, err := srv.nobody.Account(srv.ctx, c.Name, c.Password)
		return err
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
func (s *submitSession) here(name, password string) error {
	a, err := s.srv.cfg.Check.Account(s.srv.ctx, name, password)
	if err == nil {
		err = login.MayServe(a)
	}
	if err != nil {
		return err
	}
	if err := s.srv.attach(s.gate, a); err != nil {
		s.srv.cfg.Log.Warn("a session was refused", "account", string(a.ID), "reason", string(domicile.ReasonOf(err)))
		return err
	}
	s.account = a
	return nil
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

// loginServer is the mechanism LOGIN, which no RFC describes and old programs use: name and password, each asked for.
type loginServer struct {
	login func(name, password string) error
	name  string
	asked int
}

// Next takes the client's answer to the last challenge.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && l.asked == 0 {
		l.asked = 1
		return []byte("Username:"), false, nil
	}
	if l.asked < 2 { // the name, asked for or sent with AUTH
		l.name, l.asked = string(response), 2
		return []byte("Password:"), false, nil
	}
	return nil, true, l.login(l.name, string(response))
}

// checkNow reads the account again: it may have been suspended, or moved, since it logged in.
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
	return nil
}
