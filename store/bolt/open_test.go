package bolt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store/storetest"
)

func openAt(dir string) (*Store, error) {
	return Open(Config{Dir: dir, Region: storetest.Region, Sealer: storetest.NewSealer("x")})
}

// setFormat writes a format into an index.
func setFormat(t *testing.T, dir string, f uint64) {
	db, err := bbolt.Open(filepath.Join(dir, indexFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bMeta).Put(kFormat, number(f)) }); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		kind   domicile.Kind
		says   string
	}{
		"a newer format": {func(t *testing.T, dir string) { setFormat(t, dir, format+1) }, domicile.Invalid, "newer release"},
		"an index without segments": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, segmentsDir)); err != nil {
				t.Fatal(err)
			}
		}, domicile.Invalid, "segments are missing"},
		"a store in use": {func(t *testing.T, dir string) {
			s, err := openAt(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
		}, domicile.Unavailable, "another process"},
		"a strange file among the segments": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, segmentsDir, "notes.txt"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, domicile.Invalid, "notes.txt"},
		"a bbolt file of something else": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, indexFile)); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(filepath.Join(dir, indexFile), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("mine")); return err }); err != nil {
				t.Fatal(err)
			}
		}, domicile.Invalid, "not the index of a store"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := openAt(dir)
			if err != nil {
				t.Fatal(err)
			}
			r := &storetest.Rig{Store: s, T: t}
			newPerson(r)
			r.MustDeliver(person, "INBOX", "body")
			s.Close()
			c.damage(t, dir)
			before := files(t, dir)
			s, err = openAt(dir)
			if err == nil {
				s.Close()
			}
			if err == nil || domicile.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error is %v, want %q", err, c.says)
			}
			for path := range before {
				if _, err := os.Stat(path); err != nil {
					t.Error("it refused and removed:", err)
				}
			}
		})
	}
}

func TestOpenNeeds(t *testing.T) {
	sealer := storetest.NewSealer("x")
	for _, cfg := range []Config{
		{Region: "eu-ireland", Sealer: sealer}, {Dir: t.TempDir(), Sealer: sealer}, {Dir: t.TempDir(), Region: "eu-ireland"},
	} {
		if s, err := Open(cfg); domicile.KindOf(err) != domicile.Invalid {
			s.Close()
			t.Errorf("Open(%+v) = %v", cfg, err)
		}
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "store")
	s, err := openAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &storetest.Rig{Store: s, T: t}
	newPerson(r)
	r.MustDeliver(person, "INBOX", "body")
	if err := s.Compact(t.Context()); err != nil { // writes a base
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func formatIn(t *testing.T, dir string) uint64 {
	db, err := bbolt.Open(filepath.Join(dir, indexFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, err := formatOf(db)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
