package dialogue

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The account of the conversations, as they name it.
const (
	Address  = "ann@example.com"
	Password = "pw"
)

// Account is a fresh one at some server.
type Account interface {
	// Dial opens a connection. Its greeting was not read.
	Dial(t testing.TB) net.Conn
	// Sent is what is sent in the place of a line, in which the account has Address and Password.
	Sent(line string) string
	// Put delivers a message to INBOX.
	Put(t testing.TB, raw string)
	// Exists reports whether there is a mailbox.
	Exists(t testing.TB, name string) bool
	// Number gives a mailbox that had no message its UIDVALIDITY and UIDNEXT.
	Number(t testing.TB, name string, validity, next uint32)
}

// Play holds a conversation with an account. Its lines are
//
//	C: a line that is sent
//	C" a Go string of raw bytes that are sent
//	C* n and a Go string, which is repeated until n bytes are sent
//	S: a line of the answer, in which … stands for anything; CLOSED is the end of the connection
//	S>: one behind any others
//	PUT n delivers n messages, "Subject: 1" and so on
//	PUT" the message that a Go string is
//	ABSENT name wants no such mailbox
//	NUMBER name n m gives a mailbox that had no message the UIDVALIDITY n and the UIDNEXT m
//	AS name goes on in the session of that name, which begins there with a login, if the name is new; the first one has none
//	# a comment
//
// ‹name› is a word that the server chose: where it stands first in an answer it takes what is there, and from then on, in what is sent too, it is that.
func Play(t testing.TB, text string, a Account) {
	c := open(t, a)
	sessions := map[string]*client{"": c}
	known := words{}
	for i, line := range strings.Split(text, "\n") {
		n := i + 1
		unquoted := func(s string) string {
			raw, err := strconv.Unquote(s)
			if err != nil {
				t.Fatalf("line %d: %v", n, err)
			}
			return raw
		}
		number := func(s string) int {
			count, err := strconv.Atoi(s)
			if err != nil {
				t.Fatalf("line %d: %v", n, err)
			}
			return count
		}
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "C:":
			c.send(a.Sent(known.fill(rest)) + "\r\n")
		case `C"`:
			c.send(a.Sent(unquoted(rest)))
		case "C*":
			size, text, _ := strings.Cut(rest, " ")
			n, raw := number(size), unquoted(text)
			c.send(strings.Repeat(raw, n/len(raw)+1)[:n])
		case "S:":
			if got := c.line(); !known.fit(got, rest) {
				t.Fatalf("line %d: got %q, want %q", n, got, known.fill(rest))
			}
		case "S>:":
			got := ""
			for range 100 {
				if got = c.line(); known.fit(got, rest) {
					break
				}
			}
			if !known.fit(got, rest) {
				t.Fatalf("line %d: got %q, want %q", n, got, rest)
			}
		case "PUT":
			for i := range number(rest) {
				a.Put(t, fmt.Sprintf("Subject: %d\r\n\r\nbody %d\r\n", i+1, i+1))
			}
		case `PUT"`:
			a.Put(t, unquoted(rest))
		case "AS":
			if sessions[rest] == nil {
				sessions[rest] = login(t, a)
			}
			c = sessions[rest]
		case "ABSENT":
			if a.Exists(t, rest) {
				t.Fatalf("line %d: %s exists", n, rest)
			}
		case "NUMBER":
			var name string
			var validity, next uint32
			if _, err := fmt.Sscan(rest, &name, &validity, &next); err != nil {
				t.Fatalf("line %d: %v", n, err)
			}
			a.Number(t, name, validity, next)
		case "", "#":
		default:
			t.Fatalf("line %d: %q", n, line)
		}
	}
}

// client is a raw connection.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

func open(t testing.TB, a Account) *client {
	t.Helper()
	conn := a.Dial(t)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(3 * time.Minute)) // on a busy machine
	c := &client{conn, bufio.NewReader(conn)}
	if got := c.line(); !strings.HasPrefix(got, "* OK ") {
		t.Fatalf("the greeting is %q", got)
	}
	return c
}

func login(t testing.TB, a Account) *client {
	t.Helper()
	c := open(t, a)
	c.send(a.Sent("a LOGIN "+Address+" "+Password) + "\r\n")
	if got := c.line(); !strings.HasPrefix(got, "a OK") {
		t.Fatalf("LOGIN: %q", got)
	}
	return c
}

func (c *client) send(raw string) { io.WriteString(c.conn, raw) }

func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return line + "CLOSED"
	}
	return strings.TrimSuffix(line, "\r\n")
}

// words are what the names in a dialogue stand for.
type words map[string]string

var named = regexp.MustCompile(`‹[^›]*›`)

// fill puts in what is known.
func (w words) fill(line string) string {
	return named.ReplaceAllStringFunc(line, func(name string) string {
		if w[name] == "" {
			return name
		}
		return w[name]
	})
}

// fit reports whether a line is the one that is wanted, in which … stands for anything, and learns names.
func (w words) fit(line, want string) bool {
	want = w.fill(want)
	names := named.FindAllString(want, -1)
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*?")
	pattern = named.ReplaceAllString(pattern, `([\w-]+)`)
	found := regexp.MustCompile("(?s)^" + pattern + "$").FindStringSubmatch(line)
	if found == nil {
		return false
	}
	for i, name := range names {
		if known := w[name]; known != "" && known != found[i+1] {
			return false
		}
		w[name] = found[i+1]
	}
	return true
}
