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

const (
	maxFails     = 3       // failed logins on one connection
	sessionBytes = 1 << 40 // ceiling of one session
)

// The answers of RFC 4954 4 and 6. The first is the same for a name that is unknown, one that lives in another region, and a wrong
// password.
var (
	errWrongLogin    = reply(535, smtp.EnhancedCode{5, 7, 8}, "No such account in this region, or the wrong password; an account logs in at its home region")
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

// login checks a password and puts the connection under a permit of its own. Unknown and wrong look alike, in words and in time.
func (s *submitSession) login(name, password string) (answer error) {
	result := LoginUnavailable
	defer func() {
		if s.srv.cfg.Login != nil {
			s.srv.cfg.Login(result)
		}
	}()
	began := time.Now()
	a, err := s.srv.cfg.Check.Account(s.srv.ctx, name, password)
	if domicile.KindOf(err) == domicile.NotExist {
		result = LoginWrong
		s.srv.fails.Wait(s.srv.ctx, login.Network(s.gate.RemoteAddr()), began)
		if s.fails++; s.fails >= maxFails {
			s.gate.finish = true
			return errTooManyLogins
		}
		return errWrongLogin
	}
	if err != nil {
		return errLoginNow
	}
	if no := stateAnswer(a); no != nil {
		if a.State == store.Suspended {
			result = LoginRefused
		}
		return no
	}
	if err := s.srv.attach(s.gate, a); err != nil {
		s.srv.cfg.Log.Warn("a session was refused", "account", string(a.ID), "reason", string(domicile.ReasonOf(err)))
		if domicile.KindOf(err) == domicile.Refused && domicile.ReasonOf(err) != domicile.JournalUnavailable {
			result = LoginRefused
			return reply(535, smtp.EnhancedCode{5, 7, 8}, "Refused ("+string(domicile.ReasonOf(err))+")")
		}
		return errLoginNow
	}
	result = LoginOK
	s.account = a
	return nil
}

// stateAnswer says why an account may not send, nil if it may.
func stateAnswer(a store.Account) error {
	switch a.State {
	case store.Active:
		return nil
	case store.Suspended:
		return errLoginRefused
	}
	return errLoginNow // it is on its way to another region
}

// underPermit puts a connection under a stream permit for the account, so that the session is on record.
func (s *Server) underPermit(c net.Conn, a store.Account) error {
	front, ok := region.FrontConn(c)
	if !ok {
		return domicile.Refuse("session", domicile.NoPermit, "house/one-door", "the connection is not one of the region's front")
	}
	p, err := s.cfg.Guard.Permit(s.ctx, region.Request{Crossing: placement.Crossing{
		Class: domicile.ClientSession, Kind: placement.Stream, From: s.cfg.Region, Party: placement.ToClient,
		Account: a.ID, Home: s.cfg.Region, Ceiling: min(sessionBytes, placement.Ceiling(domicile.ClientSession, placement.Stream)),
	}})
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
	return stateAnswer(a)
}
