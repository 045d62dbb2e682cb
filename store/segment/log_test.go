package segment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"domicile"
)

func TestRoundTrip(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "log")}
	l := open(t, cfg)
	group(t, l, 3)
	group(t, l, 1)
	g := l.Begin()
	g.Add(9, []byte("taken back"))
	size, lsn := g.Mark()
	g.Add(9, []byte("this too"))
	g.Reset(size, lsn)
	g.Reset(0, 5)
	no(t, g.Commit()) // an empty group is no act
	group(t, l, 2)
	for range 3 {
		wantFrames(t, l, 0, count(1, 6))
		wantFrames(t, l, 4, count(5, 6))
		wantFrames(t, l, 6, nil)
		if l.Next() != 7 || l.Damaged() != 0 {
			t.Fatalf("next %d, %d damaged", l.Next(), l.Damaged())
		}
		no(t, l.Close())
		l = open(t, cfg)
	}
}

// A group is one write and one flush, and a new file is begun by three steps before.
func TestSteps(t *testing.T) {
	d := &disk{}
	l := open(t, Config{Dir: t.TempDir(), Size: 500, Step: d.step})
	if want := []string{"sync folder", "create segment", "sync segment", "sync folder"}; !slices.Equal(d.seen, want) {
		t.Fatalf("steps %v, want %v", d.seen, want)
	}
	d.seen = nil
	group(t, l, 20)
	if want := []string{"write segment", "sync segment"}; !slices.Equal(d.seen, want) {
		t.Fatalf("steps %v, want %v", d.seen, want)
	}
	d.seen = nil
	group(t, l, 1)
	if want := []string{"create segment", "sync segment", "sync folder", "write segment", "sync segment"}; !slices.Equal(d.seen, want) {
		t.Fatalf("steps %v, want %v", d.seen, want)
	}
}

func TestRotation(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Size: 400}
	l := open(t, cfg)
	for range 40 {
		group(t, l, 2)
	}
	check := func(l *Log) {
		t.Helper()
		wantFrames(t, l, 0, count(1, 80))
		wantFrames(t, l, 37, count(38, 80))
		list := l.List()
		if len(list) < 10 {
			t.Fatalf("%d files", len(list))
		}
		for i, s := range list {
			info, err := os.Stat(l.Path(s.Number))
			no(t, err)
			if info.Size() != s.Size || s.Number != uint32(i+1) || i+1 < len(list) && s.Size < 400 {
				t.Errorf("file %d is %+v, of %d bytes", i, s, info.Size())
			}
			first := uint64(0)
			no(t, l.ScanOne(s.Number, func(f Frame) error {
				if first == 0 {
					first = f.LSN
				}
				return nil
			}))
			if first != s.First {
				t.Errorf("file %d begins with frame %d, it says %d", i, first, s.First)
			}
		}
	}
	check(l)
	no(t, l.Close())
	check(open(t, cfg))
}

// What a step that fails does to a group: not done, or unknown and then the log takes no more.
func TestFailedSteps(t *testing.T) {
	for _, c := range []struct {
		name    string
		fail    []string
		newFile bool
		notDone bool
		broken  bool
	}{
		{"a full disk", []string{"write segment"}, false, true, false},
		{"a full disk that nothing can be cut from", []string{"write segment", "truncate segment"}, false, false, false},
		{"a failed flush", []string{"sync segment"}, false, false, true},
		{"no room for a file", []string{"create segment"}, true, true, false},
		{"a file that cannot be flushed", []string{"sync segment"}, true, true, false},
		{"a folder that cannot be flushed", []string{"sync folder"}, true, true, false},
	} {
		for _, after := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				d := &disk{after: after}
				cfg := Config{Dir: t.TempDir(), Step: d.step}
				if c.newFile {
					cfg.Size = 100
				}
				l := open(t, cfg)
				group(t, l, 10)
				d.fail = map[string]error{}
				for _, f := range c.fail {
					d.fail[f] = errDisk
				}
				g := l.Begin()
				g.Add(byte(1+11%3), payload(11))
				g.Add(byte(1+12%3), payload(12))
				err := g.Commit()
				if !errors.Is(err, errDisk) || errors.Is(err, ErrNotDone) != c.notDone {
					t.Fatal("outcome is", err)
				}
				wantFrames(t, l, 0, count(1, 10)) // nobody sees what was not acknowledged
				d.seen = nil
				if c.broken {
					for range 2 {
						g := l.Begin()
						g.Add(1, nil)
						if err := g.Commit(); domicile.KindOf(err) != domicile.Unavailable || len(d.seen) > 0 {
							t.Fatalf("it goes on: %v, %v", err, d.seen)
						}
					}
				} else {
					group(t, l, 2)
				}
				no(t, l.Close())
				l = open(t, cfg)
				got := frames(t, l, 0)
				if !slices.Equal(got, count(1, 12)) && !(c.broken && slices.Equal(got, count(1, 10))) {
					t.Fatalf("frames %v", got)
				}
				if l.Damaged() != 0 {
					t.Fatal("damage is reported")
				}
				group(t, l, 1)
			})
		}
	}
}

// A file that was being begun when the power went is begun anew. One with frames in it is never removed.
func TestBegunFile(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Size: 100}
	l := open(t, cfg)
	group(t, l, 5)
	group(t, l, 5)
	no(t, l.Close())
	header := appendFileHeader(nil, 3, 11)
	for n := 0; n <= len(header); n++ {
		for _, b := range [][]byte{header[:n], make([]byte, n)} {
			no(t, os.WriteFile(l.Path(3), b, 0o600))
			l := open(t, cfg)
			group(t, l, 1)
			wantFrames(t, l, 0, count(1, 11))
			no(t, l.Close())
			no(t, os.Remove(l.Path(3)))
		}
	}
}

func TestDamagedHeader(t *testing.T) {
	for _, last := range []bool{false, true} {
		cfg := Config{Dir: t.TempDir(), Size: 300}
		l := open(t, cfg)
		group(t, l, 8)
		if !last {
			group(t, l, 8)
		}
		want := count(1, l.Next()-1)
		no(t, l.Close())
		good, _ := written(t, l, 1)
		for at := range fileHeader {
			no(t, os.WriteFile(l.Path(1), garble(good, at), 0o600))
			l, err := Open(cfg)
			if err != nil { // then it says so, as of a later format
				if domicile.KindOf(err) != domicile.Invalid {
					t.Fatal(err)
				}
			} else {
				wantFrames(t, l, 0, want)
				if l.Damaged() == 0 && at < fileHeader-8-8 {
					t.Errorf("byte %d was altered and that is not counted", at)
				}
				no(t, l.Close())
			}
			if now, err := os.ReadFile(filepath.Join(cfg.Dir, name(1))); err != nil || len(now) != len(good) {
				t.Fatalf("byte %d was altered, and the file was cut or removed: %v", at, err)
			}
		}
		bad := garble(garble(good, 3), fileHeader+5) // of the frame behind it, too
		no(t, os.WriteFile(l.Path(1), bad, 0o600))
		if _, err := Open(cfg); domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), "damaged at its beginning") {
			t.Fatal("without any beginning:", err)
		}
		if now, err := os.ReadFile(l.Path(1)); err != nil || !bytes.Equal(now, bad) {
			t.Fatal("it refused and changed the file:", err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for file, b := range map[string][]byte{
		"notes.txt":    nil,
		"1.seg":        nil,
		"0000000A.seg": nil,
		name(1):        append(append([]byte(magic), 0, 0, 0, 2, 0, 0, 0, 1), make([]byte, 100)...),
	} {
		dir := t.TempDir()
		no(t, os.WriteFile(filepath.Join(dir, file), b, 0o600))
		if _, err := Open(Config{Dir: dir}); domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}

func TestPlacesThatCannotBe(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir()})
	group(t, l, 1)
	for _, p := range []Place{{}, {Segment: 2, Length: 1}, {Segment: 1, Offset: 1 << 31, Length: 1}, {Segment: 1, Length: 1<<32 - 1}, {Segment: 1, Length: MaxPayload}} {
		if b, err := l.Read(p); err == nil {
			t.Errorf("%+v reads %q", p, b)
		}
	}
}

// Files go away beside readers and the writer: a reader has the whole payload or is told that it is gone.
func TestRemoveBesideReaders(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir(), Size: 200})
	var places []Place
	for range 200 {
		places = append(places, group(t, l, 2)...)
	}
	if err := l.Remove(l.List()[len(l.List())-1].Number); domicile.KindOf(err) != domicile.Invalid {
		t.Fatal("the file that is written:", err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range places {
				n = (n*7 + i*13) % len(places)
				b, err := l.Read(places[n])
				if err == nil && !bytes.Equal(b, payload(uint64(n+1))) || err != nil && domicile.KindOf(err) != domicile.NotExist {
					t.Errorf("frame %d: %q, %v", n+1, b, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for _, s := range l.List() {
			if s.Number%2 == 0 && s.Number < uint32(len(l.List())) {
				l.Remove(s.Number)
			}
		}
	})
	for range 100 { // the writer
		group(t, l, 1)
	}
	wg.Wait()
	for _, s := range l.List() {
		if _, err := os.Stat(l.Path(s.Number)); err != nil {
			t.Error(err)
		}
	}
}

// However many files are read, only some are kept open.
func TestOpenFiles(t *testing.T) {
	l := open(t, Config{Dir: t.TempDir(), Size: 64})
	var places []Place
	for range 3 * maxOpen {
		places = append(places, group(t, l, 1)...)
	}
	for i, p := range places {
		if b, err := l.Read(p); err != nil || !bytes.Equal(b, payload(uint64(i+1))) {
			t.Fatal(err)
		}
	}
	if n := len(l.files.byNumber); n > maxOpen {
		t.Errorf("%d files are open", n)
	}
	all, err := os.ReadDir("/proc/self/fd")
	if err == nil && len(all) > maxOpen+50 {
		t.Errorf("%d descriptors are open", len(all))
	}
}

// After a flush that failed the next opening writes anew what it keeps and cannot know to be on the disk, and nothing else: the last group, or
// the header of a file that has none.
func TestRewritten(t *testing.T) {
	for _, c := range []struct {
		groups []int
		from   uint64 // LSN of the first frame that is written anew; 0 = the file's header
	}{{nil, 0}, {[]int{3}, 1}, {[]int{2, 4}, 3}, {[]int{1, 1, 1}, 3}} {
		dir := t.TempDir()
		l := open(t, Config{Dir: dir})
		for _, n := range c.groups {
			group(t, l, n)
		}
		no(t, l.Close())
		path := l.Path(1)
		whole, err := os.ReadFile(path)
		no(t, err)
		at := 0
		if c.from > 0 {
			_, starts := written(t, l, 1)
			at = starts[c.from-1]
		}
		lost := 0
		open(t, Config{Dir: dir, Step: func(name string, do func() error) error {
			if name != "rewrite group" {
				return do()
			}
			no(t, os.WriteFile(path, make([]byte, len(whole)), 0o600)) // what is not written anew shows as zeroes
			err := do()
			now, readErr := os.ReadFile(path)
			no(t, errors.Join(err, readErr))
			for lost < len(now) && now[lost] == 0 {
				lost++
			}
			if !bytes.Equal(now[at:], whole[at:]) || lost < at {
				t.Errorf("groups %v: bytes from %d on are written anew, want those from %d", c.groups, lost, at)
			}
			return nil
		}})
		if lost == len(whole) || lost > at {
			t.Errorf("groups %v: written anew from %d, want from %d", c.groups, lost, at)
		}
	}
}

// A file in which nothing was written yet has no frames, and is not damaged.
func TestWalkNothing(t *testing.T) {
	first, next, err := Walk(strings.NewReader(""), func(Frame) error { return nil })
	if first != 0 || next != 0 || err != nil {
		t.Error(first, next, err)
	}
	if _, _, err := Walk(strings.NewReader("d"), func(Frame) error { return nil }); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("a header that is cut off: %v", err)
	}
}

// A folder that an operator made, with a mode of its own, is not made anew.
func TestMakeDirKeepsMode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chmod(dir, 0o750)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	step := func(name string, do func() error) error {
		steps = append(steps, name)
		return do()
	}
	if err := MakeDir(dir, step); err != nil || !slices.Equal(steps, []string{"sync folder"}) {
		t.Fatalf("%v, %v", steps, err)
	}
	if after, err := os.Stat(dir); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
		t.Fatalf("%v, %v", after, err)
	}
}

// A folder in which others could put files in the place of ours is closed to them.
func TestMakeDirKeepsOthersOut(t *testing.T) {
	step := func(_ string, do func() error) error { return do() }
	for _, mode := range []os.FileMode{0o770, 0o702, 0o777 | os.ModeSticky} {
		dir := filepath.Join(t.TempDir(), "log")
		no(t, errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)))
		no(t, MakeDir(dir, step))
		if info, err := os.Stat(dir); err != nil || info.Mode() != os.ModeDir|mode&^0o022 {
			t.Errorf("of mode %v: %v, %v", mode, info.Mode(), err)
		}
	}
}
