package imapd

import (
	"strconv"
	"strings"

	"domicile/imapd/wire"
	"domicile/store"
)

// maxURL bounds a URL, in bytes: a mailbox name, percent-encoded, and the names of some hundred header fields.
const maxURL = 8 << 10

// messageURL names a message or a section of one (RFC 5092 11, imessagepart).
type messageURL struct {
	user, host string // of an absolute URL; else both are ""
	mailbox    string // as the URL has it, in UTF-8; "" = the selected one
	validity   uint32 // 0 = not given
	uid        store.UID
	section    section
}

// parseURL reads a URL. ok is false for one that is malformed, that names no message, or that cannot be of this server: of another scheme, without a
// user, at a port that is not IMAP's. A relative URL names its mailbox by an absolute path, or begins with the UID of a message of the
// selected one; a mailbox named relative to another one is ambiguous, and RFC 5092 7.2 has it refused.
func parseURL(text string) (u messageURL, ok bool) {
	if len(text) > maxURL || strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
		return u, false
	}
	if scheme, rest, absolute := strings.Cut(text, ":"); absolute && strings.EqualFold(scheme, "imap") {
		if text = rest; !strings.HasPrefix(text, "//") {
			return u, false
		}
	}
	if server, ok := strings.CutPrefix(text, "//"); ok {
		var path string
		server, path, _ = strings.Cut(server, "/")
		if !u.readServer(server) {
			return u, false
		}
		text = "/" + path
	}
	path, absolute := strings.CutPrefix(text, "/")
	if path = withoutDots(path); !absolute {
		path = "/" + path // behind the mailbox, which is the selected one
	}
	return u, u.readPath(path) && absolute == (u.mailbox != "")
}

// readServer reads "user;AUTH=mechanism@host:port". How to log in is of no use to who is logged in.
func (u *messageURL) readServer(text string) (ok bool) {
	user, host, named := strings.Cut(text, "@")
	user, auth, login := strings.Cut(user, ";")
	_, mechanism, _ := cutFold(auth, "AUTH=")
	host, port, _ := strings.Cut(host, ":")
	if u.user, ok = percentDecoded(user, isAchar); !ok || !named || login && mechanism == "" || port != "" && port != "143" {
		return false
	}
	u.host, ok = percentDecoded(host, isAchar)
	return ok && u.user != "" && u.host != ""
}

// readPath reads "mailbox;UIDVALIDITY=n/;UID=n/;SECTION=text/;PARTIAL=n.n". A ";" stands nowhere else.
func (u *messageURL) readPath(text string) (ok bool) {
	text, partial, hasPartial := cutFold(text, "/;PARTIAL=")
	text, section, hasSection := cutFold(text, "/;SECTION=")
	mailbox, uid, _ := cutFold(text, "/;UID=")
	mailbox, validity, hasValidity := cutFold(mailbox, ";UIDVALIDITY=")
	n, ok := positive(uid)
	if u.uid = store.UID(n); !ok {
		return false
	}
	if u.validity, ok = positive(validity); hasValidity && !ok {
		return false
	}
	if u.mailbox, ok = percentDecoded(mailbox, isBchar); !ok || hasSection && !u.readSection(section) {
		return false
	}
	return !hasPartial || u.section.readRange(partial)
}

// readSection reads what stands between the brackets of a FETCH.
func (u *messageURL) readSection(text string) bool {
	spec, ok := percentDecoded(text, isBchar)
	if !ok || spec == "" {
		return false
	}
	args := wire.Arguments("[" + spec + "]")
	u.section = readSection(args, "BODY")
	return args.End() == nil
}

// readRange reads "offset.count", or an offset alone: from there to the end.
func (s *section) readRange(text string) bool {
	offset, count, counted := strings.Cut(text, ".")
	s.partial, s.count = true, 1<<63-1
	var err error
	if s.offset, err = strconv.ParseUint(offset, 10, 63); err != nil {
		return false
	}
	if counted {
		s.count, err = strconv.ParseUint(count, 10, 63)
	}
	return err == nil && s.count > 0
}

func positive(digits string) (n uint32, ok bool) {
	v, err := strconv.ParseUint(digits, 10, 32)
	return uint32(v), err == nil && v > 0
}

// cutFold is strings.Cut around sep in whatever case, of ASCII.
func cutFold(text, sep string) (before, after string, found bool) {
	if i := strings.Index(strings.ToUpper(text), sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

// withoutDots resolves the segments "." and ".." of a path (RFC 3986 5.2.4).
func withoutDots(path string) string {
	segments := strings.Split(path, "/")
	kept := segments[:0]
	for i, s := range segments {
		dots := s == "." || s == ".."
		if s == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if !dots {
			kept = append(kept, s)
		} else if i == len(segments)-1 {
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/")
}

// isAchar: RFC 5092 11, achar but for what is percent-encoded.
func isAchar(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || strings.IndexByte("-._~!$'()*+,&=", b) >= 0
}

func isBchar(b byte) bool { return isAchar(b) || b == ':' || b == '@' || b == '/' }

// percentEncoded writes text with all bytes percent-encoded that are not plain.
func percentEncoded(text string, plain func(byte) bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if c := text[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		}
	}
	return b.String()
}

// percentDecoded undoes it. ok is false where a byte is neither plain nor encoded.
func percentDecoded(text string, plain func(byte) bool) (s string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '%' && i+2 < len(text):
			n, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(n))
			i += 2
		case plain(text[i]):
			b.WriteByte(text[i])
		default:
			return "", false
		}
	}
	return b.String(), true
}
