package smtpd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Each file of testdata is a conversation: "C: " is a line sent, `C" ` a Go string of raw bytes, "S: " the beginning of the
// answer, "INBOX name n" how many messages an account then has. An S of CLOSED is the end of the connection.
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
			c := dial(t, w.here)
			for n, line := range strings.Split(string(text), "\n") {
				what, rest, _ := strings.Cut(line, " ")
				switch what {
				case "C:":
					c.send(rest + "\r\n")
				case `C"`:
					raw, err := strconv.Unquote(rest)
					if err != nil {
						t.Fatalf("line %d: %v", n+1, err)
					}
					c.send(raw)
				case "S:":
					if got := c.reply(); !strings.HasPrefix(got, rest) {
						t.Fatalf("line %d: got %q, want %q", n+1, got, rest)
					}
				case "INBOX":
					name, count, _ := strings.Cut(rest, " ")
					if got := len(w.inbox(name)); strconv.Itoa(got) != count {
						t.Fatalf("line %d: %s has %d messages, want %s", n+1, name, got, count)
					}
				case "", "#":
				default:
					t.Fatalf("line %d: %q", n+1, line)
				}
			}
		})
	}
}
