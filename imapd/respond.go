package imapd

import (
	"fmt"
	"strconv"
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
