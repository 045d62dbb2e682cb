package imapd

import (
	"domicile/imapd/wire"
)

// plainVerbs are the commands of any state.
var plainVerbs = map[string]verb{
	"NOOP":   {run: (*session).noop},
	"CHECK":  {run: (*session).noop, needs: selected},
	"LOGOUT": {run: (*session).logout, tells: noUpdates},
}

func (s *session) noop(cmd *wire.Command) (string, error) { return "", cmd.End() }

func (s *session) logout(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	s.conn.Raw("* BYE Logging out").Line()
	s.conn.Raw(cmd.Tag).Raw(" OK LOGOUT completed").Line()
	return "", errOver
}

// readID reads the arguments of ID (RFC 2971 3.1): NIL, or up to 30 names and values, of which nothing is kept.
func readID(cmd *wire.Command) error {
	cmd.SP()
	if cmd.Take("NIL") {
		return cmd.End()
	}
	cmd.List(30, true, func() {
		_ = cmd.String()
		cmd.SP()
		cmd.Nstring()
	})
	return cmd.End()
}

// greet answers the login.
func (s *session) greet(tag string) {
	s.conn.Raw(tag).Raw(" OK [CAPABILITY ").Raw(s.capabilities()).Raw("] Logged in").Line()
}

func (s *session) capabilities() string { return "IMAP4rev1" }
