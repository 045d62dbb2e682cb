package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a command before login.
const (
	maxText     = 8 << 10 // bytes of its lines
	maxWords    = 128
	maxLiterals = 64
	maxTag      = 128
)

// command is one command of a client that is not logged in, whole: its literals are words like others.
type command struct {
	tag   string // "*" where there is none that could be answered
	name  string // upper case
	words []word
	bad   string // why it is none
}

// word is what stands between spaces.
type word struct {
	kind wordKind
	text string
}

type wordKind uint8

const (
	atom    wordKind = iota + 1
	quoted           // or a literal
	opening          // "(", no space behind it
	closing          // ")"
)

// byeError ends a connection with a last word: what stands behind cannot be told from commands.
type byeError string

func (e byeError) Error() string { return string(e) }

// command reads the next command. An error is the end of the connection.
func (d *door) command() (command, error) {
	d.setIdle(true)
	line, err := d.line(maxText)
	d.setIdle(false)
	if err != nil {
		return command{}, err
	}
	var c command
	text := len(line)
	for n := 0; ; n++ {
		if text > maxText || n > maxLiterals {
			return c, byeError("[TOOBIG] A command of more than 8 KiB")
		}
		if !quotesEnd(line) {
			return c, byeError("[CLIENTBUG] A quoted string does not end on its line")
		}
		// A space behind "{5}" makes it no literal, but a client may think that it is one, and what follows must not be read as a command.
		line = bytes.TrimRight(line, " ")
		size, nonSync, more := literalAt(line)
		if more {
			line = line[:bytes.LastIndexByte(line, '{')]
		}
		if n == 0 {
			c.begin(line, more)
		} else {
			c.parse(string(line), more)
		}
		if !more {
			return c, nil
		}
		if size < 0 || size > maxLiteral {
			return c, byeError("[TOOBIG] A literal of more than 4096 bytes")
		}
		if !nonSync {
			if c.bad != "" || c.name != "LOGIN" && c.name != "ID" { // refused: it is not asked for, and so will not come
				c.fail("No literal is taken here")
				return c, nil
			}
			if err := d.say("+ Ready for literal data" + crlf); err != nil {
				return c, err
			}
		}
		literal := make([]byte, size)
		if _, err := io.ReadFull(d.br, literal); err != nil {
			return c, err
		}
		if bytes.IndexByte(literal, 0) >= 0 {
			c.fail("A literal may hold no NUL")
		}
		c.add(word{quoted, string(literal)})
		if line, err = d.line(maxText); err != nil {
			return c, err
		}
		text += len(line)
	}
}

func (d *door) setIdle(idle bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = idle
	if idle && d.draining {
		d.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// line reads a line without its end.
func (d *door) line(limit int) ([]byte, error) {
	var all []byte
	for {
		piece, err := d.br.ReadSlice('\n')
		all = append(all, piece...)
		if len(all) > limit {
			return nil, byeError("[TOOBIG] A line is too long")
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(all, []byte("\n")), []byte("\r"))
	if bytes.ContainsAny(text, "\r\x00") {
		return nil, byeError("[CLIENTBUG] A line may hold neither CR nor NUL")
	}
	return text, nil
}

// begin reads tag and name off the first line.
func (c *command) begin(line []byte, open bool) {
	tag, rest, _ := strings.Cut(string(line), " ")
	end := strings.IndexByte(rest, ' ')
	if end < 0 {
		end = len(rest)
	}
	c.tag, c.name = tag, strings.ToUpper(rest[:end])
	if !isTag(tag) || len(tag) > maxTag || !isTag(c.name) {
		c.tag = "*"
		c.fail("A command is a tag, a space and a name")
		return
	}
	c.parse(rest[end:], open)
}

// parse reads words off a piece of text between literals. open: a literal follows, behind a space or "(".
func (c *command) parse(text string, open bool) {
	spaced := false // a space, or "(", was read last
	for text != "" && c.bad == "" {
		switch text[0] {
		case ' ':
			if spaced {
				c.fail("One space stands between words")
			}
			spaced, text = true, text[1:]
			continue
		case ')':
			c.add(word{kind: closing})
			spaced, text = false, text[1:]
			continue
		}
		if !spaced {
			c.fail("A space is missing")
			return
		}
		switch text[0] {
		case '(':
			c.add(word{kind: opening})
			text = text[1:]
		case '"':
			text = c.quoted(text[1:])
			spaced = false
		default:
			text = c.atom(text)
			spaced = false
		}
	}
	if open && !spaced {
		c.fail("A space is missing before a literal")
	}
}

func (c *command) quoted(text string) (rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch ch := text[i]; {
		case ch == '"':
			if !utf8.ValidString(b.String()) {
				c.fail("A quoted string is not UTF-8")
			}
			c.add(word{quoted, b.String()})
			return text[i+1:]
		case ch == '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				c.fail("A backslash stands before a quote or a backslash")
				return ""
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(ch)
		}
	}
	c.fail("A quoted string does not end")
	return ""
}

func (c *command) atom(text string) (rest string) {
	end := strings.IndexFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\`, r)
	})
	switch {
	case end < 0:
		end = len(text)
	case end == 0:
		c.fail("A character that cannot stand there")
		return ""
	}
	c.add(word{atom, text[:end]})
	return text[end:]
}

func (c *command) add(w word) {
	if len(c.words) >= maxWords {
		c.fail("Too many words")
		return
	}
	c.words = append(c.words, w)
}

func (c *command) fail(why string) {
	if c.bad == "" {
		c.bad = why
	}
}

// loginWords are the two strings of LOGIN.
func (c *command) loginWords() (name, password string, ok bool) {
	if len(c.words) != 2 || c.words[0].kind > quoted || c.words[1].kind > quoted {
		return "", "", false
	}
	return c.words[0].text, c.words[1].text, true
}

// idFits: RFC 2971 3.1.
func (c *command) idFits() bool {
	n := len(c.words)
	if n == 1 {
		return c.words[0].kind == atom && strings.EqualFold(c.words[0].text, "NIL")
	}
	if n < 2 || n%2 != 0 || n > 2+2*30 || c.words[0].kind != opening || c.words[n-1].kind != closing {
		return false
	}
	for i, w := range c.words[1 : n-1] {
		isNil := w.kind == atom && strings.EqualFold(w.text, "NIL")
		if w.kind != quoted && !(i%2 == 1 && isNil) {
			return false
		}
	}
	return true
}
