package region

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"sync"
	"time"

	"domicile"
)

// The frames of a call's request. One 'H', then any number of 'D' and 'K', then one 'E', and nothing after it.
const (
	frameHeader = 'H' // length (4 bytes, big-endian) and the caller's JSON
	frameData   = 'D' // length (4 bytes, not 0) and bytes of the body
	frameKeep   = 'K' // nothing: the sender is alive and its own source slow
	frameEnd    = 'E' // length of the body (8 bytes) and its SHA-256: only now may the receiver commit
)

const (
	maxHeader = 64 << 10
	maxData   = 64 << 10
)

// frameWriter writes frames. Safe for concurrent use by the body's writer and a keeper-alive.
type frameWriter struct {
	mu    sync.Mutex
	w     io.Writer // guarded by mu
	sum   hash.Hash // guarded by mu
	total uint64    // guarded by mu
	last  time.Time // guarded by mu: of the newest frame
	ended bool      // guarded by mu
	buf   []byte    // guarded by mu
}

func newFrameWriter(w io.Writer) *frameWriter { return &frameWriter{w: w, sum: sha256.New()} }

func (f *frameWriter) header(b []byte) error {
	if len(b) > maxHeader {
		return domicile.E("call a node", domicile.TooLarge, "the header is over 64 KiB")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.put(frameHeader, b)
}

// Write sends b as one data frame; b is at most maxData.
func (f *frameWriter) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.put(frameData, b); err != nil {
		return 0, err
	}
	f.sum.Write(b)
	f.total += uint64(len(b))
	return len(b), nil
}

// keep sends a sign of life if nothing else was sent for idle.
func (f *frameWriter) keep(idle time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || time.Since(f.last) < idle {
		return nil
	}
	f.last = time.Now()
	_, err := f.w.Write([]byte{frameKeep})
	return err
}

// end sends the closing frame.
func (f *frameWriter) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	b := binary.BigEndian.AppendUint64([]byte{frameEnd}, f.total)
	_, err := f.w.Write(f.sum.Sum(b))
	return err
}

// put writes one frame with a length in one Write. The caller holds mu.
func (f *frameWriter) put(kind byte, b []byte) error {
	f.buf = binary.BigEndian.AppendUint32(append(f.buf[:0], kind), uint32(len(b)))
	f.buf = append(f.buf, b...)
	_, err := f.w.Write(f.buf)
	f.last = time.Now()
	return err
}

// frameReader reads the body of a call: io.EOF only behind a closing frame whose length and digest are right and with
// nothing after it, else io.ErrUnexpectedEOF. Not for concurrent use.
type frameReader struct {
	r     *bufio.Reader
	left  int // of the current data frame
	sum   hash.Hash
	total uint64
	err   error // sticky
}

// readHeaderFrame reads the first frame and returns its JSON and the reader of the body behind it.
func readHeaderFrame(r io.Reader) ([]byte, *frameReader, error) {
	b := bufio.NewReaderSize(r, 4096)
	kind, err := b.ReadByte()
	if err != nil || kind != frameHeader {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n, err := frameLength(b, maxHeader)
	if err != nil {
		return nil, nil, err
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(b, header); err != nil {
		return nil, nil, io.ErrUnexpectedEOF
	}
	return header, &frameReader{r: b, sum: sha256.New()}, nil
}

func frameLength(r io.Reader, limit int) (int, error) {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	n := binary.BigEndian.Uint32(b[:])
	if n > uint32(limit) {
		return 0, io.ErrUnexpectedEOF
	}
	return int(n), nil
}

func (f *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for f.err == nil && f.left == 0 {
		f.err = f.next()
	}
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.r.Read(p[:min(len(p), f.left)])
	f.left -= n
	f.total += uint64(n)
	f.sum.Write(p[:n])
	if err != nil {
		f.err = io.ErrUnexpectedEOF
	}
	return n, f.readError(n)
}

// readError gives the error with the bytes only when there are none, as most readers expect.
func (f *frameReader) readError(n int) error {
	if n > 0 {
		return nil
	}
	return f.err
}

// next reads the head of the next frame. It returns io.EOF at a good end.
func (f *frameReader) next() error {
	kind, err := f.r.ReadByte()
	if err != nil {
		return io.ErrUnexpectedEOF
	}
	switch kind {
	case frameKeep:
		return nil
	case frameData:
		if f.left, err = frameLength(f.r, maxData); err == nil && f.left == 0 {
			err = io.ErrUnexpectedEOF
		}
		return err
	case frameEnd:
		return f.finish()
	}
	return io.ErrUnexpectedEOF
}

func (f *frameReader) finish() error {
	var end [8 + sha256.Size]byte
	if _, err := io.ReadFull(f.r, end[:]); err != nil {
		return io.ErrUnexpectedEOF
	}
	if binary.BigEndian.Uint64(end[:8]) != f.total || [32]byte(end[8:]) != [32]byte(f.sum.Sum(nil)) {
		return io.ErrUnexpectedEOF
	}
	if _, err := f.r.ReadByte(); err != io.EOF {
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}
