package segment

import (
	"errors"
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
		if err := l.begin(l.number() + 1); err != nil {
			g.err = fmt.Errorf("begin a new segment: %w: %w", ErrNotDone, err)
		}
	}
	g.start = l.next
	return g
}

func (l *Log) number() uint32 { return l.segments[len(l.segments)-1].Number } // only the writer appends to it

// Add adds a frame and returns where its payload will be.
func (g *Group) Add(kind byte, payload []byte) (Place, uint64) {
	l := g.l
	lsn := l.next
	place := Place{Segment: l.number(), Offset: uint32(l.kept + int64(len(l.buf)) + header), Length: uint32(len(payload))}
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

// Commit writes the group and flushes it. After an error without ErrNotDone nobody knows what is on disk, and the log refuses all
// further groups until it is opened anew: a flush that failed is never tried again as if it had worked.
func (g *Group) Commit() error {
	l := g.l
	if g.err == nil && len(l.buf) == 0 {
		return nil
	}
	if g.err != nil {
		l.next = g.start
		return g.err
	}
	err := l.cfg.Step("write segment", func() error {
		_, err := l.active.WriteAt(l.buf, l.kept)
		return err
	})
	if err != nil {
		l.next = g.start
		return l.takeBack(err)
	}
	if err := l.cfg.Step("sync segment", func() error { return datasync(l.active) }); err != nil {
		l.broken = domicile.E("segments", domicile.Unavailable, "an earlier flush failed and the log takes no more: look at the disk, then restart the node")
		return fmt.Errorf("flush the segment: %w", err)
	}
	l.kept += int64(len(l.buf))
	l.durable = l.next - 1
	l.mu.Lock()
	l.segments[len(l.segments)-1].Size = l.kept
	l.mu.Unlock()
	if cap(l.buf) > 16<<20 {
		l.buf = nil
	}
	return nil
}

// Probe tries whether the log would take so many bytes, and leaves it as it was. An error is as of Commit. Of the one writer.
func (l *Log) Probe(n int) error {
	if l.broken != nil {
		return l.broken
	}
	err := l.cfg.Step("write segment", func() error {
		_, err := l.active.WriteAt(make([]byte, n), l.kept)
		return err
	})
	if back := l.takeBack(err); err != nil || !errors.Is(back, ErrNotDone) {
		return back
	}
	return nil
}

// takeBack makes the file as it was before a write that failed, as on a full disk.
func (l *Log) takeBack(cause error) error {
	err := l.cfg.Step("truncate segment", func() error { return l.active.Truncate(l.kept) })
	if err != nil {
		l.broken = domicile.E("segments", domicile.Unavailable, "an earlier write failed and could not be taken back: look at the disk, then restart the node")
		return fmt.Errorf("write the segment: %w", cause)
	}
	return fmt.Errorf("write the segment: %w: %w", ErrNotDone, cause)
}
