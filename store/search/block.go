package search

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// version is the first byte of a directory.
const version = 1

// maxWords bounds the bytes of a words section, decompressed: more than any writer makes.
const maxWords = 256 << 10

var (
	// ErrDamaged says that the bytes are no block. Its documents have to be scanned and indexed anew.
	ErrDamaged = errors.New("search: damaged block")
	// ErrVersion says that a later release wrote the block.
	ErrVersion = errors.New("search: block of a later version")
)

func damaged(why string) error { return fmt.Errorf("%w: %s", ErrDamaged, why) }

// A Block is a block's directory and a way to its sections. It is safe for concurrent use if its read is.
type Block struct {
	read   func(section int) ([]byte, error)
	docs   int
	ids    []int // documents in each section of names
	fields [fields][]chunk
}

// A chunk is a words section with the sections of lists before it.
type chunk struct {
	first    []byte // word
	sections int    // number of the first section
	lists    []int  // lists in each of the sections of lists
	words    int
}

// Open reads a directory. The block asks read for its sections when it needs them, as they were given to emit; what read
// returns is not changed, and not kept beyond the call that asked. Errors are ErrDamaged and ErrVersion; later calls return
// ErrDamaged and errors of read.
func Open(directory []byte, read func(section int) ([]byte, error)) (*Block, error) {
	if len(directory) == 0 || directory[0] == 0 {
		return nil, damaged("no directory")
	}
	if directory[0] > version {
		return nil, ErrVersion
	}
	d := decoder{rest: directory[1:]}
	b := &Block{read: read, docs: d.number(MaxDocs)}
	left := b.docs
	for range d.number(MaxDocs) {
		n := d.number(left)
		b.ids = append(b.ids, n)
		left -= n
	}
	if left > 0 {
		return nil, damaged("documents without a name")
	}
	sections := len(b.ids)
	for f := range b.fields {
		for range d.number(len(d.rest)) {
			c := d.chunk()
			c.sections = sections
			sections += len(c.lists) + 1
			b.fields[f] = append(b.fields[f], c)
			if d.bad {
				break
			}
		}
	}
	if d.bad || len(d.rest) > 0 {
		return nil, damaged("the directory is cut short, or too long")
	}
	return b, nil
}

// A decoder reads numbers and bytes, and remembers when there were none.
type decoder struct {
	rest []byte
	bad  bool
}

// number returns the next number, 0 if it is above the limit.
func (d *decoder) number(limit int) int {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > uint64(limit) {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return int(v)
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.rest) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) chunk() (c chunk) {
	c.first = d.bytes(d.number(maxWord))
	for range d.number(len(d.rest)) {
		n := d.number(maxWords)
		c.lists = append(c.lists, n)
		c.words += n
		if d.bad || c.words > maxWords {
			d.bad = true
			break
		}
	}
	return c
}

// Len returns how many documents the block has.
func (b *Block) Len() int { return b.docs }

// Docs returns the names of the documents, by ordinal.
func (b *Block) Docs() ([]string, error) {
	all := make([]string, 0, b.docs)
	for i, n := range b.ids {
		raw, err := b.section(i)
		if err != nil {
			return nil, err
		}
		d, names := decoder{rest: raw}, string(raw)
		for range n {
			size := d.number(MaxID)
			at := len(raw) - len(d.rest)
			if d.bytes(size); d.bad {
				break
			}
			all = append(all, names[at:at+size])
		}
		if d.bad || len(d.rest) > 0 {
			return nil, damaged("the names of documents do not end where they should")
		}
	}
	return all, nil
}

func (b *Block) section(i int) ([]byte, error) {
	raw, err := b.read(i)
	if err != nil {
		return nil, fmt.Errorf("search: section %d: %w", i, err)
	}
	return raw, nil
}

// An unpacker decompresses words sections into one buffer.
type unpacker struct {
	zstd *zstd.Decoder
	buf  []byte
}

func newUnpacker() (*unpacker, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxWords))
	if err != nil {
		return nil, err
	}
	return &unpacker{zstd: dec}, nil
}

// words returns the words of a chunk: a newline, and each word with one behind it. They are valid until the next call.
func (u *unpacker) words(b *Block, c *chunk) ([]byte, error) {
	raw, err := b.section(c.sections + len(c.lists))
	if err != nil {
		return nil, err
	}
	u.buf, err = u.zstd.DecodeAll(raw, u.buf[:0])
	if err != nil {
		return nil, damaged(err.Error())
	}
	if n := len(u.buf); n == 0 || u.buf[0] != '\n' || u.buf[n-1] != '\n' {
		return nil, damaged("words that do not end")
	}
	return u.buf, nil
}
