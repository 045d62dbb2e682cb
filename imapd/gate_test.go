package imapd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// script is a connection whose client says each piece in turn; an empty piece is a time-out.
type script struct {
	net.Conn // nil: what is not overridden must not be called
	pieces   []string
	out      bytes.Buffer
	closed   bool
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	piece := s.pieces[0]
	if piece == "" {
		s.pieces = s.pieces[1:]
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, piece)
	if s.pieces[0] = piece[n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { s.closed = true; return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// A time-out within a literal. Whatever comes afterwards is not handed over.
func TestTimeoutInALiteralIsTheEnd(t *testing.T) {
	c := &script{pieces: []string{"b APPEND INBOX {40}\r\n", "half", "", "\r\nc CREATE hidden\r\n"}}
	g := newGate(c, bufio.NewReader(c), 1<<20)
	line, err := io.ReadAll(io.LimitReader(g, 21))
	if string(line) != "b APPEND INBOX {40}\r\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	io.WriteString(g, readyForLit+"\r\n")
	rest, err := io.ReadAll(g)
	if string(rest) != "half" || !os.IsTimeout(err) {
		t.Errorf("%q, %v", rest, err)
	}
	if again, err := io.ReadAll(g); len(again) != 0 || err == nil {
		t.Errorf("after the error: %q, %v", again, err)
	}
}

// However bytes are cut into packets, what is handed over is whole lines, and nothing behind a literal that was not asked for.
func FuzzGate(f *testing.F) {
	f.Add([]byte("a LOGIN {3+}\r\nxyz {1}\r\ny\r\nb NOOP\r\n"), uint8(3), true)
	f.Add([]byte("a X \"{5+}\r\nb CREATE x\r\n"), uint8(1), false)
	f.Fuzz(func(t *testing.T, raw []byte, size uint8, ask bool) {
		c := &script{}
		for n := max(1, int(size)); len(raw) > 0; raw = raw[min(n, len(raw)):] {
			c.pieces = append(c.pieces, string(raw[:min(n, len(raw))]))
		}
		g := newGate(c, bufio.NewReader(c), 1<<20)
		var line []byte
		literal := int64(0)
		for {
			p := make([]byte, 7)
			n, err := g.Read(p)
			if n > 0 && literal > 0 {
				if int64(n) > literal {
					t.Fatal("more than the literal in one piece")
				}
				literal -= int64(n)
				continue
			}
			line = append(line, p[:n]...)
			if n > 0 && line[len(line)-1] == '\n' {
				text, ok := bytes.CutSuffix(line, []byte("\r\n"))
				if !ok || bytes.ContainsAny(text, "\r\n\x00") || !quotesEnd(text) {
					t.Fatalf("a line %q", line)
				}
				if size, nonSync, ok := literalAt(text); ok {
					if nonSync || size > maxLiteral && g.name != "APPEND" {
						t.Fatalf("a literal of %d, %v", size, nonSync)
					}
					if ask {
						literal = size
						io.WriteString(g, readyForLit+"\r\n")
					} else {
						io.WriteString(g, "x BAD no\r\n")
					}
				}
				line = nil
			} else if i := bytes.IndexByte(line, '\n'); i >= 0 {
				t.Fatalf("two lines in one piece: %q", line)
			}
			if err != nil {
				return
			}
		}
	})
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

// One request that names a large message many times is sent as it goes, and what the client does not read is not made.
func TestManyLargeSections(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", "Subject: x\r\n\r\n"+strings.Repeat("y", 4<<20))
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.send("c FETCH 1 (" + strings.TrimSuffix(strings.Repeat("BODY.PEEK[TEXT] ", 1000), " ") + ")\r\n")
	n, err := io.CopyN(io.Discard, c.r, 40<<20)
	if err != nil || n != 40<<20 {
		t.Fatal(n, err)
	}
	c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.home.memory.Acquire(ctx, readMemory); err != nil {
		t.Error("memory was not given back")
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
		case <-time.After(5 * time.Second):
			t.Fatal("it serves")
		}
	}
}
