package imapd

import (
	"net"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// Limits against guessing.
const (
	maxFails     = 3       // on one connection
	sessionBytes = 1 << 40 // ceiling of one session
)

var errWrongLogin = no(imap.ResponseCodeAuthenticationFailed, "No such account here, or the wrong password")

// Login checks a password and, before any byte of a mailbox can leave, puts the connection under a permit. Unknown and
// wrong look alike, in words and in time.
func (s *session) Login(name, password string) (answer error) {
	defer func() { s.srv.counted(answer) }()
	began := time.Now()
	a, err := s.srv.check.Account(s.ctx(), name, password)
	if domicile.KindOf(err) == domicile.NotExist {
		return s.failed(began)
	}
	if err != nil {
		return failure(err)
	}
	switch a.State {
	case store.Active:
	case store.Suspended:
		return no(imap.ResponseCodeAuthorizationFailed, "The account is suspended")
	default:
		return no(imap.ResponseCodeUnavailable, "The account is on its way to another region; try again later")
	}
	if err := s.srv.attach(s.gate, a); err != nil {
		s.srv.cfg.Log.Warn("a session was refused", "account", string(a.ID), "reason", string(domicile.ReasonOf(err)))
		if domicile.KindOf(err) == domicile.Refused && domicile.ReasonOf(err) != domicile.JournalUnavailable {
			return no(imap.ResponseCodeAuthorizationFailed, "Refused ("+string(domicile.ReasonOf(err))+")")
		}
		return no(imap.ResponseCodeUnavailable, "Not now; try again later")
	}
	s.acct = a.ID
	s.gate.loggedIn = true
	return nil
}

// failed answers a wrong login, the later the more there were from the same network.
func (s *session) failed(began time.Time) error {
	s.srv.fails.Wait(s.ctx(), login.Network(s.gate.RemoteAddr()), began)
	if s.fails++; s.fails >= maxFails {
		s.gate.bye("* BYE [AUTHENTICATIONFAILED] Too many failed logins\r\n")
	}
	return errWrongLogin
}

// underPermit puts a connection under a stream permit for the account.
func (srv *Server) underPermit(c net.Conn, a store.Account) error {
	front, ok := region.FrontConn(c)
	if !ok {
		return domicile.Refuse("session", domicile.NoPermit, "house/one-door", "the connection is not one of the region's front")
	}
	p, err := srv.cfg.Guard.Permit(srv.ctx, region.Request{Crossing: placement.Crossing{
		Class: domicile.ClientSession, Kind: placement.Stream, From: srv.cfg.Region, Party: placement.ToClient,
		Account: a.ID, Home: srv.cfg.Region, Ceiling: min(sessionBytes, placement.Ceiling(domicile.ClientSession, placement.Stream)),
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
