package imapd

import (
	"errors"

	"domicile"
)

// How a login ends.
const (
	LoginOK          = "ok"
	LoginWrong       = "wrong"       // no such account, or the wrong password
	LoginRefused     = "refused"     // suspended, not abroad, or the border says no
	LoginReferred    = "referred"    // to the home's host
	LoginUnavailable = "unavailable" // not now
)

// counted tells Config.Count how a login ended.
func (s *Server) counted(err error) {
	if s.cfg.Count == nil {
		return
	}
	var r *referral
	switch {
	case err == nil:
		s.cfg.Count(LoginOK)
	case errors.As(err, &r):
		s.cfg.Count(LoginReferred)
	case domicile.KindOf(err) == domicile.NotExist:
		s.cfg.Count(LoginWrong)
	case domicile.KindOf(err) == domicile.Refused:
		s.cfg.Count(LoginRefused)
	default:
		s.cfg.Count(LoginUnavailable)
	}
}
