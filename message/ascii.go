package message

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Is8Bit reports whether an ENVELOPE or BODYSTRUCTURE, as IMAP sends it, has bytes past ASCII, as those of internationalized messages have (RFC 6532).
func Is8Bit[S string | []byte](answer S) bool {
	for i := 0; i < len(answer); i++ {
		if answer[i] >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// ASCIIEnvelope is an ENVELOPE, as [Message.AppendEnvelope] writes it, for a client that knows no UTF-8 (RFC 6858 2): texts are encoded words (RFC 2047), a domain is
// its A-label (RFC 5890), and an address that has no form in ASCII stands in its own display name. Strings that are not UTF-8 either stay as they are, and so does
// an answer of more than 64 KiB.
func ASCIIEnvelope(answer string) string { return inASCII(answer, (*asciiWriter).envelope) }

// ASCIIStructure is that for a BODYSTRUCTURE or BODY, as [Message.AppendStructure] writes it. Values of parameters are encoded as RFC 2231 has it.
func ASCIIStructure(answer string) string { return inASCII(answer, (*asciiWriter).structure) }

// maxASCII bounds the answers that are written anew: in memory they take many times as much.
const maxASCII = 64 << 10

func inASCII(answer string, write func(*asciiWriter, item)) string {
	if len(answer) > maxASCII {
		return answer
	}
	r := itemReader{s: answer}
	it, ok := r.item(0)
	if !ok || r.s != "" {
		return answer // of what this package did not write nothing is known
	}
	var w asciiWriter
	write(&w, it)
	return string(w.b)
}

// item is a list, a string, or an atom: NIL or a number.
type item struct {
	kind byte // '(', '"' or 'a'
	text string
	list []item
	glue bool // stands right behind the item before it, without a space
}

// itemReader reads what wire wrote.
type itemReader struct{ s string }

// maxItemDepth is more than a structure of MaxDepth parts, with what is in it, can have.
const maxItemDepth = 4*MaxDepth + 16

func (r *itemReader) item(depth int) (it item, ok bool) {
	if r.s == "" || depth > maxItemDepth {
		return it, false
	}
	switch r.s[0] {
	case '(':
		r.s = r.s[1:]
		it.kind = '('
		for glue := true; r.s != "" && r.s[0] != ')'; {
			next, ok := r.item(depth + 1)
			if !ok {
				return it, false
			}
			next.glue = glue
			it.list = append(it.list, next)
			if glue = !strings.HasPrefix(r.s, " "); !glue {
				r.s = r.s[1:]
			}
		}
		if r.s == "" {
			return it, false
		}
		r.s = r.s[1:]
		return it, true
	case '"':
		return r.quoted()
	case '{':
		return r.literal()
	}
	n := strings.IndexAny(r.s, " ()")
	if n <= 0 {
		return it, false
	}
	it.kind, it.text, r.s = 'a', r.s[:n], r.s[n:]
	return it, true
}

func (r *itemReader) quoted() (it item, ok bool) {
	var text []byte
	for i := 1; i < len(r.s); i++ {
		switch r.s[i] {
		case '"':
			r.s = r.s[i+1:]
			return item{kind: '"', text: string(text)}, true
		case '\\':
			if i++; i == len(r.s) {
				return it, false
			}
		}
		text = append(text, r.s[i])
	}
	return it, false
}

func (r *itemReader) literal() (it item, ok bool) {
	head, rest, found := strings.Cut(r.s, "}\r\n")
	n := 0
	if _, err := fmt.Sscanf(head, "{%d", &n); !found || err != nil || n < 0 || n > len(rest) {
		return it, false
	}
	r.s = rest[n:]
	return item{kind: '"', text: rest[:n]}, true
}

// asciiWriter writes items anew.
type asciiWriter struct{ wire }

// each writes a list, its members by their place.
func (w *asciiWriter) each(it item, member func(i int, it item)) {
	if it.kind != '(' {
		w.text(it)
		return
	}
	w.raw("(")
	for i, m := range it.list {
		if !m.glue {
			w.raw(" ")
		}
		member(i, m)
	}
	w.raw(")")
}

// text writes a text, and whatever has no meaning of its own, as encoded words.
func (w *asciiWriter) text(it item) {
	switch {
	case it.kind == '(':
		w.each(it, func(_ int, m item) { w.text(m) })
	case it.kind == 'a':
		w.raw(it.text)
	case isUTF8(it.text):
		w.str(encodedWords(it.text))
	default:
		w.str(it.text)
	}
}

// asIs writes what has no form in ASCII: then it is absent (RFC 6858 2.4).
func (w *asciiWriter) asIs(it item) {
	if it.kind == '"' && isUTF8(it.text) {
		w.raw("NIL")
		return
	}
	w.text(it)
}

func (w *asciiWriter) envelope(it item) {
	w.each(it, func(i int, m item) {
		switch i {
		case 1:
			w.text(m)
		case 2, 3, 4, 5, 6, 7:
			w.each(m, func(_ int, m item) { w.address(m) })
		default: // dates and message ids
			w.asIs(m)
		}
	})
}

// address writes one address (RFC 6858 2.1).
func (w *asciiWriter) address(it item) {
	if len(it.list) != 4 {
		w.text(it)
		return
	}
	name, route, mailbox, host := it.list[0], it.list[1], it.list[2], it.list[3]
	if isUTF8(host.text) && len(host.text) <= maxDomain {
		if ascii, err := idna.Lookup.ToASCII(host.text); err == nil {
			host.text = ascii
		}
	}
	if host.kind == '"' && (isUTF8(mailbox.text) || isUTF8(host.text)) {
		shown := mailbox.text + "@" + it.list[3].text
		if name.kind == '"' {
			shown = name.text + " <" + shown + ">"
		}
		name, mailbox.text, host.text = item{kind: '"', text: shown}, "invalid", "internationalized-address.invalid"
	}
	w.raw("(")
	w.text(name)
	w.raw(" ")
	w.asIs(route)
	w.raw(" ")
	w.text(mailbox) // of a group, its name
	w.raw(" ")
	w.text(host)
	w.raw(")")
}

const maxDomain = 255 // octets (RFC 1035 2.3.4)

func (w *asciiWriter) structure(it item) {
	if len(it.list) == 0 {
		w.text(it)
		return
	}
	parts := 0 // of a multipart
	for parts < len(it.list) && it.list[parts].kind == '(' {
		parts++
	}
	embedded := parts == 0 && len(it.list) > 8 && it.list[7].kind == '('
	// Where the extension data begin: parameters of a multipart, the MD5 of another part.
	extension := parts + 1
	if parts == 0 {
		extension = 7
		if embedded {
			extension = 10
		} else if strings.EqualFold(it.list[0].text, "text") {
			extension = 8
		}
	}
	w.each(it, func(i int, m item) {
		switch {
		case i < parts, embedded && i == 8:
			w.structure(m)
		case embedded && i == 7:
			w.envelope(m)
		case parts == 0 && i == 2, parts > 0 && i == extension:
			w.params(m)
		case i == extension+1 && m.kind == '(': // the disposition
			w.each(m, func(i int, m item) {
				if i == 1 {
					w.params(m)
				} else {
					w.text(m)
				}
			})
		case parts == 0 && i == 3, i == extension, i == extension+3: // the id, the MD5, the location
			w.asIs(m)
		default:
			w.text(m)
		}
	})
}

// params writes parameters, those past ASCII as RFC 2231 4 has it.
func (w *asciiWriter) params(it item) {
	var name string
	w.each(it, func(i int, m item) {
		if i%2 == 0 && i+1 < len(it.list) {
			if name = m.text; isUTF8(it.list[i+1].text) && !isUTF8(name) && !strings.HasSuffix(name, "*") {
				m.text += "*"
			}
			w.text(m)
			return
		}
		if m.kind == '"' && isUTF8(m.text) {
			m.text = percent(clip(m.text, MaxString/4)) // each byte becomes three at most
			if !strings.HasSuffix(name, "*") {
				m.text = "utf-8''" + m.text
			}
		}
		w.text(m)
	})
}

// percent encodes what is no attribute-char (RFC 2231 7).
func percent(s string) string {
	var b bytes.Buffer
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`*'%()<>@,;:\"/[]?=`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isUTF8: past ASCII, and readable.
func isUTF8(s string) bool { return Is8Bit(s) && utf8.ValidString(s) }

// encodedWords encodes a text. Encoded words that are in it already are decoded first.
func encodedWords(s string) string {
	return mime.QEncoding.Encode("utf-8", clip(DecodeHeader(s), MaxString/4)) // each byte becomes three at most, with what is around each word
}
