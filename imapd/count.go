package imapd

import (
	"errors"

	"github.com/emersion/go-imap/v2"
)

// How a login ends.
const (
	LoginOK          = "ok"
	LoginWrong       = "wrong"       // no such account, or the wrong password
	LoginRefused     = "refused"     // suspended, or the border says no
	LoginUnavailable = "unavailable" // not now
)

// counted tells Config.Count of the answer to a login.
func (s *Server) counted(answer error) {
	if s.cfg.Count == nil {
		return
	}
	result := LoginOK
	if answer != nil {
		result = LoginUnavailable
	}
	if e := (*imap.Error)(nil); errors.As(answer, &e) {
		switch e.Code {
		case imap.ResponseCodeAuthenticationFailed:
			result = LoginWrong
		case imap.ResponseCodeAuthorizationFailed:
			result = LoginRefused
		}
	}
	s.cfg.Count(result)
}
