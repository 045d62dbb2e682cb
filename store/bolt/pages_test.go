package bolt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"domicile/store"
	"domicile/store/storetest"
)

// Whatever page of bbolt's file is damaged: calls fail that need it, the process does not, and where the log's changes do not get in the index is made anew.
func TestDamagedPages(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")}
	s, err := still(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateAccount(t.Context(), "", store.Account{ID: person, Address: "anna@example.com"}); err != nil {
		t.Fatal(err)
	}
	put := func(s *Store, n int) error {
		table, err := s.Table("t")
		for i := range n {
			if err == nil {
				err = table.Put(fmt.Sprint(i), bytes.Repeat([]byte("x"), 1000))
			}
		}
		return err
	}
	if err := put(s, 20); err != nil {
		t.Fatal(err)
	}
	s.flushIndex()
	clean := copyOf(t, cfg.Dir) // as after a kill: what the next part writes is in the log alone
	if err := put(s, 20); err != nil {
		t.Fatal(err)
	}
	s.Close()
	index, err := os.ReadFile(filepath.Join(clean, indexFile))
	if err != nil {
		t.Fatal(err)
	}
	segments := filepath.Join(segmentsDir, "00000001.seg")
	log, err := os.ReadFile(filepath.Join(cfg.Dir, segments))
	if err != nil {
		t.Fatal(err)
	}
	page, anew := os.Getpagesize(), 0
	for k := range 2 * (min(12, len(index)/page) - 2) { // of zeroes, and of 0xff, which says that four billion pages follow
		n, fill := 2+k/2, []byte{0, 0xff}[k%2]
		dir := copyOf(t, clean)
		bad := bytes.Clone(index)
		copy(bad[n*page:], bytes.Repeat([]byte{fill}, page))
		if err := os.WriteFile(filepath.Join(dir, indexFile), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, segments), log, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg.Dir = dir
		s, err := still(cfg)
		if err != nil {
			t.Errorf("page %d: %v", n, err)
			continue
		}
		if _, err := os.Stat(s.path(indexFile) + ".damaged"); err == nil {
			anew++
			if err := s.Check(t.Context()); err != nil {
				t.Errorf("page %d: %v", n, err)
			}
		}
		checked := make(chan error, 1)
		go func() { checked <- s.Check(t.Context()) }()
		within(t, checked, fmt.Sprintf("page %d of %x: a check that does not end", n, fill))
		s.Mailboxes(t.Context(), person)
		s.Accounts(t.Context(), "", store.MaxPage)
		s.Compact(t.Context())
		put(s, 1)
		s.Check(t.Context())
		s.Close()
	}
	if anew == 0 {
		t.Error("no index was made anew")
	}
}

// A page that says that four billion others follow it does not keep a check busy: the one that bbolt's own check would believe is its list of free pages.
func TestCheckEnds(t *testing.T) {
	s, err := still(Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.flushIndex() // and nothing else comes
	at := int64(0)
	err = s.index.db.View(func(tx *bbolt.Tx) error {
		for id := 0; at == 0; id++ {
			p, err := tx.Page(id)
			if err != nil || p == nil {
				return fmt.Errorf("no list of free pages: %w", err)
			}
			if p.Type == "freelist" {
				at = int64(id * tx.DB().Info().PageSize)
			}
		}
		return nil
	})
	f, err2 := os.OpenFile(s.path(indexFile), os.O_RDWR, 0)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	defer f.Close()
	header := make([]byte, 16)
	if _, err := f.ReadAt(header, at); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 4), at+12); err != nil {
		t.Fatal(err)
	}
	checked := make(chan error, 1)
	go func() { checked <- s.Check(t.Context()) }()
	if err := within(t, checked, "it does not end"); err == nil || !strings.Contains(err.Error(), "its header is damaged") {
		t.Error(err)
	}
	if _, err := f.WriteAt(header, at); err != nil {
		t.Error(err)
	}
}
