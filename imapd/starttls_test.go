package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"domicile"
)

// secure puts a front with STARTTLS before the world's home, and returns what its clients need.
func (w *world) secure() *tls.Config {
	w.cfg.TLS = testTLS()
	w.front(w.cfg)
	return &tls.Config{InsecureSkipVerify: true}
}

func testTLS() *tls.Config {
	s := httptest.NewTLSServer(nil)
	s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}
}

func (c *client) startTLS(conf *tls.Config) *client {
	c.t.Helper()
	c.do("s STARTTLS", "s OK")
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
	for _, lab := range []bool{false, true} {
		w := newWorldIn(t, lab)
		conf := w.secure()
		c := w.dial()
		if got := c.do("a CAPABILITY", "a OK"); !strings.Contains(got, "STARTTLS") || strings.Contains(got, "LOGINDISABLED") == lab {
			t.Fatalf("lab %v: %q", lab, got)
		}
		if !lab {
			c.do("b LOGIN ann@example.com pw", "b NO")
		}
		c.do("c STARTTLS now", "c BAD")
		c = c.startTLS(conf) // no second greeting: the first line that follows answers the first command
		if got := c.do("d CAPABILITY", "d OK"); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH=PLAIN") {
			t.Fatalf("within TLS: %q", got)
		}
		c.do("e STARTTLS", "e BAD")
		c.do("f LOGIN ann@example.com pw", "f OK")
		c.do("g SELECT INBOX", "g OK")
		c.do("h LOGOUT", "h OK")
		if lab {
			w.login().do("s STARTTLS", "s BAD")
		}
	}
}

// TestStartTLSInjection: commands that somebody put behind STARTTLS in the clear never run within TLS (CVE-2011-0411), whether
// they come in the same segment or later.
func TestStartTLSInjection(t *testing.T) {
	w := newWorldIn(t, false)
	conf := w.secure()
	c := w.dial()
	c.send("a STARTTLS\r\nb NOOP\r\n")
	c.want("* BYE")
	c.want("CLOSED")

	c = w.dial()
	c.do("a STARTTLS", "a OK")
	c.send("b NOOP\r\n")
	if err := tls.Client(c.Conn, conf).Handshake(); err == nil {
		t.Fatal("bytes in the clear were taken behind STARTTLS")
	}
	c = w.dial()
	c.do("a STARTTLS", "a OK")
	old := conf.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(c.Conn, old).Handshake(); err == nil {
		t.Fatal("TLS 1.1 was taken")
	}
}

func TestLoginUnderTLS(t *testing.T) {
	w := newWorldIn(t, false)
	w.cfg.TLS, w.cfg.Implicit = testTLS(), true
	w.front(w.cfg)
	c, err := imapclient.DialTLS(w.addr, &imapclient.Options{TLSConfig: &tls.Config{InsecureSkipVerify: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("ann@example.com", "pw").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
}

// A front that is shut down before it serves, or while it begins to, does not serve.
func TestShutdownBeforeServe(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		srv := newServer(w.cfg)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		srv.Shutdown(context.Background())
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatal("it serves")
		}
	}
}

// The greeting offers what CAPABILITY does: a client that can bind its login, and sees there that it may not, has to say so, and is then
// refused as one that somebody deceives.
func TestGreetingOffersBinding(t *testing.T) {
	w := newWorldIn(t, false)
	w.cfg.TLS, w.cfg.Implicit = testTLS(), true
	w.cfg.HostOf = func(domicile.Region) string { return "home.test" }
	w.front(w.cfg)
	for host, offered := range map[string]bool{"home.test": true, "other.test": false} {
		conn, err := tls.Dial("tcp", w.addr, &tls.Config{InsecureSkipVerify: true, ServerName: host})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(3 * time.Minute))
		c := newClient(t, conn)
		if got := c.want("* OK "); strings.Contains(got, "AUTH=SCRAM-SHA-256-PLUS") != offered {
			t.Errorf("%s: the greeting is %q", host, got)
		}
		if got := c.do("a CAPABILITY", "a OK"); strings.Contains(got, "AUTH=SCRAM-SHA-256-PLUS") != offered {
			t.Errorf("%s: CAPABILITY is %q", host, got)
		}
	}
}
