package smtpd

import (
	"errors"

	"github.com/emersion/go-smtp"
)

// counted tells Config.Count of an answer; nil is 250.
func (s *Server) counted(command string, answer error) {
	if s.cfg.Count == nil {
		return
	}
	code := 250
	if e := (*smtp.SMTPError)(nil); errors.As(answer, &e) {
		code = e.Code
	}
	s.cfg.Count(command, code)
}
