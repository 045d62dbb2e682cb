package imapd

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile/imapd/dialogue"
)

// The conversations of testdata are held with the engine over a store. tests/TestDialogues holds them with a node.
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
			dialogue.Play(t, string(text), played{newWorld(t)})
		})
	}
}

// played is ann of a world.
type played struct{ w *world }

func (p played) Dial(t testing.TB) net.Conn {
	c, err := net.Dial("tcp", p.w.addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (played) Sent(line string) string                            { return line }
func (p played) Put(_ testing.TB, raw string)                     { p.w.put("INBOX", raw) }
func (p played) Exists(_ testing.TB, name string) bool            { return p.w.mailboxExists(name) }
func (p played) Number(_ testing.TB, name string, v, next uint32) { p.w.number(name, v, next) }
