package imapd

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// An account has a bounded number of sessions; one that ends makes room, and a login that failed takes none.
func TestSessionsOfAnAccount(t *testing.T) {
	w := newWorld(t)
	w.home.cfg.PerAccount = 2
	w.dial().do("a LOGIN refused@example.com pw", "a NO [AUTHORIZATIONFAILED]")
	w.dial().do("a LOGIN refused@example.com pw", "a NO [AUTHORIZATIONFAILED]")
	w.dial().do("a LOGIN refused@example.com pw", "a NO [AUTHORIZATIONFAILED]")
	first, _ := w.login(), w.login()
	third := w.dial()
	third.do("a LOGIN ann@example.com pw", "a NO [LIMIT]")
	first.do("b LOGOUT", "b OK")
	for n := 0; ; n++ {
		third.send(fmt.Sprintf("c%d LOGIN ann@example.com pw\r\n", n))
		got := third.line()
		if strings.HasPrefix(got, fmt.Sprintf("c%d OK", n)) {
			break
		}
		if !strings.Contains(got, "NO [LIMIT]") || n == 1000 {
			t.Fatal(got)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Who sends one thing after the other that is no command is shown out; one command that is one counts anew.
func TestBadCommandsEnd(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for i := range maxBad - 1 {
		c.do(fmt.Sprintf("b%d XYZZY", i), fmt.Sprintf("b%d BAD", i))
	}
	c.do("c SELECT nowhere", "c NO")
	for i := range maxBad {
		c.do(fmt.Sprintf("d%d NOOP x", i), fmt.Sprintf("d%d BAD", i))
	}
	c.want("* BYE [CLIENTBUG]")
	c.want("CLOSED")
}

// docs/IMAP.md has a line for each capability, and for no other.
func TestCapabilitiesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/IMAP.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| --- | --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]bool{}
	for _, line := range strings.Split(table, "\n") {
		for _, name := range strings.Split(strings.Split(line, "|")[1], ",") {
			told[strings.TrimSpace(name)] = true
		}
	}
	s := &session{home: newWorld(t).home, maxSize: 1}
	for _, name := range strings.Fields(s.capabilities()) {
		name = strings.TrimSuffix(name, "=1")
		if !told[name] {
			t.Errorf("%s is not documented", name)
		}
		delete(told, name)
	}
	for name := range told {
		t.Errorf("%s is documented and not offered", name)
	}
}
