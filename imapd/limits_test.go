package imapd

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"domicile"
	"domicile/store"
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

// panics is a store that panics where it is asked for mailboxes.
type panics struct{ store.Store }

func (panics) Mailboxes(context.Context, domicile.AccountID) ([]store.Mailbox, error) {
	panic("as the test wants")
}

// A panic ends the session that it is in, and no other.
func TestPanicEndsOneSession(t *testing.T) {
	w := newWorld(t)
	w.home.cfg.Store = panics{w.store}
	c, d := w.login(), w.login()
	c.send("b LIST \"\" *\r\n")
	c.want("* BYE [SERVERBUG]")
	c.want("CLOSED")
	d.do("b NOOP", "b OK")
	if n := w.faults.Load(); n != 1 {
		t.Errorf("%d faults are logged", n)
	}
	waitFor(t, func() bool { w.home.mu.Lock(); defer w.home.mu.Unlock(); return len(w.home.sessions) == 1 })
}

// What waits in memory for other messages of its APPEND is bounded for all sessions together.
func TestWaitingMessagesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.home.waiting = semaphore.NewWeighted(roomStep)
	c := w.login()
	c.do("b APPEND INBOX {1+}\r\na {1+}\r\nb", "b OK")
	big := strings.Repeat("x", 1<<20)
	c.send("c APPEND INBOX {1048576+}\r\n" + big + " {1048576+}\r\n" + big + " {1+}\r\nc\r\n")
	c.want("c NO [LIMIT]")
	c.do("d APPEND INBOX {1048576+}\r\n"+big, "d OK")
	if !w.home.waiting.TryAcquire(roomStep) {
		t.Error("room was not given back")
	}
}

// A session that waits for its client costs little, with a mailbox open and in IDLE too.
func TestIdleSessionsAreSmall(t *testing.T) {
	w := newWorld(t)
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	w.login().do("b SELECT INBOX", "b OK")
	const n = 90
	before := used()
	var all []*client
	for i := range n {
		c := w.login()
		c.do("b SELECT INBOX", "b OK")
		if i%2 == 0 {
			c.send("c IDLE\r\n")
			c.want("+")
		}
		all = append(all, c)
	}
	if each := (used() - before) / n; each > 30<<10 { // 20 KiB, of which 5 are the test's own; 27 with the race detector
		t.Errorf("%d bytes each", each)
	}
	runtime.KeepAlive(all)
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
	s := &session{home: newWorld(t).home, maxSize: 1, hasDoor: true}
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
