package message

import "bytes"

// Limits of Parse. Past them structure is no longer looked for.
const (
	MaxParts     = 1000    // parts of a message, embedded messages included
	MaxDepth     = 100     // levels of nesting
	MaxHeader    = 1 << 20 // bytes of a header in which fields are looked for; behind them only its end is
	MaxValue     = 1 << 16 // bytes of one header value that are looked at
	MaxParams    = 100     // parameters of one header value
	MaxAddresses = 2000    // addresses of one header value, group marks included
	MaxName      = 256     // bytes of a field name that are looked at
)

// Message is a parsed message over the bytes given to Parse.
type Message struct {
	Root *Part

	raw []byte
}

// Part is a MIME entity. [Start,Body) are its header with the blank line, [Body,End) its body; both are offsets
// into the message. For the root, [Start,End) is all of it.
type Part struct {
	Start, Body, End int
	Lines            int // line feeds in the body

	// Type and Subtype are lower case. Params are in the order of the header, names in lower case.
	Type, Subtype string
	Params        []Param

	ID, Description, Encoding string // as in the header, unfolded; Encoding in lower case, "7bit" if absent
	MD5, Location             string
	Disposition               string // lower case; "" = no such field
	DispositionParams         []Param
	Language                  []string

	Parts    []*Part // of a multipart, never empty for one
	Embedded *Part   // the root of the message in a message/rfc822 part, else nil

	fields [numFields]span // header fields that the envelope needs
}

// Param is one parameter of a header value (RFC 2045 5.1), as written: RFC 2231 forms are not put together.
type Param struct{ Name, Value string }

// IsMultipart reports whether the part has parts.
func (p *Part) IsMultipart() bool { return len(p.Parts) > 0 }

// param returns the value of a parameter of Content-Type, "" if there is none. name is lower case.
func (p *Part) param(name string) string {
	for _, q := range p.Params {
		if q.Name == name {
			return q.Value
		}
	}
	return ""
}

// Bytes returns the whole message.
func (m *Message) Bytes() []byte { return m.raw }

// Header returns a part's header with its blank line, Body what is behind it.
func (m *Message) Header(p *Part) []byte { return m.raw[p.Start:p.Body] }
func (m *Message) Body(p *Part) []byte   { return m.raw[p.Body:p.End] }

// Find returns the part of an IMAP part number (RFC 9051 6.4.5.1), nil if there is none. The empty path is the
// root. A message that is not a multipart has one part, 1: itself.
func (m *Message) Find(path []int) *Part {
	p, whole := m.Root, true // whole: p is a message, whose own parts are numbered
	for _, n := range path {
		if !whole && p.Embedded != nil {
			p, whole = p.Embedded, true
		}
		switch {
		case p.IsMultipart() && n >= 1 && n <= len(p.Parts):
			p = p.Parts[n-1]
		case whole && !p.IsMultipart() && n == 1:
		default:
			return nil
		}
		whole = false
	}
	return p
}

// A span is a range of the message; the zero span is an absent field.
type span struct{ from, to int }

// The header fields that are remembered, each at its first appearance.
const (
	fieldDate = iota
	fieldSubject
	fieldFrom
	fieldSender
	fieldReplyTo
	fieldTo
	fieldCc
	fieldBcc
	fieldInReplyTo
	fieldMessageID
	fieldType
	fieldEncoding
	fieldID
	fieldDescription
	fieldMD5
	fieldDisposition
	fieldLanguage
	fieldLocation
	numFields
)

var fieldNames = map[string]int{
	"date": fieldDate, "subject": fieldSubject, "from": fieldFrom, "sender": fieldSender, "reply-to": fieldReplyTo,
	"to": fieldTo, "cc": fieldCc, "bcc": fieldBcc, "in-reply-to": fieldInReplyTo, "message-id": fieldMessageID,
	"content-type": fieldType, "content-transfer-encoding": fieldEncoding, "content-id": fieldID,
	"content-description": fieldDescription, "content-md5": fieldMD5, "content-disposition": fieldDisposition,
	"content-language": fieldLanguage, "content-location": fieldLocation,
}

const longestField = len("content-transfer-encoding")

// field returns a remembered field's value, unfolded and clipped to MaxValue.
func (m *Message) field(p *Part, n int) string {
	s := p.fields[n]
	return unfold(m.raw[s.from:min(s.to, s.from+MaxValue)])
}

// unfold removes line ends (RFC 5322 2.2.3) and NUL, and trims. Other bytes stay as they are, UTF-8 or not.
func unfold(b []byte) string {
	if b = bytes.Trim(b, " \t\r\n\x00"); !bytes.ContainsAny(b, "\r\n\x00") {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			out = append(out, c)
		}
	}
	return string(out)
}
