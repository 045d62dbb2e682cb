package imapd

import (
	"bufio"
	"compress/flate"
	"io"
	"net"
	"strings"
	"testing"
)

// flated is the client's side of COMPRESS=DEFLATE.
type flated struct {
	net.Conn
	r io.Reader
	w *flate.Writer
}

func (f *flated) Read(p []byte) (int, error) { return f.r.Read(p) }

func (f *flated) Write(p []byte) (int, error) {
	if _, err := f.w.Write(p); err != nil {
		return 0, err
	}
	return len(p), f.w.Flush()
}

// compress turns COMPRESS on.
func (c *client) compress() *client {
	c.t.Helper()
	c.do("z COMPRESS DEFLATE", "z OK")
	w, err := flate.NewWriter(c.Conn, flate.DefaultCompression)
	if err != nil {
		c.t.Fatal(err)
	}
	f := &flated{c.Conn, flate.NewReader(c.r), w}
	return &client{c.t, f, bufio.NewReader(f)}
}

// Both directions are deflated from the answer on; what is pushed in IDLE is too.
func TestCompress(t *testing.T) {
	w := newWorld(t)
	body := strings.Repeat("all work and no play\r\n", 20_000)
	w.put("INBOX", "Subject: long\r\n\r\n"+body)
	c := w.login()
	if got := c.do("b CAPABILITY", "b OK"); !strings.Contains(got, " COMPRESS=DEFLATE") {
		t.Error(got)
	}
	c.do("c COMPRESS LZW", "c BAD")
	c = c.compress()
	if got := c.do("d CAPABILITY", "d OK"); strings.Contains(got, "COMPRESS") {
		t.Errorf("offered again: %q", got)
	}
	c.do("e COMPRESS DEFLATE", "e NO [COMPRESSIONACTIVE]")
	c.do("f SELECT INBOX", "f OK")
	if got := c.do("g FETCH 1 BODY.PEEK[TEXT]", "g OK"); !strings.Contains(got, body) {
		t.Errorf("%d bytes", len(got))
	}
	c.send("h APPEND INBOX {" + "440000+}\r\n" + body + "\r\n")
	c.want("* 2 EXISTS")
	c.want("* 2 RECENT")
	c.want("h OK")
	c.send("i IDLE\r\n")
	c.want("+ ")
	w.put("INBOX", "Subject: new\r\n\r\n")
	c.want("* 3 EXISTS")
	c.want("* 3 RECENT")
	c.send("DONE\r\n")
	c.want("i OK")
	c.do("j LOGOUT", "j OK")
	c.want("CLOSED")
}

// What stands behind COMPRESS before its answer is neither deflated nor run, and bytes that are not deflated end the connection.
func TestCompressInjection(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.send("b COMPRESS DEFLATE\r\nc CREATE hidden\r\n")
	c.want("* BYE [CLIENTBUG]")
	c.want("CLOSED")
	c = w.login()
	c.do("b COMPRESS DEFLATE", "b OK")
	c.send("c CREATE hidden\r\n")
	if rest, _ := io.ReadAll(flate.NewReader(c.r)); strings.Contains(string(rest), "OK") || w.mailboxExists("hidden") {
		t.Errorf("%q", rest)
	}
}

// Places to compress are bounded, and given back.
func TestCompressIsBounded(t *testing.T) {
	w := newWorld(t)
	w.home.deflate.Store(maxDeflate - 1)
	first, second := w.login().compress(), w.login()
	if got := second.do("b CAPABILITY", "b OK"); strings.Contains(got, "COMPRESS") {
		t.Errorf("offered without room: %q", got)
	}
	second.do("c COMPRESS DEFLATE", "c NO [LIMIT]")
	first.do("c LOGOUT", "c OK")
	first.want("CLOSED")
	waitFor(t, func() bool { return w.home.deflate.Load() == maxDeflate-1 })
	second.compress().do("d NOOP", "d OK")
}
