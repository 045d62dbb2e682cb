package audit

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile"
)

// copiedLog is a log of 300 leaves, without log.db: what an auditor carries away.
func copiedLog(t *testing.T, n int) (dir string, early []byte) {
	t.Helper()
	l := openTest(t, t.TempDir())
	grow := func(n int) {
		var group []*request
		for range n {
			rec, _, err := newRecord(testOrigin, entry(n), nil)
			if err != nil {
				t.Fatal(err)
			}
			group = append(group, &request{record: rec, done: make(chan struct{})})
		}
		l.turn <- struct{}{}
		l.round(group)
		<-l.turn
		for _, r := range group {
			if r.err != nil {
				t.Fatal(r.err)
			}
		}
	}
	grow(n / 2)
	early, _ = l.Checkpoint()
	grow(n - n/2)
	dir = t.TempDir()
	for _, name := range []string{"checkpoint", "tile"} {
		copyTree(t, filepath.Join(l.cfg.Dir, name), filepath.Join(dir, name))
	}
	return dir, early
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerifyDirFindsEveryEdit alters every file of a copied log in several places, and removes each.
func TestVerifyDirFindsEveryEdit(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 41, 300} {
		dir, early := copiedLog(t, size)
		var out bytes.Buffer
		if err := VerifyDirSince(dir, testPins(), early, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "leaves hash to the signed checkpoint") {
			t.Errorf("progress: %q", out.String())
		}
		files := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			good, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, at := range []int{0, 1, len(good) / 3, len(good) / 2, len(good) - 1} {
				bad := bytes.Clone(good)
				bad[at] ^= 1
				os.WriteFile(path, bad, 0o644)
				if VerifyDir(dir, testPins(), io.Discard) == nil {
					t.Errorf("size %d: byte %d of %s altered, and nothing noticed", size, at, path)
				}
			}
			os.WriteFile(path, good[:len(good)-1], 0o644)
			if VerifyDir(dir, testPins(), io.Discard) == nil {
				t.Errorf("size %d: %s cut, and nothing noticed", size, path)
			}
			os.WriteFile(path, append(bytes.Clone(good), 0), 0o644)
			if full := !strings.Contains(path, ".p/"); full && VerifyDir(dir, testPins(), io.Discard) == nil {
				t.Errorf("size %d: %s made longer, and nothing noticed", size, path)
			}
			return os.WriteFile(path, good, 0o644)
		})
		if err != nil || files < 3 {
			t.Fatalf("%d files, %v", files, err)
		}
		if err := VerifyDir(dir, testPins(), io.Discard); err != nil {
			t.Errorf("put right again: %v", err)
		}
	}
}

// TestVerifyDirSince shows that a rollback and a fork, signed by the log itself, are found beside an older checkpoint.
func TestVerifyDirSince(t *testing.T) {
	dir, early := copiedLog(t, 300)
	late, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	smaller, _ := copiedLog(t, 100) // a history of its own: fresh salts
	for name, c := range map[string]struct {
		dir   string
		older []byte
		want  string
	}{
		"rollback":           {smaller, late, "rollback"},
		"fork":               {dir, func() []byte { cp, _ := os.ReadFile(filepath.Join(smaller, "checkpoint")); return cp }(), "fork"},
		"not a checkpoint":   {dir, early[1:], "older checkpoint"},
		"of another log":     {dir, func() []byte { cp, _ := signCheckpoint(Head{Origin: "o"}, newTestSigner("o")); return cp }(), "another log"},
		"signature stripped": {dir, bytes.Replace(early, []byte("150"), []byte("151"), 1), "signature"},
	} {
		err := VerifyDirSince(c.dir, testPins(), c.older, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	pins := testPins()
	pins.Logs[0].VKey = newTestSigner("example.com/other").vkey(1)
	if err := VerifyDir(dir, pins, io.Discard); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("log not pinned: %v", err)
	}
}

// TestOpenRefuses alters a log's own folder: it does not build on what does not hash to its checkpoint.
func TestOpenRefuses(t *testing.T) {
	for name, alter := range map[string]func(dir string) error{
		"entry edited":       func(dir string) error { return flip(filepath.Join(dir, "tile/entries/000.p/5"), 40) },
		"tile edited":        func(dir string) error { return flip(filepath.Join(dir, "tile/0/000.p/5"), 70) },
		"checkpoint edited":  func(dir string) error { return flip(filepath.Join(dir, "checkpoint"), 40) },
		"checkpoint missing": func(dir string) error { return os.Remove(filepath.Join(dir, "checkpoint")) },
		"tile missing":       func(dir string) error { return os.Remove(filepath.Join(dir, "tile/0/000.p/5")) },
		"both lost": func(dir string) error {
			return os.Rename(filepath.Join(dir, "checkpoint"), filepath.Join(dir, "log.db"))
		},
	} {
		dir := t.TempDir()
		l, err := Open(testConfig(dir))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 5 {
			if _, err := l.Append(context.Background(), entry(n)); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		if err := alter(dir); err != nil {
			t.Fatal(err)
		}
		if l, err := Open(testConfig(dir)); err == nil {
			l.Close()
			t.Errorf("%s: opened", name)
		}
	}
	cfg := testConfig(t.TempDir())
	cfg.Origin = "example.com/other"
	if _, err := Open(cfg); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("origin that is not the signer's name: %v", err)
	}
}

func flip(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(path, data, 0o644)
}
