package imapd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Each file of testdata is a conversation with a fresh account: "C: " is a line sent, `C" ` a Go string of raw bytes, "C* n " n bytes
// that repeat a Go string, "S: " a line of the answer (… stands for anything), "S>: " one behind any others, "PUT n" delivers n messages
// "Subject: 1" and so on, PUT" the one that a Go string is, "ABSENT name" wants no such mailbox, "NUMBER name n m" gives one that had no message the UIDVALIDITY n, and the UIDNEXT m. An S of CLOSED is the end of the connection.
// "AS name" goes on in the session of that name, which begins there with a login, if the name is new; the first one has none.
// ‹name› is a word that the server chose: where it stands first in an answer it takes what is there, and from then on, in what is sent too, it is that.
func TestDialogues(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 5 {
		t.Fatalf("%d dialogues", len(files))
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			c := w.dial()
			sessions := map[string]*client{"": c}
			known := words{}
			for n, line := range strings.Split(string(text), "\n") {
				what, rest, _ := strings.Cut(line, " ")
				switch what {
				case "C:":
					c.send(known.fill(rest) + "\r\n")
				case `C"`:
					raw, err := strconv.Unquote(rest)
					if err != nil {
						t.Fatalf("line %d: %v", n+1, err)
					}
					c.send(raw)
				case "C*":
					size, text, _ := strings.Cut(rest, " ")
					n, err := strconv.Atoi(size)
					raw, err2 := strconv.Unquote(text)
					if err != nil || err2 != nil {
						t.Fatalf("line %d: %v, %v", n+1, err, err2)
					}
					c.send(strings.Repeat(raw, n/len(raw)+1)[:n])
				case "S:":
					if got := c.line(); !known.fit(got, rest) {
						t.Fatalf("line %d: got %q, want %q", n+1, got, known.fill(rest))
					}
				case "S>:":
					got := ""
					for range 100 {
						if got = c.line(); known.fit(got, rest) {
							break
						}
					}
					if !known.fit(got, rest) {
						t.Fatalf("line %d: got %q, want %q", n+1, got, rest)
					}
				case "PUT":
					count, _ := strconv.Atoi(rest)
					for i := range count {
						w.put("INBOX", "Subject: "+strconv.Itoa(i+1)+"\r\n\r\nbody "+strconv.Itoa(i+1)+"\r\n")
					}
				case `PUT"`:
					raw, err := strconv.Unquote(rest)
					if err != nil {
						t.Fatalf("line %d: %v", n+1, err)
					}
					w.put("INBOX", raw)
				case "AS":
					if sessions[rest] == nil {
						sessions[rest] = w.login()
					}
					c = sessions[rest]
				case "ABSENT":
					if w.mailboxExists(rest) {
						t.Fatalf("line %d: %s exists", n+1, rest)
					}
				case "NUMBER":
					var name string
					var validity, next uint32
					if _, err := fmt.Sscan(rest, &name, &validity, &next); err != nil {
						t.Fatalf("line %d: %v", n+1, err)
					}
					w.number(name, validity, next)
				case "", "#":
				default:
					t.Fatalf("line %d: %q", n+1, line)
				}
			}
		})
	}
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
