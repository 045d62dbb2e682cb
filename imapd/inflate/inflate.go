package inflate

import (
	"errors"
	"io"
)

const (
	windowSize = 32 << 10
	enough     = 8 << 10 // bytes decoded ahead of the reader
)

var errCorrupt = errors.New("inflate: the stream is corrupt")

// Reader inflates a stream. One goroutine at a time.
type Reader struct {
	src  io.Reader
	in   []byte // read, not in bits yet
	room [1024]byte
	bits uint64 // the next bit is the lowest
	n    uint   // how many bits
	err  error  // what ends the stream, behind the bytes that are decoded

	window [windowSize]byte
	at     int // where the next byte goes
	unread int // the last bytes that were decoded
	known  int // bytes that a match may refer to, windowSize at most

	next   func(*Reader) bool // the step under way; false if it needs more input
	last   bool               // this block is the last one
	stored int                // bytes of a stored block to come
	lit    *code
	dist   *code
	table  table
}

// NewReader inflates what src gives.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, next: (*Reader).header} }

// Read gives what is decoded; it reads from the source only if that is nothing.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		for z.unread < enough && z.err == nil && z.next(z) {
		}
		if z.unread > 0 {
			return z.give(p), nil
		}
		if z.err != nil {
			return 0, z.err
		}
		n, err := z.src.Read(z.room[:])
		z.in = z.room[:n]
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err // a time-out: what follows may still come
		}
	}
}

// give hands out decoded bytes.
func (z *Reader) give(p []byte) int {
	from := (z.at - z.unread + windowSize) % windowSize
	n := copy(p, z.window[from:min(windowSize, from+z.unread)])
	z.unread -= n
	return n
}

// fill has bits hold as many as there are, up to 56 at least.
func (z *Reader) fill() {
	for z.n <= 56 && len(z.in) > 0 {
		z.bits |= uint64(z.in[0]) << z.n
		z.in = z.in[1:]
		z.n += 8
	}
}

// take takes n bits, if they are there.
func (z *Reader) take(n uint) (v int, ok bool) {
	if z.fill(); z.n < n {
		return 0, false
	}
	v = int(z.bits & (1<<n - 1))
	z.drop(n)
	return v, true
}

func (z *Reader) drop(n uint) {
	z.bits >>= n
	z.n -= n
}

// fail ends the stream.
func (z *Reader) fail() bool {
	z.err = errCorrupt
	return false
}

func (z *Reader) put(b byte) {
	z.window[z.at] = b
	z.at = (z.at + 1) % windowSize
	z.unread++
	z.known = min(z.known+1, windowSize)
}

// header begins a block (RFC 1951 3.2.3).
func (z *Reader) header() bool {
	if z.last {
		z.err = io.EOF
		return false
	}
	v, ok := z.take(3)
	if !ok {
		return false
	}
	z.last = v&1 != 0
	switch v >> 1 {
	case 0:
		z.drop(z.n % 8)
		z.next = (*Reader).storedSize
	case 1:
		z.lit, z.dist = fixedLit, fixedDist
		z.next = (*Reader).symbol
	case 2:
		z.next = (*Reader).tableSizes
	default:
		return z.fail()
	}
	return true
}

// storedSize: RFC 1951 3.2.4.
func (z *Reader) storedSize() bool {
	v, ok := z.take(32)
	if !ok {
		return false
	}
	if v&0xffff != ^v>>16&0xffff {
		return z.fail()
	}
	z.stored = v & 0xffff
	z.next = (*Reader).storedByte
	return true
}

func (z *Reader) storedByte() bool {
	if z.stored == 0 {
		z.next = (*Reader).header
		return true
	}
	b, ok := z.take(8)
	if ok {
		z.stored--
		z.put(byte(b))
	}
	return ok
}

// Lengths and distances: where each symbol begins, and how many bits follow it (RFC 1951 3.2.5).
var (
	lengthFrom = [29]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distFrom   = [30]int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distBits   = [30]uint{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// symbol decodes a byte, a match or the end of the block. It takes no bit before all 48 at most are there.
func (z *Reader) symbol() bool {
	z.fill()
	peek := cursor{z.bits, z.n}
	sym := peek.symbol(z.lit)
	switch {
	case sym == more:
		return false
	case sym == none || sym > 285:
		return z.fail()
	case sym < 256:
		z.drop(z.n - peek.n)
		z.put(byte(sym))
		return true
	case sym == 256:
		z.drop(z.n - peek.n)
		z.next = (*Reader).header
		return true
	}
	length, ok := peek.take(lengthBits[sym-257])
	if !ok {
		return false
	}
	d := peek.symbol(z.dist)
	if d == more {
		return false
	}
	if d == none || d > 29 {
		return z.fail()
	}
	back, ok := peek.take(distBits[d])
	if !ok {
		return false
	}
	z.drop(z.n - peek.n)
	return z.match(lengthFrom[sym-257]+length, distFrom[d]+back)
}

func (z *Reader) match(length, back int) bool {
	if back > z.known {
		return z.fail()
	}
	for range length {
		z.put(z.window[(z.at-back+windowSize)%windowSize])
	}
	return true
}
