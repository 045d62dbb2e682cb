package wire

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Command is one command that is being read. Its methods take arguments from left to right. The first that is not there, or
// not as it should be, makes all that follow return zero values, and End say what was wrong: so a handler reads all
// that it needs and looks for an error once. Loops over an unknown number of arguments must look at Err.
type Command struct {
	Tag  string
	Name string // in upper case; of "UID FETCH" both words

	conn     *Conn
	rest     string // of the present line
	text     int    // bytes of lines, and of literals that are held
	literals int
	stream   *Literal
	err      error // what was wrong with it, first
	dead     error // the connection cannot go on
}

// SyntaxError is what was wrong with a command: the text of its BAD.
type SyntaxError string

func (e SyntaxError) Error() string { return string(e) }

// Next reads tag and name of the next command. What was left of the one before is thrown away. A command that is none has the Tag "*"
// or its tag, an empty Name, and Err.
func (c *Conn) Next() (*Command, error) {
	if err := c.cmd.finish(); err != nil {
		return nil, err
	}
	if c.br.Buffered() == 0 {
		if err := c.Flush(); err != nil {
			return nil, err
		}
	}
	if err := c.Await(); err != nil {
		return nil, err
	}
	line, err := c.line(c.limits.Text)
	if err != nil {
		return nil, err
	}
	c.cmd = Command{conn: c, Tag: "*"}
	c.cmd.begin(line)
	return &c.cmd, c.cmd.dead
}

// Done does away with the last command, as Next does: for who waits by Await before, so that a long one is not held meanwhile.
func (c *Conn) Done() error { return c.cmd.finish() }

func (c *Command) begin(line string) {
	c.take(line)
	tag, rest, found := strings.Cut(line, " ")
	if !IsTag(tag) {
		c.Fail("A command is a tag, a space and a name")
		return
	}
	c.Tag, c.rest = tag, rest
	name := c.word()
	if !found || name == "" {
		c.Fail("A command is a tag, a space and a name")
		return
	}
	if name == "UID" {
		c.SP()
		name += " " + c.word()
	}
	if c.err == nil {
		c.Name = name
	}
}

// take begins with a line, or goes on with one behind a literal.
func (c *Command) take(line string) {
	c.rest = line
	c.text += len(line)
	switch {
	case !quotesEnd(line):
		c.kill(Bye("[CLIENTBUG] A quoted string does not end on its line"))
	case strings.ContainsAny(line, "\r\x00"):
		c.kill(Bye("[CLIENTBUG] A line may hold neither CR nor NUL"))
	case oddLiteral(line): // a client may think that it is one, and send its bytes
		c.kill(Bye("[CLIENTBUG] The size of a literal is malformed"))
	case c.text > c.conn.limits.Text:
		c.kill(Bye("[TOOBIG] A command is too long"))
	}
}

// IsTag accepts the characters of RFC 9051 9, and a bounded number of them.
func IsTag(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isAtomChar(c) && c != ']' || c == '+' {
			return false
		}
	}
	return s != "" && len(s) <= MaxTag
}

// kill ends the connection at the next Next.
func (c *Command) kill(err error) {
	if c.dead == nil {
		c.dead = err
	}
	if c.err == nil {
		c.err = err
	}
	c.rest = ""
}

// Fail says that the command is not well-formed, and why. The first reason counts.
func (c *Command) Fail(format string, args ...any) {
	if c.err == nil {
		c.err = SyntaxError(fmt.Sprintf(format, args...))
	}
}

// Err is what was wrong so far.
func (c *Command) Err() error { return c.err }

// End reports whether the command was read to its end and well-formed.
func (c *Command) End() error {
	if c.err == nil && c.stream != nil && c.stream.left > 0 {
		c.Fail("A literal was not read")
	}
	if c.err == nil && c.rest != "" {
		c.Fail("More than the command takes")
	}
	return c.err
}

// finish throws away what was not read of the command.
func (c *Command) finish() error {
	if c.conn == nil {
		return nil
	}
	for c.dead == nil {
		if s := c.stream; s != nil {
			c.stream = nil
			c.drain(s.left)
			c.next()
			continue
		}
		if c.rest == "" {
			break
		}
		trimmed := strings.TrimRight(c.rest, " ")
		size, nonSync, ok := literalAt(trimmed)
		switch {
		case !ok:
			c.rest = ""
		case len(trimmed) != len(c.rest): // a client may think that this is a literal
			c.kill(Bye("[CLIENTBUG] Nothing may follow the size of a literal"))
		case !nonSync: // it was not asked for, and so does not come
			c.rest = ""
		default:
			if c.literals++; c.literals > c.conn.limits.Literals {
				c.kill(Bye("[TOOBIG] Too many literals"))
				break
			}
			c.drain(size)
			c.next()
		}
	}
	if c.dead != nil {
		return c.dead
	}
	c.conn.Free()
	*c = Command{}
	return nil
}

func (c *Command) drain(n int64) {
	if n < 0 || n > MaxDrain {
		c.kill(Bye("[TOOBIG] A literal is too large"))
		return
	}
	for n > 0 && c.dead == nil {
		if err := c.conn.more(); err != nil {
			c.kill(err)
			return
		}
		m, err := c.conn.br.Discard(int(min(n, int64(c.conn.br.Buffered()))))
		if n -= int64(m); err != nil {
			c.kill(err)
		}
	}
}

// next goes on with the line behind a literal.
func (c *Command) next() {
	if c.dead != nil {
		return
	}
	line, err := c.conn.line(c.conn.limits.Text - c.text)
	if err != nil {
		c.kill(err)
		return
	}
	c.take(line)
}

// Literal is one that is read as a stream: a message. After Close, or its last byte, the command goes on behind it.
type Literal struct {
	Size   int64
	Binary bool // "~{n}" (RFC 3516): it may hold NUL
	c      *Command
	left   int64
}

// Stream takes a literal of at most limit bytes without holding it. A larger one gives a nil Literal and its size.
// The client is asked for it before Stream returns, if it waits to be asked.
func (c *Command) Stream(limit int64) (l *Literal, size int64) {
	if c.err != nil {
		return nil, 0
	}
	binary := strings.HasPrefix(c.rest, "~{")
	size, nonSync, ok := literalAt(strings.TrimPrefix(c.rest, "~"))
	if !ok || !binary && !strings.HasPrefix(c.rest, "{") || strings.IndexByte(c.rest, '}') != len(c.rest)-1 {
		c.Fail("A literal is missing")
		return nil, 0
	}
	if c.literals == c.conn.limits.Literals {
		c.Fail("Too many literals")
		return nil, 0
	}
	if size < 0 || size > limit {
		return nil, size
	}
	c.literals++
	if !nonSync {
		if err := c.conn.Continue("Ready for literal data"); err != nil {
			c.kill(err)
			return nil, 0
		}
	}
	c.rest = ""
	l = &Literal{Size: size, Binary: binary, c: c, left: size}
	c.stream = l
	if size == 0 {
		l.end()
	}
	return l, size
}

// Instead counts what stands in the place of a literal, and is as much work as one, among the literals of the command.
func (c *Command) Instead() {
	if c.literals == c.conn.limits.Literals {
		c.Fail("Too many literals")
		return
	}
	c.literals++
}

// Read gives the bytes of the literal. An error other than io.EOF ends the connection.
func (l *Literal) Read(p []byte) (int, error) {
	if l.c.dead != nil {
		return 0, l.c.dead
	}
	if l.left == 0 {
		return 0, io.EOF
	}
	if err := l.c.conn.more(); err != nil {
		l.c.kill(err)
		return 0, err
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.c.conn.br.Read(p)
	if err != nil {
		l.c.kill(err)
		return n, err
	}
	if l.left -= int64(n); l.left == 0 {
		l.end()
	}
	return n, nil
}

func (l *Literal) end() {
	l.c.stream = nil
	l.c.next()
}

// literalAt reads "{n}" or "{n+}" at the end of a line. size is -1 if the number is too large.
func literalAt(text string) (size int64, nonSync, ok bool) {
	open := strings.LastIndexByte(text, '{')
	if open < 0 || !strings.HasSuffix(text, "}") {
		return 0, false, false
	}
	digits, nonSync := strings.CutSuffix(text[open+1:len(text)-1], "+")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false, false
	}
	size, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return -1, nonSync, true
	}
	return size, nonSync, true
}

// oddLiteral reports whether a line ends in what looks like the size of a literal and is none: "{-1+}", "{1-}", "{0x10+}". Nothing that is well-formed does.
func oddLiteral(line string) bool {
	line = strings.TrimRight(line, " ")
	open := strings.LastIndexByte(line, '{')
	if _, _, ok := literalAt(line); ok || open < 0 || !strings.HasSuffix(line, "}") {
		return false
	}
	size := line[open+1 : len(line)-1]
	return strings.ContainsAny(size, "0123456789") && strings.Trim(size, "0123456789abcdefxABCDEFX+- ") == ""
}

// quotesEnd reports whether every quoted string of a line ends on it.
func quotesEnd(text string) bool {
	in := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			in = !in
		case in && text[i] == '\\':
			i++
		}
	}
	return !in
}
