package segment

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"domicile"
)

// Read returns a payload. It does not check it: what is sealed checks itself, and Scan checks all. domicile.NotExist if the file was
// removed.
func (l *Log) Read(p Place) ([]byte, error) { return l.ReadInto(p, nil) }

// ReadInto is Read into a buffer, if that has room.
func (l *Log) ReadInto(p Place, buf []byte) ([]byte, error) {
	if p.Length > MaxPayload {
		return nil, domicile.E("read segment", domicile.Invalid, "a place that cannot be")
	}
	f, err := l.files.open(p.Segment)
	if err != nil {
		return nil, err
	}
	defer l.files.release(f)
	b := slices.Grow(buf[:0], int(p.Length))[:p.Length]
	if _, err := f.ReadAt(b, int64(p.Offset)); err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return b, nil
}

// Scan calls fn with every frame behind an LSN, in the order of writing. A frame that does not check is counted and left out.
func (l *Log) Scan(after uint64, fn func(Frame) error) error {
	all := l.List()
	for i, s := range all {
		if i+1 < len(all) && all[i+1].First <= after+1 {
			continue
		}
		_, err := l.scanFile(s, false, func(f Frame) error {
			if f.LSN <= after {
				return nil
			}
			return fn(f)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ScanOne calls fn with the frames of one file.
func (l *Log) ScanOne(number uint32, fn func(Frame) error) error {
	for _, s := range l.List() {
		if s.Number == number {
			_, err := l.scanFile(s, false, fn)
			return err
		}
	}
	return domicile.E("scan segment", domicile.NotExist, "no such segment")
}

// walked is how far a scan of a file came.
type walked struct {
	end   int64
	last  uint64 // LSN before that
	group []byte // the bytes that end there and of which no frame tells that they were flushed: the last group, or the file's header
}

// scanFile reads a file and walks it to its end, or with tail to where bytes begin that were not flushed.
func (l *Log) scanFile(s Info, tail bool, fn func(Frame) error) (walked, error) {
	b, err := l.readFile(s)
	if err != nil {
		return walked{}, err
	}
	at, last := min(fileHeader, len(b)), s.First-1
	begins, durable := 0, ^uint64(0) // of the group
	for at < len(b) {
		h, whole, err := parseFrame(b[at:])
		if err == nil && whole {
			place := Place{s.Number, uint32(at + header), h.length}
			if err := fn(Frame{h.kind, h.lsn, place, b[at+header : at+header+int(h.length)]}); err != nil {
				return walked{}, err
			}
			if last = h.lsn; h.durable != durable {
				begins, durable = at, h.durable
			}
			at += header + int(h.length)
			continue
		}
		next := nextFrame(b, at+1) // not what its length says: bytes may be missing
		if tail && last >= l.cfg.Durable && !provesDurable(b[next:], last+1) {
			break
		}
		l.mu.Lock()
		l.damaged++
		l.mu.Unlock()
		l.cfg.Log.Error("segments: a frame is damaged", "segment", name(s.Number), "offset", at, "lsn", last+1)
		at = next
		if last++; tail && at == len(b) {
			last = max(last, l.cfg.Durable) // they may have been many
		}
	}
	return walked{int64(at), last, b[begins:at]}, nil
}

func (l *Log) readFile(s Info) ([]byte, error) {
	f, err := os.Open(l.files.path(s.Number))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, s.Size) // not a map of the file: there, a disk that fails kills the process
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return b, nil
}

// provesDurable says whether a later frame was written when the one with this LSN was durable already.
func provesDurable(b []byte, lsn uint64) bool {
	for at := nextFrame(b, 0); at < len(b); at = nextFrame(b, at+1) {
		if h, _ := parseHeader(b[at:]); h.durable >= lsn {
			return true
		}
	}
	return false
}

// files keeps some files open for reading.
type files struct {
	dir string

	mu       sync.Mutex
	byNumber map[uint32]*handle // guarded by mu
	tick     uint64             // guarded by mu
}

type handle struct {
	io.ReaderAt
	f       *os.File
	refs    int
	used    uint64
	dropped bool
}

const maxOpen = 128

func (c *files) path(number uint32) string { return filepath.Join(c.dir, name(number)) }

func (c *files) open(number uint32) (*handle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	if h := c.byNumber[number]; h != nil {
		h.refs++
		h.used = c.tick
		return h, nil
	}
	f, err := os.Open(c.path(number))
	if os.IsNotExist(err) {
		return nil, &domicile.Error{Op: "read segment", Kind: domicile.NotExist, Detail: "the segment is gone", Err: err}
	}
	if err != nil {
		return nil, err
	}
	if c.byNumber == nil {
		c.byNumber = map[uint32]*handle{}
	}
	for len(c.byNumber) >= maxOpen && c.evict() {
	}
	h := &handle{ReaderAt: f, f: f, refs: 1, used: c.tick}
	c.byNumber[number] = h
	return h, nil
}

// evict closes the file that nobody has used for the longest time.
func (c *files) evict() bool {
	var oldest uint32
	found := false
	for n, h := range c.byNumber {
		if h.refs == 0 && (!found || h.used < c.byNumber[oldest].used) {
			oldest, found = n, true
		}
	}
	if found {
		c.byNumber[oldest].f.Close()
		delete(c.byNumber, oldest)
	}
	return found
}

func (c *files) release(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.refs--; h.refs == 0 && h.dropped {
		h.f.Close()
	}
}

// drop forgets a file; whoever reads it finishes.
func (c *files) drop(number uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.byNumber[number]; h != nil {
		delete(c.byNumber, number)
		if h.dropped = true; h.refs == 0 {
			h.f.Close()
		}
	}
}

func (c *files) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n, h := range c.byNumber {
		delete(c.byNumber, n)
		if h.dropped = true; h.refs == 0 {
			h.f.Close()
		}
	}
}
