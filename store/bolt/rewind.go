package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/store/segment"
)

// Rewind prepares the folder of a store that was put together from a backup, a base and segments without an index, for Open. It wants every
// frame behind the base to be there.
//
// With at, what accounts had done after that time goes out of the log: Open then finds them as they were. The region's own tables (names,
// residences, moves, orders) are not taken back, for what a region has promised others stays promised: they become those of newest, a folder of a
// base and the segments behind it, which may be dir itself. Accounts that were made later are not there, then; those that were erased later are,
// without their keys, see EraseKeyless. It returns when the last change was made that is in the store, the zero time if all are in the base.
func Rewind(dir, newest string, at time.Time) (last time.Time, err error) {
	const op = "restore the store"
	if at.IsZero() {
		w, err := walkLog(dir, math.MaxInt64, nil)
		return w.last, domicile.W(op, err)
	}
	tables := map[string][]byte{}
	if _, err := walkLog(newest, math.MaxInt64, tables); err != nil {
		return last, domicile.W(op, err)
	}
	old := map[string][]byte{}
	w, err := walkLog(dir, at.UnixMilli(), old)
	if err != nil {
		return last, domicile.W(op, err)
	}
	for key := range old {
		if tables[key] == nil {
			tables[key] = nil // deleted since
		}
	}
	return w.last, domicile.W(op, w.apply(tables, at))
}

// walk is one walk over the log behind the newest base of a folder, up to a time.
type walk struct {
	dir    string // of the segments
	base   uint64
	next   uint64 // LSN
	at     int64  // Unix milliseconds
	last   time.Time
	cut    segment.Place     // of the first change that is later
	tables map[string][]byte // the region's, as they are at the end; nil = not wanted
}

// walkLog walks over a store that has no index, and fills tables with the entries of the region's tables, unless it is nil.
func walkLog(dir string, at int64, tables map[string][]byte) (w walk, err error) {
	s := &Store{cfg: Config{Dir: dir}}
	if _, err := os.Stat(s.path(indexFile)); err == nil {
		return w, domicile.E("log", domicile.Invalid, "it has an index already")
	}
	bases, err := s.bases()
	if err != nil || len(bases) == 0 {
		return w, firstError(err, domicile.E("log", domicile.Invalid, "the base of the index is missing"))
	}
	w = walk{dir: s.path(segmentsDir), base: bases[len(bases)-1], at: at, tables: tables}
	w.next = w.base + 1
	if tables != nil {
		if err := readBase(s.basePath(w.base), w.entry); err != nil {
			return w, err
		}
	}
	log, err := segment.Open(segment.Config{Dir: w.dir, Durable: w.base})
	if err != nil {
		return w, err
	}
	if err = log.Scan(w.base, w.frame); err == errCut {
		err = nil
	}
	if err == nil && log.Damaged() > 0 {
		err = domicile.E("log", domicile.Invalid, fmt.Sprintf("%d frames of the log are damaged", log.Damaged()))
	}
	return w, firstError(err, log.Close())
}

var tablesPrefix = bucket{}.sub(bTables).path

func (w *walk) entry(key, value []byte) error {
	if bytes.HasPrefix(key, tablesPrefix) {
		w.tables[string(key)] = bytes.Clone(value) // nil of one that is deleted
	}
	return nil
}

// errCut ends a walk at the first change that is too late.
var errCut = errors.New("later")

func (w *walk) frame(f segment.Frame) error {
	if f.LSN != w.next {
		return domicile.E("log", domicile.Invalid, fmt.Sprintf("the frames from %d to %d are missing", w.next, f.LSN-1))
	}
	// What ends an act has its time. Parts that are left before it are none without it, and none of them is of a table.
	if w.next++; f.Kind != frameChange && f.Kind != frameLast || len(f.Payload) < 8 {
		return nil
	}
	at := int64(readNumber(f.Payload[:8]))
	if at > w.at {
		w.cut = f.Place
		return errCut
	}
	w.last = time.UnixMilli(at)
	if w.tables == nil || f.Kind == frameLast {
		return nil
	}
	_, err := eachChange(f.Payload, w.entry)
	return err
}

const rewindKeys = 500 // in one frame; a value has at most 64 KiB

// apply cuts the log and writes the tables behind it. The folder is nobody's until all of a restore is done, so that no step needs to be
// durable before the next.
func (w *walk) apply(tables map[string][]byte, at time.Time) error {
	if w.cut.Segment > 0 {
		if err := w.truncate(); err != nil {
			return err
		}
	}
	log, err := segment.Open(segment.Config{Dir: w.dir, Durable: w.base})
	if err != nil {
		return err
	}
	g := log.Begin()
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(tables)), rewindKeys) {
		c := &changes{order: keys, value: tables}
		if g.Add(frameChange, c.appendEntries(number(uint64(at.UnixMilli())))); g.Size() < maxGroupBytes {
			continue
		}
		if err := g.Commit(); err != nil {
			return firstError(err, log.Close())
		}
		g = log.Begin()
	}
	return firstError(g.Commit(), log.Close())
}

// truncate removes the first change that is too late and all behind it.
func (w *walk) truncate() error {
	first := fmt.Sprintf("%08x.seg", w.cut.Segment)
	files, err := os.ReadDir(w.dir)
	for _, f := range files {
		if err == nil && strings.Compare(f.Name(), first) > 0 {
			err = os.Remove(filepath.Join(w.dir, f.Name()))
		}
	}
	return firstError(err, os.Truncate(filepath.Join(w.dir, first), int64(w.cut.Offset)-segment.Bytes(0)))
}
