package segment

import (
	"fmt"

	"domicile"
)

// Group is frames on their way into the log. The writer has one at a time.
type Group struct {
	l     *Log
	start uint64 // LSN of the first
	err   error
}

// Begin starts a group, in a new file if the present one is full. Its errors come with Commit.
func (l *Log) Begin() *Group {
	l.buf = l.buf[:0]
	g := &Group{l: l, err: l.broken}
	if g.err == nil && l.kept >= l.cfg.Size {
		if err := l.tidy(); err != nil {
			g.err = err
		} else if err := l.begin(l.number + 1); err != nil {
			g.err = fmt.Errorf("begin a new segment: %w: %w", ErrNotDone, err)
		}
	}
	g.start = l.next
	return g
}

// Add adds a frame and returns where its payload will be.
func (g *Group) Add(kind byte, payload []byte) (Place, uint64) {
	l := g.l
	lsn := l.next
	place := Place{Segment: l.number, Offset: uint32(l.kept + int64(len(l.buf)) + header), Length: uint32(len(payload))}
	l.buf = appendFrame(l.buf, kind, lsn, g.start-1, payload)
	l.next++
	return place, lsn
}

// Size is how many bytes the group has.
func (g *Group) Size() int { return len(g.l.buf) }

// Mark and Reset take back what was added since.
func (g *Group) Mark() (size int, lsn uint64) { return len(g.l.buf), g.l.next }

// Reset takes the group back to a Mark.
func (g *Group) Reset(size int, lsn uint64) { g.l.buf, g.l.next = g.l.buf[:size], lsn }

// Commit writes the group and flushes it. After an error without ErrNotDone nobody knows what is on disk. If it was the flush that
// failed, the log refuses all further groups until it is opened anew (Broken): it is never tried again as if it had worked.
func (g *Group) Commit() error {
	l := g.l
	if g.err == nil && len(l.buf) == 0 {
		return nil
	}
	if g.err == nil {
		g.err = l.tidy()
	}
	if g.err != nil {
		l.next = g.start
		return g.err
	}
	if err := l.write(l.buf); err != nil {
		l.next = g.start
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	l.kept += int64(len(l.buf))
	l.mu.Lock()
	l.segments[len(l.segments)-1].Size = l.kept
	l.mu.Unlock()
	if cap(l.buf) > 16<<20 {
		l.buf = nil
	}
	return nil
}

// write writes behind what counts. If that fails, as on a full disk, the file is made as it was; if that fails too, it may be so that a
// crash now leaves a frame of it, and the next group tries again.
func (l *Log) write(b []byte) error {
	err := l.cfg.Step("write segment", func() error {
		_, err := l.active.WriteAt(b, l.kept)
		return err
	})
	if err == nil {
		return nil
	}
	l.dirty = true
	if l.tidy() != nil {
		return fmt.Errorf("write the segment, and take it back: %w", err)
	}
	return fmt.Errorf("write the segment: %w: %w", ErrNotDone, err)
}

// tidy takes back what a write that failed left.
func (l *Log) tidy() error {
	if !l.dirty {
		return nil
	}
	if err := l.cfg.Step("truncate segment", func() error { return l.active.Truncate(l.kept) }); err != nil {
		return fmt.Errorf("take back an earlier write: %w: %w", ErrNotDone, err)
	}
	if err := l.flush(); err != nil { // or a crash could bring back what was said not to be done
		return err
	}
	l.dirty = false
	return nil
}

// flush makes the file durable. If that fails, the log takes no more.
func (l *Log) flush() error {
	err := l.cfg.Step("sync segment", func() error { return datasync(l.active) })
	if err == nil {
		return nil
	}
	l.broken = domicile.E("segments", domicile.Unavailable, "an earlier flush failed and the log takes no more: look at the disk, then restart the node")
	return fmt.Errorf("flush the segment: %w", err)
}

// Probe tries whether the log would take so many bytes, and leaves it as it was. Of the one writer.
func (l *Log) Probe(n int) error {
	if l.broken != nil {
		return l.broken
	}
	if err := l.tidy(); err != nil {
		return err
	}
	if err := l.write(make([]byte, n)); err != nil {
		return err
	}
	l.dirty = true
	return l.tidy()
}

// Broken is why the log takes no more until it is opened anew, nil if it does. Of the one writer.
func (l *Log) Broken() error { return l.broken }
