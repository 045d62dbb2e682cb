package smtpd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"domicile/store"
)

// Limits of one connection. Times are until the next byte, unless said otherwise.
const (
	maxCommand   = 4096            // bytes of a command line
	maxCommands  = 1000            // command lines since the last accepted message
	maxSent      = 512 << 10       // bytes of answers before no more transactions begin: strangers may be sent only so much
	commandTime  = 5 * time.Minute // RFC 5321 4.5.3.2.7
	helloTime    = time.Minute     // for the handshake of TLS
	dataTime     = 3 * time.Minute // RFC 5321 4.5.3.2.5
	dataSlack    = 10 * time.Minute
	dataRate     = 1 << 10 // bytes a second that a body must arrive with, behind the first dataSlack
	writeTime    = 5 * time.Minute
	drainMessage = "421 4.3.2 Closing down, try again later\r\n"
)

// gate stands under go-smtp's connection and keeps it from seeing what it does not handle well: it hands over
// one whole command line at a time, a body only in the form that lines gives it, and after an error nothing more ever.
// It takes CHUNKING out of what go-smtp offers, and sets deadlines that progress moves, in place of go-smtp's.
type gate struct {
	net.Conn
	maxSize int64
	br      *bufio.Reader
	closed  func() // called at the first Close
	once    sync.Once
	upgrade func() // hands the connection to a new gate within TLS; nil = STARTTLS is not offered

	// The goroutine that serves the connection alone uses these.
	buf      []byte
	pending  []byte // of buf: read, checked, not handed over yet
	err      error  // the end: every later Read returns it
	data     bool   // within a body
	lines    lines
	body     int64     // bytes of the body so far
	began    time.Time // of the body
	commands int
	sent     int64              // bytes of answers
	finish   bool               // end before the next command
	replied  []func(sent error) // each called once, after one of the next lines was written
	auth     authPolicy
	saying   bool        // the next line is an answer to a challenge of AUTH, no command
	mute     int         // answers to keep back: a greeting (RFC 3207 4.2), or what was said by another front already
	handed   atomic.Bool // the connection is another gate's now, or a tunnel's

	// Of a connection that another node's front has handed over: who logged in there, the word of the trace field, and what tells
	// that it has ended.
	account store.Account
	word    string
	gone    chan struct{}

	mu       sync.Mutex
	idle     bool // waiting for a command
	draining bool
}

// authPolicy says what becomes of AUTH.
type authPolicy uint8

const (
	authNever  authPolicy = iota // this front knows no logins
	authWithin                   // within TLS
	authHere                     // on this connection
	authDone                     // another front has seen to it
)

func newGate(c net.Conn, maxSize int64) *gate {
	return &gate{Conn: c, maxSize: maxSize, br: bufio.NewReaderSize(c, maxCommand)}
}

// NetConn lets region.FrontConn find the connection below.
func (g *gate) NetConn() net.Conn { return g.Conn }

// Close closes the connection.
func (g *gate) Close() error {
	if g.closed != nil {
		g.once.Do(g.closed)
	}
	if g.handed.Load() {
		return nil
	}
	return g.Conn.Close()
}

// Deadlines are the gate's own business: go-smtp would set one for a whole body.
func (g *gate) SetDeadline(time.Time) error      { return nil }
func (g *gate) SetReadDeadline(time.Time) error  { return nil }
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

// Read hands over at most one command line, or a piece of a body.
func (g *gate) Read(p []byte) (int, error) {
	for len(g.pending) == 0 {
		if g.err != nil {
			return 0, g.err
		}
		if g.data {
			g.readBody()
		} else {
			g.readCommand()
		}
	}
	n := copy(p, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

func (g *gate) readCommand() {
	if g.finish || !g.wait() {
		g.end()
		return
	}
	line, err := g.br.ReadSlice('\n')
	drained := g.woken()
	if err != nil {
		switch {
		case drained:
			g.say(drainMessage)
			err = io.EOF
		case errors.Is(err, bufio.ErrBufferFull):
			g.say("500 5.5.2 Line too long\r\n")
			err = io.EOF
		}
		g.err = err
		return
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if bytes.ContainsAny(text, "\r\x00") {
		g.say("500 5.5.2 A command may hold neither CR nor NUL\r\n")
		g.end()
		return
	}
	if g.commands++; g.commands > maxCommands {
		g.say("421 4.7.0 Too many commands without a message\r\n")
		g.end()
		return
	}
	if g.saying {
		g.saying = false
		g.hand(text)
		return
	}
	switch verb := strings.ToUpper(string(text[:min(4, len(text))])); verb {
	case "BDAT": // not offered; the chunk that follows must not be read as commands
		g.say("502 5.5.1 BDAT is not offered\r\n")
		g.end()
	case "AUTH":
		switch g.auth {
		case authNever:
			g.say("502 5.5.1 AUTH is not offered here\r\n")
		case authWithin:
			g.say("538 5.7.11 AUTH only within TLS; STARTTLS first\r\n")
		case authDone:
			g.say("503 5.5.1 Already logged in\r\n")
		case authHere:
			g.hand(text)
		}
	default:
		if g.upgrade != nil && strings.HasPrefix(strings.ToUpper(string(text)), "STARTTLS") { // go-smtp takes all that begins so for it
			g.startTLS(string(text))
			return
		}
		g.hand(text)
	}
}

// hand hands a line over.
func (g *gate) hand(text []byte) {
	g.buf = append(append(g.buf[:0], text...), '\r', '\n')
	g.pending = g.buf
}

// wait says that the connection is idle from here on; false if the server is closing down.
func (g *gate) wait() bool {
	g.mu.Lock()
	g.idle = !g.draining
	if g.idle {
		g.Conn.SetReadDeadline(time.Now().Add(commandTime))
	}
	idle := g.idle
	g.mu.Unlock()
	if !idle {
		g.say(drainMessage)
	}
	return idle
}

// woken ends what wait began and says whether the server is closing down.
func (g *gate) woken() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle = false
	return g.draining
}

// drain makes the connection end before its next command, at once if it is idle.
func (g *gate) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	if g.idle {
		g.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (g *gate) readBody() {
	deadline := time.Now().Add(dataTime)
	if last := g.began.Add(dataSlack + time.Duration(g.body/dataRate)*time.Second); last.Before(deadline) {
		deadline = last
	}
	g.Conn.SetReadDeadline(deadline)
	if _, err := g.br.Peek(1); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		g.err = err
		return
	}
	raw, _ := g.br.Peek(g.br.Buffered())
	out, used, done := g.lines.feed(g.buf[:0], raw)
	g.br.Discard(used)
	g.buf, g.pending = out, out
	g.body += int64(used)
	if done {
		g.data = false
	} else if g.body > 2*g.maxSize+maxCommand { // far over the limit: not read to its end any more
		g.say("552 5.3.4 Message too large\r\n")
		g.pending, g.err = nil, io.ErrUnexpectedEOF
	}
}

// end makes every later Read return EOF.
func (g *gate) end() { g.err = io.EOF }

func (g *gate) say(line string) {
	g.Conn.SetWriteDeadline(time.Now().Add(writeTime))
	io.WriteString(g.Conn, line)
}

// Write passes go-smtp's answers, a line at a time as it flushes them.
func (g *gate) Write(p []byte) (int, error) {
	n := len(p)
	switch {
	case g.handed.Load():
		return 0, net.ErrClosed
	case g.mute > 0:
		if len(p) > 3 && p[3] == ' ' { // the last line of an answer
			g.mute--
		}
		return n, nil
	case bytes.HasPrefix(p, []byte("334 ")):
		g.saying = true
	case bytes.HasPrefix(p, []byte("354 ")):
		g.data, g.lines, g.body, g.began = true, lines{}, 0, time.Now()
	case bytes.Equal(p, []byte("250-CHUNKING\r\n")):
		return n, nil
	case bytes.HasPrefix(p, []byte("250-SIZE")), bytes.HasPrefix(p, []byte("250 SIZE")):
		p = fmt.Appendf(nil, "%sSIZE %d\r\n", p[:4], g.maxSize)
	}
	g.sent += int64(len(p))
	g.Conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := g.Conn.Write(p)
	if len(g.replied) > 0 {
		hook := g.replied[0]
		g.replied = g.replied[1:]
		hook(err)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}
