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

	"domicile/login"
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
	dataRate     = 16 << 10 // bytes a second that a body must arrive with, behind the first dataSlack: what is staged of it is in the store's way
	writeTime    = 5 * time.Minute
	drainMessage = "421 4.3.2 Closing down, try again later\r\n"
)

// gate stands under go-smtp's connection and keeps it from seeing what it does not handle well: it hands over
// one whole command line at a time, of a body the end alone, and after an error nothing more ever. The body itself is for the
// session, past go-smtp (see body). It takes CHUNKING out of what go-smtp offers, and sets deadlines that progress moves, in
// place of go-smtp's. Answers to commands that came together go out together (RFC 2920 3.2).
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
	out      []byte // answers that have not gone out yet: a further command is here already
	err      error  // the end: every later Read returns it
	data     bool   // within a body that nobody has read to its end
	due      bool   // go-smtp has not seen the end of the body
	text     []byte // of buf: of the body, not read yet
	ended    bool   // the end of the body is behind text
	lines    lines
	size     int64     // bytes of the body so far
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
	who  login.Verified
	word string
	gone chan struct{}

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

// Read hands over at most one command line, or the end of a body, of which it passes over what the session has not read.
func (g *gate) Read(p []byte) (int, error) {
	for len(g.pending) == 0 {
		if g.data {
			io.Copy(io.Discard, body{g})
		}
		switch {
		case g.err != nil:
			return 0, g.err
		case g.due:
			g.due, g.pending = false, []byte(".\r\n")
		default:
			g.readCommand()
		}
	}
	n := copy(p, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

// body reads the body under way, in the form that lines gives it. A session reads it in place of what go-smtp offers, which would go over
// each byte three times more.
type body struct{ *gate }

func (b body) Read(p []byte) (int, error) {
	for len(b.text) == 0 {
		switch {
		case b.lines.long:
			b.data = false
			return 0, errLongLine
		case b.err != nil:
			b.data = false
			return 0, b.err
		case !b.data || b.ended:
			b.data = false
			return 0, io.EOF
		}
		b.readBody()
	}
	n := copy(p, b.text)
	b.text = b.text[n:]
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

// bodyTime is how long a body is waited for of which so many bytes came.
func bodyTime(size int64) time.Duration {
	return dataSlack + time.Duration(size/dataRate)*time.Second
}

func (g *gate) readBody() {
	deadline := time.Now().Add(dataTime)
	if last := g.began.Add(bodyTime(g.size)); last.Before(deadline) {
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
	g.buf, g.text, g.ended = out, out, done
	g.size += int64(used)
	switch {
	case g.lines.long:
		g.text = nil
		g.end()
	case !done && g.size > 2*g.maxSize+maxCommand: // far over the limit: not read to its end any more
		g.say("552 5.3.4 Message too large\r\n")
		g.text, g.err = nil, io.ErrUnexpectedEOF
	}
}

var errLongLine = errors.New("a line of a body is longer than 64 KiB")

// end makes every later Read return EOF.
func (g *gate) end() {
	g.flush()
	g.err = io.EOF
}

func (g *gate) say(line string) {
	g.out = append(g.out, line...)
	g.flush()
}

// flush sends the answers that are waiting.
func (g *gate) flush() error {
	if len(g.out) == 0 {
		return nil
	}
	g.Conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := g.Conn.Write(g.out)
	g.out = g.out[:0]
	return err
}

// more says whether another line will follow this one at once: of the same answer, or of the answer to a command that is here already. go-smtp ends
// no connection behind a 250.
func (g *gate) more(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("250 ")) {
		return bytes.HasPrefix(line, []byte("250-"))
	}
	next, _ := g.br.Peek(g.br.Buffered())
	return bytes.IndexByte(next, '\n') >= 0
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
		g.data, g.due, g.text, g.ended, g.lines, g.size, g.began = true, true, nil, false, lines{}, 0, time.Now()
	case bytes.Equal(p, []byte("250-CHUNKING\r\n")):
		return n, nil
	case bytes.HasPrefix(p, []byte("250-SIZE")), bytes.HasPrefix(p, []byte("250 SIZE")):
		p = fmt.Appendf(nil, "%sSIZE %d\r\n", p[:4], g.maxSize)
	}
	g.sent += int64(len(p))
	g.out = append(g.out, p...)
	if len(g.replied) == 0 && g.more(p) {
		return n, nil
	}
	err := g.flush()
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
