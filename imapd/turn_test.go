package imapd

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

const bob domicile.AccountID = "a-bob"

// withBob adds another account, and returns a client of it with its INBOX selected.
func (w *world) withBob() *client {
	w.t.Helper()
	if err := w.store.CreateAccount(w.t.Context(), "", store.Account{ID: bob, Address: "bob@example.com", Residence: "IE", Password: "pw"}); err != nil {
		w.t.Fatal(err)
	}
	w.deliver(bob, "INBOX", "Subject: 1\r\n\r\n")
	c := w.dial()
	c.do("a LOGIN bob@example.com pw", "a OK")
	c.do("b SELECT INBOX", "b OK")
	return c
}

// steps is a store that says who reads summaries, and waits to be told to go on.
type steps struct {
	store.Store
	who chan domicile.AccountID
	on  chan struct{}
}

func (s *steps) Listing(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Listed, error) {
	s.who <- acct
	<-s.on
	return s.Store.Listing(ctx, acct, mbox, after, limit)
}

// An account's many searches hold up another's by no more than a piece of one of them, however long they are; and nothing that is not heavy.
func TestTurns(t *testing.T) {
	w, first := filled(t, readPage+1) // two pieces
	busy := []*client{first}
	for range 3 {
		c := w.login()
		c.do("b SELECT INBOX", "b OK")
		busy = append(busy, c)
	}
	light, other := w.login(), w.withBob()
	light.do("b SELECT INBOX", "b OK")
	st := &steps{w.store, make(chan domicile.AccountID), make(chan struct{})}
	w.home.cfg.Store = st
	w.home.turns.Width = 1

	for i, c := range busy {
		c.send("c SORT (SUBJECT) UTF-8 ALL\r\n")
		if i == 0 {
			<-st.who // it has the one turn
		}
		waitFor(t, func() bool { return w.home.Waiting() == i })
	}
	other.send("c THREAD REFERENCES UTF-8 ALL\r\n")
	waitFor(t, func() bool { return w.home.Waiting() == len(busy) })
	light.do("c NOOP", "c OK")
	light.do("d FETCH 1:64 (FLAGS UID)", "d OK")
	light.do("e STORE 1 +FLAGS (x)", "e OK")

	var order []domicile.AccountID
	for range 2 * len(busy) { // and one of the other, less the first piece, of which it was told
		st.on <- struct{}{}
		order = append(order, <-st.who)
	}
	st.on <- struct{}{}
	for _, c := range append(busy, other) {
		for got := c.line(); got != "c OK SORT completed" && got != "c OK THREAD completed"; got = c.line() {
			if !strings.HasPrefix(got, "* ") {
				t.Fatalf("%q", got)
			}
		}
	}
	if got := fmt.Sprint(order[:3]); got != "[a-ann a-bob a-ann]" {
		t.Errorf("behind the first piece come %v", order)
	}
}

// pages is a store that says who reads messages, and waits to be told to go on.
type pages struct {
	store.Store
	who chan domicile.AccountID
	on  chan struct{}
}

func (s *pages) Messages(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Message, error) {
	s.who <- acct
	<-s.on
	return s.Store.Messages(ctx, acct, mbox, after, limit)
}

// SELECT of a mailbox of which nothing is known yet reads it in turns, and so lets others in; it needs none to follow a few changes.
func TestSelectTakesTurns(t *testing.T) {
	w := newWorld(t)
	first := w.put("INBOX", "Subject: 1\r\n\r\n")
	box, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for uids := []store.UID{first.UID}; len(uids) <= readPage; { // two pieces
		_, _, made, err := w.store.Copy(t.Context(), "", ann, box.ID, uids[:min(len(uids), readPage+1-len(uids))], "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made {
			uids = append(uids, m.UID)
		}
	}
	c, other := w.login(), w.withBob()
	st := &pages{w.store, make(chan domicile.AccountID), make(chan struct{})}
	w.home.cfg.Store = st
	w.home.turns.Width = 1
	c.send("b SELECT INBOX\r\n")
	order := []domicile.AccountID{<-st.who}
	other.send("c SEARCH LARGER 1\r\n")
	waitFor(t, func() bool { return w.home.Waiting() == 1 })
	for range 3 { // what is left of a mailbox is nothing, which is read too
		st.on <- struct{}{}
		order = append(order, <-st.who)
	}
	st.on <- struct{}{}
	if got := fmt.Sprint(order); got != "[a-ann a-bob a-ann a-ann]" {
		t.Errorf("they read as %s", got)
	}
	other.lines("* SEARCH 1", "c OK…")
	c.want(fmt.Sprintf("* %d EXISTS", readPage+1))
	for line := c.line(); !strings.HasPrefix(line, "b OK"); line = c.line() {
		if !strings.HasPrefix(line, "* ") {
			t.Fatal(line)
		}
	}
	w.home.cfg.Store = w.store
	w.put("INBOX", "Subject: 2\r\n\r\n")
	turn, err := w.home.turns.Enter(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Leave()
	if got := c.do("d SELECT INBOX", "d OK"); !strings.Contains(got, fmt.Sprintf("* %d EXISTS", readPage+2)) {
		t.Errorf("%q", got)
	}
}

// large is a message of about so many KiB.
func large(n int) string {
	return "Subject: 1\r\n\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", n)
}

// A large message is read in turns, and what is small of it without.
func TestLargeMessagesTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", large(400))
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	w.home.turns.Width, w.home.turns.Wait = 1, 10*time.Millisecond
	turn, err := w.home.turns.Enter(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	heavy := []string{"FETCH 1 BODY.PEEK[]", "FETCH 1 BODY.PEEK[TEXT]<390000.100>", "FETCH 1 (BODY.PEEK[TEXT] BODY.PEEK[])", "APPEND Sent CATENATE (URL /INBOX/;UID=1)"}
	for i, command := range heavy {
		c.do(fmt.Sprintf("c%d %s", i, command), fmt.Sprintf("c%d NO [LIMIT]", i))
	}
	for i, command := range []string{"FETCH 1 BODY.PEEK[]<0.1000>", "FETCH 1 BODY.PEEK[HEADER]", "APPEND Sent CATENATE (URL /INBOX/;UID=1/;SECTION=HEADER)"} {
		c.do(fmt.Sprintf("d%d %s", i, command), fmt.Sprintf("d%d OK", i))
	}
	turn.Leave()
	for i, command := range heavy {
		c.do(fmt.Sprintf("e%d %s", i, command), fmt.Sprintf("e%d OK", i))
	}
}

// No turn is held while a client does not read.
func TestSlowReaderHoldsNoTurn(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", large(24<<10))
	c, other := w.login(), w.withBob()
	c.do("b SELECT INBOX", "b OK")
	w.home.turns.Width = 1
	c.send("f FETCH 1 BODY.PEEK[]\r\n")
	c.want("* 1 FETCH (BODY[] {")
	time.Sleep(100 * time.Millisecond) // it fills what the network holds
	for i := range 20 {
		other.do(fmt.Sprintf("c%d SEARCH LARGER 1", i), fmt.Sprintf("c%d OK", i))
	}
	for line := ""; !strings.HasPrefix(line, "f OK"); {
		if line = c.line(); strings.HasSuffix(line, "CLOSED") {
			t.Fatal(line)
		}
	}
}

// Who does not get a turn in time is told so: in searches, and where a message is taken apart. What is kept ready, and what is sent as it stands, needs none.
func TestNoTurn(t *testing.T) {
	w, c := filled(t, lightPage+1)
	w.home.turns.Width, w.home.turns.Wait = 1, 10*time.Millisecond
	turn, err := w.home.turns.Enter(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	heavy := []string{"SEARCH ALL", "UID SEARCH TEXT x", "SEARCH RETURN (COUNT) UNSEEN", "SORT (DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL", "FETCH 1:2 BINARY.PEEK[1]", "FETCH 1 PREVIEW", "FETCH 1:* FLAGS"}
	for i, command := range heavy {
		c.do(fmt.Sprintf("c%d %s", i, command), fmt.Sprintf("c%d NO [LIMIT]", i))
	}
	for i, command := range []string{"FETCH 2:* (ENVELOPE BODYSTRUCTURE FLAGS UID)", "FETCH 1:* BODY.PEEK[]", "FETCH 1:* BODY.PEEK[HEADER]", "STORE 1 +FLAGS (x)", "STATUS INBOX (UNSEEN SIZE)", `LIST "" *`, "NOOP"} {
		c.do(fmt.Sprintf("d%d %s", i, command), fmt.Sprintf("d%d OK", i))
	}
	turn.Leave()
	for i, command := range heavy {
		c.do(fmt.Sprintf("e%d %s", i, command), fmt.Sprintf("e%d OK", i))
	}
}

// An account searches texts one at a time, and no other waits for it.
func TestFindsOneByOne(t *testing.T) {
	var f finds
	leave, err := f.enter(t.Context(), "a-ann")
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.enter(over, "a-ann"); err != errNoTurn {
		t.Errorf("a second one is let in: %v", err)
	}
	other, err := f.enter(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	other()
	second := make(chan error)
	go func() {
		leave, err := f.enter(t.Context(), "a-ann")
		if err == nil {
			leave()
		}
		second <- err
	}()
	waitFor(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.of["a-ann"].users == 2
	})
	leave()
	if err := <-second; err != nil {
		t.Error(err)
	}
	if len(f.of) != 0 {
		t.Errorf("%d accounts are still noted", len(f.of))
	}
}
