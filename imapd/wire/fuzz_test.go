package wire

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// model is what the reader must take for commands, told as simply as it can be: the tags of a client whose literals are all
// non-synchronising, so that what comes does not depend on what is asked for.
func model(raw []byte, l Limits) (tags []string) {
	line := func() (string, bool) {
		text, rest, found := bytes.Cut(raw, []byte("\n"))
		raw = rest
		return strings.TrimSuffix(string(text), "\r"), found && len(text) <= l.Text+1
	}
	for {
		text, total, literals := "", 0, 0
		for first := true; ; first = false {
			var ok bool
			if text, ok = line(); !ok {
				return tags
			}
			total += len(text)
			if total > l.Text || strings.ContainsAny(text, "\r\x00") || !quotesEnd(text) || oddLiteral(text) {
				return tags
			}
			if first {
				tag, _, _ := strings.Cut(text, " ")
				if !IsTag(tag) {
					tag = "*"
				}
				tags = append(tags, tag)
			}
			size, nonSync, is := literalAt(strings.TrimRight(text, " "))
			if !is {
				break
			}
			if strings.HasSuffix(text, " ") || size < 0 || size > MaxDrain || literals == l.Literals || !nonSync {
				return tags
			}
			if literals++; size > int64(len(raw)) {
				return tags
			}
			raw = raw[size:]
		}
	}
}

// FuzzReader: however bytes are cut into packets and whatever handlers read of their commands, the reader takes for commands what the
// model does and nothing else: bytes of literals never are.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a LOGIN {3+}\r\nxyz {1+}\r\ny\r\nb NOOP\r\n"), uint8(3), []byte{1, 2, 3})
	f.Add([]byte("a X \"{5+}\r\nb CREATE x\r\n"), uint8(1), []byte{0})
	f.Add([]byte("a APPEND x (\\Seen) ~{5+}\r\nb X\r\n {2+}\r\nc \r\nd UID FETCH 1:* (FLAGS)\r\n"), uint8(9), []byte{5, 6, 5, 4, 7})
	f.Add([]byte("a X {9+} \r\nb Y\r\n"), uint8(9), []byte{1})
	f.Fuzz(func(t *testing.T, raw []byte, size uint8, acts []byte) {
		raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("+}"), []byte("}")), []byte("}"), []byte("+}"))
		limits := Limits{Text: 500, Literals: 5, Literal: 600}
		want := model(raw, limits)
		if tags := taken(raw, int(size), limits, nil); !slices.Equal(tags, want) {
			t.Errorf("%q: took the commands %q, want %q", raw, tags, want)
		}
		// A literal that a handler holds counts as text, so that the connection may end earlier.
		if tags := taken(raw, int(size), limits, acts[:min(len(acts), 10)]); len(tags) > len(want) || !slices.Equal(tags, want[:len(tags)]) {
			t.Errorf("%q read by %d: took the commands %q, want %q", raw, acts, tags, want)
		}
	})
}

// taken returns the tags of the commands that the reader takes, when each handler does the same.
func taken(raw []byte, size int, l Limits, acts []byte) (tags []string) {
	c := NewConn(&script{pieces: cut(string(raw), size)}, l)
	for {
		cmd, err := c.Next()
		if err != nil {
			return tags
		}
		tags = append(tags, cmd.Tag)
		for _, act := range acts {
			do(cmd, act)
		}
		cmd.End()
	}
}

// do reads an argument as a handler would.
func do(cmd *Command, act byte) {
	switch act % 17 {
	case 0:
		cmd.Fail("no")
	case 1:
		cmd.SP()
	case 2:
		cmd.Astring()
	case 3:
		cmd.Nstring()
	case 4:
		cmd.Mailbox()
	case 5:
		if l, _ := cmd.Stream(300); l != nil {
			io.CopyN(io.Discard, l, int64(act/16))
		}
	case 6:
		if l, _ := cmd.Stream(1 << 30); l != nil {
			io.Copy(io.Discard, l)
		}
	case 7:
		cmd.Flags()
	case 8:
		cmd.Set(true)
	case 9:
		cmd.Pattern()
	case 10:
		cmd.Word()
	case 11:
		cmd.DateTime()
	case 12:
		cmd.List(3, true, func() { cmd.Astring() })
	case 13:
		cmd.Date()
	case 14:
		cmd.Num64()
	case 15:
		cmd.Base64()
	case 16:
		cmd.Value()
	}
}

// FuzzArguments: no argument makes a method panic or read on behind an error.
func FuzzArguments(f *testing.F) {
	f.Add("x \"y\" (\\Seen) 1:*,3 NIL\r\n", []byte{1, 2, 1, 3})
	f.Fuzz(func(t *testing.T, line string, acts []byte) {
		c := NewConn(&script{pieces: []string{"a X " + line}}, Limits{Text: 1 << 16, Literals: 5, Literal: 600})
		cmd, err := c.Next()
		if err != nil {
			return
		}
		for _, act := range acts[:min(len(acts), 20)] {
			failed := cmd.Err()
			do(cmd, act)
			if failed != nil && !errors.Is(cmd.Err(), failed) {
				t.Fatalf("%q: %v became %v", line, failed, cmd.Err())
			}
		}
	})
}
