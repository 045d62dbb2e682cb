package bolt

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile/store"
	"domicile/store/storetest"
)

// blocked is a store with three search blocks, of which what the function picks is damaged on disk, and which was opened anew.
func blocked(t *testing.T, pick func(blocks int) []uint64) *Store {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x"), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	s, err := still(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateAccount(t.Context(), "", store.Account{ID: person, Address: "anna@example.com"}); err != nil {
		t.Fatal(err)
	}
	r := &storetest.Rig{Store: s, T: t}
	for i := range 3 * indexLeast {
		r.MustDeliver(person, "INBOX", fmt.Sprintf("Subject: x\r\n\r\nword%d of all\r\n", i))
		if (i+1)%indexLeast == 0 {
			if err := s.indexAccount(t.Context(), person, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if all := s.finished(t); len(all) != 3 {
		t.Fatalf("blocks %v", all)
	}
	frames := find(t, s, frameSearch)
	s.Close()
	for _, f := range frames {
		if h, _, err := parseFrame(f.Payload); err == nil && slices.Contains(pick(3), readNumber([]byte(h.owner[:8]))) {
			flip(t, cfg.Dir, f.Place)
		}
	}
	if s, err = still(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// finished are the numbers of the blocks that are finished, and those of them that are damaged.
func (s *Store) finished(t *testing.T) (all []uint64) {
	t.Helper()
	err := s.view(func(tx *txn) error {
		infos, err := s.accountIn(tx, person).blocks(false)
		for _, b := range infos {
			all = append(all, b.n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *Store) wantBlocksWhole(t *testing.T) {
	t.Helper()
	docs := 0
	for _, n := range s.finished(t) {
		b, err := s.openBlock(person, n)
		if err == nil {
			err = s.readBlock(person, n)
		}
		if err != nil {
			t.Fatal(err)
		}
		docs += b.Len()
	}
	if left, err := s.unfound(person, 1); err != nil || len(left) > 0 || docs != 3*indexLeast {
		t.Errorf("%d messages are indexed, some not yet: %v, %v", docs, left, err)
	}
}

// A search that meets a damaged block is right all the same, and has it made anew in the background.
func TestDamagedBlockMadeAnew(t *testing.T) {
	for name, pick := range map[string]func(int) []uint64{
		"one": func(int) []uint64 { return []uint64{2} },
		"all": func(int) []uint64 { return []uint64{1, 2, 3} },
	} {
		t.Run(name, func(t *testing.T) {
			s := blocked(t, pick)
			wantOne := func() {
				t.Helper()
				if uids, err := s.Find(t.Context(), person, s.inboxOf(person), store.InBody, "", "word70 "); err != nil || !slices.Equal(uids, []store.UID{71}) {
					t.Errorf("%v, %v", uids, err)
				}
			}
			wantOne()
			gone := func() bool {
				all := s.finished(t)
				return !slices.ContainsFunc(pick(3), func(n uint64) bool { return slices.Contains(all, n) })
			}
			for end := time.Now().Add(2 * time.Minute); !gone() || len(s.mustUnfound(t)) > 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("blocks %v, and %d messages that are in none", s.finished(t), len(s.mustUnfound(t)))
				}
			}
			s.wantBlocksWhole(t)
			wantOne()
		})
	}
}

func (s *Store) mustUnfound(t *testing.T) []string {
	t.Helper()
	ids, err := s.unfound(person, 1000)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// Repair has damaged blocks made anew, says so, and finds nothing the second time.
func TestRepairBlocks(t *testing.T) {
	s := blocked(t, func(int) []uint64 { return []uint64{1, 3} })
	mended, err := s.Repair(t.Context())
	if err != nil || len(mended) != 2 || !strings.Contains(mended[0]+mended[1], "search block 3") {
		t.Fatalf("%q, %v", mended, err)
	}
	s.wantBlocksWhole(t)
	if mended, err := s.Repair(t.Context()); err != nil || len(mended) > 0 {
		t.Errorf("the second time: %q, %v", mended, err)
	}
}
