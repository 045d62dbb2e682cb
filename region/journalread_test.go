package region

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestReadJournal reads what was written, in order; leaves out a record that is not whole yet and changes nothing; and finds
// each altered byte.
func TestReadJournal(t *testing.T) {
	dir := t.TempDir()
	j, err := OpenJournal(dir, testSealer{}, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"p1", "p2", "p3"} {
		if err := j.write(Record{Type: recOpen, ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	read := func() error {
		ids = nil
		return ReadJournal(dir, testSealer{}, func(r Record) error { ids = append(ids, r.ID); return nil })
	}
	if err := read(); err != nil || len(ids) != 3 || ids[0] != "p1" || ids[2] != "p3" { // while it is open
		t.Errorf("%v, %v", ids, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName(1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := whole[:len(whole)-5]
	for name, c := range map[string]struct {
		text []byte
		ids  int
	}{"a record that is being written": {cut, 2}, "a file that is being made": {whole[:10], 0}} {
		if err := os.WriteFile(path, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := read(); err != nil || len(ids) != c.ids {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, c.text) {
			t.Errorf("%s: reading changed the file (%v)", name, err)
		}
	}
	for at := 0; at < journalHeader; at++ {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := read(); err == nil && len(ids) == 3 {
			t.Errorf("byte %d was altered, and all was read", at)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	if err := ReadJournal(dir, testSealer{}, func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the visitor's error came back as %v", err)
	}
}
