package bolt

import (
	"bytes"

	"domicile/store/segment"
)

// bucket is the keys of the index below a path of names. In a key each name stands behind its length, one byte, and the entry's own key
// behind a zero: entries of a bucket lie together, before those of the buckets in it. A bucket needs no making: it is its entries.
//
// Byte slices that come out are valid until the end of the txn.
type bucket struct {
	tx   *txn
	path []byte
}

func (tx *txn) root(name []byte) bucket { return bucket{tx: tx}.sub(name) }

// sub is a bucket in b. A name has 1 to 255 bytes.
func (b bucket) sub(name []byte) bucket {
	path := make([]byte, 0, len(b.path)+1+len(name))
	return bucket{b.tx, append(append(append(path, b.path...), byte(len(name))), name...)}
}

func (b bucket) key(k []byte) []byte {
	key := make([]byte, 0, len(b.path)+1+len(k))
	return append(append(append(key, b.path...), 0), k...)
}

// Get returns nil if there is no such entry.
func (b bucket) Get(k []byte) []byte { return b.tx.get(b.key(k)) }

// Put writes an entry. The value may not be changed afterwards.
func (b bucket) Put(k, value []byte) {
	if value == nil {
		value = []byte{}
	}
	b.tx.set(b.key(k), value)
}

// Delete removes an entry, or does nothing.
func (b bucket) Delete(k []byte) {
	if key := b.key(k); b.tx.get(key) != nil {
		b.tx.set(key, nil)
	}
}

// entries walks the entries of b alone.
func (b bucket) entries() *scanner { return b.tx.scan(append(bytes.Clone(b.path), 0)) }

// ForEach calls fn for each entry of b, in the order of keys.
func (b bucket) ForEach(fn func(k, v []byte) error) error { return b.ForEachFrom(nil, fn) }

// errStop ends a walk without an error.
var errStop = &stop{}

type stop struct{}

func (*stop) Error() string { return "stop" }

// ForEachFrom is ForEach from a key on. fn ends it with errStop.
func (b bucket) ForEachFrom(from []byte, fn func(k, v []byte) error) error {
	s := b.entries()
	for ok := s.seek(from); ok; ok = s.next() {
		if err := fn(s.key[len(s.prefix):], s.value); err == errStop {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// ForEachBucket calls fn with the name of each bucket in b that has an entry in it: short names first, then by their bytes. fn ends it with errStop.
func (b bucket) ForEachBucket(fn func(name []byte) error) error {
	return b.forEachBucket([]byte{1}, fn)
}

// ForEachBucketAfter leaves out the buckets up to the one named.
func (b bucket) ForEachBucketAfter(name []byte, fn func(name []byte) error) error {
	return b.forEachBucket(behind(name), fn)
}

func (b bucket) forEachBucket(from []byte, fn func(name []byte) error) error {
	s := b.tx.scan(b.path)
	for len(from) > 0 && s.seek(from) {
		rest := s.key[len(b.path):]
		if n := int(rest[0]); len(rest) < 1+n {
			return errDamaged
		}
		name := bytes.Clone(rest[1 : 1+rest[0]])
		if err := fn(name); err == errStop {
			return nil
		} else if err != nil {
			return err
		}
		from = behind(name)
	}
	return nil
}

// behind is the first path that comes after a bucket and all that is in it; nil = there is none.
func behind(name []byte) []byte {
	b := append([]byte{byte(len(name))}, name...)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] > 0 {
			return b[:i+1]
		}
	}
	return nil
}

// Empty says whether there is nothing in b, nor in the buckets in it.
func (b bucket) Empty() bool { return !b.tx.scan(b.path).seek(nil) }

// deleteSome removes at most n entries of b and of the buckets in it, and says whether that was all: of an act that the log did not take it says so too,
// since nothing it removes goes.
func (b bucket) deleteSome(n int) (done bool) {
	var keys [][]byte
	s := b.tx.scan(b.path)
	ok := s.seek(nil)
	for ; ok && len(keys) < n; ok = s.next() {
		keys = append(keys, bytes.Clone(s.key))
	}
	for _, k := range keys {
		b.tx.set(k, nil)
	}
	return !ok || b.tx.w.parts.failed() != nil
}

func (b bucket) count() (n int) {
	s := b.entries()
	for ok := s.seek(nil); ok; ok = s.next() {
		n++
	}
	return n
}

// frame adds a frame to the log, durable with the job. In a rehearsal it adds none. Among the parts of an act there can be none: those who
// read the log would not find the parts together.
func (tx *txn) frame(kind byte, payload []byte) segment.Place {
	switch p := tx.w.parts; {
	case tx.w.group == nil:
		return segment.Place{Segment: 1, Length: uint32(len(payload))}
	case p != nil && p.first > 0:
		p.err = errFrameInParts
		return segment.Place{}
	}
	place, _ := tx.w.group.Add(kind, payload)
	return place
}
