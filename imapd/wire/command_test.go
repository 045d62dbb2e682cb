package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// told runs a connection on which each command is answered by answer, and returns what was said: tag, name and what answer
// returned of each command, and what ended the connection.
func told(c *Conn, answer func(*Command) string) string {
	var b strings.Builder
	for {
		cmd, err := c.Next()
		var bye Bye
		switch {
		case errors.As(err, &bye):
			code, _, _ := strings.Cut(string(bye), " ")
			return b.String() + code
		case err != nil:
			return b.String() + err.Error()
		}
		fmt.Fprintf(&b, "%s %s %s; ", cmd.Tag, cmd.Name, answer(cmd))
	}
}

// Whatever a command's handler reads of it, what its literals hold is no command.
func TestLiteralsOfRefusedCommands(t *testing.T) {
	nothing := func(cmd *Command) string { cmd.Fail("no"); return "" }
	one := func(cmd *Command) string {
		cmd.SP()
		s := cmd.Astring()
		if err := cmd.End(); err != nil {
			return err.Error()
		}
		return s
	}
	long := strings.Repeat("x", 60)
	for _, c := range []struct {
		sent    string
		refused string // what is told if the handler reads nothing
		read    string // if it reads one string
	}{
		{"a X {3+}\r\nb Y\r\nc Z\r\n", "a X ; c Z ; EOF", "a X b Y; c Z An argument is missing; EOF"},
		{"a X {7+}\r\nb Y q\r\n\r\nc Z\r\n", "a X ; c Z ; EOF", "a X b Y q\r\n; c Z An argument is missing; EOF"},
		// A synchronising literal does not come unless it was asked for.
		{"a X {4}\r\nb Y\n\r\nc Z\r\n", "a X ; b Y ; *  ; c Z ; EOF", "a X b Y\n; c Z An argument is missing; EOF"},
		// Over the limit for an argument: drained, since a client that does not wait has sent it.
		{"a X {60+}\r\n" + long + "\r\nc Z\r\n", "a X ; c Z ; EOF", "a X A literal is too large here; c Z An argument is missing; EOF"},
		{"a X {60}\r\nc Z\r\n", "a X ; c Z ; EOF", "a X A literal is too large here; c Z An argument is missing; EOF"},
		// Too much to drain, or no number.
		{"a X {1048577+}\r\nb Y\r\n", "a X ; [TOOBIG]", "a X A literal is too large here; [TOOBIG]"},
		{"a X {99999999999999999999+}\r\nb Y\r\n", "a X ; [TOOBIG]", "a X A literal is too large here; [TOOBIG]"},
		// More literals than a command may have.
		{"a X {0+}\r\n{0+}\r\n{0+}\r\n{0+}\r\n\r\n", "a X ; [TOOBIG]", "a X More than the command takes; [TOOBIG]"},
		// The two sides could disagree on what is a literal.
		{"a X {3+} \r\nb Y\r\n", "a X ; [CLIENTBUG]", "a X A literal is missing; [CLIENTBUG]"},
		{"a X {-3+}\r\nb Y\r\n", "[CLIENTBUG]", "[CLIENTBUG]"},
		{"a X ~{0x3+} \r\nb Y\r\n", "[CLIENTBUG]", "[CLIENTBUG]"},
		{"a X {3-}\r\nb Y\r\n", "[CLIENTBUG]", "[CLIENTBUG]"},
		{"a X {1+}\r\nz{+3}\r\nb Y\r\n", "a X ; [CLIENTBUG]", "a X [CLIENTBUG] The size of a literal is malformed; [CLIENTBUG]"},
		{"a X \"{3\"}\r\nb Y\r\n", "a X ; b Y ; EOF", "a X More than the command takes; b Y An argument is missing; EOF"},
		{"a X {n}\r\nb Y\r\n", "a X ; b Y ; EOF", "a X A literal is missing; b Y An argument is missing; EOF"},
		{"a X \"{3+}\r\nb Y\r\n", "[CLIENTBUG]", "[CLIENTBUG]"},
		{"a X y\rb Y\r\n", "[CLIENTBUG]", "[CLIENTBUG]"},
		{"a X y\x00\r\n", "[CLIENTBUG]", "[CLIENTBUG]"},
		{"a X {1+}\r\nx\"\r\nb Y\r\n", "a X ; [CLIENTBUG]", "a X [CLIENTBUG] A quoted string does not end on its line; [CLIENTBUG]"},
		// A literal of a line that is no command, or in a place of none.
		{"{3+}\r\nb Y\r\nc Z\r\n", "*  ; c Z ; EOF", "*  A command is a tag, a space and a name; c Z An argument is missing; EOF"},
		{"a X y{3+}\r\nb Y\r\nc Z\r\n", "a X ; c Z ; EOF", "a X More than the command takes; c Z An argument is missing; EOF"},
		{"a X y ~{3+}\r\nb Y\r\nc Z\r\n", "a X ; c Z ; EOF", "a X More than the command takes; c Z An argument is missing; EOF"},
		{"a X {3+}\r\na\x00b\r\nc Z\r\n", "a X ; c Z ; EOF", "a X A literal may hold no NUL here; c Z An argument is missing; EOF"},
		{"a X \"{3}\" {3}\r\nc Z\r\n", "a X ; c Z ; EOF", "a X More than the command takes; c Z An argument is missing; EOF"},
		// A line, or a command, over its bound.
		{"a X " + strings.Repeat("y", 300) + "\r\nb Y\r\n", "[TOOBIG]", "[TOOBIG]"},
		{"a X {1+}\r\nz" + strings.Repeat("y", 195) + "\r\nb Y\r\n", "a X ; [TOOBIG]", "a X ; [TOOBIG]"},
		{"a X {9+}\r\nhalf", "a X ; unexpected EOF", "a X unexpected EOF; unexpected EOF"},
		{"a X ha", "unexpected EOF", "unexpected EOF"},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			conn, _ := scripted(cut(c.sent, size)...)
			if got := told(conn, nothing); got != c.refused {
				t.Errorf("%q in pieces of %d, unread: %q, want %q", c.sent, size, got, c.refused)
			}
			conn, _ = scripted(cut(c.sent, size)...)
			if got := told(conn, one); got != c.read && !(strings.HasPrefix(c.read, "a X ;") && strings.HasSuffix(got, "[TOOBIG]")) {
				t.Errorf("%q in pieces of %d: %q, want %q", c.sent, size, got, c.read)
			}
		}
	}
}

// A client is asked for a literal only if its command can take it.
func TestContinuations(t *testing.T) {
	c, s := scripted("a X {3}\r\n", "abc {51}\r\n")
	cmd, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SP()
	if got := cmd.Astring(); got != "abc" || s.out.String() != "+ Ready for literal data\r\n" {
		t.Errorf("%q, and the client was told %q", got, s.out.String())
	}
	cmd.SP()
	if got := cmd.Astring(); got != "" || cmd.End() == nil || strings.Count(s.out.String(), "+") != 1 {
		t.Errorf("a literal over the limit: %q, told %q", got, s.out.String())
	}
}

// What literals hold counts as text of the command: many of them are not much memory.
func TestLiteralsCountAsText(t *testing.T) {
	c, _ := scripted("a X {50+}\r\n" + strings.Repeat("x", 50) + " {50+}\r\n" + strings.Repeat("x", 50) + " {50+}\r\n" + strings.Repeat("x", 50) + "\r\nb Y\r\n")
	c.limits.Text = 120
	held := 0
	got := told(c, func(cmd *Command) string {
		for cmd.More() {
			cmd.SP()
			held += len(cmd.Astring())
		}
		return fmt.Sprint(cmd.End() != nil)
	})
	if held != 50 || !strings.HasPrefix(got, "a X true; ") {
		t.Errorf("%d bytes held; %q", held, got)
	}
}

// A message is read as a stream; what the handler leaves of it is thrown away, and what follows is the command's again.
func TestStream(t *testing.T) {
	for _, take := range []int64{0, 1, 4, 5} {
		c, _ := scripted("a APPEND {5+}\r\nb Y\r\n (x)\r\n", "c Z\r\n")
		got := told(c, func(cmd *Command) string {
			if cmd.Name != "APPEND" {
				return ""
			}
			cmd.SP()
			l, size := cmd.Stream(5)
			if l == nil || size != 5 || l.Binary {
				t.Fatal(l, size)
			}
			b, err := io.ReadAll(io.LimitReader(l, take))
			if err != nil || int64(len(b)) != take {
				t.Fatal(b, err)
			}
			if take == 5 {
				cmd.SP()
				return fmt.Sprint(cmd.Flags(), cmd.End())
			}
			return fmt.Sprint(cmd.End())
		})
		want := "a APPEND A literal was not read; c Z ; EOF"
		if take == 5 {
			want = "a APPEND [x] <nil>; c Z ; EOF"
		}
		if got != want {
			t.Errorf("%d read: %q", take, got)
		}
	}
	c, _ := scripted("a X ~{2}\r\n", "\x00\n\r\n")
	cmd, _ := c.Next()
	cmd.SP()
	l, _ := cmd.Stream(2)
	if b, err := io.ReadAll(l); string(b) != "\x00\n" || err != nil || !l.Binary || cmd.End() != nil {
		t.Errorf("%q, %v, %v", b, err, cmd.End())
	}
	c, _ = scripted("a X {0+}\r\n rest\r\n")
	cmd, _ = c.Next()
	cmd.SP()
	l, _ = cmd.Stream(2)
	if b, err := io.ReadAll(l); len(b) != 0 || err != nil || !cmd.Take(" rest") || cmd.End() != nil {
		t.Errorf("an empty literal: %q, %v, %v", b, err, cmd.End())
	}
}

// A client that stalls within a literal is the end, whatever it says later.
func TestTimeoutInALiteralIsTheEnd(t *testing.T) {
	for _, read := range []bool{false, true} {
		c, _ := scripted("a X {9+}\r\n", "half", "", "\r\nb CREATE hidden\r\n")
		got := told(c, func(cmd *Command) string {
			if cmd.SP(); read {
				cmd.Astring()
			}
			return ""
		})
		if got != "a X ; [UNAVAILABLE]" {
			t.Errorf("read %v: %q", read, got)
		}
	}
}
