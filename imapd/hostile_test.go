package imapd

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"domicile/imapd/wire"
	"domicile/store"
)

// allocated is how many bytes f takes, those that are given back included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Clients of one account that hold all the memory that they may get, for as long as they like, do not keep it from others.
func TestHostileClientsHoldTheirOwnMemory(t *testing.T) {
	w := newWorld(t)
	if err := w.store.CreateAccount(t.Context(), "", store.Account{ID: "a-bob", Address: "bob@example.com", Residence: "IE", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	w.put("INBOX", "Subject: x\r\n\r\nbody")
	w.deliver("a-bob", "INBOX", "Subject: x\r\n\r\nbody")
	a := w.login()
	a.do("b SELECT INBOX", "b OK")
	var held *share
	w.home.mu.Lock()
	for s := range w.home.sessions {
		held = &s.memory
	}
	w.home.mu.Unlock()
	if !held.TryAcquire(accountMemory) || held.TryAcquire(1) {
		t.Fatal("an account has another share")
	}
	a.send("c FETCH 1 BODY[]\r\n") // it waits for its own kind
	a2 := w.login()
	a2.do("b SELECT INBOX", "b OK")
	a2.do("c SORT (SUBJECT) UTF-8 ALL", "c NO [LIMIT]")
	b := w.dial()
	b.do("a LOGIN bob@example.com pw", "a OK")
	b.do("b SELECT INBOX", "b OK")
	if got := b.do("c FETCH 1 BODY[]", "c OK"); !strings.Contains(got, "body") {
		t.Errorf("%q", got)
	}
	b.do("d SORT (SUBJECT) UTF-8 ALL", "d OK")
	b.do("e COPY 1 INBOX", "e OK")
	held.Release(accountMemory)
	a.want("* 1 FETCH")
	waitFor(t, func() bool { return w.home.memory.TryAcquire(readMemory) })
}

// A client can give each message keywords of its own. What others are told of them is bounded.
func TestHostileClientsWithKeywords(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	const messages = maxKeywords/store.MaxFlags + 5
	long := strings.Repeat("k", 100)
	for i := range messages {
		var flags []string
		for j := range store.MaxFlags {
			flags = append(flags, fmt.Sprintf("%s%d-%d", long, i, j))
		}
		w.put("INBOX", "Subject: x\r\n\r\n", flags...)
	}
	if got := c.do("c NOOP", "c OK"); strings.Count(got, long) > maxKeywords*messages {
		t.Errorf("%d keywords told", strings.Count(got, long))
	}
	for i, d := range []*client{c, w.login()} {
		got := d.do("d SELECT INBOX", "d OK")
		_, flags, _ := strings.Cut(got, "* FLAGS ")
		flags, _, _ = strings.Cut(flags, "\r\n")
		if n := strings.Count(flags, long); n != maxKeywords {
			t.Errorf("session %d is told %d keywords", i, n)
		}
		if got := d.do("e FETCH 1 BODY[HEADER]", "e OK"); !strings.Contains(got, "Subject: x") { // it has no room for \\Seen
			t.Errorf("%q", got)
		}
		if got := d.do(fmt.Sprintf("e FETCH %d FLAGS", messages), "e OK"); strings.Count(got, long) != store.MaxFlags {
			t.Errorf("of the last message: %q", got)
		}
	}
}

// "$" is a byte, and may stand for half a million ranges.
func TestHostileClientsWithSavedResults(t *testing.T) {
	const n = 100_000
	v, saved := &view{}, imap.UIDSet{}
	for i := range n {
		v.uids = append(v.uids, store.UID(i+1))
		if i%2 == 0 {
			saved.AddNum(imap.UID(i + 1))
		}
	}
	conn := wire.NewConn(&script{pieces: []string{"a SEARCH" + strings.Repeat(" NOT $", maxKeys/2) + "\r\n"}}, wire.After)
	s := &session{conn: conn, view: v, saved: saved}
	cmd, err := conn.Next()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SP()
	bytes := allocated(func() {
		q, err := s.keyReader(cmd).query(returning{})
		if err != nil || q.fits(&candidate{view: v, uid: 1}) || !q.fits(&candidate{view: v, uid: 2}) {
			t.Errorf("%v", err)
		}
	})
	if bytes > 8<<20 {
		t.Errorf("%d bytes for a command of 3 KB", bytes)
	}
}

// A part is decoded once for a FETCH, however often it is asked for.
func TestHostileClientsWithManySections(t *testing.T) {
	w := newWorld(t)
	const size = 300 << 10
	w.put("INBOX", "Content-Transfer-Encoding: base64\r\n\r\n"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("z", size))))
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	var ask strings.Builder
	for i := range maxItems / 2 {
		fmt.Fprintf(&ask, "BINARY.PEEK[1]<%d.1> BINARY.SIZE[1] ", i)
	}
	bytes := allocated(func() {
		got := c.do("c FETCH 1 ("+strings.TrimSpace(ask.String())+")", "c OK")
		if n := strings.Count(got, "{1}\r\nz"); n != maxItems/2 || strings.Count(got, fmt.Sprint("] ", size)) != maxItems/2 {
			t.Errorf("%d pieces of %d", n, maxItems/2)
		}
	})
	if bytes > 40*size {
		t.Errorf("%d bytes were taken to decode %d", bytes, size)
	}
}

// Clients of one account that send long commands slowly hold no more than its part, and others may send theirs.
func TestHostileClientsWithLongCommands(t *testing.T) {
	w := newWorld(t)
	if err := w.store.CreateAccount(t.Context(), "", store.Account{ID: "a-bob", Address: "bob@example.com", Residence: "IE", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 200<<10)
	left := func(n int64) bool {
		ok := w.home.long.TryAcquire(n)
		if ok {
			w.home.long.Release(n)
		}
		return ok
	}
	var open []*client
	for range longMemory / (4 << 20) / 2 {
		c := w.login()
		c.send("a NOOP " + long)
		open = append(open, c)
	}
	waitFor(t, func() bool { return !left(longMemory/2 + 1) })
	c := w.login()
	c.send("a NOOP " + long)
	c.want("* BYE [LIMIT]")
	w.login().do("b NOOP", "b OK")
	b := w.dial()
	b.do("a LOGIN bob@example.com pw", "a OK")
	b.do("b NOOP "+long, "b BAD")
	b.do("c NOOP", "c OK")
	open[0].send("\r\n") // one that ends makes room, as one does that goes away
	open[0].want("a BAD")
	open[0].do("b NOOP", "b OK")
	w.login().do("c NOOP "+long, "c BAD")
	for _, c := range open {
		c.Close()
	}
	waitFor(t, func() bool { return left(longMemory) })
}
