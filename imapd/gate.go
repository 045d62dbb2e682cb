package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"domicile"
)

// Limits of one connection. Times are until the next byte, unless said otherwise.
const (
	maxCommand     = 48 << 10         // bytes of a command, literals aside; imapserver's own limit is 50 KiB
	maxSASL        = 4000             // bytes of a line of AUTHENTICATE
	maxLiteral     = 4096             // bytes of a literal outside APPEND, and of a non-synchronising one (RFC 7888)
	commandTime    = 35 * time.Minute // RFC 9051 5.4 wants 30 at least
	partTime       = time.Minute      // within a command or a literal
	writeTime      = 2 * time.Minute
	flushAt        = 32 << 10
	byeDraining    = "* BYE [UNAVAILABLE] Closing down, try again later\r\n"
	byeAbuse       = "* BYE Not IMAP\r\n"
	readyForLit    = "+ Ready for literal data"
	maxBadCommands = 20
)

// gate stands under imapserver's connection and keeps from it what it does not handle well:
//
//   - It hands over one command line at a time, checked for what would make imapserver and us disagree about where
//     a command ends: CR or NUL within a line, a quoted string that does not end, a line that is too long.
//   - It hands over the bytes of a literal only after imapserver has asked for them. Non-synchronising literals
//     are made synchronising ones on the way in, and imapserver's request for them is kept back. So a literal that imapserver
//     refuses, whatever the reason, is never read as commands: the connection ends.
//   - Deadlines move with progress, and after an error nothing is handed over any more.
//   - Writes are gathered until the connection waits for its client.
//
// It also tells the session which command runs, in the client's own words.
type gate struct {
	net.Conn
	br       *bufio.Reader
	append   int64 // limit of an APPEND literal
	account  domicile.AccountID
	ending   time.Time // when End was told first; guarded by Home.mu
	greeting string    // the tag of the login, which the engine's greeting becomes the answer to
	closed   func()
	once     sync.Once
	done     chan struct{} // closed by whoever put the gate there

	// Only the goroutine that serves the connection uses these.
	pending []byte // checked, not handed over yet
	err     error
	literal int64 // bytes of a literal that are still to be handed over
	asked   litState
	nonSync bool
	wrote   bool // imapserver has written since the literal was announced
	middle  bool // within a command: a literal ended, the command goes on
	name    string
	text    strings.Builder // a FETCH without its literals
	inText  int             // bytes of the command so far
	bad     int

	wmu     sync.Mutex // guards what follows; held while writing
	out     []byte     // not written yet
	waiting bool       // blocked in a read: writes go out at once
	werr    error

	mu       sync.Mutex // guards what follows; never held while reading or writing
	cont     bool       // a continuation line is expected: the next line is no command
	idle     bool       // between commands, nothing owed
	draining bool
}

// litState is how far a literal is: announced by the client, and asked for by imapserver.
type litState uint8

const (
	noLiteral litState = iota
	litAnnounced
	litAsked
)

func newGate(c net.Conn, br *bufio.Reader, appendLimit int64) *gate {
	return &gate{Conn: c, br: br, append: appendLimit, done: make(chan struct{})}
}

// NetConn lets region.FrontConn find the connection below.
func (g *gate) NetConn() net.Conn { return g.Conn }

// Deadlines are the gate's own business: imapserver would set one for a whole upload.
func (g *gate) SetDeadline(time.Time) error      { return nil }
func (g *gate) SetReadDeadline(time.Time) error  { return nil }
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

// Close sends what is gathered and closes the connection.
func (g *gate) Close() error {
	g.wmu.Lock()
	g.flush()
	g.wmu.Unlock()
	if g.closed != nil {
		g.once.Do(g.closed)
	}
	return g.Conn.Close()
}

// Read hands over at most a line, or a piece of a literal that was asked for.
func (g *gate) Read(p []byte) (int, error) {
	for len(g.pending) == 0 {
		if g.err != nil {
			return 0, g.err
		}
		switch g.asked {
		case litAsked:
			if g.literal > 0 {
				return g.readLiteral(p)
			}
			g.asked, g.middle = noLiteral, true
		case litAnnounced:
			// imapserver reads on without having asked: it refused the command. A client that waits for a request sends
			// no literal then; one that does not wait has sent it, and it must not be read as commands.
			g.asked, g.middle = noLiteral, false
			if g.nonSync || !g.wrote {
				g.bye("* BYE [CLIENTBUG] The literal of a refused command was not read\r\n")
				continue
			}
		}
		g.readLine()
	}
	n := copy(p, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

func (g *gate) readLiteral(p []byte) (int, error) {
	if int64(len(p)) > g.literal {
		p = p[:g.literal]
	}
	g.await(partTime)
	n, err := g.br.Read(p)
	g.resume()
	g.literal -= int64(n)
	if err != nil {
		g.err = unexpected(err)
	}
	return n, g.err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// await sends what is gathered and sets the deadline of a read. A byte that is there already needs neither.
func (g *gate) await(d time.Duration) {
	deadline := time.Now().Add(d)
	g.wmu.Lock()
	if g.br.Buffered() == 0 {
		g.flush()
		if cap(g.out) > 4096 { // an idle connection keeps no large buffer
			g.out = nil
		}
	}
	g.waiting = true
	g.wmu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Conn.SetReadDeadline(deadline)
	if g.draining && g.idle {
		g.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (g *gate) resume() {
	g.wmu.Lock()
	defer g.wmu.Unlock()
	g.waiting = false
}

// readLine reads a line up to its LF and puts it into pending, checked.
func (g *gate) readLine() {
	g.mu.Lock()
	cont := g.cont
	g.idle = !cont && !g.middle
	g.mu.Unlock()
	line, err := g.line(cont)
	g.mu.Lock()
	drained := g.draining && g.idle
	g.idle = false
	g.mu.Unlock()
	if err != nil {
		switch {
		case drained:
			g.bye(byeDraining)
		case errors.Is(err, bufio.ErrBufferFull):
			g.bye("* BYE [TOOBIG] A command of more than 48 KiB\r\n")
		case errors.Is(err, io.EOF) && len(line) == 0:
			g.err = io.EOF
		default:
			g.err = unexpected(err)
		}
		return
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if bytes.ContainsAny(text, "\r\x00") {
		g.bye("* BYE [CLIENTBUG] A line may hold neither CR nor NUL\r\n")
		return
	}
	if cont {
		g.continuation(text)
		return
	}
	g.command(text)
}

// line collects a line: as long as the buffer in one piece, longer ones in a copy.
func (g *gate) line(cont bool) ([]byte, error) {
	limit := maxCommand
	if cont {
		limit = maxSASL
	}
	wait := commandTime
	var all []byte
	for {
		if g.middle || len(all) > 0 {
			wait = partTime
		}
		g.await(wait)
		_, err := g.br.Peek(1)
		g.resume()
		if err != nil {
			return all, err
		}
		piece, err := g.br.ReadSlice('\n')
		all = append(all, piece...)
		if len(all) > limit || g.inText+len(all) > maxCommand {
			return nil, bufio.ErrBufferFull
		}
		if err == nil {
			return all, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return all, err
		}
	}
}

// continuation passes an answer to "+": SASL, or the DONE of IDLE in any case.
func (g *gate) continuation(text []byte) {
	g.mu.Lock()
	g.cont = false
	g.mu.Unlock()
	if g.name == "IDLE" {
		text = bytes.ToUpper(text)
	}
	g.pending = append(bytes.Clone(text), '\r', '\n')
}

// command checks a line of a command and passes it.
func (g *gate) command(text []byte) {
	text = bytes.TrimRight(text, " ") // imapserver takes "{5} " for a literal; so nobody else may take it for none
	if !g.middle && !g.begin(text) {
		return
	}
	if g.name == "ID" && !g.middle && !bytes.HasSuffix(text, []byte("}")) { // imapserver does not know it (RFC 2971)
		tag, _, _ := strings.Cut(string(text), " ")
		g.Write([]byte(idAnswer + tag + " OK ID completed\r\n"))
		return
	}
	g.middle = false
	if strings.HasSuffix(g.name, "FETCH") {
		g.text.Write(text)
		g.text.WriteByte(' ')
	}
	g.inText += len(text)
	if !quotesEnd(text) {
		g.bye("* BYE [CLIENTBUG] A quoted string does not end on its line\r\n")
		return
	}
	if size, nonSync, ok := literalAt(text); ok && !g.announce(size, nonSync) {
		return
	} else if ok && nonSync {
		text = append(text[:len(text)-2], '}')
	}
	if g.name == "ENABLE" {
		text = withoutRev2(text)
	}
	g.pending = append(text, '\r', '\n')
}

// begin takes the first line of a command: its tag and name. What is no command is answered here, where imapserver would
// close the connection without a word.
func (g *gate) begin(text []byte) bool {
	tag, rest, _ := strings.Cut(string(text), " ")
	name, args, _ := strings.Cut(rest, " ")
	name = strings.ToUpper(name)
	if name == "UID" {
		sub, _, _ := strings.Cut(args, " ")
		if name += " " + strings.ToUpper(sub); sub == "" {
			tag = ""
		}
	}
	if !isTag(tag) || !isTag(name[:min(1, len(name))]) {
		if g.bad++; g.bad > maxBadCommands {
			g.bye(byeAbuse)
			return false
		}
		g.Write([]byte("* BAD A command is a tag, a space and a name\r\n"))
		return false
	}
	g.text.Reset()
	g.name, g.inText = name, 0
	return true
}

// announce notes a literal that the client wants to send.
func (g *gate) announce(size int64, nonSync bool) bool {
	isAppend := g.name == "APPEND"
	if nonSync && size > maxLiteral || !isAppend && size > maxLiteral || size < 0 {
		g.bye("* BYE [TOOBIG] A literal of more than 4096 bytes is taken by APPEND alone, and there only when asked for\r\n")
		return false
	}
	g.literal, g.nonSync, g.wrote, g.asked = size, nonSync, false, litAnnounced
	return true
}

// bye ends the connection with a last line.
func (g *gate) bye(line string) {
	g.send([]byte(line))
	g.wmu.Lock()
	g.flush()
	g.wmu.Unlock()
	g.err = io.EOF
}

// Write takes what imapserver writes: its continuation requests are looked at, all else is gathered. imapserver flushes
// after each line, so that these come in one piece.
func (g *gate) Write(p []byte) (int, error) {
	n := len(p)
	switch {
	case g.greeting != "":
		p = g.greet(p)
	case g.asked == litAnnounced && bytes.HasPrefix(p, []byte(readyForLit)):
		g.asked = litAsked
		if g.nonSync {
			return n, nil
		}
	case (g.name == "AUTHENTICATE" || g.name == "IDLE") && bytes.HasPrefix(p, []byte("+ ")):
		g.mu.Lock()
		g.cont = true
		g.mu.Unlock()
		if bytes.Equal(p, []byte("+ =\r\n")) { // an empty SASL challenge, RFC 9051 6.2.2
			p = []byte("+ \r\n")
		}
	}
	g.wrote = true
	if err := g.send(p); err != nil {
		return 0, err
	}
	return n, nil
}

// greet makes imapserver's greeting the answer to the login: it has the capabilities, which a client wants to know now.
func (g *gate) greet(p []byte) []byte {
	tag := g.greeting
	g.greeting = ""
	line := bytes.TrimPrefix(p, []byte("* PREAUTH "))
	if i := bytes.IndexByte(line, ']'); i >= 0 {
		line = line[:i+1]
	}
	return fmt.Appendf(nil, "%s OK %s Logged in\r\n", tag, line)
}

// send gathers bytes of the session's own: untagged data. It may be called beside a Read, from IDLE.
func (g *gate) send(p []byte) error {
	g.wmu.Lock()
	defer g.wmu.Unlock()
	if len(g.out)+len(p) > flushAt {
		g.flush()
	}
	if len(p) > flushAt {
		g.write(p)
		return g.werr
	}
	g.out = append(g.out, p...)
	if g.waiting {
		g.flush()
	}
	return g.werr
}

// flush writes what is gathered. g.wmu is held.
func (g *gate) flush() {
	g.write(g.out)
	g.out = g.out[:0]
}

// write writes in pieces, so that progress moves the deadline. g.wmu is held.
func (g *gate) write(p []byte) {
	for len(p) > 0 && g.werr == nil {
		g.Conn.SetWriteDeadline(time.Now().Add(writeTime))
		piece := p[:min(len(p), flushAt)]
		_, g.werr = g.Conn.Write(piece)
		p = p[len(piece):]
	}
}

// drain makes the connection end before its next command, at once if it is idle. IDLE is no command to wait for.
func (g *gate) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	if g.cont {
		g.idle = true
	}
	if g.idle {
		g.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}
