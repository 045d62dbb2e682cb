package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Limits of what a client sends.
type Limits struct {
	Text     int           // bytes of a command, streamed literals aside
	Literals int           // of a command
	Literal  int64         // bytes of a literal that is an argument
	Idle     time.Duration // between commands
	Part     time.Duration // until the next byte of a command or a literal
	Whole    time.Duration // that a command is waited for in all, and a second more for each pace bytes that came
}

// pace is how fast what is long has to come, in bytes a second: what is staged of a message is in the store's way until all has come.
const pace = 16 << 10

// inAll is how long a command is waited for of which so many bytes came.
func (l Limits) inAll(came int) time.Duration {
	return l.Whole + time.Duration(came/pace)*time.Second
}

// Before holds until a client is logged in, After behind that: RFC 9051 5.4 wants 30 minutes at least, and programs that name
// every UID of a mailbox send long lines.
var (
	Before = Limits{Text: 8 << 10, Literals: 64, Literal: 4096, Idle: 2 * time.Minute, Part: time.Minute, Whole: 2 * time.Minute}
	After  = Limits{Text: 1 << 20, Literals: 1000, Literal: 64 << 10, Idle: 35 * time.Minute, Part: time.Minute, Whole: 10 * time.Minute}
)

// Bounds that hold for every connection.
const (
	MaxTag    = 128
	MaxDrain  = 1 << 20 // bytes of a refused literal that are read and thrown away
	flushAt   = 32 << 10
	writeTime = 2 * time.Minute // for each piece of at most flushAt bytes
	keptRoom  = 512             // of the output, while a connection idles
)

// A command whose text is longer than longText takes longCost of what Conn.Long has: its text, twice while it grows, and what is made of it.
const (
	longText = 64 << 10
	longCost = 4 << 20
)

// Room is memory that connections share. It is asked for without waiting.
type Room interface {
	TryAcquire(n int64) bool
	Release(n int64)
}

// Bye is why a connection has to end: the text of its BYE.
type Bye string

func (b Bye) Error() string { return string(b) }

// ErrDraining ends the connection between two commands, because Drain was called.
var ErrDraining = errors.New("closing down")

// Conn is one connection with a client.
type Conn struct {
	Writer
	Long   Room // for long commands; nil = they are not bounded together
	long   bool // the command has its part of it
	net    net.Conn
	src    source
	br     *bufio.Reader // over src
	limits Limits
	until  time.Time // no read lasts longer; zero = no such bound
	cmd    Command
	came   int           // bytes of the command that were waited for,
	waited time.Duration // and how long

	mu       sync.Mutex // guards what follows; never held while reading or writing
	idle     bool       // between commands
	draining bool
}

// NewConn speaks over c.
func NewConn(c net.Conn, l Limits) *Conn {
	w := &Conn{net: c, src: source{below: c}, limits: l}
	w.Writer.to = c
	w.takeBuffer()
	return w
}

// source gives what the client sends: the byte that Await took first.
type source struct {
	below net.Conn
	first [1]byte
	some  bool // first is one, and was not given yet
}

func (s *source) Read(p []byte) (int, error) {
	if !s.some {
		return s.below.Read(p)
	}
	s.some = false
	p[0] = s.first[0]
	if len(p) == 1 || p[0] == '\n' { // nothing needs to follow
		return 1, nil
	}
	n, _ := s.below.Read(p[1:]) // an error comes again
	return 1 + n, nil
}

// buffers are those of connections that read. One that waits for its client holds none.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

func (c *Conn) takeBuffer() {
	c.br, _ = buffers.Get().(*bufio.Reader)
	c.br.Reset(&c.src)
}

// NetConn is the connection below. What it sent and this has read already, Read gives first.
func (c *Conn) NetConn() net.Conn { return c.net }

// Read gives what the client sends as it is, for whoever carries the bytes on.
func (c *Conn) Read(p []byte) (int, error) { return c.br.Read(p) }

// Buffered is how many bytes were read from below and not used yet.
func (c *Conn) Buffered() int {
	n := c.br.Buffered()
	if c.src.some {
		n++
	}
	return n
}

// Reset goes on over another connection, such as TLS over the one before. What was read and not used is forgotten.
func (c *Conn) Reset(below net.Conn) {
	c.mu.Lock()
	c.net = below
	c.mu.Unlock()
	c.src = source{below: below}
	c.br.Reset(&c.src)
	c.turn.Lock()
	c.Writer.to = below
	c.turn.Unlock()
}

// Limit changes the limits, from the next command on. until bounds all reads that follow; zero = no more.
func (c *Conn) Limit(l Limits, until time.Time) { c.limits, c.until = l, until }

// Drain has Next return ErrDraining instead of a further command, at once if it waits for one. Safe to repeat.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if c.idle {
		c.net.SetReadDeadline(time.Unix(1, 0))
	}
}

// Close cuts the connection. Within TLS it may wait some seconds for a client that does not read.
func (c *Conn) Close() error {
	c.mu.Lock()
	below := c.net
	c.mu.Unlock()
	return below.Close()
}

// Await waits until the client sends something, Limits.Idle at most, without touching the Writer, and without a buffer to read into. ErrDraining after Drain.
func (c *Conn) Await() error {
	c.came, c.waited = 0, 0
	if c.Buffered() > 0 && !c.isDraining() {
		return nil
	}
	if err := c.deadline(c.limits.Idle, true); err != nil {
		return err
	}
	c.br.Reset(nil)
	buffers.Put(c.br)
	n, err := c.src.below.Read(c.src.first[:])
	c.src.some = n == 1
	c.takeBuffer()
	return c.awake(err)
}

func (c *Conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// deadline sets that of the reads to come. idle: between commands, where draining ends them.
func (c *Conn) deadline(d time.Duration, idle bool) error {
	at := time.Now().Add(d)
	if !c.until.IsZero() && c.until.Before(at) {
		at = c.until
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle = idle; idle && c.draining {
		return ErrDraining
	}
	return c.net.SetReadDeadline(at)
}

// awake ends the time between commands.
func (c *Conn) awake(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = false
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded) && c.draining:
		return ErrDraining
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Bye("[UNAVAILABLE] Nothing came for too long")
	}
	return err
}

// line reads a line of at most limit bytes, without its end. It flushes before it has to wait.
func (c *Conn) line(limit int) (string, error) {
	var all []byte
	for {
		if err := c.more(); err != nil {
			return "", err
		}
		n := c.br.Buffered()
		piece, _ := c.br.Peek(n)
		end := bytes.IndexByte(piece, '\n')
		if end >= 0 {
			piece = piece[:end+1]
		}
		if len(all)+len(piece) > limit+2 {
			return "", Bye("[TOOBIG] A line is too long")
		}
		if end >= 0 && all == nil {
			text := trimEnd(piece)
			c.br.Discard(len(piece))
			return text, nil
		}
		if err := c.hold(c.cmd.text + len(all)); err != nil {
			return "", err
		}
		all = append(all, piece...)
		c.br.Discard(len(piece))
		if end >= 0 {
			return trimEnd(all), nil
		}
	}
}

// hold takes room for a command of n bytes of text, if it is a long one.
func (c *Conn) hold(n int) error {
	if n <= longText || c.long || c.Long == nil {
		return nil
	}
	if c.long = c.Long.TryAcquire(longCost); !c.long {
		return Bye("[LIMIT] Too many long commands at once")
	}
	return nil
}

// Free gives back what the last command took of Long. For the end of a connection, where no Next follows.
func (c *Conn) Free() {
	if c.long {
		c.Long.Release(longCost)
		c.long = false
	}
}

func trimEnd(line []byte) string {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return string(line)
}

// more waits, within a command, until there is a byte. A client may send slowly, but not a byte a minute for ever: what its command holds would
// be held as long.
func (c *Conn) more() error {
	if c.br.Buffered() > 0 {
		return nil
	}
	if err := c.Flush(); err != nil {
		return err
	}
	left := c.limits.inAll(c.came) - c.waited
	if err := c.deadline(min(c.limits.Part, left), false); err != nil {
		return err
	}
	if !c.claimed { // it is the client's turn: who waits for it need not tell it to wait
		c.claim()
		defer c.yield()
	}
	began := time.Now()
	_, err := c.br.Peek(1)
	c.waited += time.Since(began)
	c.came += c.br.Buffered()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return c.awake(err)
}

// ReadLine reads a line that is no command: an answer to a continuation, or DONE.
func (c *Conn) ReadLine(limit int) (string, error) { return c.line(limit) }

// Continue asks the client to go on (RFC 9051 7.6).
func (c *Conn) Continue(text string) error {
	c.Raw("+ ").Raw(text).Line()
	return c.Flush()
}
