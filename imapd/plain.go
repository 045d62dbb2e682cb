package imapd

import (
	"domicile/imapd/wire"
)

// plainVerbs are the commands of any state, and those that speak of the session or the account as a whole.
var plainVerbs = map[string]verb{
	"CAPABILITY":     {run: (*session).capability},
	"NOOP":           {run: (*session).noop},
	"CHECK":          {run: (*session).noop, needs: selected},
	"LOGOUT":         {run: (*session).logout, tells: noUpdates, waits: true},
	"ID":             {run: (*session).id},
	"ENABLE":         {run: (*session).enable},
	"NOTIFY":         {run: (*session).setNotify},
	"NAMESPACE":      {run: (*session).namespace},
	"COMPRESS":       {run: (*session).compress, tells: noUpdates, waits: true},
	"GETQUOTA":       {run: (*session).getQuota},
	"GETQUOTAROOT":   {run: (*session).getQuotaRoot},
	"SETQUOTA":       {run: (*session).setQuota},
	"UNAUTHENTICATE": {run: (*session).unauthenticate, tells: noUpdates, waits: true},
	"LOGIN":          {run: (*session).loggedIn},
	"AUTHENTICATE":   {run: (*session).loggedIn},
	"STARTTLS":       {run: (*session).loggedIn},
}

func (s *session) capability(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	s.conn.Raw("* CAPABILITY ").Raw(s.capabilities()).Line()
	return "", nil
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

// mayUnauthenticate: the connection can go back to its door. A session from another node cannot, since the front carries bytes of which it understands
// none. Nor can one that compresses: where a client's DEFLATE ends and its next plain bytes begin is not to be told.
func (s *session) mayUnauthenticate() bool { return s.hasDoor && !s.deflate }

// unauthenticate is UNAUTHENTICATE (RFC 8437). The door answers it, when nothing of the session is left. Where the connection cannot go on it ends with
// BYE, which RFC 8437 3 has in the place of NO.
func (s *session) unauthenticate(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	if s.mayUnauthenticate() {
		s.unauthenticated = cmd.Tag
		return "", errOver
	}
	s.conn.Raw("* BYE The next login needs another connection").Line()
	s.conn.Raw(cmd.Tag).Raw(" OK UNAUTHENTICATE completed").Line()
	return "", errOver
}

// loggedIn answers what was to be said before the login.
func (s *session) loggedIn(*wire.Command) (string, error) { return "", bad("Logged in already") }

// whoWeAre answers ID: the name alone, since a version would tell a stranger which faults to try.
const whoWeAre = `* ID ("name" "domicile")`

func (s *session) id(cmd *wire.Command) (string, error) {
	if err := readID(cmd); err != nil {
		return "", err
	}
	s.conn.Raw(whoWeAre).Line()
	return "", nil
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

// enablers are the capabilities that change what the server sends, and what enabling each does.
var enablers = map[string]func(*session){
	"IMAP4rev2":   func(s *session) { s.enabled.rev2, s.conn.UTF8 = true, true },
	"CONDSTORE":   func(s *session) { s.enabled.condstore = true },
	"QRESYNC":     func(s *session) { s.enabled.condstore, s.enabled.qresync = true, true },
	"UTF8=ACCEPT": func(s *session) { s.conn.UTF8 = true },
	"UIDONLY":     func(s *session) { s.enabled.uidOnly = true },
	"METADATA":    (*session).noteAnnotations,
}

// enable is ENABLE (RFC 5161), before a mailbox is selected. What is not offered, or cannot be enabled, is passed over.
func (s *session) enable(cmd *wire.Command) (string, error) {
	var names []string
	for first := true; first || cmd.More(); first = false {
		cmd.SP()
		names = append(names, cmd.Word())
	}
	if err := cmd.End(); err != nil {
		return "", err
	}
	if s.view != nil {
		return "", bad("ENABLE comes before a mailbox is selected")
	}
	s.conn.Raw("* ENABLED")
	for _, name := range names {
		name = offer(name)
		if enable := enablers[name]; enable != nil {
			enable(s)
			s.conn.Raw(" ").Raw(name)
		}
	}
	s.conn.Line()
	return "", nil
}

// namespace is NAMESPACE (RFC 2342): everybody has their own mailboxes and no others.
func (s *session) namespace(cmd *wire.Command) (string, error) {
	if err := cmd.End(); err != nil {
		return "", err
	}
	s.conn.Raw(`* NAMESPACE (("" "/")) NIL NIL`).Line()
	return "", nil
}

// greet answers the login.
func (s *session) greet(tag string) {
	s.conn.Raw(tag).Raw(" OK [CAPABILITY ").Raw(s.capabilities()).Raw("] Logged in").Line()
}
