package region

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

var errBroken = errors.New("an earlier write of the journal failed, and it is not whole again yet")

// putOff tells the writers that nothing was written. What has no writer that waits is kept for mend: an end of a permit, of
// which there are no more than permits that were open, or a count. A standing permit's total is restated by its next one.
func (j *Journal) putOff(all []queued, err error) {
	for _, q := range all {
		switch {
		case q.done != nil:
			q.done <- err
		case q.rec.Type == recClose || q.rec.Type == recRefused:
			j.late = append(j.late, q)
		}
	}
}

// mend makes a broken journal whole again when the disk takes writes again, for example because there is room. What is
// behind the last durable record was promised to nobody and is cut off; that, and what was put off, is written down. Only
// when that is on disk is anything accepted.
func (j *Journal) mend() {
	cut, err := j.cutBack()
	if err != nil {
		return
	}
	rest := append([]queued{{rec: Record{Type: recCut, Count: cut}}}, j.late...)
	for len(rest) > 0 {
		n, err := j.writeGroup(rest)
		if err != nil {
			j.late = nil
			j.putOff(rest, err)
			return
		}
		rest = rest[n:]
	}
	j.late = nil
	j.broken.Store(false)
}

// cutBack cuts the newest file back to its last durable record, and reads it as at open: it must end as this process knows it.
func (j *Journal) cutBack() (cut int64, err error) {
	j.out.Close() // it may be closed already
	f := j.files[len(j.files)-1]
	if f.last != 0 { // the write may have failed while the next file was being made: it holds no record
		if err := os.Remove(filepath.Join(j.dir, fileName(f.last+1))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	if j.out, err = os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return 0, err
	}
	info, err := j.out.Stat()
	if err != nil {
		return 0, err
	}
	if cut = info.Size() - f.size; cut < 0 {
		return 0, errTorn
	}
	// Cut even where nothing is to be cut: after a failed fsync the pages of the tail may be clean in memory and absent on disk.
	if err := errors.Join(j.out.Truncate(f.size), j.fsync(j.out), syncDir(j.dir)); err != nil {
		return 0, err
	}
	again := &Journal{sealer: j.sealer, open: map[string]*openRecord{}}
	if torn, err := again.readFile(f.path, true, nil); err != nil || torn != 0 || again.seq != j.seq || again.head != j.head {
		return 0, errors.Join(errTorn, err)
	}
	return cut, nil
}
