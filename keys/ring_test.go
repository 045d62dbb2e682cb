package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"domicile"
)

// place is a region's machine: a root key with what lies beside it, and a data folder.
type place struct {
	t    *testing.T
	root *Root
	data string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	return &place{t, newRoot(t), t.TempDir()}
}

func (p *place) ring() *Ring { p.t.Helper(); return newRing(p.t, p.root, p.data) }

// copied is the place with a copy of its data folder, and the same root key.
func (p *place) copied() *place {
	p.t.Helper()
	c := &place{p.t, p.root, filepath.Join(p.t.TempDir(), "copy")}
	if err := os.CopyFS(c.data, os.DirFS(p.data)); err != nil {
		p.t.Fatal(err)
	}
	chmodAll(p.t, c.data)
	return c
}

func chmodAll(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a ring, or says why not.
func (p *place) open() (*Ring, error) {
	s, err := p.root.Open(p.data)
	if err != nil {
		return nil, err
	}
	r, err := OpenRing(s, filepath.Join(p.data, ringName))
	if err == nil {
		p.t.Cleanup(func() { r.Close() })
	}
	return r, err
}

// wrapFiles are the bytes of the wrapping keys beside the root key, by name.
func (p *place) wrapFiles() map[string]string {
	p.t.Helper()
	out := map[string]string{}
	names, err := os.ReadDir(p.root.wraps())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, n := range names {
		raw, err := os.ReadFile(filepath.Join(p.root.wraps(), n.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		out[n.Name()] = string(raw)
	}
	return out
}

func create(t *testing.T, r *Ring, ids ...domicile.AccountID) {
	t.Helper()
	for _, id := range ids {
		if err := r.CreateAccountKey(id); err != nil {
			t.Fatal(err)
		}
	}
}

func seal(t *testing.T, r *Ring, id domicile.AccountID) []byte {
	t.Helper()
	s, err := r.SealRecord(id, []byte("subject"), []byte("index"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantOpen(t *testing.T, r *Ring, id domicile.AccountID, sealed []byte) {
	t.Helper()
	if open, err := r.OpenRecord(id, sealed, []byte("index")); err != nil || string(open) != "subject" {
		t.Errorf("%s: %q, %v", id, open, err)
	}
}

func wantKind(t *testing.T, err error, want domicile.Kind) {
	t.Helper()
	if domicile.KindOf(err) != want {
		t.Errorf("got %v, want kind %s", err, want)
	}
}

// wantGone wants every call for id to say that there is no key.
func wantGone(t *testing.T, r *Ring, id domicile.AccountID, sealed []byte) {
	t.Helper()
	_, err1 := r.SealRecord(id, nil, nil)
	_, err2 := r.OpenRecord(id, sealed, []byte("index"))
	_, err3 := r.SealTo(id, io.Discard, nil)
	_, err4 := r.OpenFrom(id, strings.NewReader(""), nil)
	for _, err := range []error{err1, err2, err3, err4} {
		wantKind(t, err, domicile.NotExist)
	}
}

func TestRing(t *testing.T) {
	p := newPlace(t)
	ring := p.ring()
	a, b := domicile.AccountID(domicile.NewID("a")), domicile.AccountID(domicile.NewID("a"))
	create(t, ring, a, b, a)
	sealed := map[domicile.AccountID][]byte{a: seal(t, ring, a), b: seal(t, ring, b), "": seal(t, ring, "")}
	create(t, ring, a)
	ring = p.ring()
	for id, s := range sealed {
		for other := range sealed {
			open, err := ring.OpenRecord(other, s, []byte("index"))
			if same := other == id; same && (err != nil || string(open) != "subject") || !same && domicile.KindOf(err) != domicile.Invalid {
				t.Errorf("record of %q opened by %q: %q, %v", id, other, open, err)
			}
		}
	}
	if _, err := (&place{t, newRoot(t), p.data}).open(); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("opened under another region's root: %v", err)
	}
	if err := ring.Check(); err != nil {
		t.Error(err)
	}
	if len(p.wrapFiles()) != 1 {
		t.Errorf("%d wrapping keys", len(p.wrapFiles()))
	}
}

// TestErasedForGood: who has every byte of the data folder from before an erasure, and all that lies beside the root key now, cannot read
// the account; the others are served as before.
func TestErasedForGood(t *testing.T) {
	p := newPlace(t)
	ring := p.ring()
	create(t, ring, "anna", "ben", "carl")
	anna, ben := seal(t, ring, "anna"), seal(t, ring, "ben")
	old := p.copied()
	control := old.copied()
	wantOpen(t, control.ring(), "anna", anna) // the copy is good as long as nothing was erased
	before := p.wrapFiles()
	links := map[string]string{} // a hard link shows what the overwriting left of a file's bytes
	for name := range before {
		links[name] = filepath.Join(t.TempDir(), name)
		if err := os.Link(filepath.Join(p.root.wraps(), name), links[name]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := ring.DestroyAccountKey("anna"); err != nil {
			t.Fatal(err)
		}
		wantGone(t, ring, "anna", anna)
		wantOpen(t, ring, "ben", ben)
	}
	for name, text := range before {
		if p.wrapFiles()[name] == text {
			t.Error("the wrapping key of before is there")
		}
		if left, err := os.ReadFile(links[name]); err != nil || len(bytes.Trim(left, "\x00")) != 0 {
			t.Errorf("the wrapping key was unlinked but not overwritten: %x, %v", left, err)
		}
	}
	if _, err := old.open(); domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), "before an account was erased") {
		t.Errorf("the old copy: %v", err)
	}
	// Not even with the numbers changed: the old book under each key that there is.
	raw, err := os.ReadFile(filepath.Join(old.data, ringName, bookName))
	if err != nil {
		t.Fatal(err)
	}
	number := ring.book.number
	for at := slot; at < len(raw); at += slot {
		if id, _, ok := openRecord(ring.wrap, raw[at:at+slot]); ok {
			t.Errorf("record of %s opens under wrapping key %d", id, number)
		}
	}
	again := p.ring()
	wantGone(t, again, "anna", anna)
	wantOpen(t, again, "ben", ben)
	wantOpen(t, again, "ben", seal(t, ring, "ben"))
	if err := p.ring().Check(); err != nil {
		t.Error(err)
	}
}

// TestStreamsEndWithTheKey: what is under way ends when the key is destroyed.
func TestStreamsEndWithTheKey(t *testing.T) {
	ring := newPlace(t).ring()
	create(t, ring, "anna")
	var sealed bytes.Buffer
	w, err := ring.SealTo("anna", &sealed, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(make([]byte, 3*segmentSize))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := ring.OpenFrom("anna", bytes.NewReader(sealed.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	w, err = ring.SealTo("anna", &sealed, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.DestroyAccountKey("anna"); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	wantKind(t, err, domicile.NotExist)
	_, err = w.Write([]byte("x"))
	wantKind(t, err, domicile.NotExist)
	wantKind(t, w.Close(), domicile.NotExist)
}

// TestChangesFail: each step of a change fails, once before it did anything and once behind it. Whatever a change said, the keys that
// nobody destroyed are there, at once and after a new start, and what was asked again is done.
func TestChangesFail(t *testing.T) {
	for _, step := range []string{"wrap", "write", "rename", "sync", "destroy", "append"} {
		for _, done := range []bool{false, true} {
			for _, crash := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/done %v/crash %v", step, done, crash), func(t *testing.T) { changesFail(t, step, done, crash) })
			}
		}
	}
}

func changesFail(t *testing.T, step string, done, crash bool) {
	p := newPlace(t)
	ring := p.ring()
	create(t, ring, "anna", "ben")
	anna, ben := seal(t, ring, "anna"), seal(t, ring, "ben")
	old := p.copied()
	failed := false
	ring.step = func(name string, act func() error) error {
		if failed || name != step {
			return act()
		}
		failed = true
		if done {
			if err := act(); err != nil {
				t.Fatal(err)
			}
		}
		return errors.New("the disk said no")
	}
	destroyed := ring.DestroyAccountKey("anna")
	created := ring.CreateAccountKey("carl")
	if (destroyed == nil) != (step == "append") || !failed || step == "append" && created == nil {
		t.Fatalf("destroyed: %v, created: %v", destroyed, created)
	}
	if crash {
		ring = p.ring()
	}
	wantOpen(t, ring, "ben", ben)
	create(t, ring, "carl", "dora")
	if err := ring.DestroyAccountKey("anna"); err != nil {
		t.Fatal(err)
	}
	carl := seal(t, ring, "carl")
	for range 2 {
		wantGone(t, ring, "anna", anna)
		wantOpen(t, ring, "ben", ben)
		wantOpen(t, ring, "carl", carl)
		seal(t, ring, "dora")
		if err := ring.Check(); err != nil || len(p.wrapFiles()) != 1 {
			t.Errorf("%v, %d wrapping keys", err, len(p.wrapFiles()))
		}
		ring = p.ring()
	}
	if _, err := old.open(); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("the old copy opens: %v", err)
	}
}

// TestCrashes: the machine stops in the middle of a change, at each step.
func TestCrashes(t *testing.T) {
	for _, step := range []string{"wrap", "write", "rename", "sync", "destroy"} {
		p := newPlace(t)
		ring := p.ring()
		create(t, ring, "anna", "ben")
		ben := seal(t, ring, "ben")
		ring.step = func(name string, act func() error) error {
			if name == step {
				panic("crash")
			}
			return act()
		}
		func() {
			defer func() { recover() }()
			ring.DestroyAccountKey("anna")
		}()
		ring = p.ring()
		wantOpen(t, ring, "ben", ben)
		if err := ring.DestroyAccountKey("anna"); err != nil {
			t.Error(err)
		}
		wantGone(t, ring, "anna", nil)
		if names, err := os.ReadDir(filepath.Join(p.data, ringName)); err != nil || len(names) != 1 || len(p.wrapFiles()) != 1 {
			t.Errorf("%s: left behind: %v and %d wrapping keys, %v", step, names, len(p.wrapFiles()), err)
		}
	}
}

// TestTornAndDamaged: what a crash leaves behind the last record is cut off; what is not as it was written is told, and the
// others are served.
func TestTornAndDamaged(t *testing.T) {
	p := newPlace(t)
	ring := p.ring()
	create(t, ring, "anna", "ben", "carl")
	sealed := map[domicile.AccountID][]byte{"anna": seal(t, ring, "anna"), "ben": seal(t, ring, "ben"), "carl": seal(t, ring, "carl")}
	path := filepath.Join(p.data, ringName, bookName)
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) != 4*slot {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	write := func(raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tail := range map[string][]byte{"half a record": whole[slot : slot+50], "zeros": make([]byte, 3*slot), "a few zeros": make([]byte, 7)} {
		write(append(bytes.Clone(whole), tail...))
		r := p.ring()
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		create(t, r, "dora")
		wantOpen(t, r, "carl", sealed["carl"])
		if got, _ := os.ReadFile(path); len(got) != 5*slot || !bytes.HasPrefix(got, whole) {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	damaged := bytes.Clone(whole)
	damaged[2*slot-5] ^= 1
	write(damaged)
	r := p.ring()
	wantKind(t, r.CreateAccountKey("anna"), domicile.Invalid) // no second key in the place of one that is damaged
	create(t, r, "dora")                                      // and the others go on
	for at := slot; at < 4*slot; at += 3 {                    // a bit of each byte behind the header
		bad := bytes.Clone(whole)
		bad[at] ^= 1 << (at % 8)
		write(bad)
		r := p.ring()
		wantKind(t, r.Check(), domicile.Invalid)
		for i, id := range []domicile.AccountID{"anna", "ben", "carl"} {
			open, err := r.OpenRecord(id, sealed[id], []byte("index"))
			if hit := at/slot == i+1; hit && domicile.KindOf(err) != domicile.Invalid || !hit && string(open) != "subject" {
				t.Fatalf("byte %d, %s: %q, %v", at, id, open, err)
			}
		}
		if at%29 < 3 { // it stays told, and the others stay
			if err := r.DestroyAccountKey("anna"); err != nil {
				t.Fatal(err)
			}
			again := p.ring()
			if at/slot != 2 {
				wantOpen(t, again, "ben", sealed["ben"])
			}
			wantKind(t, again.Check(), domicile.Invalid)
			_, err := again.OpenRecord("anna", sealed["anna"], []byte("index"))
			wantKind(t, err, domicile.Invalid)
			// Back to before.
			p2 := newPlace(t)
			*p = *p2
			ring = p.ring()
			create(t, ring, "anna", "ben", "carl")
			for id := range sealed {
				sealed[id] = seal(t, ring, id)
			}
			path = filepath.Join(p.data, ringName, bookName)
			if whole, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for at := range slot { // the header: nothing is opened, and nothing destroyed
		bad := bytes.Clone(whole)
		bad[at] ^= 1 << (at % 8)
		write(bad)
		r, err := p.open()
		if at == len(bookHeader) && err == nil {
			r.Close() // whether wrapping keys of before are to be destroyed
			continue
		}
		wantKind(t, err, domicile.Invalid)
	}
	write(whole)
	wantOpen(t, p.ring(), "anna", sealed["anna"])
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = p.open()
	wantKind(t, err, domicile.Invalid)
}

func TestSwappedRecords(t *testing.T) {
	p := newPlace(t)
	ring := p.ring()
	create(t, ring, "anna", "ben")
	anna := seal(t, ring, "anna")
	path := filepath.Join(p.data, ringName, bookName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[2*slot+2+maxID:], raw[slot+2+maxID:2*slot]) // the key of one account in the place of another's
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = p.ring().OpenRecord("ben", anna, []byte("index"))
	wantKind(t, err, domicile.Invalid)
}

// TestDestroyMany: many at once cost one writing, and calls at the same time do not disturb one another.
func TestDestroyMany(t *testing.T) {
	p := newPlace(t)
	ring := p.ring()
	var ids []domicile.AccountID
	var wg sync.WaitGroup
	for i := range 60 {
		id := domicile.AccountID(fmt.Sprintf("a%d", i))
		ids = append(ids, id)
		wg.Go(func() {
			if err := ring.CreateAccountKey(id); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	kept := seal(t, ring, ids[59])
	before := ring.book.number
	if err := ring.DestroyAccountKeys(ids[:50]...); err != nil {
		t.Fatal(err)
	}
	if ring.book.number != before+1 {
		t.Errorf("written %d times", ring.book.number-before)
	}
	for i, id := range ids[50:59] {
		wg.Go(func() {
			if err := ring.DestroyAccountKey(id); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { wantOpen(t, ring, ids[59], kept) })
		wg.Go(func() {
			if err := ring.CreateAccountKey(domicile.AccountID(fmt.Sprintf("b%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ring = p.ring()
	for _, id := range ids[:59] {
		wantGone(t, ring, id, nil)
	}
	wantOpen(t, ring, ids[59], kept)
	if len(ring.book.places) != 10 || ring.Check() != nil {
		t.Errorf("%d keys, %v", len(ring.book.places), ring.Check())
	}
}

func TestCacheIsBounded(t *testing.T) {
	var c cache
	k := &accountKey{}
	for i := range 3 * maxCached {
		c.put(domicile.AccountID(fmt.Sprint(i)), k)
		c.get("0") // used all the time
	}
	if n := len(c.recent) + len(c.before); n > maxCached {
		t.Errorf("%d keys in memory", n)
	}
	if _, ok := c.get("0"); !ok {
		t.Error("a key that is used was forgotten")
	}
	c.forget("0")
	if _, ok := c.get("0"); ok {
		t.Error("a destroyed key stays in memory")
	}
}

func FuzzBook(f *testing.F) {
	wrap := newBox(make([]byte, keySize))
	good, err := record(wrap, "anna", make([]byte, keySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(header(1, true), good...))
	f.Add(header(0, false))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), bookName)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := openBook(path)
		if err != nil {
			wantKind(t, err, domicile.Invalid)
			return
		}
		defer b.file.Close()
		if err := b.read(wrap); err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadFile(path); !bytes.HasPrefix(raw, left) || len(left)%slot != 0 || len(bytes.Trim(raw[len(left):], "\x00")) >= slot {
			t.Errorf("%d of %d bytes are left", len(left), len(raw))
		}
		if int64(len(b.places)+len(b.damaged)) != b.slots-1 {
			t.Errorf("%d keys and %d damaged records of %d", len(b.places), len(b.damaged), b.slots-1)
		}
	})
}
