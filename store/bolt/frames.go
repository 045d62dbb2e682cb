package bolt

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// Kinds of frames in the log.
const (
	frameBody   = 1 // a body, or what follows its chunks
	frameChange = 2 // when one act was done, and what it changed in the index
	frameBase   = 3 // entries of the index, in a base
	frameEnd    = 4 // the end of a base: how many entries there were
	frameChunk  = 5 // a chunk of bodies
	frameSearch = 6 // a section of a search block
	framePart   = 7 // a part of what a large act changed, see parts
	frameLast   = 8 // what is behind the last part, and ends the act
)

var errDamaged = errors.New("a record on disk is damaged: run fsck")

// appendEntry writes a key as what differs from the one before it, and its value; nil is a deletion.
func appendEntry(b []byte, before, key string, value []byte) []byte {
	same := 0
	for same < len(before) && same < len(key) && before[same] == key[same] {
		same++
	}
	b = binary.AppendUvarint(b, uint64(same))
	b = binary.AppendUvarint(b, uint64(len(key)-same))
	b = append(b, key[same:]...)
	if value == nil {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(value))+1)
	return append(b, value...)
}

// eachEntry is the inverse: fn's slices are valid during the call.
func eachEntry(b []byte, fn func(key, value []byte) error) error {
	var key []byte
	take := func(n uint64) ([]byte, bool) {
		if n > uint64(len(b)) {
			return nil, false
		}
		out := b[:n:n]
		b = b[n:]
		return out, true
	}
	number := func() (uint64, bool) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return 0, false
		}
		b = b[size:]
		return n, true
	}
	for len(b) > 0 {
		same, ok1 := number()
		rest, ok2 := number()
		if !ok1 || !ok2 || same > uint64(len(key)) {
			return errDamaged
		}
		tail, ok := take(rest)
		if !ok {
			return errDamaged
		}
		key = append(key[:same:same], tail...)
		size, ok := number()
		if !ok {
			return errDamaged
		}
		var value []byte
		if size > 0 {
			if value, ok = take(size - 1); !ok {
				return errDamaged
			}
		}
		if len(key) == 0 || len(key) > maxKey {
			return errDamaged
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

const maxKey = 4096

// eachChange gives the entries of a frameChange and when it was done.
func eachChange(b []byte, fn func(key, value []byte) error) (at time.Time, err error) {
	if len(b) < 8 {
		return at, errDamaged
	}
	return time.UnixMilli(int64(readNumber(b[:8]))), eachEntry(b[8:], fn)
}

// appendEntries gives a job's changes, by key.
func (c *changes) appendEntries(b []byte) []byte {
	slices.Sort(c.order)
	before := ""
	for _, key := range c.order {
		b = appendEntry(b, before, key, c.value[key])
		before = key
	}
	return b
}
