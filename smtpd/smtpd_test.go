package smtpd

import (
	"bytes"
	"context"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"domicile"
	"domicile/store"
)

func TestEHLOOffersWhatWorks(t *testing.T) {
	w := newWorld(t)
	c := dial(t, w.here)
	got := c.do("EHLO there", "250-")
	for _, want := range []string{"250-PIPELINING", "250-8BITMIME", "SIZE 1048576\r\n", "LIMITS RCPTMAX=100"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	for _, not := range []string{"CHUNKING", "AUTH", "STARTTLS", "SMTPUTF8"} {
		if strings.Contains(got, not) {
			t.Errorf("%q offers %q", got, not)
		}
	}
}

// The body of the smuggling dialogue, in full.
func TestSmuggledBody(t *testing.T) {
	w := newWorld(t)
	c := dial(t, w.there)
	c.begin("ann")
	c.send("a\n.\nb\n.\r\nc\r\n.\nd\r.\re\r\n..\r\nf\r\r\n.\r\n")
	c.want("250 ")
	got := behind(t, w.inbox("ann")[0])
	if want := "a\r\n.\r\nb\r\n.\r\nc\r\n\r\nd\r\n.\r\ne\r\n.\r\nf\r\n\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Every message of the corpus through the wrong region, byte for byte behind the trace fields. One byte at a time must not
// matter, so some go in small pieces.
func TestCorpus(t *testing.T) {
	w := newWorld(t)
	messages := corpus(t)
	c, err := smtp.Dial(w.there)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := 0
	for name, raw := range messages {
		want := crlf(raw)
		if !bytes.HasSuffix(want, []byte("\r\n")) {
			want = append(want, '\r', '\n')
		}
		if err := c.Mail("s@sender.test"); err != nil {
			t.Fatal(name, err)
		}
		if err := c.Rcpt("ann@example.com"); err != nil {
			t.Fatal(name, err)
		}
		d, err := c.Data()
		if err != nil {
			t.Fatal(name, err)
		}
		d.Write(want)
		err = d.Close()
		if bytes.IndexByte(raw, 0) >= 0 {
			if err == nil || !strings.HasPrefix(err.Error(), "550 5.6.0") {
				t.Errorf("%s has NUL: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		n++
		all := w.inbox("ann")
		if len(all) != 1 || behind(t, all[0]) != string(want) {
			t.Fatalf("%s: %d messages, or not byte for byte", name, len(all))
		}
		w.clear("ann")
	}
	if n < 300 {
		t.Errorf("only %d messages were delivered", n)
	}
}

// clear empties an inbox.
func (w *world) clear(name string) {
	w.t.Helper()
	ctx := context.Background()
	id := domicile.AccountID("a-" + name)
	m, _ := w.store.MailboxByName(ctx, id, "INBOX")
	msgs, _ := w.store.Messages(ctx, id, m.ID, 0, store.MaxPage)
	for _, msg := range msgs {
		w.store.StoreFlags(ctx, "", id, m.ID, []store.UID{msg.UID}, 1, []string{"\\Deleted"}, 0)
	}
	if _, err := w.store.Expunge(ctx, "", id, m.ID, nil); err != nil {
		w.t.Fatal(err)
	}
}

func TestTraceFields(t *testing.T) {
	w := newWorld(t)
	c := dial(t, w.there)
	c.do("EHLO evil(host)<x>", "250")
	c.do(`MAIL FROM:<"odd name"@sender.test>`, "250")
	c.do("RCPT TO:<ann@example.com>", "250")
	c.do("DATA", "354")
	answer := c.do("Subject: x\r\n\r\n.", "250")
	id := strings.TrimSpace(answer[strings.LastIndexByte(strings.TrimSpace(answer), ' '):])
	got := w.inbox("ann")[0]
	want := "Return-Path: <\"odd name\"@sender.test>\r\nReceived: from evilhostx ([127.0.0.1])\r\n\tby mx.us-east.test with ESMTP id " + id + ";\r\n\t"
	if !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A repetition whose 250 was lost arrives once; the same mail sent again on purpose twice; two mails with one Message-ID
// both arrive.
func TestTwice(t *testing.T) {
	const mail = "Message-ID: <1@x>\r\n\r\none\r\n.\r\n"
	w := newWorld(t)
	send := func(c *client, body, want string) {
		t.Helper()
		c.begin("ann", "bob")
		c.send(body)
		c.want(want)
	}
	c := dial(t, w.there)
	w.away.set(nil, domicile.E("link", domicile.Unknown, "answer lost"))
	send(c, mail, "451 4.3.0")
	w.away.set(nil, nil)
	patience := w.home.waiting.patience
	w.home.waiting.patience = 50 * time.Millisecond
	send(c, mail, "451 4.4.1") // home does not know yet whether the first was answered
	w.home.waiting.patience = patience
	for _, token := range w.held() {
		w.home.waiting.settle(token) // as after a minute
	}
	send(c, mail, "250")
	if a, b := len(w.inbox("ann")), len(w.inbox("bob")); a != 1 || b != 1 {
		t.Fatalf("after a repetition: %d and %d", a, b)
	}
	send(dial(t, w.here), mail, "250") // on purpose, and by another front
	send(c, strings.Replace(mail, "one", "two", 1), "250")
	if a, b := len(w.inbox("ann")), len(w.inbox("bob")); a != 3 || b != 3 {
		t.Fatalf("at the end: %d and %d", a, b)
	}
	for range 100 { // home is told behind the 250, before the next command
		if len(w.held()) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d tokens are still held", len(w.held()))
}

func (w *world) held() []string { return w.home.waiting.tokens() }

func (w *waiting) tokens() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for token := range w.held {
		out = append(out, token)
	}
	return out
}

// A sender that goes away before it reads the 250 was perhaps not answered: then its repetition is one.
func TestRepetitionOutlivesARestartOfHome(t *testing.T) {
	w := newWorld(t)
	w.away.set(nil, domicile.E("link", domicile.Unknown, "answer lost"))
	c := dial(t, w.there)
	c.begin("ann")
	c.send("x\r\n.\r\n")
	c.want("451")
	w.away.set(nil, nil)
	w.away.home = NewHome(w.store, maxSize, quiet()) // its memory is gone, its key is not
	c.begin("ann")
	c.send("x\r\n.\r\n")
	c.want("250")
	if n := len(w.inbox("ann")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Home out of reach, the border's no, a broken stream: nothing is stored and the sender keeps the mail.
func TestFailures(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		before error
		want   string
	}{
		{domicile.E("x", domicile.Unavailable, ""), "451 4.4.1"},
		{domicile.E("x", domicile.Unknown, ""), "451 4.3.0"},
		{domicile.E("x", domicile.Other, ""), "451 4.3.0"},
		{domicile.Refuse("x", domicile.JournalUnavailable, "", ""), "451 4.3.0 Not now (journal_unavailable)"},
		{domicile.Refuse("x", domicile.EgressNotAllowed, "", ""), "550 5.7.1 Refused (egress_not_allowed)"},
	} {
		w.away.set(c.before, nil)
		k := dial(t, w.there)
		k.begin("ann")
		k.send("x\r\n.\r\n")
		k.want(c.want)
		k.do("NOOP", "250")
	}
	for _, c := range []struct {
		down error
		want string
	}{
		{domicile.E("x", domicile.Unavailable, ""), "451 4.4.1"},
		{domicile.Refuse("x", domicile.OwnershipUnverified, "", ""), "451 4.3.0 Not now (ownership_unverified)"},
	} {
		w.setDown(c.down)
		k := dial(t, w.there)
		k.do("EHLO x", "250")
		k.do("MAIL FROM:<>", "250")
		k.do("RCPT TO:<ann@example.com>", c.want)
	}
	w.setDown(nil)
	w.away.set(nil, nil)
	k := dial(t, w.there) // the sender dies within the body
	k.begin("ann")
	k.send("half of a mess")
	k.Close()
	time.Sleep(50 * time.Millisecond)
	if n := len(w.inbox("ann")); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// Nothing that stands behind a read error is taken for a command, however the body ended.
func TestErrorInDataEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	c := dial(t, w.here)
	c.begin("ann")
	c.send("x\r\n" + strings.Repeat("y", maxLine+10) + "\r\nRSET\r\n.\r\nNOOP\r\n")
	c.want("554 5.6.0")
	for {
		got := c.reply()
		if got == "CLOSED" {
			break
		}
		if strings.HasPrefix(got, "250") {
			t.Fatalf("a command ran: %q", got)
		}
	}
	if n := len(w.inbox("ann")); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestSizeLimit(t *testing.T) {
	w := newWorld(t)
	c := dial(t, w.there)
	line := strings.Repeat("x", 1022) + "\r\n"
	exact := strings.Repeat(line, maxSize/1024)
	c.begin("ann")
	c.send(exact + ".\r\n")
	c.want("250")
	c.begin("ann")
	c.send(exact + "y\r\n.\r\n")
	c.want("552 5.3.4")
	c.do("NOOP", "250")
	c.begin("ann")
	for range 4 {
		c.send(exact) // far too much: the connection ends before the sender does
	}
	if got := c.reply(); !strings.HasPrefix(got, "552 5.3.4") && got != "CLOSED" {
		t.Errorf("%q", got)
	}
	if n := len(w.inbox("ann")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	c := dial(t, w.here)
	c.do("EHLO x", "250")
	c.do("MAIL FROM:<>", "250")
	for range maxRecipients {
		c.do("RCPT TO:<ann@example.com>", "250")
	}
	c.do("RCPT TO:<bob@example.com>", "452 ")
	c.do("RSET", "250")

	c.do("MAIL FROM:<>", "250")
	for range maxUnknown - 1 {
		c.do("RCPT TO:<nobody@example.com>", "550 5.1.1")
	}
	c.do("RCPT TO:<nobody@example.com>", "421 4.7.0")
	c.want("CLOSED")

	c = dial(t, w.here)
	c.do(strings.Repeat("x", maxCommand), "500 5.5.2")
	c.want("CLOSED")

	c = dial(t, w.here)
	go c.send(strings.Repeat("NOOP\r\n", maxCommands+1))
	for range maxCommands {
		c.want("250")
	}
	c.want("421 4.7.0")
	c.want("CLOSED")
}

// A stranger may be sent only so much (region.ListenFront): no transaction begins that might not be answered.
func TestNoTransactionNearTheCeiling(t *testing.T) {
	w := newWorld(t)
	s := &session{srv: w.srv[w.here], gate: &gate{sent: maxSent + 1}}
	if err, ok := s.Mail("", nil).(*gosmtp.SMTPError); !ok || err.Code != 421 || !s.gate.finish {
		t.Errorf("%v", err)
	}
}

// An idle client hears 421; one within a transaction finishes it.
func TestShutdownDrains(t *testing.T) {
	w := newWorld(t)
	idle, busy := dial(t, w.here), dial(t, w.here)
	idle.do("EHLO x", "250")
	busy.begin("ann")
	busy.send("first\r\n")
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		done <- w.srv[w.here].Shutdown(ctx)
	}()
	idle.want("421 4.3.2")
	idle.want("CLOSED")
	busy.send("second\r\n.\r\n")
	busy.want("250")
	busy.want("421 4.3.2")
	busy.want("CLOSED")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(w.inbox("ann")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// A front that is shut down before it serves, or while it begins to, does not serve.
func TestShutdownBeforeServe(t *testing.T) {
	for range 50 {
		srv := newServer(Config{Region: ireland, Hostname: "x", MaxSize: maxSize, Log: quiet()}, nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		srv.Shutdown(context.Background())
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it serves")
		}
	}
}

func TestDeliveryFromAPeerIsChecked(t *testing.T) {
	w := newWorld(t)
	good := delivery{V: 1, ID: "x", Sender: "a@b", Recipients: []domicile.AccountID{"a-ann"}, Trace: received("h", "::1", "mx", "ESMTP", "id", time.Now())}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(d *delivery){
		"version":       func(d *delivery) { d.V = 2 },
		"no recipient":  func(d *delivery) { d.Recipients = nil },
		"many":          func(d *delivery) { d.Recipients = make([]domicile.AccountID, maxRecipients+1) },
		"sender":        func(d *delivery) { d.Sender = "a@b\r\nX: y" },
		"trace injects": func(d *delivery) { d.Trace += "X: y\r\n" },
		"trace empty":   func(d *delivery) { d.Trace = "" },
		"trace ends":    func(d *delivery) { d.Trace = "Received: x\r\n\r\n" },
	} {
		d := good
		spoil(&d)
		if _, err := w.home.deliver(context.Background(), ireland, d, strings.NewReader("x")); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := good
	d.Recipients = []domicile.AccountID{"a-gone"}
	if _, err := w.home.deliver(context.Background(), ireland, d, strings.NewReader("x")); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("an account that is not here: %v", err)
	}
}
