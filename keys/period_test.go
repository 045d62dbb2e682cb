package keys

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 12, 0, 0, 0, time.UTC) }

// TestPeriods: a month has one key; it ends some time after the month, and is destroyed then, or when somebody says so.
func TestPeriods(t *testing.T) {
	root := newRoot(t)
	period := func(now time.Time) *Period {
		t.Helper()
		p, err := root.PeriodFor(now, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := period(day(2026, 11, 3))
	if b := period(day(2026, 11, 30)); b.Name != a.Name || !bytes.Equal(a.key, b.key) || !strings.HasPrefix(a.Name, "2026-11-") {
		t.Errorf("%+v, %+v", a, b)
	}
	if want := time.Date(2026, 12, 3, 0, 0, 0, 0, time.UTC); !a.Ends.Equal(want) {
		t.Errorf("ends %s", a.Ends)
	}
	b := period(day(2026, 12, 1))
	if list, err := root.Periods(); err != nil || len(list) != 2 || list[0].Name != a.Name || list[1].Name != b.Name {
		t.Errorf("%v, %v", list, err)
	}
	period(day(2026, 12, 4))
	_, err := root.Period(a.Name)
	wantKind(t, err, domicile.NotExist)
	for range 2 {
		if err := root.DestroyPeriod(b.Name); err != nil {
			t.Fatal(err)
		}
	}
	if c := period(day(2026, 12, 5)); c.Name == b.Name {
		t.Error("a destroyed period came back")
	}
	for _, bad := range []string{"", "../root.key", "2026-11-xyz", strings.Repeat("a", 65)} {
		_, err := root.Period(bad)
		wantKind(t, err, domicile.Invalid)
		wantKind(t, root.DestroyPeriod(bad), domicile.Invalid)
	}
}

func TestPeriodFile(t *testing.T) {
	root := newRoot(t)
	p, err := root.PeriodFor(day(2026, 11, 3), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(root.periodPath(p.Name))
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole { // what it says in the clear is bound to the key
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if err := os.WriteFile(root.periodPath(p.Name), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := root.Period(p.Name)
		wantKind(t, err, domicile.Invalid)
	}
}

// TestOldBackup: an old copy of the folder, an old copy of its keys as a backup has them, and the present root key with all that is
// beside it do not read an erased account once the period of the backup has been destroyed; a newer backup reads the others.
func TestOldBackup(t *testing.T) {
	p := newPlace(t)
	ring := p.ring()
	create(t, ring, "anna", "ben")
	anna, ben := seal(t, ring, "anna"), seal(t, ring, "ben")
	backup := func() (*Period, []byte) {
		t.Helper()
		period, err := p.root.PeriodFor(day(2026, 11, 3), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := period.SealTo("backup", &b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.CopyTo(w); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return period, b.Bytes()
	}
	restore := func(name string, raw []byte) (*Ring, error) {
		t.Helper()
		period, err := p.root.Period(name)
		if err != nil {
			return nil, err
		}
		r, err := period.OpenFrom("backup", bytes.NewReader(raw), nil)
		if err != nil {
			return nil, err
		}
		c := &place{t, p.root, t.TempDir()}
		if err := p.root.RestoreCopy(c.data, r); err != nil {
			return nil, err
		}
		return c.open()
	}
	period, old := backup()
	if r, err := restore(period.Name, old); err != nil {
		t.Fatal(err)
	} else {
		wantOpen(t, r, "anna", anna) // the control
	}
	wantOpen(t, p.ring(), "anna", anna) // what was restored left the keys of the folder that it came from alone
	folder := p.copied()
	if err := ring.DestroyAccountKey("anna"); err != nil {
		t.Fatal(err)
	}
	if err := p.root.DestroyPeriod(period.Name); err != nil {
		t.Fatal(err)
	}
	next, fresh := backup()
	if _, err := folder.open(); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("the old folder: %v", err)
	}
	if _, err := restore(period.Name, old); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("the old backup: %v", err)
	}
	if _, err := restore(next.Name, old); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("the old backup under the present period: %v", err)
	}
	r, err := restore(next.Name, fresh)
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, r, "ben", ben)
	wantGone(t, r, "anna", anna)
	// A key destroyed in what was restored destroys what the folder of before rests under, too.
	if err := r.DestroyAccountKey("ben"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.open(); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("the folder of before: %v", err)
	}
}

func TestCopyOfDamaged(t *testing.T) {
	p := newPlace(t)
	ring := p.ring()
	create(t, ring, "anna", "ben")
	path := filepath.Join(p.data, ringName, bookName)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[2*slot+5] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	wantKind(t, p.ring().CopyTo(io.Discard), domicile.Invalid)
}

func FuzzCopy(f *testing.F) {
	f.Add([]byte(copyHeader + strings.Repeat("s", keySize) + "\x04anna" + strings.Repeat("k", keySize) + "\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		secret, list, err := parseCopy(bytes.NewReader(raw))
		if err != nil {
			wantKind(t, err, domicile.Invalid)
			return
		}
		size := len(copyHeader) + len(secret) + 1
		for id, key := range list {
			size += 1 + len(id) + len(key)
		}
		if size != len(raw) {
			t.Errorf("%d of %d bytes were read", size, len(raw))
		}
	})
}

func FuzzPeriod(f *testing.F) {
	root := &Root{key: make([]byte, keySize)}
	good, err := root.sealPeriod(&Period{Name: "2026-11-00000000", key: make([]byte, keySize)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		head, sealed, _, ok := parsePeriod(raw)
		if ok && !bytes.Equal(append(bytes.Clone(head), sealed...), raw) {
			t.Errorf("%q and %q of %q", head, sealed, raw)
		}
	})
}

// TestForgetCopy: a copy of a folder that is no longer wanted cannot be opened, and the folder itself can.
func TestForgetCopy(t *testing.T) {
	dir := t.TempDir()
	if err := CreateRoot(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	root, err := LoadRoot(filepath.Join(dir, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string) (*Ring, error) {
		data := filepath.Join(dir, name)
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		secret, err := root.Open(data)
		if err != nil {
			t.Fatal(err)
		}
		return OpenRing(secret, filepath.Join(data, "keys"))
	}
	ring, err := open("data")
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.CreateAccountKey("a1"); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	if err := ring.CopyTo(&all); err != nil {
		t.Fatal(err)
	}
	ring.Close()
	if err := os.Mkdir(filepath.Join(dir, "copy"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := root.RestoreCopy(filepath.Join(dir, "copy"), &all); err != nil {
		t.Fatal(err)
	}
	if err := root.ForgetCopy(filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	if _, err := open("copy"); err == nil {
		t.Error("the copy still opens")
	}
	if ring, err = open("data"); err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	if _, err := ring.SealRecord("a1", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestRepositoryPeriodStays: who makes a backup of another kind ends no key of a repository, however old: only another in its place does.
func TestRepositoryPeriodStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	if err := CreateRoot(path); err != nil {
		t.Fatal(err)
	}
	r, err := LoadRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p, err := r.RepositoryPeriod(then, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.PeriodFor(then.AddDate(1, 0, 0), time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Period(p.Name); err != nil {
		t.Errorf("the key of the repository is gone: %v", err)
	}
	next, err := r.RepositoryPeriod(then.AddDate(1, 0, 0), time.Hour)
	if err == nil {
		err = r.DestroyRepositoryPeriods(next.Name)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Period(p.Name); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("the key of before is still there: %v", err)
	}
}
