package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile/message"
)

// sectionEnd is behind the "]" of an item.
func sectionEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ']' && !quoted:
			return i + 1
		}
	}
	return len(s)
}

// section writes the name of a body section as the answer has it (RFC 9051 7.5.2).
func (r *response) section(s *imap.FetchItemBodySection, obsolete string) {
	if obsolete != "" {
		r.item(strings.TrimSuffix(obsolete, ".PEEK")).raw(" ")
		return
	}
	r.item("BODY[")
	for i, n := range s.Part {
		if i > 0 {
			r.raw(".")
		}
		r.number(int64(n))
	}
	if s.Specifier != imap.PartSpecifierNone {
		if len(s.Part) > 0 {
			r.raw(".")
		}
		r.raw(string(s.Specifier))
	}
	names := s.HeaderFields
	if len(s.HeaderFieldsNot) > 0 {
		r.raw(".FIELDS.NOT")
		names = s.HeaderFieldsNot
	} else if len(names) > 0 {
		r.raw(".FIELDS")
	}
	for i, n := range names {
		if i == 0 {
			r.raw(" (")
		} else {
			r.raw(" ")
		}
		if isTag(n) {
			r.raw(n)
		} else {
			r.str(n)
		}
	}
	if len(names) > 0 {
		r.raw(")")
	}
	r.raw("]")
	if s.Partial != nil {
		r.raw("<").number(s.Partial.Offset).raw(">")
	}
	r.raw(" ")
}

// sectionOf returns the bytes of a section, nil if there is no such part.
func sectionOf(m *message.Message, s *imap.FetchItemBodySection) []byte {
	p := m.Find(s.Part)
	if p == nil {
		return nil
	}
	if s.Specifier == imap.PartSpecifierMIME {
		return some(m.Header(p))
	}
	if len(s.Part) == 0 {
		if s.Specifier == imap.PartSpecifierNone {
			return some(m.Bytes())
		}
	} else if s.Specifier == imap.PartSpecifierNone {
		return some(m.Body(p))
	} else if p = p.Embedded; p == nil { // n.HEADER and n.TEXT are of an embedded message
		return nil
	}
	switch {
	case s.Specifier == imap.PartSpecifierText:
		return some(m.Body(p))
	case len(s.HeaderFields) > 0:
		return message.FieldsOf(m.Header(p), s.HeaderFields, false)
	case len(s.HeaderFieldsNot) > 0:
		return message.FieldsOf(m.Header(p), s.HeaderFieldsNot, true)
	}
	return some(m.Header(p))
}

// some keeps an empty section from being taken for an absent one.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// cut takes a partial range; beyond the end it is empty (RFC 9051 6.4.5).
func cut(b []byte, p *imap.SectionPartial) []byte {
	if p == nil || b == nil {
		return b
	}
	from := min(max(p.Offset, 0), int64(len(b)))
	return b[from : from+min(max(p.Size, 0), int64(len(b))-from)]
}
