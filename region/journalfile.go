package region

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"domicile"
	"domicile/audit"
)

const (
	journalMagic  = "domicile journal 1\n"
	journalHeader = len(journalMagic) + 8 + 32 // magic, number of the first record, chain hash before it
	journalSuffix = ".journal"
	maxSealed     = 64 << 10
	frameOverhead = 4 + 32
	// maxTorn is the longest tail that a crash can have torn: one group, and one record over its limit.
	maxTorn = maxGroup + maxSealed + frameOverhead
)

// journalFile is one file of the journal.
type journalFile struct {
	path   string
	first  uint64    // number of its first record, also in its name
	last   uint64    // of its newest, 0 if it has none
	newest time.Time // when that was written
	made   time.Time
	size   int64
}

// appendFrame appends one frame to buf: length, sealed record, and the chain hash, which covers the one before it.
func appendFrame(buf []byte, head [32]byte, sealed []byte) ([]byte, [32]byte) {
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(sealed)))
	buf = append(buf, sealed...)
	next := chain(head, sealed)
	return append(buf, next[:]...), next
}

func chain(head [32]byte, sealed []byte) (next [32]byte) {
	h := sha256.New()
	h.Write(head[:])
	h.Write(sealed)
	h.Sum(next[:0])
	return next
}

// errTorn marks the place from which a file cannot be read further.
var errTorn = errors.New("torn or damaged record")

// readFrame reads one frame. io.EOF at the end of the file, errTorn if what follows is no frame in this chain.
func readFrame(r io.Reader, head [32]byte) (sealed []byte, next [32]byte, err error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err == io.EOF {
		return nil, next, io.EOF
	} else if err != nil {
		return nil, next, errTorn
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > maxSealed {
		return nil, next, errTorn
	}
	buf := make([]byte, n+32)
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, next, errTorn
	}
	sealed, next = buf[:n], chain(head, buf[:n])
	if next != [32]byte(buf[n:]) {
		return nil, next, errTorn
	}
	return sealed, next, nil
}

// ReadJournal gives each record of the journal in dir to visit, in order, as an auditor with the region's key reads it. It
// changes nothing; of a journal that a node is writing, what is not whole yet is left out. What does not open, or does not
// follow from what is before it, is an error, as is one of visit.
func ReadJournal(dir string, s audit.Sealer, visit func(Record) error) error {
	j := &Journal{dir: dir, sealer: s, open: map[string]*openRecord{}}
	_, err := j.readAll(visit)
	return domicile.W("read the journal", err)
}

// readAll reads every file in order into j, and returns how many bytes of a torn tail are to be cut from the last. Without
// visit, which gets each record, a last file that holds nothing is removed.
func (j *Journal) readAll(visit func(Record) error) (cut int64, err error) {
	names, err := filepath.Glob(filepath.Join(j.dir, "*"+journalSuffix)) // sorted, and the numbers are padded
	if err != nil {
		return 0, err
	}
	for i, name := range names {
		last := i == len(names)-1
		if cut, err = j.readFile(name, last, visit); err != nil {
			return 0, domicile.W(name, err)
		}
	}
	return cut, nil
}

// readFile reads one file. A torn tail is allowed in the last only, and no longer than a crash can have made it.
func (j *Journal) readFile(name string, last bool, visit func(Record) error) (cut int64, err error) {
	raw, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	info, err := raw.Stat()
	if err != nil {
		return 0, err
	}
	r := bufio.NewReaderSize(raw, 1<<16)
	f, before, err := readHeader(r, name)
	if err != nil && last && info.Size() < int64(journalHeader) { // a crash came while the file was being made: it holds nothing
		if visit != nil {
			return 0, nil
		}
		return 0, os.Remove(name)
	} else if err != nil {
		return 0, err
	}
	if len(j.files) > 0 && (f.first != j.seq+1 || before != j.head) {
		return 0, errors.New("it does not follow from the file before it")
	}
	f.made, f.newest = info.ModTime(), info.ModTime()
	j.files, j.seq, j.head = append(j.files, f), f.first-1, before
	for {
		sealed, next, err := readFrame(r, j.head)
		switch {
		case err == io.EOF:
			return 0, nil
		case err != nil:
			if cut = info.Size() - f.size; !last || cut > maxTorn {
				return 0, fmt.Errorf("%w at byte %d", errTorn, f.size)
			}
			return cut, nil
		}
		plain, err := j.sealer.Open(sealed, associated(j.seq+1))
		if err != nil {
			return 0, fmt.Errorf("record %d does not open: %w", j.seq+1, err)
		}
		var rec Record
		if err := json.Unmarshal(plain, &rec); err != nil || rec.Seq != j.seq+1 {
			return 0, fmt.Errorf("record %d is not what it should be", j.seq+1)
		}
		if visit != nil {
			rec.Chain = next
			if err := visit(rec); err != nil {
				return 0, err
			}
		}
		j.apply(rec, f)
		j.head = next
		f.size += int64(len(sealed) + frameOverhead)
	}
}

func readHeader(r io.Reader, name string) (*journalFile, [32]byte, error) {
	var h [journalHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, [32]byte{}, errTorn
	}
	rest, ok := strings.CutPrefix(string(h[:]), journalMagic)
	if !ok {
		return nil, [32]byte{}, errors.New("it is not a journal of a format that this release reads")
	}
	f := &journalFile{path: name, first: binary.BigEndian.Uint64([]byte(rest[:8])), size: int64(journalHeader)}
	if f.first == 0 || filepath.Base(name) != fileName(f.first) {
		return nil, [32]byte{}, errors.New("its name and its first record do not agree")
	}
	return f, [32]byte([]byte(rest[8:])), nil
}

func fileName(first uint64) string { return fmt.Sprintf("%020d%s", first, journalSuffix) }

// rotate begins a new file when the one being written is full or old, and removes those that need not be kept.
func (j *Journal) rotate() error {
	f := j.files[len(j.files)-1]
	if f.last == 0 || f.size < maxFileBytes && j.now().Sub(f.made) < maxFileAge {
		return nil
	}
	if err := j.out.Close(); err != nil {
		return err
	}
	if err := j.newFile(); err != nil {
		return err
	}
	return j.removeOld()
}

// newFile makes the next file, durably.
func (j *Journal) newFile() error {
	f := &journalFile{first: j.seq + 1, made: j.now(), newest: j.now(), size: int64(journalHeader)}
	f.path = filepath.Join(j.dir, fileName(f.first))
	out, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	h := binary.BigEndian.AppendUint64([]byte(journalMagic), f.first)
	_, err = out.Write(append(h, j.head[:]...))
	if err = errors.Join(err, j.fsync(out), syncDir(j.dir)); err != nil {
		out.Close()
		return err
	}
	j.out = out
	j.mu.Lock()
	j.files = append(j.files, f)
	j.mu.Unlock()
	return nil
}

// removeOld removes files from the oldest on: past retention, covered by a commitment, and without an open record.
func (j *Journal) removeOld() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	pinned := map[uint64]bool{}
	for _, o := range j.open {
		pinned[o.file] = true
	}
	for len(j.files) > 1 {
		f := j.files[0]
		if pinned[f.first] || f.last > j.committed || j.now().Sub(f.newest) < j.keep {
			break
		}
		if err := os.Remove(f.path); err != nil {
			return err
		}
		j.files = j.files[1:]
	}
	return syncDir(j.dir)
}
