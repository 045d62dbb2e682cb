package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/region"
)

// growing is a store of files that grow, as the one of a node.
type growing struct {
	dir    string
	sizes  []int64
	bases  uint64
	retain uint32
	first  int // that is still there, from 0
}

func (g *growing) Segments() (all []Segment) {
	for i, size := range g.sizes {
		if i < g.first {
			continue
		}
		all = append(all, Segment{uint32(i + 1), size, filepath.Join(g.dir, "segments", fmt.Sprintf("%08x.seg", i+1))})
	}
	return all
}

func (g *growing) Retain(from uint32) { g.retain = from }

func (g *growing) WithBase(fn func(uint64, string, []Segment) error) error {
	g.bases++
	dir := filepath.Join(g.dir, "base", fmt.Sprintf("%016x", g.bases))
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "00000001.seg"), fmt.Appendf(nil, "base %d", g.bases), 0o600)); err != nil {
		return err
	}
	return fn(g.bases, dir, g.Segments())
}

// grow appends to the newest segment; more is written than is durable, as by a group under way.
func (g *growing) grow(t *testing.T, text string) {
	t.Helper()
	s := g.Segments()
	last := s[len(s)-1]
	f, err := os.OpenFile(last.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(text+"not durable"), last.Size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	g.sizes[len(g.sizes)-1] += int64(len(text))
}

// inUse is a node in use with a repository.
type inUse struct {
	t     *testing.T
	n     Node
	repo  string
	ring  *keys.Ring
	log   *audit.Log
	box   *keys.Box
	store *growing
	now   time.Time
	keep  Retention
}

func newInUse(t *testing.T) *inUse {
	t.Helper()
	u := &inUse{t: t, n: aNode(t, "eu-ireland", "eu-ireland-1"), now: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC), keep: Retention{Within: DefaultKeep}}
	u.repo = filepath.Join(filepath.Dir(u.n.Data), "repository")
	if err := region.Stamp(u.n.Data, u.n.Region, u.n.Name); err != nil {
		t.Fatal(err)
	}
	u.ring = openRing(t, u.n)
	var err error
	if u.log, err = u.n.openLog(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.log.Close() })
	secret, err := u.n.Root.Open(u.n.Data)
	if err != nil {
		t.Fatal(err)
	}
	u.box = secret.Box(purpose)
	u.store = &growing{dir: filepath.Join(u.n.Data, "store"), sizes: []int64{0}}
	for _, dir := range []string{"store/segments", "outbound", "journal"} {
		if err := os.MkdirAll(filepath.Join(u.n.Data, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.ring.CreateAccountKey("a1"); err != nil {
		t.Fatal(err)
	}
	return u
}

// open begins to mirror, as a process that was just started.
func (u *inUse) open() *Mirror {
	u.t.Helper()
	m, err := OpenMirror(MirrorConfig{Node: u.n, Retention: u.keep, Dir: u.repo, Box: u.box, Ring: u.ring, Log: u.log, Store: u.store,
		Now: func() time.Time { return u.now }, Errs: slog.New(slog.DiscardHandler)})
	if err != nil {
		u.t.Fatal(err)
	}
	return m
}

func (u *inUse) write(name, text string) {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.n.Data, name), []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

func (u *inUse) happen(i int) {
	u.t.Helper()
	u.store.grow(u.t, fmt.Sprintf("mail %d with a marker;", i))
	u.write(fmt.Sprintf("outbound/q%d", i), "waits")
	u.write("journal/1.journal", strings.Repeat("record;", i+1))
	if _, err := u.log.Append(u.t.Context(), audit.Entry{Kind: "test.one", Private: map[string]string{"n": fmt.Sprint(i)}}); err != nil {
		u.t.Fatal(err)
	}
	u.now = u.now.Add(time.Minute)
}

func asItIs(string, string, time.Time) (last time.Time, err error) { return last, nil }

// restored puts the repository into a new folder and returns what is in it.
func (u *inUse) restored(repo string) (map[string]string, error) {
	u.t.Helper()
	n := u.n
	n.Data = filepath.Join(u.t.TempDir(), "data")
	_, err := RestoreFrom(u.t.Context(), n, Recovery{Dir: repo, Rewind: asItIs})
	return contents(u.t, n.Data), err
}

// same wants a restored folder to have all that is durable.
func (u *inUse) same(got map[string]string) {
	u.t.Helper()
	for _, s := range u.store.Segments() {
		raw, err := os.ReadFile(s.Path)
		if err != nil {
			u.t.Fatal(err)
		}
		name, _ := filepath.Rel(u.n.Data, s.Path)
		if want := string(raw[:s.Size]); got[filepath.ToSlash(name)] != want {
			u.t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	for name, text := range contents(u.t, u.n.Data) {
		own := strings.HasPrefix(name, "store/") || strings.HasPrefix(name, "keys/") || strings.HasPrefix(name, "audit/log.db") || strings.HasPrefix(name, "audit/tile/") || name == keys.SecretName || name == lineFile
		if !own && got[name] != text {
			u.t.Errorf("%s: %d bytes, want %d", name, len(got[name]), len(text))
		}
	}
}

func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, text := range contents(t, dir) {
		n += int64(len(text))
	}
	return n
}

// TestMirror: what changes is copied, and nothing twice; what is not durable is not copied; the copy is the folder.
func TestMirror(t *testing.T) {
	u := newInUse(t)
	m := u.open()
	u.happen(0)
	if _, err := m.Make(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	u.store.sizes = append(u.store.sizes, 0)
	u.happen(1)
	if err := m.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u.store.retain != 2 {
		t.Errorf("segments from %d stay, want 2", u.store.retain)
	}
	before := size(t, u.repo)
	if err := m.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := size(t, u.repo); after != before {
		t.Errorf("a round without news wrote %d bytes", after-before)
	}
	for name, text := range contents(t, u.repo) {
		if strings.Contains(text, "marker") {
			t.Errorf("%s is readable", name)
		}
	}
	os.Remove(filepath.Join(u.n.Data, "outbound/q0"))
	m = u.open()
	if err := m.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := u.restored(u.repo)
	if err != nil {
		t.Fatal(err)
	}
	u.same(got)
	if _, ok := got["outbound/q0"]; ok {
		t.Error("a message that was delivered waits again")
	}
	other := u.n
	other.Name, other.Data = "eu-ireland-2", filepath.Join(t.TempDir(), "data")
	_, err = RestoreFrom(t.Context(), other, Recovery{Dir: u.repo})
	wantReason(t, err, domicile.WrongRegion)
	if s := m.State(); len(s.Sets) != 1 || s.Failed != "" {
		t.Errorf("%+v", s)
	}
}

// TestMirrorFails: at each step on disk, failed before it or after, the next process goes on, and nothing is lost.
func TestMirrorFails(t *testing.T) {
	for at := 0; ; at++ {
		u := newInUse(t)
		u.happen(0)
		m := u.open()
		if _, err := m.Make(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		u.happen(1)
		steps := 0
		m.vault.step = func(name string, do func() error) error {
			steps++
			if steps/2 != at {
				return do()
			}
			if steps%2 == 0 {
				return errors.New("not done: " + name)
			}
			return errors.Join(do(), errors.New("done, and failed: "+name))
		}
		_, err := m.Make(t.Context(), nil)
		if at > 0 && steps/2 < at {
			if at < 5 {
				t.Errorf("only %d steps", steps)
			}
			return
		}
		if err == nil && at > 0 {
			t.Errorf("step %d failed, and nobody said so", at)
		}
		if got, err := u.restored(u.repo); err != nil || !strings.HasPrefix(got["store/segments/00000001.seg"], "mail 0") {
			t.Fatalf("step %d: what was there before does not restore: %v", at, err)
		}
		u.happen(2)
		if m = u.open(); m.Round(t.Context()) != nil {
			t.Fatalf("step %d: the next round failed", at)
		}
		got, err := u.restored(u.repo)
		if err != nil {
			t.Fatalf("step %d: %v", at, err)
		}
		u.same(got)
	}
}

// TestMirrorErases: once an account is erased, neither the repository nor a copy of it from before, with every key of now, reads it; the others are read.
func TestMirrorErases(t *testing.T) {
	u := newInUse(t)
	if err := u.ring.CreateAccountKey("a2"); err != nil {
		t.Fatal(err)
	}
	sealed, err := u.ring.SealRecord("a1", []byte("a subject"), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := u.open()
	u.happen(0)
	if _, err := m.Make(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(u.repo)); err != nil {
		t.Fatal(err)
	}
	if err := u.ring.DestroyAccountKey("a2"); err != nil {
		t.Fatal(err)
	}
	if err := m.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = u.restored(old)
	wantKind(t, err, domicile.NotExist)
	n := u.n
	n.Data = filepath.Join(t.TempDir(), "data")
	if _, err := RestoreFrom(t.Context(), n, Recovery{Dir: u.repo, Rewind: asItIs}); err != nil {
		t.Fatal(err)
	}
	ring := openRing(t, n)
	if plain, err := ring.OpenRecord("a1", sealed, nil); err != nil || string(plain) != "a subject" {
		t.Errorf("%q, %v", plain, err)
	}
	_, err = ring.SealRecord("a2", nil, nil)
	wantKind(t, err, domicile.NotExist)
}

// TestMirrorDamaged: an altered byte of what a set lists is found, wherever it is.
func TestMirrorDamaged(t *testing.T) {
	u := newInUse(t)
	m := u.open()
	for i := range 3 {
		u.happen(i)
		if err := m.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Make(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for name := range contents(t, u.repo) {
		if strings.Contains(name, "/files/") && !strings.Contains(name, stampName) || strings.Contains(name, "cosigner") {
			continue
		}
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.CopyFS(bad, os.DirFS(u.repo)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(bad, filepath.FromSlash(name))
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/3] ^= 1
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := u.restored(bad); err == nil || len(got) > 0 {
			t.Errorf("%s altered: %v, %d files left", name, err, len(got))
		}
	}
	if wraps, err := filepath.Glob(filepath.Join(filepath.Dir(u.n.Data), "wraps", "accounts-*")); err != nil || len(wraps) != 1 {
		t.Errorf("keys of restores that failed are left: %v, %v", wraps, err)
	}
}

// TestMirrorPrunes: sets that are no longer kept go, and with them what they alone named; a time that is kept can still be restored.
func TestMirrorPrunes(t *testing.T) {
	u := newInUse(t)
	u.keep = Retention{Within: time.Hour}
	m := u.open()
	for i := range 4 {
		u.happen(i)
		if _, err := m.Make(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		u.now = u.now.Add(40 * time.Minute)
	}
	sets, err := Sets(u.repo)
	if err != nil || len(sets) != 3 {
		t.Fatalf("%d sets, %v", len(sets), err)
	}
	if got, _ := filepath.Glob(filepath.Join(u.repo, lineDir, "*", "store", "base", "*", "*")); len(got) != 3 {
		t.Errorf("%d files of bases, want 3", len(got))
	}
	got, err := u.restored(u.repo)
	if err != nil {
		t.Fatal(err)
	}
	u.same(got)
	// A folder that lost its line begins another; the first goes when it is no longer kept.
	if err := os.Remove(filepath.Join(u.n.Data, lineFile)); err != nil {
		t.Fatal(err)
	}
	m = u.open()
	for range 3 {
		if _, err := m.Make(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		u.now = u.now.Add(2 * time.Hour)
	}
	if lines, err := os.ReadDir(filepath.Join(u.repo, lineDir)); err != nil || len(lines) != 1 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

// TestMirrorGap: a repository that is out of reach keeps the store from removing segments for an hour, and no longer; what was missed then asks for a new set.
func TestMirrorGap(t *testing.T) {
	u := newInUse(t)
	m := u.open()
	u.happen(0)
	if _, err := m.Make(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	m.vault.step = func(string, func() error) error { return errors.New("out of reach") }
	for i := range 3 {
		u.happen(i + 1)
		if m.Round(t.Context()) == nil {
			t.Fatal("it is out of reach, and nobody said so")
		}
		if kept := u.store.retain == 1; kept != (i < 2) {
			t.Errorf("try %d: segments from %d stay", i, u.store.retain)
		}
		u.now = u.now.Add(40 * time.Minute)
	}
	m.vault.step = run
	if m.Round(t.Context()) == nil || !m.Newest().IsZero() {
		t.Error("it goes on as if nothing had been missed")
	}
	if _, err := m.Make(t.Context(), nil); err != nil || m.Newest().IsZero() {
		t.Error(err)
	}
	if !u.open().Newest().Equal(m.Newest()) {
		t.Error("a gap where there is none")
	}
	u.store.sizes = append(u.store.sizes, 0, 0, 0)
	u.store.first = 3 // as if compaction had been at it while nobody copied
	if !u.open().Newest().IsZero() {
		t.Error("a segment went before it was copied, and no set is asked for")
	}
}

func FuzzRepository(f *testing.F) {
	f.Add([]byte(keysMagic + `{"period":"b-00000000"}` + "\n"))
	f.Add([]byte("\x00\x00\x00\x01a\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, clear, err := parseKeysHead(bytes.NewReader(raw)); err == nil && !bytes.HasPrefix(raw, clear) {
			t.Error("what is read is not what is there")
		}
		r := &leafReader{bytes.NewReader(raw)}
		for n := 0; ; {
			leaf, private, err := r.next()
			if leaf == nil || err != nil {
				break
			}
			if n += 8 + len(leaf) + len(private); n > len(raw) {
				t.Fatal("more than there is")
			}
		}
	})
}

// TestMirrorTorn: what a power cut left behind the end of a file is cut off, or not read, and what is damaged before it is not taken for that.
func TestMirrorTorn(t *testing.T) {
	u := newInUse(t)
	m := u.open()
	u.happen(0)
	if _, err := m.Make(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for i, torn := range []string{"\x00\x00", "\x00\x00\x00\x40half a piece", "\x00\x00\x00\x20" + strings.Repeat("\x00", 32), strings.Repeat("\x00", 5000)} {
		for _, name := range []string{"store/segments/00000001.seg", m.logFile} {
			f, err := os.OpenFile(m.vault.path(name), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(torn); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		got, err := u.restored(u.repo)
		if err != nil {
			t.Fatalf("torn %d: %v", i, err)
		}
		u.same(got)
		u.happen(i + 1)
		if m = u.open(); m.Round(t.Context()) != nil {
			t.Fatalf("torn %d: it does not go on", i)
		}
		if got, err = u.restored(u.repo); err != nil {
			t.Fatalf("torn %d, and went on: %v", i, err)
		}
		u.same(got)
	}
	if !m.CaughtUp() {
		t.Error("all is copied")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if m.Round(ended) == nil {
		t.Error("it does not end")
	}
}
