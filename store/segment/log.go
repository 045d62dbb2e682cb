package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"domicile"
)

// Config says what Open needs.
type Config struct {
	Dir  string       // made if absent, in a folder that is there
	Size int64        // a file that reached it is followed by a new one; 0 = 64 MiB
	Log  *slog.Logger // discarded if nil

	// Durable says that the frames up to this LSN were durable once: none of them is cut off as a torn end, and a log without
	// files begins behind it.
	Durable uint64

	// Step lets tests fail each act on disk, before or after it was done.
	Step func(name string, do func() error) error
}

// DefaultSize of a file.
const DefaultSize = 64 << 20

// Info is what List says of a file.
type Info struct {
	Number uint32
	Size   int64
	First  uint64 // LSN of its first frame, or of the next frame if it has none
}

// Log is an open log.
type Log struct {
	cfg   Config
	files files

	mu       sync.RWMutex
	segments []Info // guarded by mu; ascending
	damaged  int    // guarded by mu; frames that do not check

	// Of the one writer:
	active *os.File
	number uint32 // of the active file
	kept   int64  // bytes of it that count
	dirty  bool   // there may be others behind
	next   uint64 // LSN
	broken error
	buf    []byte
}

// ErrNotDone is in the chain of the error of a Commit after which the log is as before.
var ErrNotDone = errors.New("nothing was written")

// Open opens the log in a folder, or makes one, and cuts off what was not flushed.
func Open(cfg Config) (*Log, error) {
	if cfg.Size == 0 {
		cfg.Size = DefaultSize
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Step == nil {
		cfg.Step = func(_ string, do func() error) error { return do() }
	}
	l := &Log{cfg: cfg, next: cfg.Durable + 1}
	l.files.dir = cfg.Dir
	if err := MakeDir(cfg.Dir, cfg.Step); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		l.files.close()
		return nil, err
	}
	return l, nil
}

// MakeDir makes a folder whose name is durable. Its parent is there. One that has nothing in it is made anew: the flush of its name may have
// failed, after which no other flush would keep the name. One whose mode or owner somebody has set stays as it is, but for the right of others
// than its owner to write: that is taken from them, and the folder refused where it cannot be.
func MakeDir(dir string, step func(string, func() error) error) error {
	if err := makeDir(dir, step); err != nil {
		return err
	}
	return ownAlone(dir)
}

// ownAlone closes a folder in which others could put files in the place of ours. The bits of the group are the mask of an access ACL, so that no
// ACL grants what they do not. A default ACL, which files made in the folder take over, is bounded by the mode they are made with: none but their owner has any of it.
func ownAlone(dir string) error {
	const others = 0o022
	info, err := os.Stat(dir)
	if err == nil && info.Mode()&others != 0 {
		os.Chmod(dir, info.Mode()&^others) // what came of it shows
		info, err = os.Stat(dir)
	}
	if err == nil && info.Mode()&others != 0 {
		err = domicile.E("make folder", domicile.Invalid, fmt.Sprintf("%s may be written by others than its owner (%v, which counts what an ACL grants): chmod go-w it", dir, info.Mode()))
	}
	return err
}

func makeDir(dir string, step func(string, func() error) error) error {
	const mode = os.ModeDir | 0o700
	err := os.Mkdir(dir, mode.Perm())
	if errors.Is(err, os.ErrExist) {
		info, known := os.Lstat(dir)
		if known != nil || !info.IsDir() {
			return known // it is a link to where it is
		}
		err = nil
		if st, ok := info.Sys().(*syscall.Stat_t); info.Mode() == mode && ok && int(st.Uid) == os.Geteuid() {
			if syscall.Rmdir(dir) != nil { // something is in it
				return nil
			}
			err = os.Mkdir(dir, mode.Perm())
		}
	}
	if err == nil {
		err = step("sync folder", func() error { return syncDir(filepath.Dir(dir)) })
	}
	return err
}

func name(number uint32) string { return fmt.Sprintf("%08x.seg", number) }

// load lists the files, mends the newest and opens it for appending.
func (l *Log) load() error {
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".seg")
		n, err := strconv.ParseUint(base, 16, 32)
		if !ok || err != nil || name(uint32(n)) != e.Name() {
			return domicile.E("segments", domicile.Invalid, fmt.Sprintf("%s does not belong in %s: move it away", e.Name(), l.cfg.Dir))
		}
		l.segments = append(l.segments, Info{Number: uint32(n)})
	}
	slices.SortFunc(l.segments, func(a, b Info) int { return int(a.Number) - int(b.Number) })
	for i := range l.segments {
		last := i == len(l.segments)-1
		err := l.inspect(&l.segments[i])
		// The newest may just have been begun when the power went, but not if it is all there is of a log that had frames.
		if errors.Is(err, errNoHeader) && last && (i > 0 || l.cfg.Durable == 0) {
			err = os.Remove(l.files.path(l.segments[i].Number))
			l.segments = l.segments[:i]
		}
		if err != nil {
			return err
		}
	}
	if len(l.segments) == 0 {
		return l.begin(1)
	}
	return l.resume()
}

// errNoHeader is of a file that has no frame and no whole header.
var errNoHeader = domicile.E("segments", domicile.Invalid, "a segment is empty: restore it from a backup")

// inspect reads a file's header. One that is damaged is told by the first frame, which has a checksum.
func (l *Log) inspect(s *Info) error {
	f, err := os.Open(l.files.path(s.Number))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s.Size = info.Size()
	b := make([]byte, min(s.Size, fileHeader+header))
	if _, err := io.ReadFull(f, b); err != nil {
		return fmt.Errorf("read segment: %w", err)
	}
	good := len(b) >= fileHeader && string(b[:len(magic)]) == magic && binary.BigEndian.Uint32(b[20:]) == s.Number
	if good {
		s.First = binary.BigEndian.Uint64(b[24:])
		if v := binary.BigEndian.Uint32(b[16:]); v > format {
			return domicile.E("segments", domicile.Invalid, fmt.Sprintf("the format of %s is %d and this release reads up to %d: use a newer release", f.Name(), v, format))
		}
	}
	switch h, err := parseHeader(b[min(len(b), fileHeader):]); {
	case err == nil && (!good || h.lsn != s.First):
		l.damaged++
		l.cfg.Log.Error("segments: a file is damaged at its beginning", "segment", name(s.Number))
		s.First = h.lsn
	case !good && len(b) <= fileHeader:
		return errNoHeader
	case !good:
		return domicile.E("segments", domicile.Invalid, f.Name()+" is damaged at its beginning: restore it from a backup")
	}
	return nil
}

// resume finds the end of the newest file, cuts off what was not flushed, and goes on behind it.
func (l *Log) resume() error {
	last := &l.segments[len(l.segments)-1]
	found, err := l.scanFile(*last, true, func(Frame) error { return nil })
	if err != nil {
		return err
	}
	f, err := os.OpenFile(l.files.path(last.Number), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if found.end < last.Size {
		l.cfg.Log.Info("segments: cut off what was never acknowledged", "segment", name(last.Number), "bytes", last.Size-found.end)
		err = f.Truncate(found.end)
	}
	if err == nil {
		err = l.rewrite(f, found)
	}
	if err := errors.Join(err, f.Sync(), syncDir(l.cfg.Dir)); err != nil {
		f.Close()
		return err
	}
	last.Size = found.end
	l.active, l.number, l.kept, l.next = f, last.Number, found.end, found.last+1
	return nil
}

// rewrite writes the last group anew where it is. If its flush failed, in a process that ended since, the system may hold its pages for
// written though they are not on the disk: they can be read, and no flush would take them there.
func (l *Log) rewrite(f *os.File, found walked) error {
	return l.cfg.Step("rewrite group", func() error {
		_, err := f.WriteAt(found.group, found.end-int64(len(found.group)))
		return err
	})
}

// begin starts a new file.
func (l *Log) begin(number uint32) error {
	path := l.files.path(number)
	var f *os.File
	err := l.cfg.Step("create segment", func() (err error) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_, err = f.Write(appendFileHeader(nil, number, l.next))
		}
		return err
	})
	if err == nil {
		err = l.cfg.Step("sync segment", f.Sync)
	}
	if err == nil {
		err = l.cfg.Step("sync folder", func() error { return syncDir(l.cfg.Dir) })
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		os.Remove(path)
		return err
	}
	if l.active != nil {
		l.active.Close()
	}
	l.active, l.number, l.kept = f, number, fileHeader
	l.mu.Lock()
	l.segments = append(l.segments, Info{Number: number, Size: fileHeader, First: l.next})
	l.mu.Unlock()
	return nil
}

// List returns the files, the oldest first; the last is being written.
func (l *Log) List() []Info {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.segments)
}

// Damaged is how many frames did not check so far in scans.
func (l *Log) Damaged() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.damaged
}

// Next is the LSN of the next frame. Of the one writer.
func (l *Log) Next() uint64 { return l.next }

// Remove deletes a file that is not being written. Readers that have it open finish.
func (l *Log) Remove(number uint32) error {
	l.mu.Lock()
	i := slices.IndexFunc(l.segments, func(s Info) bool { return s.Number == number })
	if i < 0 || i == len(l.segments)-1 {
		l.mu.Unlock()
		return domicile.E("remove segment", domicile.Invalid, "no such segment, or the one that is written")
	}
	l.segments = slices.Delete(l.segments, i, i+1)
	l.mu.Unlock()
	err := l.cfg.Step("remove segment", func() error { return os.Remove(l.files.path(number)) })
	l.files.drop(number) // after that nobody can open it again, and keep its bytes on the disk
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Close closes all files. What was committed is durable already.
func (l *Log) Close() error {
	l.files.close()
	return l.active.Close()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Path is where a file lies.
func (l *Log) Path(number uint32) string { return filepath.Join(l.cfg.Dir, name(number)) }
