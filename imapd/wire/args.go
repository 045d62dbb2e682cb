package wire

import (
	"bytes"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// isAtomChar: RFC 9051 9, ATOM-CHAR.
func isAtomChar(b byte) bool {
	return b > ' ' && b < 0x7f && strings.IndexByte(`(){%*"\]`, b) < 0
}

// Arguments reads what a client has written within an argument, as a command is read. A literal cannot stand there.
func Arguments(text string) *Command {
	return &Command{conn: &Conn{}, rest: text} // whose limits are none
}

// Peek is the next byte, 0 at the end of the line.
func (c *Command) Peek() byte {
	if c.err != nil || c.rest == "" {
		return 0
	}
	return c.rest[0]
}

// More reports whether an argument follows behind a space.
func (c *Command) More() bool { return c.Peek() == ' ' }

// Take takes s if it comes next, in whatever case.
func (c *Command) Take(s string) bool {
	if c.err != nil || len(c.rest) < len(s) || !strings.EqualFold(c.rest[:len(s)], s) {
		return false
	}
	c.rest = c.rest[len(s):]
	return true
}

// Expect takes s, which must come next.
func (c *Command) Expect(s string) {
	if !c.Take(s) {
		c.Fail("%q is missing", s)
	}
}

// SP takes the one space between arguments.
func (c *Command) SP() {
	if !c.Take(" ") {
		c.Fail("An argument is missing")
	} else if c.Peek() == ' ' {
		c.Fail("One space stands between words")
	}
}

func (c *Command) while(ok func(byte) bool) string {
	if c.err != nil {
		return ""
	}
	n := 0
	for n < len(c.rest) && ok(c.rest[n]) {
		n++
	}
	s := c.rest[:n]
	c.rest = c.rest[n:]
	return s
}

func (c *Command) some(ok func(byte) bool, what string) string {
	s := c.while(ok)
	if s == "" {
		c.Fail("%s is missing", what)
	}
	return s
}

// word is a run of letters, digits and what keywords of commands are made of besides, in upper case; maybe empty.
func (c *Command) word() string {
	return strings.ToUpper(c.while(func(b byte) bool {
		return b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b == '.' || b == '-' || b == '=' || b == '_' || b == '/'
	}))
}

// Word takes a keyword of the grammar, such as BODY.PEEK or X-GM-EXT, in upper case.
func (c *Command) Word() string {
	w := c.word()
	if w == "" {
		c.Fail("A word is missing")
	}
	return w
}

// Atom takes an atom.
func (c *Command) Atom() string { return c.some(isAtomChar, "An atom") }

// Base64 takes base64 as an initial response of SASL is written (RFC 4959); "=" alone is an empty one.
func (c *Command) Base64() string {
	s := c.some(func(b byte) bool { return isAtomChar(b) }, "A response")
	if s == "=" {
		return ""
	}
	return s
}

// IsString reports whether a quoted string or a literal comes next.
func (c *Command) IsString() bool {
	b := c.Peek()
	return b == '"' || b == '{' || b == '~' && strings.HasPrefix(c.rest, "~{")
}

// String takes a quoted string or a literal, held in memory. What is not UTF-8 is taken from a literal alone.
func (c *Command) String() string {
	switch c.Peek() {
	case '"':
		return c.quoted()
	case '{':
		return c.literal()
	}
	c.Fail("A string is missing")
	return ""
}

// Astring takes an atom, in which "]" may stand, or a string.
func (c *Command) Astring() string {
	if c.IsString() {
		return c.String()
	}
	return c.some(func(b byte) bool { return isAtomChar(b) || b == ']' }, "A string or an atom")
}

// Nstring takes a string, or NIL, for which ok is false.
func (c *Command) Nstring() (s string, ok bool) {
	if c.IsString() {
		return c.String(), true
	}
	c.Expect("NIL")
	return "", false
}

func (c *Command) quoted() string {
	text := c.rest[1:]
	end := strings.IndexAny(text, `"\`)
	if end >= 0 && text[end] == '"' { // the usual case: nothing to undo
		c.rest = text[end+1:]
		return c.utf8(text[:end])
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			c.rest = text[i+1:]
			return c.utf8(b.String())
		case '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				c.Fail("A backslash stands before a quote or a backslash")
				return ""
			}
		}
		b.WriteByte(text[i])
	}
	c.Fail("A quoted string does not end")
	return ""
}

func (c *Command) utf8(s string) string {
	if !utf8.ValidString(s) {
		c.Fail("A quoted string is not UTF-8")
		return ""
	}
	return s
}

func (c *Command) literal() string {
	b, _, fits := c.held(false)
	if !fits {
		c.Fail("A literal is too large here")
	}
	return string(b)
}

// held takes a literal into memory. One that does not fit is left to be drained.
func (c *Command) held(mayBinary bool) (b []byte, size int64, fits bool) {
	l, size := c.Stream(min(c.conn.limits.Literal, int64(c.conn.limits.Text-c.text)))
	if l == nil {
		return nil, size, c.err != nil
	}
	c.text += int(l.Size)
	if err := c.conn.hold(c.text); err != nil {
		c.kill(err)
		return nil, size, true
	}
	b = make([]byte, l.Size)
	if _, err := io.ReadFull(l, b); err != nil && c.err == nil {
		c.err = err
	}
	if bytes.IndexByte(b, 0) >= 0 && !(l.Binary && mayBinary) {
		c.Fail("A literal may hold no NUL here")
	}
	if c.err != nil {
		return nil, size, true
	}
	return b, size, true
}

// Value takes a string, which may be a literal8 (RFC 5464 5), or NIL, for which it is nil. A literal that is too large is left to be drained, with all behind
// it, and fits is false.
func (c *Command) Value() (v []byte, size int64, fits bool) {
	if b := c.Peek(); b == '{' || b == '~' {
		return c.held(true)
	}
	s, ok := c.Nstring()
	if !ok {
		return nil, 0, true
	}
	return []byte(s), int64(len(s)), true
}

// Mailbox takes a mailbox name and gives it in UTF-8. Names of clients that did not enable UTF-8 are in modified UTF-7 (RFC 3501 5.1.3).
func (c *Command) Mailbox() string {
	name, ok := c.name(c.Astring())
	if !ok {
		c.Fail("A mailbox name is not in modified UTF-7")
	}
	return name
}

// Pattern takes a name in which "%" and "*" may stand. One that is well-formed and can be no name's, as it is not in modified UTF-7, is no fault of
// the command (RFC 9051 6.3.9): for it stands a pattern that fits nothing.
func (c *Command) Pattern() string {
	var s string
	if c.IsString() {
		s = c.String()
	} else {
		s = c.some(func(b byte) bool { return isAtomChar(b) || b == ']' || b == '%' || b == '*' }, "A pattern")
	}
	name, ok := c.name(s)
	if !ok {
		return "\x00"
	}
	return name
}

// name reads a name. ok is false for what is not in modified UTF-7, where names are.
func (c *Command) name(s string) (name string, ok bool) {
	if c.err == nil && !utf8.ValidString(s) {
		c.Fail("A mailbox name is not UTF-8")
	}
	switch {
	case c.err != nil:
		return "", true
	case c.conn.UTF8:
		return s, true
	}
	return DecodeUTF7(s)
}

// Flag takes a flag or a keyword.
func (c *Command) Flag() string {
	if c.Take(`\`) {
		return `\` + c.Atom()
	}
	return c.Atom()
}

// List takes items between parentheses, at most as many as most, and calls item to take each. empty says whether "()" is one.
func (c *Command) List(most int, empty bool, item func()) {
	c.Expect("(")
	if empty && c.Take(")") {
		return
	}
	c.Items(most, item)
}

// Items is List behind its parenthesis.
func (c *Command) Items(most int, item func()) {
	for n := 0; c.err == nil; n++ {
		if n == most {
			c.Fail("A list is too long")
			return
		}
		item()
		if c.Take(")") {
			return
		}
		c.SP()
	}
}

// Flags takes a list of flags in parentheses.
func (c *Command) Flags() (flags []string) {
	c.List(1000, true, func() { flags = append(flags, c.Flag()) })
	return flags
}

// Date takes a date (RFC 9051 9, date), quoted or not, as midnight in UTC.
func (c *Command) Date() time.Time {
	quoted := c.Take(`"`)
	s := c.some(func(b byte) bool { return isDigit(b) || b == '-' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' }, "A date")
	if quoted {
		c.Expect(`"`)
	}
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		c.Fail("A date is written like 2-Jan-2006")
	}
	return t
}

// DateTime takes a date with time and zone (RFC 9051 9, date-time).
func (c *Command) DateTime() time.Time {
	if c.Peek() != '"' {
		c.Fail("A date is missing")
		return time.Time{}
	}
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", c.quoted())
	if err != nil {
		c.Fail(`A date is written like " 2-Jan-2006 15:04:05 +0100"`)
	}
	return t
}
