package wire

import (
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Writer gathers responses. They go out when 32 KiB are together, at Flush, and when the Conn waits for its client. After an error
// nothing more is written; Flush returns it. It belongs to one goroutine, that of its Conn, and Interject is for any other.
type Writer struct {
	UTF8 bool // the client knows UTF-8 in names and strings (RFC 6855, or IMAP4rev2)

	claimed bool       // its goroutine holds turn: a response has begun
	turn    sync.Mutex // guards what follows
	to      net.Conn
	b       []byte
	err     error
}

// claim keeps Interject away until yield: from the first byte of a response to its Line.
func (w *Writer) claim() {
	if !w.claimed {
		w.lock()
	}
}

func (w *Writer) lock() { w.turn.Lock(); w.claimed = true }

func (w *Writer) yield() { w.claimed = false; w.turn.Unlock() }

// Interject sends a response, given without the end of its line, from outside of the goroutine that the Writer belongs to, with what is gathered. It
// does nothing while another response has begun, or while the Conn waits for what its client has still to send of a command.
func (w *Writer) Interject(response string) (sent bool) {
	if !w.turn.TryLock() {
		return false
	}
	defer w.turn.Unlock()
	w.b = append(append(w.b, response...), '\r', '\n')
	w.flush()
	return true
}

// Flush sends what is gathered.
func (w *Writer) Flush() error {
	if !w.claimed {
		w.turn.Lock()
		defer w.turn.Unlock()
	}
	w.flush()
	return w.err
}

func (w *Writer) flush() {
	w.send(w.b)
	if w.b = w.b[:0]; cap(w.b) > keptRoom { // many connections idle
		w.b = nil
	}
}

// pass sends what is gathered, and keeps the room for what follows.
func (w *Writer) pass() {
	w.send(w.b)
	w.b = w.b[:0]
}

// send gives each piece its own deadline, so that a client that makes progress is not cut off.
func (w *Writer) send(b []byte) {
	for len(b) > 0 && w.err == nil {
		n := min(len(b), flushAt)
		w.to.SetWriteDeadline(time.Now().Add(writeTime))
		_, w.err = w.to.Write(b[:n])
		b = b[n:]
	}
}

// Write gathers bytes as they are; many are sent without being gathered. For a body behind Literal.
func (w *Writer) Write(p []byte) (int, error) {
	w.claim()
	if len(w.b)+len(p) < flushAt {
		w.b = append(w.b, p...)
	} else {
		w.pass()
		w.send(p)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

var _ io.Writer = (*Writer)(nil)

// Line ends a line, and sends what is gathered if it is much.
func (w *Writer) Line() {
	w.claim()
	w.b = append(w.b, '\r', '\n')
	if len(w.b) >= flushAt {
		w.pass()
	}
	w.yield()
}

// Raw writes s as it is.
func (w *Writer) Raw(s string) *Writer {
	w.claim()
	w.b = append(w.b, s...)
	return w
}

// Append has f append to what is gathered.
func (w *Writer) Append(f func(b []byte) []byte) *Writer {
	w.claim()
	w.b = f(w.b)
	return w
}

// Num writes a number.
func (w *Writer) Num(n int64) *Writer {
	w.claim()
	w.b = strconv.AppendInt(w.b, n, 10)
	return w
}

// Unum writes a number such as a modification sequence.
func (w *Writer) Unum(n uint64) *Writer {
	w.claim()
	w.b = strconv.AppendUint(w.b, n, 10)
	return w
}

// Literal announces n bytes, which Write must be given behind it.
func (w *Writer) Literal(n int64) *Writer { return w.Raw("{").Num(n).Raw("}\r\n") }

// Str writes a string: quoted if it is short printable ASCII (or UTF-8, to a client that knows it), else a literal. NUL, which
// neither can hold, is left out.
func (w *Writer) Str(s string) *Writer {
	w.claim()
	w.b = AppendString(w.b, s, w.UTF8)
	return w
}

// Mailbox writes a mailbox name, given in UTF-8.
func (w *Writer) Mailbox(name string) *Writer {
	if w.UTF8 {
		return w.Str(name)
	}
	return w.Str(EncodeUTF7(name))
}

// Flags writes a list of flags, or of other atoms.
func (w *Writer) Flags(flags []string) *Writer {
	w.claim()
	w.b = append(w.b, '(')
	for i, f := range flags {
		if i > 0 {
			w.b = append(w.b, ' ')
		}
		w.b = append(w.b, f...)
	}
	w.b = append(w.b, ')')
	return w
}

// Set writes a set of numbers.
func (w *Writer) Set(s imap.NumSet) *Writer { return w.Raw(s.String()) }
