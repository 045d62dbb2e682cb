package bolt

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"domicile"
	"domicile/store/segment"
)

// Rewind prepares the folder of a store that was put together from a backup, a base and segments without an index, for Open. It wants every
// frame behind the base to be there. With at, what accounts had done after that time goes out of the log: Open then finds
// them as they were. The region's own tables (names, residences, moves, orders) are not taken back: what a region has promised others stays
// promised. Accounts that were made later are not there, then; those that were erased later are, without their keys, see EraseKeyless.
func Rewind(dir string, at time.Time) error {
	const op = "restore the store"
	s := &Store{cfg: Config{Dir: dir}}
	if _, err := os.Stat(s.path(indexFile)); err == nil {
		return domicile.E(op, domicile.Invalid, "it has an index already")
	}
	bases, err := s.bases()
	if err != nil || len(bases) == 0 {
		return domicile.W(op, firstError(err, domicile.E(op, domicile.Invalid, "the base of the index is missing")))
	}
	base := bases[len(bases)-1]
	log, err := segment.Open(segment.Config{Dir: s.path(segmentsDir), Durable: base})
	if err != nil {
		return domicile.W(op, err)
	}
	r := &rewind{base: base, last: base, at: math.MaxInt64}
	if !at.IsZero() {
		r.at = at.UnixMilli()
	}
	err = log.Scan(base, r.frame)
	if err == nil && log.Damaged() > 0 {
		err = domicile.E(op, domicile.Invalid, fmt.Sprintf("%d frames of the log are damaged", log.Damaged()))
	}
	if err == nil && r.cut.Segment > 0 {
		err = r.apply(log)
	}
	return domicile.W(op, firstError(err, log.Close()))
}

// rewind is one walk over the log behind a base.
type rewind struct {
	base, last uint64
	at         int64             // Unix milliseconds
	cut        segment.Place     // of the first change that is later
	tables     map[string][]byte // what came behind it and stays; nil = deleted
}

func (r *rewind) frame(f segment.Frame) error {
	if f.LSN != r.last+1 {
		return domicile.E("log", domicile.Invalid, fmt.Sprintf("the frames from %d to %d are missing", r.last+1, f.LSN-1))
	}
	// What ends an act has its time. Parts that are left before it are none without it, and none of them is of a table.
	if r.last++; f.Kind != frameChange && f.Kind != frameLast || len(f.Payload) < 8 {
		return nil
	}
	if r.cut.Segment == 0 && int64(readNumber(f.Payload[:8])) > r.at {
		r.cut, r.tables = f.Place, map[string][]byte{}
	}
	if r.cut.Segment == 0 || f.Kind == frameLast {
		return nil
	}
	prefix := bucket{}.sub(bTables).path
	_, err := eachChange(f.Payload, func(key, value []byte) error {
		if !bytes.HasPrefix(key, prefix) {
			return nil
		}
		r.tables[string(key)] = nil
		if value != nil {
			r.tables[string(key)] = append([]byte{}, value...)
		}
		return nil
	})
	return err
}

const rewindKeys = 500 // in one frame; a value has at most 64 KiB

// apply cuts the log and writes behind it what stays. The folder is nobody's until all of a restore is done, so that no step needs to be
// durable before the next.
func (r *rewind) apply(log *segment.Log) error {
	for _, info := range log.List() {
		path, err := log.Path(info.Number), error(nil)
		switch {
		case info.Number > r.cut.Segment:
			err = os.Remove(path)
		case info.Number == r.cut.Segment:
			err = os.Truncate(path, int64(r.cut.Offset)-segment.Bytes(0))
		}
		if err != nil {
			return err
		}
	}
	again, err := segment.Open(segment.Config{Dir: filepath.Dir(log.Path(r.cut.Segment)), Durable: r.base})
	if err != nil {
		return err
	}
	g := again.Begin()
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(r.tables)), rewindKeys) {
		c := &changes{order: keys, value: r.tables}
		g.Add(frameChange, c.appendEntries(number(uint64(r.at))))
	}
	return firstError(g.Commit(), again.Close())
}
