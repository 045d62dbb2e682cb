package keys

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
)

// first is a place with the folder of a first release, as its code made it.
func first(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, data: filepath.Join(t.TempDir(), "data")}
	if err := os.CopyFS(p.data, os.DirFS(filepath.Join("testdata", "v1"))); err != nil {
		t.Fatal(err)
	}
	chmodAll(t, p.data)
	path := filepath.Join(t.TempDir(), "root.key")
	if err := os.Rename(filepath.Join(p.data, "root.key"), path); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.root, err = LoadRoot(path); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) sample(name string) []byte {
	p.t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "v1", name))
	if err != nil {
		p.t.Fatal(err)
	}
	return raw
}

// holds wants all that the first release sealed to open.
func (p *place) holds(r *Ring) {
	p.t.Helper()
	for id, want := range map[domicile.AccountID]string{"acc1": "subject/index/acc1.record", "": "name/table/region.record"} {
		w := strings.Split(want, "/")
		if open, err := r.OpenRecord(id, p.sample(w[2]), []byte(w[1])); err != nil || string(open) != w[0] {
			p.t.Errorf("%s: %q, %v", w[2], open, err)
		}
	}
	rd, err := r.OpenFrom("acc2", bytes.NewReader(p.sample("acc2.stream")), []byte("body"))
	if err != nil {
		p.t.Fatal(err)
	}
	if body, err := io.ReadAll(rd); err != nil || string(body) != "Dear Anna\r\n" {
		p.t.Errorf("%q, %v", body, err)
	}
	wantGone(p.t, r, "acc3", nil)
	if open, err := r.secret.Box("audit").Open(p.sample("audit.box"), []byte("leaf")); err != nil || string(open) != "detail" {
		p.t.Errorf("%q, %v", open, err)
	}
	if got := hex.EncodeToString(r.Digest("name", "a", "bc")) + "\n"; got != string(p.sample("digest")) {
		p.t.Errorf("the digest is %s", got)
	}
}

// TestUpgrade: a first release's folder opens, its account keys move into one file under a wrapping key, and the files that the root
// key alone opened are destroyed; whatever step fails, once or in a crash, the next start does it.
func TestUpgrade(t *testing.T) {
	p := first(t)
	for range 2 {
		p.holds(p.ring())
		if names, err := os.ReadDir(filepath.Join(p.data, ringName)); err != nil || len(names) != 1 {
			t.Errorf("left behind: %v, %v", names, err)
		}
	}
	for _, step := range []string{"write", "rename", "sync"} {
		for _, done := range []bool{false, true} {
			p := first(t)
			s, err := p.root.Open(p.data)
			if err != nil {
				t.Fatal(err)
			}
			r := &Ring{dir: filepath.Join(p.data, ringName), secret: s, wraps: s.wrapping(), step: func(name string, act func() error) error {
				if name != step {
					return act()
				} else if done {
					return errors.Join(act(), errors.New("no"))
				}
				return errors.New("no")
			}}
			if err := errors.Join(removeTemps(r.dir, os.Remove), r.ensure()); err == nil {
				t.Fatal("no step failed")
			}
			ring := p.ring()
			p.holds(ring)
			if err := ring.DestroyAccountKey("acc2"); err != nil || len(p.wrapFiles()) != 1 {
				t.Errorf("%s: %v, %d wrapping keys", step, err, len(p.wrapFiles()))
			}
		}
	}
	p = first(t)
	if err := os.WriteFile(filepath.Join(p.data, ringName, "acc1"), p.sample("keys/acc2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.open(); domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), "acc1") {
		t.Errorf("a damaged file: %v", err)
	}
	rd, err := first(t).root.OpenFrom("backup", bytes.NewReader(p.sample("backup.stream")), []byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(rd); err != nil || string(got) != "a tar\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSecret(t *testing.T) {
	p := newPlace(t)
	if err := p.root.CheckFolder(p.data); err != nil {
		t.Error(err)
	}
	s := newSecret(t, p.root, p.data)
	sealed, err := s.Box("audit").Seal([]byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newSecret(t, p.root, t.TempDir()).Box("audit").Open(sealed, nil); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("two folders of one root key have one secret: %v", err)
	}
	ring := p.ring()
	create(t, ring, "anna")
	if err := p.root.CheckFolder(p.data); err != nil {
		t.Error(err)
	}
	file := filepath.Join(p.data, SecretName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := p.root.Open(p.data)
		wantKind(t, err, domicile.Invalid)
		wantKind(t, p.root.CheckFolder(p.data), domicile.Invalid)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err = p.root.Open(p.data)
	wantKind(t, err, domicile.Invalid) // it was there, and another one would open nothing
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if open, err := newSecret(t, p.root, p.data).Box("audit").Open(sealed, nil); err != nil || string(open) != "x" {
		t.Errorf("%q, %v", open, err)
	}
	if err := os.RemoveAll(p.root.wraps()); err != nil {
		t.Fatal(err)
	}
	wantKind(t, p.root.CheckFolder(p.data), domicile.Invalid)
	_, err = p.open()
	wantKind(t, err, domicile.Invalid)
}

// The wrapping keys must not lie in the folder whose copies they are to make unreadable, nor behind a link into it.
func TestWrapsOutside(t *testing.T) {
	data := t.TempDir()
	if err := CreateRoot(filepath.Join(data, "root.key")); err != nil {
		t.Fatal(err)
	}
	_, err := LoadSecret(filepath.Join(data, "root.key"), data)
	wantKind(t, err, domicile.Invalid)
	p := newPlace(t)
	if err := errors.Join(os.Remove(p.root.wraps()), os.Symlink(data, p.root.wraps())); err != nil {
		t.Fatal(err)
	}
	_, err = p.root.Open(data)
	wantKind(t, err, domicile.Invalid)
}

// TestRotate: under another root key everything opens that did before, nothing of the mail is rewritten, and the old root key opens the
// folder no more. Said twice it is done once.
func TestRotate(t *testing.T) {
	for name, p := range map[string]*place{"new": newPlace(t), "of a first release": first(t)} {
		ring := p.ring()
		create(t, ring, "anna")
		anna := seal(t, ring, "anna")
		now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
		period, err := p.root.PeriodFor(now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		book, wraps := ring.book.number, len(p.wrapFiles())
		path := filepath.Join(filepath.Dir(p.root.path), "next.key")
		if err := CreateRoot(path); err != nil {
			t.Fatal(err)
		}
		next, err := LoadRoot(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := p.root.Rotate(next, p.data); err != nil {
				t.Fatal(err)
			}
		}
		_, err = p.open()
		wantKind(t, err, domicile.Invalid)
		_, err = p.root.Period(period.Name)
		wantKind(t, err, domicile.Invalid)
		rotated := &place{t, next, p.data}
		ring = rotated.ring()
		wantOpen(t, ring, "anna", anna)
		if name != "new" {
			rotated.holds(ring)
		}
		if ring.book.number != book || len(p.wrapFiles()) != wraps {
			t.Errorf("%s: the account keys were written anew", name)
		}
		if got, err := next.Period(period.Name); err != nil || !bytes.Equal(got.key, period.key) || !got.Ends.Equal(period.Ends) {
			t.Errorf("%+v, %v", got, err)
		}
		elsewhere := newRoot(t)
		wantKind(t, next.Rotate(elsewhere, p.data), domicile.Invalid)
		wantKind(t, elsewhere.Rotate(elsewhere, p.data), domicile.Invalid)
		wantOpen(t, rotated.ring(), "anna", anna)
	}
}
