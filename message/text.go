package message

import (
	"iter"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// MaxText bounds what is decoded of a message for search, in bytes of UTF-8: about what a thousand printed pages hold.
const MaxText = 8 << 20

// TextKind says where a text stands.
type TextKind uint8

// The kinds of text. SEARCH TEXT looks into all of them, SEARCH BODY into all but HeaderText.
const (
	HeaderText TextKind = iota // a field of the message's header, "Name: value", unfolded
	BodyText                   // a body as it is read; a field of an embedded message's header
	NameText                   // of a part: its file name or description
)

// Texts yields all that a person could read in the message, decoded: transfer encodings, charsets, encoded words, parameters of
// RFC 2231; of HTML only what is seen. Embedded messages are read like all else. The texts come in the order of the message,
// are valid UTF-8, not folded, and no match goes across two of them. Behind MaxText bytes of them no more is yielded.
func (m *Message) Texts() iter.Seq2[TextKind, string] {
	return func(yield func(TextKind, string) bool) {
		r := textReader{m: m, left: MaxText, yield: yield}
		_ = r.header(HeaderText, m.Root) && r.part(m.Root)
	}
}

// textReader is one run of Texts. Its methods return false when no more is wanted.
type textReader struct {
	m     *Message
	left  int
	yield func(TextKind, string) bool
}

func (r *textReader) say(kind TextKind, text string) bool {
	text = clip(text, r.left)
	r.left -= len(text)
	return (text == "" || r.yield(kind, text)) && r.left > 0
}

func (r *textReader) header(kind TextKind, p *Part) bool {
	for name, value := range fieldsIn(r.m.Header(p)) {
		text := DecodeHeader(unfold(value))
		if name != "" {
			text = repair([]byte(name)) + ": " + text
		}
		if !r.say(kind, text) {
			return false
		}
	}
	return true
}

func (r *textReader) part(p *Part) bool {
	if !r.say(NameText, p.FileName()) || !r.say(NameText, DecodeHeader(p.Description)) {
		return false
	}
	if p.Embedded != nil {
		return r.header(BodyText, p.Embedded) && r.part(p.Embedded)
	}
	for _, child := range p.Parts {
		if !r.part(child) {
			return false
		}
	}
	if p.Type == "text" || p.Type == "message" {
		return r.say(BodyText, r.m.text(p, r.left))
	}
	return true
}

// Text returns what is seen of a text part, decoded: at most MaxText bytes of valid UTF-8.
func (m *Message) Text(p *Part) string { return clip(m.text(p, MaxText), MaxText) }

// text decodes limit bytes at most of a part's body.
func (m *Message) text(p *Part, limit int) string {
	b := decodeTransfer(p.Encoding, m.Body(p), limit)
	name := p.param("charset")
	if p.Type != "text" || p.Subtype != "html" {
		text := toUTF8(name, b)
		if strings.EqualFold(p.param("format"), "flowed") && strings.EqualFold(p.param("delsp"), "yes") { // RFC 3676 4.2
			text = strings.ReplaceAll(strings.ReplaceAll(text, " \r\n", ""), " \n", "")
		}
		return text
	}
	if name == "" && !utf8.Valid(b) {
		_, name, _ = charset.DetermineEncoding(b, "text/html")
	}
	return visible(toUTF8(name, b))
}

// clip cuts s to at most n bytes, between two characters if it is UTF-8.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > max(0, n-utf8.UTFMax); i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}
