package backup

import (
	"encoding/json"
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

// Span is times of which the mail can be restored: each from From to Until, both included, to the millisecond. A set that is kept alone is a
// Span of one time.
type Span struct {
	Line  string    `json:"line"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"` // zero: to the newest that was copied
	sets  []Set
	ends  string // the mark of the gap behind it; "" = none
}

const gapDir = "gaps" // in a line: marks of where what it has is not whole, or not kept

// gapMark says where the log of a line ends for the sets before it, until the next set.
type gapMark struct {
	Format  int    `json:"format"`  // 1
	Segment uint32 `json:"segment"` // the last that belongs to it
	Size    int64  `json:"size"`    // and how long that is at least
	Leaves  uint64 `json:"leaves"`  // of the log that were copied then; 0 of a set that is kept alone
}

// Points lists the times of which the mail can be restored, the oldest first.
func Points(dir string) (spans []Span, err error) {
	const op = "list backups"
	sets, err := Sets(dir)
	if err != nil {
		return nil, err
	}
	lines, err := lineNames(dir)
	for i, line := range lines {
		gaps, gerr := stampsIn(filepath.Join(dir, lineDir, line, gapDir))
		if err = errors.Join(err, gerr); err != nil {
			return nil, domicile.W(op, err)
		}
		var end time.Time
		if i+1 < len(lines) { // what came between the end of a line and the next was lost, or is as it was
			began, _ := time.Parse(stampLayout, lines[i+1])
			end = began.Add(-time.Millisecond)
		}
		spans = append(spans, spansOf(line, sets, gaps, end)...)
	}
	return spans, domicile.W(op, err)
}

// spansOf parts the sets of a line at its gaps.
func spansOf(line string, sets []Set, gaps []time.Time, end time.Time) (spans []Span) {
	for _, s := range sets {
		if s.Line != line {
			continue
		}
		last := len(spans) - 1
		if last < 0 || spans[last].ends != "" {
			spans, last = append(spans, Span{Line: line, From: s.Made}), last+1
		}
		spans[last].sets = append(spans[last].sets, s)
		next := slices.IndexFunc(sets, func(o Set) bool { return o.Line == line && o.Made.After(s.Made) })
		for _, g := range gaps {
			if !g.Before(s.Made) && (next < 0 || g.Before(sets[next].Made)) {
				spans[last].Until, spans[last].ends = g, g.Format(stampLayout)
				break
			}
		}
	}
	if n := len(spans); n > 0 && spans[n-1].ends == "" {
		spans[n-1].Until = end
	}
	return spans
}

// lineNames lists the lines of a repository, the oldest first.
func lineNames(dir string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, lineDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if _, err := time.Parse(stampLayout, e.Name()); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// stampsIn lists the times that name the files of a folder, ascending.
func stampsIn(dir string) (all []time.Time, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if t, err := time.Parse(stampLayout, e.Name()); err == nil {
			all = append(all, t)
		}
	}
	return all, err
}

// point is where a restore begins and what it takes of the log.
type point struct {
	set    Set
	ends   string // the mark at which the log ends; "" = where the line does
	newest Set    // from which the region's tables, the log and the other files come
	stops  string // the mark at which that ends, while no set was made behind a gap yet
	same   bool   // the log goes on from set to the newest state
}

// pick finds the point of a time: the newest if it is zero. NotExist names the nearest times that there are.
func pick(dir string, at time.Time) (p point, err error) {
	spans, err := Points(dir)
	if err != nil || len(spans) == 0 {
		return p, errors.Join(err, domicile.E("restore", domicile.NotExist, dir+" holds no set: a restore needs one"))
	}
	last := spans[len(spans)-1]
	p.newest, p.stops = last.sets[len(last.sets)-1], last.ends
	if p.set, p.ends, p.same = p.newest, last.ends, true; at.IsZero() {
		return p, nil
	}
	for i, s := range spans {
		if at.Before(s.From) || !s.Until.IsZero() && at.After(s.Until) {
			continue
		}
		for _, set := range s.sets {
			if !set.Made.After(at) {
				p.set = set
			}
		}
		p.ends, p.same = s.ends, i == len(spans)-1
		return p, nil
	}
	return p, noPoint(spans, at)
}

// noPoint names the times beside one that is not there.
func noPoint(spans []Span, at time.Time) error {
	near := []string{}
	for i, s := range spans {
		if at.Before(s.From) {
			if i > 0 {
				near = append(near, spans[i-1].Until.Format(PointLayout))
			}
			near = append(near, s.From.Format(PointLayout))
			break
		}
	}
	if len(near) == 0 {
		near = append(near, spans[len(spans)-1].Until.Format(PointLayout))
	}
	return domicile.E("restore", domicile.NotExist, fmt.Sprintf("the repository does not hold the mail as it was at %s; the nearest times that it holds: %s",
		at.UTC().Format(PointLayout), strings.Join(near, " and ")))
}

// PointLayout is how times are written that a restore can be told.
const PointLayout = "2006-01-02T15:04:05.000Z07:00"

// readMark opens the mark of a gap.
func (v *vault) readMark(name string) (g gapMark, err error) {
	raw, err := v.all(gapDir + "/" + name)
	if err == nil && (json.Unmarshal(raw, &g) != nil || g.Format != 1) {
		err = domicile.E("read backup", domicile.Invalid, "the mark "+name+" is damaged, or of a newer release")
	}
	return g, err
}

// mark writes where the log ends for the sets before a time.
func (v *vault) mark(at time.Time, g gapMark) error {
	g.Format = 1
	raw, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return v.put(gapDir+"/"+at.UTC().Format(stampLayout), strings.NewReader(string(raw)))
}
