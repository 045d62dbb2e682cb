package imapd

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"domicile"
	"domicile/imapd/wire"
)

// Each login of a connection has a permit of its own, which has ended when UNAUTHENTICATE is answered, and a place that is free by then.
func TestUnauthenticate(t *testing.T) {
	w := newWorld(t)
	w.home.cfg.PerAccount = 1
	var mu sync.Mutex
	var seen []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, what)
	}
	w.home.attach = func(_ net.Conn, id domicile.AccountID) error { note("attach " + string(id)); return nil }
	w.home.detach = func(net.Conn) error { note("detach"); return nil }
	c := w.login()
	for range 3 {
		if caps := c.do("b CAPABILITY", "b OK"); !strings.Contains(caps, " UNAUTHENTICATE") {
			t.Fatal(caps)
		}
		c.do("c UNAUTHENTICATE", "c OK")
		c.do("d LOGIN refused@example.com pw", "d OK")
		c.do("e UNAUTHENTICATE", "e OK")
		c.do("f LOGIN ann@example.com pw", "f OK")
	}
	c.do("g LOGOUT", "g OK")
	mu.Lock()
	defer mu.Unlock()
	want := append(slices.Repeat([]string{"attach a-ann", "detach", "attach a-us", "detach"}, 3), "attach a-ann")
	if !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
}

// An operator can do without it (RFC 8437 8).
func TestNoUnauthenticate(t *testing.T) {
	w := newWorld(t)
	w.cfg.NoUnauthenticate = true
	w.front(w.cfg)
	c := w.login()
	if caps := c.do("b CAPABILITY", "b OK"); strings.Contains(caps, "UNAUTHENTICATE") {
		t.Error(caps)
	}
	if before := c.do("c UNAUTHENTICATE", "c OK"); !strings.HasPrefix(before, "* BYE ") {
		t.Errorf("it goes on behind %q", before)
	}
	c.want("CLOSED")
}

// How often is bounded: each login is a record on the disk.
func TestUnauthenticateOften(t *testing.T) {
	c := newWorld(t).login()
	for range maxLogins - 1 {
		c.do("b UNAUTHENTICATE", "b OK")
		c.do("c LOGIN ann@example.com pw", "c OK")
	}
	if got := c.do("d UNAUTHENTICATE", "d OK"); !strings.HasPrefix(got, "* BYE ") {
		t.Errorf("%q", got)
	}
	c.want("CLOSED")
}

// A connection whose permit cannot be ended serves nobody else.
func TestUnauthenticateUnrecorded(t *testing.T) {
	w := newWorld(t)
	w.home.detach = func(net.Conn) error {
		return domicile.Refuse("close a permit", domicile.JournalUnavailable, "", "")
	}
	c := w.login()
	c.send("b UNAUTHENTICATE\r\nc LOGIN ann@example.com pw\r\n")
	c.want("CLOSED")
}

// Where the client compresses, or its bytes come from another node, the connection ends, and UNAUTHENTICATE is not offered.
func TestUnauthenticateEnds(t *testing.T) {
	w := newWorld(t)
	ends := func(c *client) {
		t.Helper()
		if caps := c.do("x CAPABILITY", "x OK"); strings.Contains(caps, "UNAUTHENTICATE") {
			t.Error(caps)
		}
		if got := c.do("y UNAUTHENTICATE", "y OK"); !strings.HasPrefix(got, "* BYE ") {
			t.Errorf("%q", got)
		}
		c.want("CLOSED")
	}
	ends(w.login().compress())

	near, far := net.Pipe()
	defer near.Close()
	if err := w.home.enter(ann); err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	go func() { done <- w.home.serve(wire.NewConn(far, wire.After), w.by(ann), "a", 1<<20, false) }()
	c := newClient(t, near)
	c.want("a OK")
	ends(c)
	if tag := <-done; tag != "" {
		t.Errorf("back to a door that is not there: %q", tag)
	}
}
