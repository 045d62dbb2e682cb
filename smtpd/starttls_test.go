package smtpd

import (
	"bufio"
	"crypto/tls"
	"net/http/httptest"
	"strings"
	"testing"
)

// secureFront starts a front with STARTTLS, and returns what its clients need.
func (w *world) secureFront() (string, *tls.Config) {
	s := httptest.NewTLSServer(nil)
	s.Close()
	w.tls = &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}
	return w.front(ireland, w.home), &tls.Config{InsecureSkipVerify: true}
}

func (c *client) startTLS(conf *tls.Config) *client {
	c.t.Helper()
	c.do("STARTTLS", "220 2.0.0")
	if c.r.Buffered() > 0 {
		c.t.Fatal("the server said more behind its answer to STARTTLS")
	}
	conn := tls.Client(c.Conn, conf)
	if err := conn.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return &client{c.t, conn, bufio.NewReader(conn)}
}

func TestStartTLS(t *testing.T) {
	w := newWorld(t)
	addr, conf := w.secureFront()
	c := dial(t, addr)
	if got := c.do("EHLO there", "250"); !strings.Contains(got, "STARTTLS") {
		t.Fatalf("not offered: %q", got)
	}
	c.do("STARTTLS now", "501")
	c.do("MAIL FROM:<s@sender.test>", "250")
	c.do("RCPT TO:<ann@example.com>", "250")
	c = c.startTLS(conf) // no second greeting: the first line that follows answers the first command
	c.do("RCPT TO:<ann@example.com>", "50")
	c.do("DATA", "50")
	if got := c.do("EHLO there", "250"); strings.Contains(got, "STARTTLS") {
		t.Fatalf("offered within TLS: %q", got)
	}
	c.do("STARTTLS", "502")
	c.begin("ann")
	c.send("Subject: sealed\r\n\r\nletter\r\n.\r\n")
	c.want("250")
	got := w.inbox("ann")
	if len(got) != 1 || !strings.Contains(got[0], "with ESMTPS id") || behind(t, got[0]) != "Subject: sealed\r\n\r\nletter\r\n" {
		t.Fatalf("stored: %q", got)
	}
}

// TestStartTLSInjection: commands that somebody put behind STARTTLS in the clear never run within TLS (CVE-2011-0411), whether
// they come in the same segment or later.
func TestStartTLSInjection(t *testing.T) {
	w := newWorld(t)
	addr, conf := w.secureFront()
	c := dial(t, addr)
	c.do("EHLO there", "250")
	c.send("STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@sender.test>\r\n")
	c.want("503")
	c.want("CLOSED")

	c = dial(t, addr)
	c.do("EHLO there", "250")
	c.do("STARTTLS", "220")
	c.send("EHLO evil\r\nMAIL FROM:<evil@sender.test>\r\n")
	if err := tls.Client(c.Conn, conf).Handshake(); err == nil {
		t.Fatal("bytes in the clear were taken behind STARTTLS")
	}
	c = dial(t, addr)
	c.do("STARTTLS", "220")
	old := conf.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(c.Conn, old).Handshake(); err == nil {
		t.Fatal("TLS 1.1 was taken")
	}
}
