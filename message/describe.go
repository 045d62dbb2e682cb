package message

import "strings"

// describe fills in what the Content- fields of a part say. within is the subtype of the multipart around it.
func (p *parser) describe(part *Part, within string) {
	m := p.m
	part.Type, part.Subtype = "text", "plain"
	if within == "digest" { // RFC 2046 5.1.5
		part.Type, part.Subtype = "message", "rfc822"
	}
	if value, params := parseValue(m.field(part, fieldType)); value != "" {
		part.Type, part.Subtype = "text", "plain"
		if t, s, ok := strings.Cut(value, "/"); ok && isToken(t) && isToken(s) {
			part.Type, part.Subtype, part.Params = t, s, params
		}
	}
	part.Encoding = "7bit"
	if enc, _ := parseValue(m.field(part, fieldEncoding)); enc != "" && isToken(enc) {
		part.Encoding = enc
	}
	part.ID = m.field(part, fieldID)
	part.Description = m.field(part, fieldDescription)
	part.MD5 = m.field(part, fieldMD5)
	part.Location = m.field(part, fieldLocation)
	if d, params := parseValue(m.field(part, fieldDisposition)); d != "" && isToken(d) {
		part.Disposition, part.DispositionParams = d, params
	}
	for _, tag := range strings.Split(m.field(part, fieldLanguage), ",") {
		if tag = strings.TrimSpace(tag); tag != "" && len(part.Language) < MaxParams {
			part.Language = append(part.Language, tag)
		}
	}
}

// parseValue splits a structured value into its first word, in lower case, and its parameters. Comments are dropped.
func parseValue(s string) (string, []Param) {
	sc := scanner{s: s}
	value := strings.ToLower(strings.TrimSpace(sc.until(";")))
	var params []Param
	seen := map[string]bool{}
	for sc.i < len(sc.s) && len(params) < MaxParams {
		sc.i++ // the ";"
		name := strings.ToLower(strings.TrimSpace(sc.until("=;")))
		if sc.i >= len(sc.s) || sc.s[sc.i] == ';' {
			continue // a word without a value
		}
		sc.i++
		v := strings.TrimSpace(sc.until(";"))
		if name != "" && isToken(name) && !seen[name] {
			seen[name] = true
			params = append(params, Param{name, v})
		}
	}
	return value, params
}

// isToken accepts RFC 2045 tokens.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// scanner walks a structured header value.
type scanner struct {
	s string
	i int
}

// until returns what stands before the next of stops, quoted strings unquoted and comments left out, and stops there.
func (sc *scanner) until(stops string) string {
	var b strings.Builder
	for sc.i < len(sc.s) {
		c := sc.s[sc.i]
		switch {
		case strings.IndexByte(stops, c) >= 0:
			return b.String()
		case c == '"':
			b.WriteString(sc.quoted())
		case c == '(':
			sc.comment()
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
			sc.i++
		}
	}
	return b.String()
}

// quoted reads a quoted string (RFC 5322 3.2.4), its first quote next. An unended one goes to the end.
func (sc *scanner) quoted() string {
	var b strings.Builder
	for sc.i++; sc.i < len(sc.s); sc.i++ {
		switch c := sc.s[sc.i]; {
		case c == '"':
			sc.i++
			return b.String()
		case c == '\\' && sc.i+1 < len(sc.s):
			sc.i++
			b.WriteByte(sc.s[sc.i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// comment reads a comment (RFC 5322 3.2.2) with those nested in it, its first parenthesis next.
func (sc *scanner) comment() string {
	var b strings.Builder
	for depth := 0; sc.i < len(sc.s); sc.i++ {
		c := sc.s[sc.i]
		switch {
		case c == '\\' && sc.i+1 < len(sc.s):
			sc.i++
			c = sc.s[sc.i]
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				sc.i++
				return b.String()
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
