package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/store"
)

// office is a region where customers send: its queue delivers only when a test lets it.
type office struct {
	*rig
	srv      *Server
	addr     string      // STARTTLS
	implicit string      // within TLS from the beginning
	conf     *tls.Config // of clients
	logins   chan string
}

func newOffice(t *testing.T, lab bool) *office {
	o := &office{rig: newRig(t), conf: &tls.Config{InsecureSkipVerify: true}, logins: make(chan string, 100)}
	s := httptest.NewTLSServer(nil)
	s.Close()
	o.tls = &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}
	for _, name := range []string{"ann", "bob"} {
		o.setPassword(name)
	}
	o.srv = o.door(Submission, ireland, o.home)
	o.srv.cfg.Queue, o.srv.cfg.Lab = o.open(), lab
	o.srv.cfg.Check = &login.Checker{Accounts: o.store, Address: placement.ParseAddress, Kept: plainKept{}, Tries: login.NewGuesses(time.Microsecond, placement.ParseAddress)}
	o.srv.cfg.Login = func(result string) { o.logins <- result }
	o.srv.attach = func(net.Conn, store.Account) error { return nil }
	o.addr = o.serve(o.srv)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { o.srv.Serve(tls.NewListener(l, o.tls)); close(done) }()
	t.Cleanup(func() { l.Close() })
	o.implicit = l.Addr().String()
	return o
}

// setPassword gives an account of a name its password.
func (o *office) setPassword(name string) {
	o.t.Helper()
	if err := o.store.UpdateAccount(o.t.Context(), domicile.AccountID("a-"+name), func(a *store.Account) error {
		a.Password = "hash of secret-" + name
		return nil
	}); err != nil {
		o.t.Fatal(err)
	}
}

// within returns a connection within TLS, said EHLO on.
func (o *office) within() *client {
	o.t.Helper()
	conn, err := tls.Dial("tcp", o.implicit, o.conf)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	c := &client{o.t, conn, bufio.NewReader(conn)}
	c.want("220 ")
	c.do("EHLO client.example", "250")
	return c
}

func plain(name, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// login returns a connection on which an account is logged in.
func (o *office) login(name string) *client {
	o.t.Helper()
	c := o.within()
	c.do("AUTH PLAIN "+plain(name+"@example.com", "secret-"+name), "235 2.0.0")
	return c
}

// queued is what rests in the queue: the bytes and the entry of its only message.
func (o *office) queued() (string, Queued) {
	o.t.Helper()
	list, err := o.q.List(10)
	if err != nil || len(list) != 1 {
		o.t.Fatalf("%d messages in the queue: %v", len(list), err)
	}
	m, err := o.q.message(&item{id: list[0].ID, account: list[0].Account})
	if err != nil {
		o.t.Fatal(err)
	}
	defer m.Close()
	b, err := io.ReadAll(m)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(b), list[0]
}

// Passwords travel within TLS, or within this machine in a lab.
func TestSubmissionAuthWithinTLSOnly(t *testing.T) {
	o := newOffice(t, false)
	c := dial(t, o.addr)
	if got := c.do("EHLO client.example", "250"); !strings.Contains(got, "STARTTLS") || strings.Contains(got, "AUTH") {
		t.Errorf("in the clear: %q", got)
	}
	c.do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "538 5.7.11")
	c.do("MAIL FROM:<ann@example.com>", "530 5.7.0")
	c = c.startTLS(o.conf)
	if got := c.do("EHLO client.example", "250"); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH SCRAM-SHA-256 PLAIN LOGIN") {
		t.Errorf("behind STARTTLS: %q", got)
	}
	c.do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "235 2.0.0")
	c = o.within()
	if got := c.do("EHLO client.example", "250"); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH SCRAM-SHA-256 PLAIN LOGIN") {
		t.Errorf("within TLS: %q", got)
	}
	c = dial(t, newOffice(t, true).addr)
	if got := c.do("EHLO client.example", "250"); !strings.Contains(got, "AUTH SCRAM-SHA-256 PLAIN LOGIN") {
		t.Errorf("a lab on loopback: %q", got)
	}
	c = dial(t, o.here) // port 25
	if got := c.do("EHLO client.example", "250"); strings.Contains(got, "AUTH") {
		t.Errorf("port 25: %q", got)
	}
	c.do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "502")
}

func TestSubmissionAuth(t *testing.T) {
	o := newOffice(t, false)
	for name, say := range map[string][]string{
		"PLAIN at once":            {"AUTH PLAIN " + plain("ann@example.com", "secret-ann"), "235"},
		"PLAIN asked":              {"AUTH PLAIN", "334", plain("Ann+tag@Example.COM", "secret-ann"), "235"},
		"PLAIN for oneself":        {"AUTH PLAIN " + b64("ann@example.com\x00ann@example.com\x00secret-ann"), "235"},
		"PLAIN for another":        {"AUTH PLAIN " + b64("bob@example.com\x00ann@example.com\x00secret-ann"), "535 5.7.8"},
		"LOGIN":                    {"AUTH LOGIN", "334 VXNlcm5hbWU6", b64("ann@example.com"), "334 UGFzc3dvcmQ6", b64("secret-ann"), "235"},
		"LOGIN with the name":      {"AUTH LOGIN " + b64("ann@example.com"), "334", b64("secret-ann"), "235"},
		"lower case":               {"auth plain " + plain("ann@example.com", "secret-ann"), "235"},
		"wrong":                    {"AUTH PLAIN " + plain("ann@example.com", "secret-bob"), "535 5.7.8"},
		"unknown":                  {"AUTH PLAIN " + plain("nobody@example.com", "secret-ann"), "535 5.7.8"},
		"no password":              {"AUTH PLAIN " + plain("full@example.com", ""), "535 5.7.8"},
		"other mechanism":          {"AUTH CRAM-MD5", "504 5.5.4"},
		"cancelled":                {"AUTH LOGIN", "334", "*", "501"},
		"no base64":                {"AUTH LOGIN", "334", "???", "454"},
		"an answer like a command": {"AUTH LOGIN", "334", "AUTH", "334", "BDAT", "535 5.7.8"},
		"twice":                    {"AUTH PLAIN " + plain("ann@example.com", "secret-ann"), "235", "AUTH PLAIN " + plain("bob@example.com", "secret-bob"), "503"},
	} {
		t.Run(name, func(t *testing.T) {
			c := o.within()
			for i := 0; i < len(say); i += 2 {
				c.do(say[i], say[i+1])
			}
			c.do("NOOP", "250")
		})
	}
	c := o.within()
	for range maxFails - 1 {
		c.do("AUTH PLAIN "+plain("ann@example.com", "x"), "535 5.7.8")
	}
	c.do("AUTH PLAIN "+plain("ann@example.com", "x"), "421 4.7.0")
	c.want("CLOSED")
	c = o.login("ann")
	c.do("MAIL FROM:<ann@example.com>", "250")
	c.do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "503")
}

// What an unknown name, another region's customer and a wrong password hear is the same, and each is counted.
func TestSubmissionTellsNothing(t *testing.T) {
	o := newOffice(t, false)
	answers := map[string]bool{}
	for _, who := range []string{"ann@example.com", "nobody@example.com", "joe@example.com", "x@elsewhere.example", "no address"} {
		answers[o.within().do("AUTH PLAIN "+plain(who, "x"), "535")] = true
		if got := <-o.logins; got != LoginWrong {
			t.Errorf("%s is counted as %s", who, got)
		}
	}
	if len(answers) != 1 {
		t.Errorf("%v", answers)
	}
}

func TestSubmissionStates(t *testing.T) {
	o := newOffice(t, false)
	c := o.login("ann")
	<-o.logins
	for _, s := range []struct {
		state              store.AccountState
		auth, mail, result string
	}{
		{store.Suspended, "535 5.7.13", "535 5.7.13", LoginRefused},
		{store.Moving, "454 4.7.0", "454 4.7.0", LoginUnavailable},
		{store.Active, "235", "250", LoginOK},
	} {
		if err := o.store.UpdateAccount(t.Context(), "a-ann", func(a *store.Account) error { a.State = s.state; return nil }); err != nil {
			t.Fatal(err)
		}
		o.within().do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), s.auth)
		if got := <-o.logins; got != s.result {
			t.Errorf("%s is counted as %s", s.state, got)
		}
		c.do("MAIL FROM:<ann@example.com>", s.mail) // logged in before
	}
	c.do("RCPT TO:<bob@example.com>", "250")
	if err := o.store.UpdateAccount(t.Context(), "a-ann", func(a *store.Account) error { a.Password = "hash of secret-ann#anew"; return nil }); err != nil {
		t.Fatal(err)
	}
	c.do("DATA", "354")
	c.send("From: ann@example.com\r\n\r\nx\r\n.\r\n")
	c.want("421 4.7.0 The password of this session")
	if _, err := c.r.ReadByte(); err == nil {
		t.Error("it goes on")
	}
	o.setPassword("ann")
	o.srv.attach = func(net.Conn, store.Account) error { return domicile.Refuse("x", domicile.EgressNotAllowed, "", "") }
	o.within().do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "535 5.7.8 Refused (egress_not_allowed)")
	o.srv.attach = func(net.Conn, store.Account) error { return domicile.E("x", domicile.Unavailable, "") }
	o.within().do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "454 4.7.0")
}

// An account that begins to move, or is suspended, between MAIL and DATA sends nothing more.
func TestSubmissionEndsWithTheState(t *testing.T) {
	o := newOffice(t, false)
	state := func(s store.AccountState) {
		t.Helper()
		if err := o.store.UpdateAccount(t.Context(), "a-ann", func(a *store.Account) error { a.State = s; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	c := o.login("ann")
	for s, want := range map[store.AccountState]string{store.Moving: "454 4.7.0", store.Suspended: "535 5.7.13"} {
		state(store.Active)
		c.do("MAIL FROM:<ann@example.com>", "250")
		c.do("RCPT TO:<bob@example.com>", "250")
		state(s)
		c.do("DATA", "354")
		c.send("From: ann@example.com\r\n\r\nx\r\n.\r\n")
		c.want(want)
	}
	if !o.q.Idle("a-ann") {
		t.Error("something is queued")
	}
}

// The front of a real node puts each session on record; a connection that is none of the region's is refused.
func TestSubmissionNeedsAPermit(t *testing.T) {
	o := newOffice(t, false)
	o.srv.attach = o.srv.underPermit
	o.within().do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "535 5.7.8 Refused (no_permit)")
}

func TestSubmissionEnvelope(t *testing.T) {
	o := newOffice(t, false)
	o.within().do("MAIL FROM:<ann@example.com>", "530 5.7.0")
	c := o.login("ann")
	for from, want := range map[string]string{
		"ann@example.com": "250", "Ann+tag@Example.com": "250",
		"": "550 5.7.1", "bob@example.com": "550 5.7.1", "ann@elsewhere.example": "550 5.7.1", "x+ann@example.com": "550 5.7.1",
	} {
		c.do("MAIL FROM:<"+from+">", want)
		c.do("RSET", "250")
	}
	c.do("MAIL FROM:<ann@example.com> SIZE=99999999", "552 5.3.4")
	c.do("MAIL FROM:<ann@example.com>", "250")
	c.do("MAIL FROM:<ann@example.com>", "503")
	c.do("RCPT TO:<bob@example.com>", "250")
	c.do("RCPT TO:<joe@example.com>", "250") // of another region, which is out of reach
	c.do("RCPT TO:<dora@example.com>", "250")
	c.do("RCPT TO:<nobody@example.com>", "550 5.1.1")
	c.do("RCPT TO:<someone@elsewhere.example>", "550 5.7.1 Mail to other providers cannot be sent from here yet (outside_not_served)")
	c.do(`RCPT TO:<"a b"@example.com>`, "553 5.1.3")
	o.setDown(domicile.E("x", domicile.Unavailable, ""))
	c.do("RCPT TO:<perhaps@example.com>", "250") // cannot be known now
	o.setDown(domicile.Refuse("x", domicile.OwnershipUnverified, "", ""))
	c.do("RCPT TO:<perhaps@example.com>", "250")
	o.setDown(nil)
	c.do("DATA", "354")
	c.send("From: ann@example.com\r\n\r\nhello\r\n.\r\n")
	answer := c.want("250 2.0.0 Queued at home as ")
	_, entry := o.queued()
	if !strings.Contains(answer, entry.ID) || entry.Sender != "ann@example.com" || len(entry.To) != 4 || entry.To[3].Address != "perhaps@example.com" {
		t.Errorf("%q, %+v", answer, entry)
	}
}

func TestSubmissionLimits(t *testing.T) {
	o := newOffice(t, false)
	o.q.cfg.Rate = maxRecipients + 10
	c := o.login("ann")
	c.do("MAIL FROM:<ann@example.com>", "250")
	for i := range maxRecipients {
		c.do("RCPT TO:<dora+"+strings.Repeat("x", i%7)+"@example.com>", "250")
	}
	c.do("RSET", "250")
	c.do("MAIL FROM:<ann@example.com>", "250")
	for range 10 {
		c.do("RCPT TO:<dora@example.com>", "250")
	}
	c.do("RCPT TO:<dora@example.com>", "450 4.7.1")
	c = o.login("bob") // another account's rate is its own
	send := func(body, want string) {
		t.Helper()
		c.do("MAIL FROM:<bob@example.com>", "250")
		c.do("RCPT TO:<dora@example.com>", "250")
		c.do("DATA", "354")
		c.send("From: bob@example.com\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n" + body + ".\r\n")
		c.want(want)
		c.do("RSET", "250")
	}
	line := strings.Repeat("x", 1022) + "\r\n"
	send(strings.Repeat(line, maxSize/1024-1), "250")
	send(strings.Repeat(line, maxSize/1024), "552 5.3.4")
	o.q.cfg.AccountBytes = o.q.usage["a-bob"] + entryCost + 1000
	send(strings.Repeat(line, 10), "452 4.3.1")
	send("x\r\n", "250")
	send("x\r\n", "452 4.3.1")
	send("a\x00b\r\n", "452 4.3.1")
	o.q.cfg.AccountBytes = DefaultQueueAccountBytes
	send("a\x00b\r\n", "550 5.6.0")
	c.do("MAIL FROM:<bob@example.com>", "250")
	for range maxUnknown - 1 {
		c.do("RCPT TO:<nobody@example.com>", "550 5.1.1")
	}
	c.do("RCPT TO:<nobody@example.com>", "421 4.7.0")
	c.want("CLOSED")
	if n := len(o.q.itemsLeft()); n != 2 {
		t.Errorf("%d messages in the queue", n)
	}
}

// A header that speaks in another's name, or that programs may read in two ways, is not sent.
func TestSubmissionHeader(t *testing.T) {
	o := newOffice(t, false)
	c := o.login("ann")
	for header, want := range map[string]string{
		"From: ann@example.com":                                                       "250",
		"From: Ann O'Neill <Ann+lists@Example.com>":                                   "250",
		"from: \"Ann, at work\" <ann@example.com>\r\nSender: ann@example.com":         "250",
		"From: =?iso-2022-jp?B?GyRCO3NAP0wbKEI=?= <ann@example.com>":                  "250",
		"From: A\u0301nn <ann@example.com>":                                           "250",
		"From:\r\n ann@example.com\r\nSubject: x":                                     "250",
		"From: ann@example.com, Ann <ann+x@example.com>\r\nSender: <ann@example.com>": "250",
		"From: ann@example.com\r\nResent-From: ann@example.com":                       "250",
		"Subject: no author":                                                          "550 5.7.1",
		"From: bob@example.com":                                                       "550 5.7.1",
		"From: \"ann+<bob@example.com>\"@example.com":                                 "550 5.7.1",
		"From: Bob <\"ann+bob@example.com> \"@example.com>":                           "550 5.7.1",
		"From: ann@example.com <bob@example.com>":                                     "550 5.7.1",
		"From: \"ann@example.com\" <bob@example.com>":                                 "550 5.7.1",
		"From: ann@example.com, bob@example.com":                                      "550 5.7.1",
		"From: bob@example.com (ann@example.com)":                                     "550 5.7.1",
		"From: friends: ann@example.com, bob@example.com;":                            "550 5.7.1",
		"From: nobody:;": "550 5.7.1",
		"From: ann":      "550 5.7.1",
		"From:":          "550 5.7.1",
		"From: ann@example.com\r\nFrom: bob@example.com":                                        "550 5.7.1",
		"From: ann@example.com\r\nfROM: ann@example.com":                                        "550 5.7.1",
		"From: ann@example.com\r\nSender: bob@example.com":                                      "550 5.7.1",
		"From: ann@example.com\r\nResent-From: bob@example.com":                                 "550 5.7.1",
		"From: ann@example.com\r\nResent-Sender: bob@example.com":                               "550 5.7.1",
		"From: ann@example.com\r\nFrom : bob@example.com":                                       "554 5.6.0",
		"From: ann@example.com\r\nno field":                                                     "554 5.6.0",
		"From: ann@example.com\r\n: empty":                                                      "554 5.6.0",
		"From: ann@example.com\r\nX\u00e9: y":                                                   "554 5.6.0",
		" folded\r\nFrom: ann@example.com":                                                      "554 5.6.0",
		"From ann Mon Mar  2 10:00:00 2026\r\nFrom: ann@example.com":                            "554 5.6.0",
		"From: ann@example.com\r\nX: " + strings.Repeat(strings.Repeat("y", 60<<10)+"\r\n ", 5): "554 5.6.0",
		"From: ann@example.com" + strings.Repeat("\r\nX: y", maxFields+1):                       "554 5.6.0",
	} {
		c.do("MAIL FROM:<ann@example.com>", "250")
		c.do("RCPT TO:<bob@example.com>", "250")
		c.do("DATA", "354")
		c.send(header + "\r\n\r\nbody\r\n.\r\n")
		if got := c.reply(); !strings.HasPrefix(got, want) {
			t.Errorf("%.100q: %q, want %s", header, got, want)
		}
		c.do("NOOP", "250")
	}
}

// What rests, and later arrives, is what was sent, behind what had to be added, without what was for the server alone.
func TestSubmissionCompletesAndHides(t *testing.T) {
	o := newOffice(t, false)
	o.srv.now = func() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.FixedZone("", 3600)) }
	send := func(text string) (string, Queued) {
		t.Helper()
		c := o.login("ann")
		c.do("MAIL FROM:<ann@example.com>", "250")
		c.do("RCPT TO:<bob@example.com>", "250")
		c.do("DATA", "354")
		c.send(text + ".\r\n")
		c.want("250")
		got, entry := o.queued()
		if err := o.q.Discard(t.Context(), "a-ann"); err != nil {
			t.Fatal(err)
		}
		return got, entry
	}
	const body = "\r\nline\r\nBcc: in the body\r\n\r\n8-bit \xe9\r\n"
	got, entry := send("From: ann@example.com\r\nBcc: hidden@example.com,\r\n\thidden2@example.com\r\nSubject: x\r\nbcc:\r\nResent-Bcc: y\r\n" + body)
	want := "Message-ID: <" + entry.ID + "@example.com>\r\nDate: Mon, 2 Mar 2026 11:00:00 +0000\r\nFrom: ann@example.com\r\nSubject: x\r\n" + body
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	whole := "Date: yesterday\r\nX-Odd:value\r\nFrom: \"A\" <ann@example.com>\r\nMessage-Id: <own>\r\nTo: undisclosed:;\r\n" + body
	if got, _ := send(whole); got != whole {
		t.Errorf("%q, want %q", got, whole)
	}
	headerOnly := "From: ann@example.com\r\nDate: x\r\nMessage-ID: x\r\n"
	if got, _ := send(headerOnly); got != headerOnly {
		t.Errorf("%q, want %q", got, headerOnly)
	}

	// The trace field tells neither where the customer was nor what their machine is called.
	c := o.login("ann")
	c.do("MAIL FROM:<ann+tag@example.com>", "250")
	c.do("RCPT TO:<bob@example.com>", "250")
	c.do("DATA", "354")
	c.send(whole + ".\r\n")
	c.want("250")
	_, entry = o.queued()
	o.run()
	o.empty()
	arrived := "Return-Path: <ann+tag@example.com>\r\nReceived: by mx.eu-ireland.test with ESMTPSA id " + entry.ID + ";\r\n\tMon, 2 Mar 2026 11:00:00 +0000\r\n" + whole
	if got := o.got("bob"); len(got) != 1 || got[0] != arrived {
		t.Errorf("%q, want %q", got, arrived)
	}
}

// A disk that fails before, at or behind any step of writing a message down: the customer hears 451 and nothing is sent, or hears 250
// and it is.
func TestSubmissionOnFailingDisk(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "close", "sync folder", "put"} {
		o := newOffice(t, false)
		c := o.login("ann")
		o.fault = func(name string) (bool, bool) { return name == step, false }
		send := func(want string) {
			t.Helper()
			c.do("MAIL FROM:<ann@example.com>", "250")
			c.do("RCPT TO:<bob@example.com>", "250")
			c.do("DATA", "354")
			c.send("From: ann@example.com\r\n\r\nx\r\n.\r\n")
			c.want(want)
		}
		send("451 4.3.0")
		o.mu.Lock()
		o.dead, o.fault = false, nil
		o.mu.Unlock()
		send("250")
		o.run()
		o.until("one message", func() bool { return len(o.got("bob")) == 1 && len(o.q.itemsLeft()) == 0 })
		o.stop()
		o.reopen()
		o.empty()
		if n := len(o.got("bob")); n != 1 {
			t.Errorf("%s: %d messages", step, n)
		}
	}
}

// FuzzSubmittedHeader: whatever a customer sends, what is let through is what came, without Bcc, behind what was added; and read again
// it has the same author.
func FuzzSubmittedHeader(f *testing.F) {
	for _, s := range []string{"From: a@b.example\r\n\r\nbody", "From: a@b.example\r\nBcc: x\r\n y\r\n\r\n", "From:\r\n\t<a@b.example>\r\n", "\r\n", "", " x\r\n", "a:\r\n\r\n", "Date:\r\nMessage-ID: x\r\nFrom: a@b.example\r\n\r\n"} {
		f.Add([]byte(s))
	}
	own := func(a string) bool { return a == "a@b.example" }
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = crlf(raw)
		r := bufio.NewReaderSize(strings.NewReader(string(raw)), maxLine)
		h, err := readHeader(r)
		if err != nil {
			return
		}
		var all []byte
		for _, field := range h.fields {
			all = append(all, field...)
		}
		all = append(all, h.end...)
		rest, _ := io.ReadAll(r)
		if string(all)+string(rest) != string(raw) {
			t.Fatalf("%q and %q are not %q", all, rest, raw)
		}
		if h.check(own) != nil {
			return
		}
		again, err := readHeader(bufio.NewReaderSize(strings.NewReader(string(h.complete("now", "id"))), maxLine))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.check(own); err != nil {
			t.Fatal(err)
		}
		for _, must := range []string{"date", "message-id", "from"} {
			if len(again.values(must)) == 0 {
				t.Fatalf("no %s", must)
			}
		}
		if n := len(again.values("bcc")) + len(again.values("resent-bcc")); n != 0 {
			t.Fatalf("%d Bcc", n)
		}
	})
}

// plainKept keeps passwords as they are, behind "hash of ". A proof fits that is "proof of" the verifier.
type plainKept struct{}

func (plainKept) Check(kept, password string) (bool, error) { return kept == "hash of "+password, nil }
func (plainKept) CheckApp(kept, password string) bool       { return kept == "app "+password }
func (plainKept) Salt(name string) ([]byte, int)            { return []byte("salt of " + name), 4096 }
func (plainKept) Verifier(_, password string) (string, error) {
	return "verifier of " + password, nil
}
func (plainKept) Proof(kept string, _ []byte, _ int, exchange string, proof []byte) ([]byte, bool) {
	return []byte("signature"), kept != "" && string(proof) == "proof of "+kept
}

// scramProof runs the first step of SCRAM, and returns what a client says that has the proof which plainKept takes.
func scramProof(t *testing.T, c *client, name, proof string) string {
	t.Helper()
	first := c.do("AUTH SCRAM-SHA-256 "+b64("n,,n="+name+",r=abc"), "334 ")
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(first, "334 ")))
	if err != nil {
		t.Fatal(err)
	}
	nonce, _, _ := strings.Cut(string(challenge), ",")
	return b64("c=biws," + nonce + ",p=" + b64(proof))
}

// By SCRAM a client is logged in once it has seen the server's signature; one that does not like it is not, and must connect again.
func TestSubmissionScram(t *testing.T) {
	o := newOffice(t, false)
	if err := o.store.UpdateAccount(t.Context(), "a-ann", func(a *store.Account) error { a.Scram = "ann's"; return nil }); err != nil {
		t.Fatal(err)
	}
	c := o.within()
	c.do(scramProof(t, c, "ann@example.com", "proof of ann's"), "334 "+b64("v="+b64("signature")))
	c.do("", "235 2.0.0")
	c.do("MAIL FROM:<ann@example.com>", "250")

	c = o.within()
	c.do(scramProof(t, c, "ann@example.com", "proof of ann's"), "334 "+b64("v="+b64("signature")))
	c.do("*", "501")
	c.do("MAIL FROM:<ann@example.com>", "530 5.7.0")
	c.do("AUTH PLAIN "+plain("ann@example.com", "secret-ann"), "421 4.7.0")
	c.want("CLOSED")

	for _, name := range []string{"ann@example.com", "bob@example.com", "nobody@example.com", "no address"} { // wrong, without a verifier, unknown
		c = o.within()
		c.do(scramProof(t, c, name, "proof of"), "535 5.7.8 No such account, or the wrong password")
	}
	c = o.within()
	c.do("AUTH SCRAM-SHA-256 "+b64("n,,n=ann"), "501 5.5.2")
	c.do("AUTH SCRAM-SHA-256-PLUS", "504 5.5.4")
	c.do("AUTH SCRAM-SHA-256 "+b64("n,a=bob@example.com,n=ann@example.com,r=abc"), "535 5.7.8 An account can act for itself alone")
}

// A name at which many guess is tried from where it has logged in; who comes from elsewhere must try again, whether it exists or not.
func TestSubmissionOfGuessedNames(t *testing.T) {
	o := newOffice(t, false)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tries := o.srv.cfg.Check.Tries
	o.login("ann")
	for _, name := range []string{"ann@example.com", "bob@example.com", "nobody@example.com"} {
		for range 200 {
			tries.Wait(ended, "192.0.2.1", name, time.Now())
		}
	}
	o.login("ann")
	for _, name := range []string{"bob@example.com", "nobody@example.com"} {
		got := ""
		for range 20 { // somebody else takes the one try of some seconds, and this machine may be slower than that
			c := o.within()
			tries.May("192.0.2.1", name)
			if got = c.do("AUTH PLAIN "+plain(name, "secret-eve"), ""); strings.HasPrefix(got, "454 4.7.0") {
				break
			}
		}
		if !strings.HasPrefix(got, "454 4.7.0") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
