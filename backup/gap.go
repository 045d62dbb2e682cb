package backup

import (
	"os"
	"time"
)

// A gap is where the log of a line is not whole, since the store removed segments that were not copied. The sets of before go as far as its mark; a set
// of after needs nothing of before.

// findGap looks whether segments were removed before they were copied, while nobody copied, and whether a mark has no set behind it yet.
func (m *Mirror) findGap() error {
	names, err := m.vault.list("store/segments")
	if err != nil || len(names) == 0 {
		return err
	}
	next, last := names[len(names)-1], uint32(0) // which may not be whole: the store must have it still, and all behind it
	for _, s := range m.cfg.Store.Segments() {
		if last = s.Number; segmentName(last) == next {
			next = segmentName(last + 1)
		}
	}
	marked, err := m.marked()
	m.gap = marked || next != segmentName(last+1)
	return err
}

// marked says whether the newest set has a mark behind it.
func (m *Mirror) marked() (bool, error) {
	gaps, err := stampsIn(m.vault.path(gapDir))
	return len(gaps) > 0 && !gaps[len(gaps)-1].Before(m.newest.Made), err
}

// markGap marks where what is whole ends, before anything is copied behind it.
func (m *Mirror) markGap() error {
	marked, err := m.marked()
	if err != nil || marked || m.newest.Name == "" {
		return err
	}
	names, err := m.vault.list("store/segments")
	if err != nil || len(names) == 0 {
		return err
	}
	name := names[len(names)-1]
	e, err := m.vault.end(name)
	if err != nil {
		return err
	}
	at := m.last
	if at.IsZero() { // another process copied
		info, err := os.Stat(m.vault.path(name))
		if err != nil {
			return err
		}
		at = info.ModTime().Add(-time.Minute) // a round takes less
	}
	if at.Before(m.newest.Made) {
		at = m.newest.Made
	}
	number, _ := segmentNumber(name)
	return m.vault.mark(at, gapMark{Segment: number, Size: e.plain, Leaves: m.leaves})
}
