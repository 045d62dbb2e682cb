package imapd

import (
	"fmt"
	"strconv"

	"domicile/message"
)

// response builds untagged data (RFC 9051 7). The zero response is empty.
type response struct {
	b     []byte
	items int // of a FETCH, so far
}

func (r *response) raw(s string) *response { r.b = append(r.b, s...); return r }

func (r *response) number(n int64) *response { r.b = strconv.AppendInt(r.b, n, 10); return r }

func (r *response) format(f string, args ...any) *response {
	r.b = fmt.Appendf(r.b, f, args...)
	return r
}

// str writes a string: quoted if it is short printable ASCII, else a literal. NUL, which neither can hold, is left out.
func (r *response) str(s string) *response {
	quotable, nul := len(s) <= 1024, false
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			quotable = quotable && s[i] == '\t'
			nul = nul || s[i] == 0
		}
	}
	if !quotable {
		if nul {
			s = withoutNUL(s)
		}
		r.raw("{").number(int64(len(s))).raw("}\r\n").raw(s)
		return r
	}
	r.b = append(r.b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			r.b = append(r.b, '\\')
		}
		r.b = append(r.b, s[i])
	}
	r.b = append(r.b, '"')
	return r
}

func withoutNUL(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != 0 {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// nstr writes a string, "" as NIL.
func (r *response) nstr(s string) *response {
	if s == "" {
		return r.raw("NIL")
	}
	return r.str(s)
}

func (r *response) flags(flags []string) *response {
	r.raw("(")
	for i, f := range flags {
		if i > 0 {
			r.raw(" ")
		}
		r.raw(f)
	}
	return r.raw(")")
}

// envelope writes ENVELOPE's value (RFC 9051 7.5.2).
func (r *response) envelope(e message.Envelope) *response {
	r.raw("(").nstr(e.Date).raw(" ").nstr(e.Subject)
	for _, list := range [][]message.Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		r.raw(" ").addresses(list)
	}
	return r.raw(" ").nstr(e.InReplyTo).raw(" ").nstr(e.MessageID).raw(")")
}

func (r *response) addresses(list []message.Address) *response {
	if len(list) == 0 {
		return r.raw("NIL")
	}
	r.raw("(")
	for _, a := range list {
		switch a.Kind {
		case message.GroupStart:
			r.raw("(NIL NIL ").str(a.Mailbox).raw(" NIL)")
		case message.GroupEnd:
			r.raw("(NIL NIL NIL NIL)")
		default: // a NIL host would mark a group
			r.raw("(").nstr(a.Name).raw(" ").nstr(a.Route).raw(" ").str(a.Mailbox).raw(" ").str(a.Host).raw(")")
		}
	}
	return r.raw(")")
}

// structure writes the value of BODYSTRUCTURE, or of BODY if not extended (RFC 9051 7.5.2).
func (r *response) structure(m *message.Message, p *message.Part, extended bool) *response {
	r.raw("(")
	if p.IsMultipart() {
		for _, child := range p.Parts {
			r.structure(m, child, extended)
		}
		r.raw(" ").str(p.Subtype)
		if extended {
			r.raw(" ").params(p.Params).extension(p)
		}
		return r.raw(")")
	}
	r.str(p.Type).raw(" ").str(p.Subtype).raw(" ").params(p.Params)
	r.raw(" ").nstr(p.ID).raw(" ").nstr(p.Description).raw(" ").str(p.Encoding).raw(" ").number(int64(p.End - p.Body))
	if p.Embedded != nil {
		r.raw(" ").envelope(m.Envelope(p.Embedded)).raw(" ").structure(m, p.Embedded, extended)
	}
	if p.Embedded != nil || p.Type == "text" {
		r.raw(" ").number(int64(p.Lines))
	}
	if extended {
		r.raw(" ").nstr(p.MD5).extension(p)
	}
	return r.raw(")")
}

// extension writes what parts of all kinds have in common at their end: disposition, language, location.
func (r *response) extension(p *message.Part) *response {
	if p.Disposition == "" {
		r.raw(" NIL")
	} else {
		r.raw(" (").str(p.Disposition).raw(" ").params(p.DispositionParams).raw(")")
	}
	if len(p.Language) == 0 {
		r.raw(" NIL")
	} else {
		r.raw(" (")
		for i, tag := range p.Language {
			if i > 0 {
				r.raw(" ")
			}
			r.str(tag)
		}
		r.raw(")")
	}
	return r.raw(" ").nstr(p.Location)
}

func (r *response) params(params []message.Param) *response {
	if len(params) == 0 {
		return r.raw("NIL")
	}
	r.raw("(")
	for i, p := range params {
		if i > 0 {
			r.raw(" ")
		}
		r.str(p.Name).raw(" ").str(p.Value)
	}
	return r.raw(")")
}
