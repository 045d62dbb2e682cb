package message

import (
	"strconv"
	"strings"
)

// MaxString bounds one string of an ENVELOPE or BODYSTRUCTURE; longer ones are cut, between two characters.
const MaxString = 4096

// AppendEnvelope appends what IMAP sends as the ENVELOPE (RFC 9051 7.5.2) of a message: of the root, or of an Embedded part.
// Strings are quoted if they are short printable ASCII, else literals; NUL, which neither can hold, does not occur.
func (m *Message) AppendEnvelope(b []byte, p *Part) []byte {
	w := wire{m: m, b: b}
	w.envelope(m.Envelope(p))
	return w.b
}

// AppendStructure appends what IMAP sends as a part's BODYSTRUCTURE, or as its BODY if not extended.
func (m *Message) AppendStructure(b []byte, p *Part, extended bool) []byte {
	w := wire{m: m, b: b, extended: extended}
	w.structure(p)
	return w.b
}

// wire builds an answer.
type wire struct {
	m          *Message
	b          []byte
	extended   bool
	extensions []span // where in b extension data stand
}

func (w *wire) raw(s string) { w.b = append(w.b, s...) }

func (w *wire) number(n int) { w.b = strconv.AppendInt(w.b, int64(n), 10) }

// str writes a string.
func (w *wire) str(s string) {
	s = clip(s, MaxString)
	if !quotable(s) {
		s = strings.ReplaceAll(s, "\x00", "")
		w.raw("{")
		w.number(len(s))
		w.raw("}\r\n")
		w.raw(s)
		return
	}
	w.raw(`"`)
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			w.b = append(w.b, '\\')
		}
		w.b = append(w.b, s[i])
	}
	w.raw(`"`)
}

// quotable: some clients know no long or 8-bit quoted strings.
func quotable(s string) bool {
	for i := 0; i < len(s); i++ {
		if (s[i] < ' ' || s[i] > '~') && s[i] != '\t' {
			return false
		}
	}
	return len(s) <= 1024
}

// nstr writes a string, "" as NIL.
func (w *wire) nstr(s string) {
	if s == "" {
		w.raw("NIL")
		return
	}
	w.str(s)
}

func (w *wire) envelope(e Envelope) {
	w.raw("(")
	w.nstr(e.Date)
	w.raw(" ")
	w.nstr(e.Subject)
	for _, list := range [][]Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		w.raw(" ")
		w.addresses(list)
	}
	w.raw(" ")
	w.nstr(e.InReplyTo)
	w.raw(" ")
	w.nstr(e.MessageID)
	w.raw(")")
}

func (w *wire) addresses(list []Address) {
	if len(list) == 0 {
		w.raw("NIL")
		return
	}
	w.raw("(")
	for _, a := range list {
		switch a.Kind {
		case GroupStart:
			w.raw("(NIL NIL ")
			w.str(a.Mailbox)
			w.raw(" NIL)")
		case GroupEnd:
			w.raw("(NIL NIL NIL NIL)")
		default: // a NIL host would mark a group
			w.raw("(")
			w.nstr(a.Name)
			w.raw(" ")
			w.nstr(a.Route)
			w.raw(" ")
			w.str(a.Mailbox)
			w.raw(" ")
			w.str(a.Host)
			w.raw(")")
		}
	}
	w.raw(")")
}
