package region

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"domicile"
)

// The frames of a tunnel, in both directions behind the header or the answer. 'D' and 'K' are those of a call.
const (
	frameCredit = 'W' // so many more bytes (4, big-endian) may be sent: the receiver has passed them on
	frameFin    = 'F' // no more bytes from this side
	frameLogin  = 'L' // length and JSON: from home, once, who logged in on a connection passed through unread
	frameDrain  = 'Q' // from the front: it closes down; end the session between two commands
)

// Limits of one tunnel. The window is all that either node holds of a session whose next party does not read.
const (
	tunnelWindow = 128 << 10
	maxChunk     = 32 << 10
	maxLoginNote = 1 << 10
)

// tunnel is one end of a session's way between two nodes: a net.Conn that carries bytes under credit, so that no session can
// take the room of another on the connection that all share. One goroutine (run) reads frames; any may read, write and close.
type tunnel struct {
	in      *bufio.Reader
	out     io.Writer // takes whole frames
	end     func()    // ends the stream below, whatever it is doing
	pace    pace
	local   net.Addr
	remote  net.Addr
	onLogin func(domicile.AccountID) error // at the front; nil elsewhere: the frame is then an error
	onDrain func()                         // at home; nil elsewhere
	trusted func() bool                    // asked now and then whether the other side still may; nil = always

	wmu  sync.Mutex // held while a frame is written
	fin  bool       // guarded by wmu: this side has said that no more will come
	last time.Time  // guarded by wmu: of the newest frame

	mu     sync.Mutex
	moved  *sync.Cond   // something below changed
	held   []byte       // guarded by mu: received, not read yet: at most tunnelWindow
	owed   int          // guarded by mu: read, and not yet given back as credit
	credit int          // guarded by mu: bytes that may be sent
	err    error        // guarded by mu: why nothing more is received: io.EOF behind a good end
	cut    error        // guarded by mu: why nothing goes any more, in either direction
	closed bool         // guarded by mu: this side wants no more; its goodbye may still be on the way
	until  [2]time.Time // guarded by mu: deadlines of Read and of Write
	alarm  [2]*time.Timer
	over   chan struct{} // closed with cut
}

// The two deadlines of a tunnel.
const (
	reading = iota
	writing
)

func newTunnel(in io.Reader, out io.Writer, end func(), p pace, local, remote net.Addr) *tunnel {
	t := &tunnel{in: bufio.NewReaderSize(in, 4096), out: out, end: end, pace: p, local: local, remote: remote, credit: tunnelWindow,
		last: time.Now(), over: make(chan struct{})}
	t.moved = sync.NewCond(&t.mu)
	return t
}

// lengthFrame makes a frame with a length.
func lengthFrame(kind byte, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(b))), b...)
}

// run reads frames until the tunnel ends. A peer that says nothing at all for pace.quiet is gone.
func (t *tunnel) run() {
	watch := time.AfterFunc(t.pace.quiet, func() { t.stop(io.ErrUnexpectedEOF) })
	defer watch.Stop()
	go t.pulse()
	for {
		err := t.next()
		watch.Reset(t.pace.quiet)
		if err != nil {
			t.ended(err)
			return
		}
	}
}

// pulse tells the other side now and then that this one lives, and asks whether it is still to be trusted.
func (t *tunnel) pulse() {
	tick := time.NewTicker(t.pace.pulse)
	defer tick.Stop()
	for {
		select {
		case <-t.over:
			return
		case <-tick.C:
			if t.trusted != nil && !t.trusted() {
				t.stop(io.ErrUnexpectedEOF)
				return
			}
			t.wmu.Lock()
			rested := time.Since(t.last) >= t.pace.pulse/2
			t.wmu.Unlock()
			if rested && t.frame([]byte{frameKeep}) != nil {
				return
			}
		}
	}
}

// next takes one frame; io.EOF behind the other side's good end.
func (t *tunnel) next() error {
	kind, err := t.in.ReadByte()
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	switch kind {
	case frameKeep:
		return nil
	case frameData:
		return t.data()
	case frameCredit:
		n, err := frameLength(t.in, tunnelWindow)
		if err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.credit += n; t.credit > tunnelWindow {
			return io.ErrUnexpectedEOF // credit for bytes that were never sent
		}
		t.moved.Broadcast()
		return nil
	case frameFin:
		t.received(io.EOF)
		return nil
	case frameLogin:
		return t.login()
	case frameDrain:
		if t.onDrain == nil {
			return io.ErrUnexpectedEOF
		}
		t.onDrain()
		return nil
	}
	return io.ErrUnexpectedEOF
}

func (t *tunnel) data() error {
	n, err := frameLength(t.in, maxChunk)
	if err != nil || n == 0 {
		return io.ErrUnexpectedEOF
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(t.in, chunk); err != nil {
		return io.ErrUnexpectedEOF
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil || len(t.held)+t.owed+n > tunnelWindow {
		return io.ErrUnexpectedEOF // behind its own end, or more than it had credit for
	}
	t.held = append(t.held, chunk...)
	t.moved.Broadcast()
	return nil
}

// loginNote says under whose account the session goes on.
type loginNote struct {
	Account domicile.AccountID `json:"account"`
}

func (t *tunnel) login() error {
	n, err := frameLength(t.in, maxLoginNote)
	if err != nil {
		return err
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(t.in, raw); err != nil {
		return io.ErrUnexpectedEOF
	}
	var note loginNote
	if err := json.Unmarshal(raw, &note); err != nil || note.Account == "" || t.onLogin == nil {
		return io.ErrUnexpectedEOF
	}
	tell := t.onLogin
	t.onLogin = nil // once
	return tell(note.Account)
}

// frame writes whole frames. What the other side does not take for pace.idle, though it had given credit, ends the tunnel.
func (t *tunnel) frame(b []byte) error {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	return t.put(b)
}

func (t *tunnel) put(b []byte) error {
	if err := t.cause(); err != nil {
		return err
	}
	late := time.AfterFunc(t.pace.idle, func() { t.stop(os.ErrDeadlineExceeded) })
	defer late.Stop()
	t.last = time.Now()
	if _, err := t.out.Write(b); err != nil {
		t.stop(io.ErrUnexpectedEOF)
		return err
	}
	return nil
}

// Write sends b as credit comes. What it returns as written was handed to the connection between the nodes.
func (t *tunnel) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		take, err := t.spend(len(b) - n)
		if err != nil {
			return n, err
		}
		if err := t.chunk(lengthFrame(frameData, b[n:n+take])); err != nil {
			return n, err
		}
		n += take
	}
	return n, nil
}

func (t *tunnel) chunk(b []byte) error {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	if t.fin {
		return net.ErrClosed
	}
	return t.put(b)
}

// spend waits for credit and takes at most n of it.
func (t *tunnel) spend(n int) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.credit == 0 && t.cut == nil && !t.closed && !t.late(writing) {
		t.moved.Wait()
	}
	switch {
	case t.closed:
		return 0, net.ErrClosed
	case t.cut != nil:
		return 0, t.cut
	case t.late(writing):
		return 0, os.ErrDeadlineExceeded
	}
	n = min(n, t.credit, maxChunk)
	t.credit -= n
	return n, nil
}

// Read returns what was received: io.EOF behind the other side's good end, io.ErrUnexpectedEOF where it was cut.
func (t *tunnel) Read(b []byte) (int, error) {
	n, back, err := t.take(b)
	if back > 0 {
		t.frame(binary.BigEndian.AppendUint32([]byte{frameCredit}, uint32(back))) // its failure ends the tunnel, which the next Read says
	}
	return n, err
}

// take copies what is held, and says how much credit is to be given back.
func (t *tunnel) take(b []byte) (n, back int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.held) == 0 && t.err == nil && t.cut == nil && !t.closed && !t.late(reading) && len(b) > 0 {
		t.moved.Wait()
	}
	switch {
	case t.closed:
		return 0, 0, net.ErrClosed
	case t.late(reading):
		return 0, 0, os.ErrDeadlineExceeded
	case len(t.held) == 0 && t.err != nil:
		return 0, 0, t.err
	case len(t.held) == 0 && t.cut != nil:
		return 0, 0, t.cut
	}
	n = copy(b, t.held)
	if t.held = t.held[n:]; len(t.held) == 0 {
		t.held = nil // an idle session holds no buffer
	}
	if t.owed += n; t.owed >= tunnelWindow/4 {
		back, t.owed = t.owed, 0
	}
	return n, back, nil
}

// CloseWrite says that no more will come; reading goes on.
func (t *tunnel) CloseWrite() error {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	if t.fin {
		return nil
	}
	t.fin = true
	return t.put([]byte{frameFin})
}

// Close ends both directions. What was written before is on its way; Close does not wait for it.
func (t *tunnel) Close() error {
	t.mu.Lock()
	first := !t.closed && t.cut == nil
	t.closed = true
	t.moved.Broadcast()
	t.mu.Unlock()
	if first {
		go func() { // no longer than pace.idle
			t.CloseWrite()
			t.stop(net.ErrClosed)
		}()
	}
	return nil
}

// received notes how receiving ended.
func (t *tunnel) received(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	t.moved.Broadcast()
}

// ended is called when no frame can be read any more: behind the other side's good end that is how a tunnel ends, else it was cut.
func (t *tunnel) ended(err error) {
	t.received(err)
	t.stop(net.ErrClosed)
}

// stop ends the tunnel; what was received before can still be read.
func (t *tunnel) stop(why error) {
	t.mu.Lock()
	first := t.cut == nil
	if first {
		t.cut = why
		close(t.over)
		for _, a := range t.alarm {
			if a != nil {
				a.Stop()
			}
		}
	}
	t.moved.Broadcast()
	t.mu.Unlock()
	if first {
		t.end()
	}
}

func (t *tunnel) cause() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cut
}

// late reports whether a deadline has passed. t.mu is held.
func (t *tunnel) late(which int) bool {
	return !t.until[which].IsZero() && !time.Now().Before(t.until[which])
}

func (t *tunnel) setDeadline(which int, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alarm[which] != nil {
		t.alarm[which].Stop()
		t.alarm[which] = nil
	}
	t.until[which] = at
	if !at.IsZero() && t.cut == nil {
		t.alarm[which] = time.AfterFunc(time.Until(at), func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.moved.Broadcast()
		})
	}
	t.moved.Broadcast()
}

func (t *tunnel) SetDeadline(at time.Time) error {
	t.setDeadline(reading, at)
	t.setDeadline(writing, at)
	return nil
}
func (t *tunnel) SetReadDeadline(at time.Time) error  { t.setDeadline(reading, at); return nil }
func (t *tunnel) SetWriteDeadline(at time.Time) error { t.setDeadline(writing, at); return nil }
func (t *tunnel) LocalAddr() net.Addr                 { return t.local }
func (t *tunnel) RemoteAddr() net.Addr                { return t.remote }
