package smtpd

import (
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// lmtpWorld has a second home region, and an LMTP front in us-east, which is nobody's home that can be reached.
func lmtpWorld(t *testing.T) (*world, store.Store, *Server) {
	w := newWorld(t)
	second := newStore(t, storetest.NewSealer("berlin"), berlin, "dora")
	w.away.other = NewHome(second, maxSize, quiet())
	return w, second, w.door(LMTP, useast, nil)
}

// transact opens an LMTP transaction up to 354.
func (c *client) transact(rcpt ...string) {
	c.t.Helper()
	c.do("MAIL FROM:<s@sender.test>", "250")
	for _, r := range rcpt {
		c.do("RCPT TO:<"+r+"@example.com>", "250")
	}
	c.do("DATA", "354")
}

func TestLMTPGreeting(t *testing.T) {
	w, _, srv := lmtpWorld(t)
	c := dial(t, w.serve(srv))
	c.do("EHLO there", "500 5.5.1")
	c.do("HELO there", "500 5.5.1")
	got := c.do("LHLO there", "250-")
	for _, want := range []string{"250-PIPELINING", "250-ENHANCEDSTATUSCODES", "SIZE 1048576\r\n", "LIMITS RCPTMAX=100"} { // RFC 2033 5 asks for the first two
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	for _, not := range []string{"CHUNKING", "AUTH"} {
		if strings.Contains(got, not) {
			t.Errorf("%q offers %q", got, not)
		}
	}
	c.do("AUTH PLAIN AGEAYg==", "502")
	c.do("MAIL FROM:<s@sender.test>", "250")
	c.do("RCPT TO:<someone@elsewhere.test>", "550 5.7.1 Relaying denied")
	c.do("DATA", "502")
	dial(t, w.here).do("LHLO there", "500 5.5.1")
}

// One transaction, recipients of three home regions, one of which is out of reach, one mailbox full: each has its own answer, in
// the order in which they were named, and the message rests where it was answered for and nowhere else.
func TestLMTPAnswersEachRecipient(t *testing.T) {
	w, second, srv := lmtpWorld(t)
	c := dial(t, w.serve(srv))
	c.do("LHLO there", "250")
	c.transact("dora", "ann", "full", "joe", "bob")
	body := "Subject: x\r\n\r\n" + strings.Repeat("a line of the letter\r\n", 20000)
	c.send(body + ".\r\n")
	c.want("250 2.0.0 <dora@example.com> Stored at home as ")
	c.want("250 2.0.0 <ann@example.com> Stored at home as ")
	c.want("552 5.2.2 <full@example.com> Mailbox full")
	c.want("451 4.4.1 <joe@example.com>")
	c.want("250 2.0.0 <bob@example.com> Stored at home as ")
	for name, st := range map[string]store.Store{"dora": second, "ann": w.store, "bob": w.store} {
		got := inbox(t, st, name)
		if len(got) != 1 || behind(t, got[0]) != body || !strings.Contains(got[0], "with LMTP id ") {
			t.Errorf("%s has %d messages, or other bytes", name, len(got))
		}
	}
	if got := w.inbox("full"); len(got) != 0 {
		t.Errorf("full has %d messages", len(got))
	}
	c.transact("ann") // and on it goes
	c.send("x\r\n.\r\n")
	c.want("250")
}

// A recipient that is named twice has two answers and one copy.
func TestLMTPNamedTwice(t *testing.T) {
	w, _, srv := lmtpWorld(t)
	c := dial(t, w.serve(srv))
	c.do("LHLO there", "250")
	c.transact("ann", "Ann", "ann")
	c.send("x\r\n.\r\n")
	for range 3 {
		c.want("250")
	}
	c.do("NOOP", "250")
	if n := len(w.inbox("ann")); n != 1 {
		t.Errorf("%d copies", n)
	}
}

// A home that takes the call and then does not move holds the others up for so long and no longer.
func TestLMTPStuckHome(t *testing.T) {
	w, second, srv := lmtpWorld(t)
	srv.patience = 2 * time.Second
	w.away.stuck = true
	c := dial(t, w.serve(srv))
	c.do("LHLO there", "250")
	c.transact("dora", "ann")
	body := strings.Repeat(strings.Repeat("x", 1022)+"\r\n", 2*(fanAhead+1)*fanPiece/1024) // more than may be under way
	c.send(body + ".\r\n")
	c.want("451 4.4.1 <dora@example.com>")
	c.want("250 2.0.0 <ann@example.com>")
	if got := w.inbox("ann"); len(got) != 1 || behind(t, got[0]) != body {
		t.Error("ann's copy is missing or altered")
	}
	if got := inbox(t, second, "dora"); len(got) != 0 {
		t.Errorf("dora has %d", len(got))
	}
}

// Whatever ends a body early, nobody has a part of it. What is only too large or holds NUL does not end the connection.
func TestLMTPBodyFaults(t *testing.T) {
	w, second, srv := lmtpWorld(t)
	at := w.serve(srv)
	c := dial(t, at)
	c.do("LHLO there", "250")
	for body, want := range map[string]string{
		strings.Repeat(strings.Repeat("x", 1022)+"\r\n", maxSize/1024) + "y\r\n": "552 5.3.4 <",
		"a\x00b\r\n" + strings.Repeat("more\r\n", 50000):                         "550 5.6.0 <",
	} {
		c.transact("ann", "dora")
		c.send(body + ".\r\n")
		c.want(want + "ann@")
		c.want(want + "dora@")
		c.do("NOOP", "250")
	}
	c.transact("ann", "dora")
	c.send("x\r\n" + strings.Repeat("y", maxLine+10) + "\r\nRSET\r\n.\r\nNOOP\r\n")
	c.want("554 5.6.0")
	c.want("554 5.6.0")
	for got := c.reply(); got != "CLOSED"; got = c.reply() {
		if strings.HasPrefix(got, "250") {
			t.Fatalf("a command ran: %q", got)
		}
	}
	c = dial(t, at)
	c.do("LHLO there", "250")
	c.transact("ann", "dora")
	c.send("half of a mess")
	c.Close()
	for name, st := range map[string]store.Store{"dora": second, "ann": w.store} {
		if got := inbox(t, st, name); len(got) != 0 {
			t.Errorf("%s has %d messages", name, len(got))
		}
	}
}

// A repetition to a home whose answer was lost arrives once; the same message sent again on purpose twice. (RFC 1047, for each
// recipient.)
func TestLMTPTwice(t *testing.T) {
	const mail = "Message-ID: <1@x>\r\n\r\none\r\n.\r\n"
	w, second, srv := lmtpWorld(t)
	c := dial(t, w.serve(srv))
	c.do("LHLO there", "250")
	w.away.set(nil, domicile.E("link", domicile.Unknown, "answer lost"))
	c.transact("ann", "dora")
	c.send(mail)
	c.want("451 4.3.0")
	c.want("451 4.3.0")
	w.away.set(nil, nil)
	for _, h := range []*Home{w.home, w.away.other} {
		for _, token := range h.waiting.tokens() {
			h.waiting.settle(token) // as after a minute
		}
	}
	count := func(want int) {
		t.Helper()
		if a, d := len(w.inbox("ann")), len(inbox(t, second, "dora")); a != want || d != want {
			t.Fatalf("ann has %d, dora %d, want %d", a, d, want)
		}
	}
	for _, want := range []int{1, 2} {
		c.transact("ann", "dora")
		c.send(mail)
		c.want("250")
		c.want("250")
		c.do("NOOP", "250")
		count(want)
	}
	srv.route.told(t.Context())
	for _, h := range []*Home{w.home, w.away.other} {
		if n := len(h.waiting.tokens()); n != 0 {
			t.Errorf("%d tokens are still held", n)
		}
	}
}

// An Each delivery of another region's front, whose homes are held to the form of the answer.
func TestEachDelivery(t *testing.T) {
	w := newWorld(t)
	d := delivery{V: 1, ID: "x", Each: true, Recipients: []domicile.AccountID{"a-gone", "a-ann", "a-full"}, Trace: "Received: x\r\n"}
	out, err := w.home.deliver(t.Context(), ireland, d, strings.NewReader(strings.Repeat("letter\r\n", 100)))
	if err != nil || !out.fits(d) {
		t.Fatalf("%+v, %v", out, err)
	}
	if k := domicile.KindOf(out.of(0)); k != domicile.Unavailable {
		t.Errorf("an account that is not here: %v", k)
	}
	if out.of(1) != nil || len(w.inbox("ann")) != 1 {
		t.Errorf("ann: %v, %d messages", out.of(1), len(w.inbox("ann")))
	}
	if got := refusal(out.of(2), 1); got.Code != 552 || got.EnhancedCode[1] != 2 {
		t.Errorf("full: %v", got)
	}
	for name, a := range map[string]accepted{
		"version": {V: 2, Tokens: make([]string, 3)}, "tokens": {V: 1, Tokens: make([]string, 2)},
		"verdicts": {V: 1, Tokens: make([]string, 3), Failed: make([]verdict, 2)},
	} {
		if a.fits(d) {
			t.Errorf("%s: taken", name)
		}
	}
	d.Each = false
	if (&accepted{V: 1, Tokens: make([]string, 3), Failed: make([]verdict, 3)}).fits(d) {
		t.Error("verdicts that nobody asked for are taken")
	}
}

// A delivery that its sender named is stored once however often it comes, and nothing waits for word of an answer.
func TestOnce(t *testing.T) {
	w := newWorld(t)
	send := func(once, body string) {
		t.Helper()
		d := delivery{V: 1, ID: "x", Once: once, Each: true, Recipients: []domicile.AccountID{"a-ann", "a-bob"}, Trace: "Received: x\r\n"}
		out, err := w.home.deliver(t.Context(), ireland, d, strings.NewReader(body))
		if err != nil || out.of(0) != nil || out.of(1) != nil {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	send("q1", "one\r\n")
	send("q1", "one\r\n")
	send("q2", "one\r\n")
	send("q1", "changed\r\n")
	if a, b := len(w.inbox("ann")), len(w.inbox("bob")); a != 2 || b != 2 {
		t.Errorf("ann has %d, bob %d", a, b)
	}
	if n := len(w.home.waiting.tokens()); n != 0 {
		t.Errorf("%d tokens are held", n)
	}
}
