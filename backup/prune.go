package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile"
)

// Retention says what of a repository is kept.
type Retention struct {
	// Within is for how long back any time can be restored; before that, sets alone. Never less than what the newest set has.
	Within time.Duration `json:"keep_within"`
	// Daily and Weekly keep the newest set of each of so many days and weeks (ISO 8601, UTC) that have one, those of Within included.
	Daily  int `json:"keep_daily"`
	Weekly int `json:"keep_weekly"`
}

// Pruned is what a pruning did, or would do.
type Pruned struct {
	Kept    []Set `json:"kept"`
	Removed []Set `json:"removed"`
	Bytes   int64 `json:"bytes"` // that came free; 0 of a dry run
}

// Prune removes what no time needs that is kept. A crash at any step leaves every time that is kept, and the next pruning goes on. With dry it only says
// what would go.
func (m *Mirror) Prune(ctx context.Context, keep Retention, dry bool) (Pruned, error) {
	m.setting.Lock()
	defer m.setting.Unlock()
	p, err := m.prune(ctx, keep, dry)
	return p, domicile.W("prune the backup repository", err)
}

// prune keeps an order: marks of where the log of a set ends that is kept alone, then the sets go, and when that is durable what they alone named.
// The caller holds setting.
func (m *Mirror) prune(ctx context.Context, keep Retention, dry bool) (Pruned, error) {
	all, err := Sets(m.cfg.Dir)
	if err != nil || len(all) == 0 {
		return Pruned{Kept: []Set{}, Removed: []Set{}}, err
	}
	first := firstWithin(all, m.cfg.Now().Add(-keep.Within))
	p := choose(all, first, keep)
	if dry {
		return p, nil
	}
	kept := map[string][]Set{} // by line
	for _, s := range p.Kept {
		kept[s.Line] = append(kept[s.Line], s)
	}
	if err := m.markAlone(kept, all[first]); err != nil {
		return p, err
	}
	for _, s := range p.Removed {
		if err := m.lineVault(s.Line).remove(setDir + "/" + s.Name); err != nil {
			return p, err
		}
	}
	lines, err := lineNames(m.cfg.Dir)
	for _, line := range lines {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return p, err
		}
		var freed int64
		freed, err = m.sweepLine(line, kept[line], all[first])
		p.Bytes += freed
	}
	return p, errors.Join(err, m.weigh())
}

// firstWithin is the newest set that is older than a time, or the oldest of all: from it on every time is kept.
func firstWithin(all []Set, since time.Time) (first int) {
	for i, s := range all {
		if s.Made.Before(since) {
			first = i
		}
	}
	return first
}

// choose parts sets into those that are kept and the others.
func choose(all []Set, first int, keep Retention) Pruned {
	p := Pruned{Kept: []Set{}, Removed: []Set{}}
	stay := map[Set]bool{}
	for _, rule := range []struct {
		most int
		of   func(time.Time) string
	}{
		{keep.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{keep.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, w) }},
	} {
		seen := map[string]bool{}
		for _, s := range slices.Backward(all) {
			if when := rule.of(s.Made.UTC()); !seen[when] && len(seen) < rule.most {
				seen[when], stay[s] = true, true
			}
		}
	}
	for i, s := range all {
		if i >= first || stay[s] {
			p.Kept = append(p.Kept, s)
		} else {
			p.Removed = append(p.Removed, s)
		}
	}
	return p
}

// markAlone marks where the log ends behind each set of before first: with itself.
func (m *Mirror) markAlone(kept map[string][]Set, first Set) error {
	for line, sets := range kept {
		v := m.lineVault(line)
		for _, s := range sets {
			if !s.Made.Before(first.Made) {
				continue
			}
			if _, err := os.Stat(v.path(gapDir + "/" + s.Name)); err == nil {
				continue
			}
			man, err := v.readManifest(s.Name)
			if err != nil {
				return err
			}
			newest := man.newest()
			if err := v.mark(s.Made, gapMark{Segment: newest, Size: man.Segments[newest]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// newest is the number of the newest segment of a set.
func (man manifest) newest() (n uint32) {
	for number := range man.Segments {
		n = max(n, number)
	}
	return n
}

// sweepLine removes of a line what none of its sets needs, and a line that has none and is not being written. From first on all of the log is
// needed, too.
func (m *Mirror) sweepLine(line string, sets []Set, first Set) (freed int64, err error) {
	v := m.lineVault(line)
	if err := syncIfThere(v.path(setDir)); err != nil { // no set may come back without what it names
		return 0, err
	}
	if len(sets) == 0 {
		if line == m.line {
			return 0, nil
		}
		freed, err = weight(v.dir)
		return freed, errors.Join(err, os.RemoveAll(v.dir))
	}
	bases, listed, whole := map[string]bool{}, map[uint32]bool{}, ^uint32(0)
	for _, s := range sets {
		man, err := v.readManifest(s.Name)
		if err != nil {
			return 0, err
		}
		bases[man.Base] = true
		for n := range man.Segments {
			listed[n] = true
		}
		if !s.Made.Before(first.Made) {
			whole = min(whole, man.newest())
		}
	}
	names, err := v.list("store")
	for _, name := range names {
		number, isSegment := segmentNumber(name)
		stays := isSegment && (listed[number] || number > whole) || !isSegment && bases[filepath.ToSlash(filepath.Dir(name))]
		if stays || err != nil {
			continue
		}
		info, serr := os.Stat(v.path(name))
		if serr == nil {
			freed += info.Size()
		}
		err = v.remove(name)
	}
	return freed, errors.Join(err, v.dropMarks(sets))
}

// dropMarks removes the marks that end nothing.
func (v *vault) dropMarks(sets []Set) error {
	gaps, err := stampsIn(v.path(gapDir))
	used := map[string]bool{}
	for _, s := range spansOf(sets[0].Line, sets, gaps, time.Time{}) {
		used[s.ends] = true
	}
	for _, g := range gaps {
		if name := g.Format(stampLayout); !used[name] && err == nil {
			err = v.remove(gapDir + "/" + name)
		}
	}
	return err
}

func segmentNumber(name string) (number uint32, ok bool) {
	if n, _ := fmt.Sscanf(name, "store/segments/%08x.seg", &number); n != 1 {
		return 0, false
	}
	return number, name == segmentName(number)
}

// lineVault is a line's vault; of the line that is written, the one that writes.
func (m *Mirror) lineVault(line string) *vault {
	v := newVault(m.cfg.Dir, line, m.cfg.Node, m.cfg.Box)
	v.step = m.vault.step
	return v
}

// weigh finds how large the repository is.
func (m *Mirror) weigh() error {
	size, err := weight(m.cfg.Dir)
	m.size.Store(size - m.count.sealed.Load())
	return err
}

// weight is the sizes of all files below a folder.
func weight(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), tempMark) {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return n, err
}

// syncIfThere is syncDir of a folder that may be absent.
func syncIfThere(dir string) error {
	if err := syncDir(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
