package bolt

import (
	"encoding/binary"
	"fmt"
	"time"

	"domicile"
	"domicile/store/segment"
)

// An act that is too large to share a group, as one on a million messages, runs alone and is written in parts: each a framePart in a group of its own, and behind
// them a frameLast, which says where the first of them is. Without that nothing of the act was done, whatever is on disk of it; with it all of it was.

const (
	partBytes  = 4 << 20 // of keys and values in a part, with segments of the usual size
	manyAtOnce = 1000    // messages that an act touches at most while it shares its group
)

// errAlone ends a job that is to run alone.
var errAlone = domicile.E("store", domicile.Conflict, "the act is large and runs alone")

// errFrameInParts ends an act that adds bytes of its own to the log behind its first part.
var errFrameInParts = domicile.E("store", domicile.TooLarge, "an act in parts has bytes of a body among them")

// many says that the job is about to touch so many messages, before it does.
func (tx *txn) many(messages int) error {
	if messages > manyAtOnce && tx.w.parts == nil {
		return errAlone
	}
	return nil
}

// parts is how far an act has been written.
type parts struct {
	log   *segment.Log
	size  int    // of one
	first uint64 // LSN of the first part; 0 = there is none
	err   error  // the log did not take one
}

// failed is why the act cannot be done any more.
func (p *parts) failed() error {
	if p == nil {
		return nil
	}
	return p.err
}

// part writes what the job has changed so far.
func (c *changes) part() {
	p := c.parts
	_, lsn := c.group.Add(framePart, c.appendEntries(make([]byte, 0, c.bytes)))
	if p.err = c.group.Commit(); p.err != nil {
		return
	}
	if p.first == 0 {
		p.first = lsn
	}
	c.group = p.log.Begin()
	c.size, c.lsn = c.group.Mark()
	c.order, c.value, c.bytes = nil, map[string][]byte{}, 0
}

// finish adds the frame that makes the act count.
func (c *changes) finish(now time.Time) error {
	inParts := c.parts != nil && c.parts.first > 0
	if err := c.parts.failed(); err != nil || len(c.order) == 0 && !inParts {
		return err
	}
	kind, payload := byte(frameChange), binary.BigEndian.AppendUint64(make([]byte, 0, 16+c.bytes+8*len(c.order)), uint64(now.UnixMilli()))
	if inParts {
		kind, payload = frameLast, binary.BigEndian.AppendUint64(payload, c.parts.first)
	}
	payload = c.appendEntries(payload)
	switch {
	case len(payload) <= segment.MaxPayload:
		c.group.Add(kind, payload)
		return nil
	case c.parts == nil:
		return errAlone
	}
	return domicile.E("store", domicile.TooLarge, "one record of the act is too large")
}

// acts reads the changes of the log, act by act: it is given each frame behind an LSN at which no act was under way.
type acts struct {
	log   *segment.Log
	parts []segment.Place // of the act that is under way
	first uint64          // LSN of the first of them
}

// frame calls fn for each entry of the act that f ends, and says whether no act is under way behind f. It reads parts anew, one by one, since all of them at once
// may be too much.
func (a *acts) frame(f segment.Frame, fn func(key, value []byte) error) (between bool, err error) {
	if f.Kind == framePart {
		if f.LSN != a.first+uint64(len(a.parts)) {
			a.parts, a.first = nil, f.LSN // those before were never ended, or one of them is damaged
		}
		a.parts = append(a.parts, f.Place)
		return false, nil
	}
	switch f.Kind {
	case frameChange:
		_, err = eachChange(f.Payload, fn)
	case frameLast:
		err = a.last(f, fn)
	}
	a.parts = nil
	return true, err
}

// last gives the entries of an act in parts: none of them if a part is damaged, which the log has counted.
func (a *acts) last(f segment.Frame, fn func(key, value []byte) error) error {
	first, entries, err := parseLast(f.Payload)
	if err != nil {
		return err
	}
	n := f.LSN - first
	if first >= f.LSN || n > uint64(len(a.parts)) || a.first+uint64(len(a.parts)) != f.LSN {
		return nil
	}
	for _, p := range a.parts[uint64(len(a.parts))-n:] {
		b, err := a.log.Read(p)
		if err == nil {
			err = eachEntry(b, fn)
		}
		if err != nil {
			return fmt.Errorf("a part of an act: %w", err)
		}
	}
	return eachEntry(entries, fn)
}

func parseLast(b []byte) (first uint64, entries []byte, err error) {
	if len(b) < 16 {
		return 0, nil, errDamaged
	}
	return readNumber(b[8:16]), b[16:], nil
}
