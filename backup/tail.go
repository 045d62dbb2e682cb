package backup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"domicile"
)

// tail is what a restore takes of the store in a line.
type tail struct {
	v     *vault
	man   manifest
	names []string         // of segments
	least map[string]int64 // bytes that they must have
	bytes int64            // of all files, as they are in the repository
}

// tailOf finds the files of a set and of what follows it, up to a mark. With behind, only segments that may have what is behind the base.
func tailOf(v *vault, set Set, ends string, behind bool) (t tail, err error) {
	t = tail{v: v, least: map[string]int64{}}
	if t.man, err = v.readManifest(set.Name); err != nil {
		return t, err
	}
	mark := gapMark{Segment: math.MaxUint32}
	if ends != "" {
		if mark, err = v.readMark(ends); err != nil {
			return t, err
		}
		t.least[segmentName(mark.Segment)] = mark.Size
	}
	for n, size := range t.man.Segments {
		t.least[segmentName(n)] = max(t.least[segmentName(n)], size)
	}
	names, err := v.list("store/segments")
	newest, found := t.man.newest(), 0
	for _, name := range names {
		number, ok := segmentNumber(name)
		if !ok {
			return t, domicile.E("restore", domicile.Invalid, name+" does not belong there")
		}
		_, listed := t.man.Segments[number]
		if number > mark.Segment || !listed && number <= newest {
			continue // of before the set, and gone then; or of another
		}
		if _, wanted := t.least[name]; wanted { // if only of no bytes: a full disk may have left it so, and a mark name it
			found++
		}
		t.names = append(t.names, name)
	}
	if found != len(t.least) {
		err = errors.Join(err, domicile.E("restore", domicile.Invalid, fmt.Sprintf("%d of the %d segments of the set %s are missing", len(t.least)-found, len(t.least), set.Name)))
	}
	if err == nil && behind {
		err = t.cutFront()
	}
	for name := range t.man.Files {
		t.bytes += v.sizeOf(name)
	}
	for _, name := range t.names {
		t.bytes += v.sizeOf(name)
	}
	return t, err
}

// base is the LSN of the set's base.
func (t *tail) base() (lsn uint64, err error) {
	if _, err := fmt.Sscanf(t.man.Base, "store/base/%016x", &lsn); err != nil {
		return 0, domicile.E("read backup", domicile.Invalid, "the set names no base")
	}
	return lsn, nil
}

// cutFront drops the segments that end before the base does: by the number that begins each, which is that of its first frame.
func (t *tail) cutFront() error {
	base, err := t.base()
	if err != nil {
		return err
	}
	for i := len(t.names) - 1; i > 0; i-- {
		in, err := t.v.open(t.names[i])
		if err != nil {
			return err
		}
		var head [32]byte // "domicile/segment", format, number, first frame
		_, err = io.ReadFull(in, head[:])
		if in.Close(); err == nil && binary.BigEndian.Uint64(head[24:]) <= base+1 {
			t.names = t.names[i:]
			return nil
		}
	}
	return nil
}

func (v *vault) sizeOf(name string) int64 {
	info, err := os.Stat(v.path(name))
	if err != nil {
		return 0
	}
	return info.Size()
}
