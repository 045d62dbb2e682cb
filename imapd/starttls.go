package imapd

import "strings"

// startTLS answers STARTTLS (RFC 9051 6.2.1) in imapserver's place; false if there is more on the line, which imapserver
// refuses. The connection goes to a new gate and a new session within TLS, so that nothing said in the clear is remembered. A
// client that has sent more already is cut off: what stands behind the command may be somebody else's (CVE-2011-0411).
func (g *gate) startTLS(line string) bool {
	tag, rest, _ := strings.Cut(line, " ")
	switch {
	case len(rest) != len("STARTTLS"):
		return false
	case g.br.Buffered() > 0:
		g.bye("* BYE [CLIENTBUG] Nothing may follow STARTTLS before its answer\r\n")
	default:
		g.bye(tag + " OK Begin TLS negotiation now\r\n")
		g.handed.Store(true)
		g.upgrade()
	}
	return true
}
