package imapd

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/imapd/wire"
)

// Several sessions idle in one mailbox: each is told all that happens, at once; what idles without a mailbox is told nothing.
func TestIdle(t *testing.T) {
	w, c := filled(t, 2)
	d := w.login()
	d.do("b EXAMINE INBOX", "b OK")
	e := w.login()
	for _, k := range []*client{c, d, e} {
		k.send("c IDLE\r\n")
		k.want("+ idling")
	}
	w.put("INBOX", "Subject: 3\r\n\r\n", "new")
	flags := `* FLAGS (\Answered \Flagged \Deleted \Seen \Draft new)`
	for _, want := range []string{flags, "* 3 EXISTS", "* 3 RECENT"} {
		c.want(want)
	}
	for _, want := range []string{flags, "* 3 EXISTS", "* "} { // how many are recent depends on which session was told first
		d.want(want)
	}
	f := w.login()
	f.do("b SELECT INBOX", "b OK")
	f.do(`c STORE 1 +FLAGS.SILENT (\Deleted)`, "c OK")
	c.want(`* 1 FETCH (UID 1 FLAGS (\Recent \Deleted))`)
	d.want(`* 1 FETCH (UID 1 FLAGS (\Deleted))`)
	f.do("d EXPUNGE", "d OK")
	c.want("* 1 EXPUNGE")
	d.want("* 1 EXPUNGE")
	e.send("done\r\n")
	e.want("c OK IDLE completed")
	c.send("DONE\r\nd NOOP\r\n")
	c.want("c OK")
	c.want("d OK")
	d.send("nonsense\r\n")
	d.want("c BAD")
	d.says("d NOOP", "d OK")
	// What changed before IDLE began is told as it begins.
	w.put("INBOX", "Subject: 4\r\n\r\n")
	d.send("e IDLE\r\n")
	d.want("+ idling")
	d.want("* 3 EXISTS")
	d.want("* ")
	d.send("DONE\r\n")
	d.want("e OK")
	w.home.hubs.mu.Lock()
	defer w.home.hubs.mu.Unlock()
	if n := len(w.home.hubs.all); n != 0 {
		t.Errorf("%d accounts are watched for nobody", n)
	}
}

// A client that idles, or listens by NOTIFY, and does not read holds up nobody, and is cut off.
func TestIdleStalled(t *testing.T) {
	stall(t, func(s *session) { s.idling = true })
	stall(t, func(s *session) {
		s.notify = &notify{groups: []notifyGroup{{filter: "SELECTED", events: messageEvents, fetch: &fetchItems{envelope: true}}}}
	})
}

func stall(t *testing.T, how func(*session)) {
	t.Helper()
	w, c := filled(t, 1)
	near, far := net.Pipe() // it holds nothing: who writes waits for a reader
	defer far.Close()
	stalled := &session{home: w.home, acct: ann, conn: wire.NewConn(near, wire.After)}
	all, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	stalled.view = &view{mailbox: all, seq: 1}
	stalled.listening = true
	how(stalled)
	w.home.hubs.join(stalled)
	defer w.home.hubs.leave(stalled)
	c.send("c IDLE\r\n")
	c.want("+ idling")
	for n := 2; n < 30; n++ {
		w.put("INBOX", "Subject: x\r\n\r\n")
		c.want(fmt.Sprintf("* %d EXISTS", n))
		c.want("* ")
	}
	for range 1000 {
		stalled.nudge(nil)
	}
	deadline := time.Now().Add(time.Minute)
	for stalled.nudges.Load() != 0 {
		if time.Now().After(deadline) {
			t.Fatal("it is still written to")
		}
		near.SetWriteDeadline(time.Now()) // as it is when its time is over
		time.Sleep(time.Millisecond)
	}
	if stalled.listening {
		t.Error("it idles on")
	}
	if _, err := near.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("its connection is open: %v", err)
	}
}

// Pushes race with commands, deliveries and clients that leave.
func TestIdleRaces(t *testing.T) {
	w, _ := filled(t, 1)
	var all sync.WaitGroup
	over := make(chan struct{})
	all.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				w.put("INBOX", "Subject: x\r\n\r\n")
			}
		}
	})
	var clients sync.WaitGroup
	for range 8 {
		c := w.login()
		clients.Go(func() {
			c.do("b SELECT INBOX", "b OK")
			for range 20 {
				c.send("c IDLE\r\nDONE\r\nd UID STORE 1 +FLAGS (x)\r\ne UID STORE 1 -FLAGS (x)\r\n")
				for !strings.HasPrefix(c.line(), "e OK") {
				}
			}
			c.send("f IDLE\r\n")
		})
	}
	clients.Wait()
	close(over)
	all.Wait()
}

// \Recent is for the first session that is told of a message and may change the mailbox (RFC 3501 2.3.2).
func TestRecent(t *testing.T) {
	w, c := filled(t, 2)
	d := w.login()
	recent := func(c *client, command string) string {
		t.Helper()
		_, after, _ := strings.Cut(c.do("r "+command, "r OK"), "EXISTS\r\n* ")
		n, _, _ := strings.Cut(after, " ")
		return n
	}
	if got := recent(d, "SELECT INBOX"); got != "0" {
		t.Errorf("of the other session's messages %s are recent", got)
	}
	w.put("INBOX", "Subject: 3\r\n\r\n")
	if got := recent(d, "EXAMINE INBOX"); got != "1" {
		t.Errorf("EXAMINE: %s", got)
	}
	if got := recent(c, "NOOP"); got != "3" {
		t.Errorf("EXAMINE took what is recent: %s", got)
	}
	c.says("d SEARCH RECENT", "d OK", "* SEARCH 1 2 3")
	c.says("e SEARCH OLD", "e OK", "* SEARCH")
	c.do(`f STORE 2 +FLAGS.SILENT (\Seen)`, "f OK")
	c.says("g SEARCH NEW", "g OK", "* SEARCH 1 3")
	if got := recent(d, "SELECT INBOX"); got != "0" {
		t.Errorf("%s are recent once more", got)
	}
	d.says("e SEARCH OLD", "e OK", "* SEARCH 1 2 3")
	if got := recent(c, "SELECT INBOX"); got != "0" {
		t.Errorf("opened anew: %s", got)
	}
	var r recents
	for range maxRecents + 10 {
		r.claim(domicile.MailboxID(domicile.NewID("m-")), 5, false)
	}
	if len(r.from) > maxRecents {
		t.Errorf("%d mailboxes are remembered", len(r.from))
	}
}
