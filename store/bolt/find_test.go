package bolt

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
	"domicile/store/storetest"
)

// An account that is not there is said to be so.
func TestFindNobody(t *testing.T) {
	r := storetest.New(t, open)
	if _, err := r.Find(t.Context(), "nobody", "b", store.InText, "", "x"); domicile.KindOf(err) != domicile.NotExist {
		t.Error(err)
	}
}

// A search is as exact where no index can be written, and where a part of it is damaged.
func TestFindWithoutIndex(t *testing.T) {
	var full atomic.Bool
	sealer := storetest.NewSealer("x")
	cfg := Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: sealer, step: func(name string, do func() error) error {
		if full.Load() && name == "write segment" {
			return errDisk
		}
		return do()
	}}
	s, err := still(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	s.stopIndexer()
	if err := s.CreateAccount(t.Context(), "", store.Account{ID: person, Address: "anna@example.com"}); err != nil {
		t.Fatal(err)
	}
	var want []store.UID
	for i := range scanMost + 10 {
		in, err := s.Incoming(t.Context(), person, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(in, "Subject: number %d\r\n\r\nthe text of %d words\r\n", i, i)
		m, err := in.Commit(t.Context(), "", store.Inbox, nil, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if i%100 == 7 {
			want = append(want, m.UID)
		}
	}
	wantFound := func(what string) {
		t.Helper()
		var got []store.UID
		for _, needle := range []string{"text of 7 ", "text of 107", "text of 207"} {
			uids, err := s.Find(t.Context(), person, s.inboxOf(person), store.InBody, "", needle)
			if err != nil {
				t.Fatal(what, err)
			}
			got = append(got, uids...)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	full.Store(true)
	wantFound("a full disk")
	full.Store(false)
	wantFound("with an index")
	frames := find(t, s, frameSearch)
	if len(frames) == 0 {
		t.Fatal("nothing was indexed")
	}
	s.Close()
	for _, f := range frames {
		flip(t, cfg.Dir, f.Place)
	}
	if s, err = still(cfg); err != nil {
		t.Fatal(err)
	}
	wantFound("a damaged index")
}

// A block that is replaced beside a check is nothing wrong.
func TestCheckBesideIndexer(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	r.MustDeliver(person, "INBOX", "Subject: x\r\n\r\ntext\r\n")
	if err := s.indexAccount(t.Context(), person, 1); err != nil {
		t.Fatal(err)
	}
	err := s.view(func(tx *txn) error {
		drop := func(tx *txn) error { return s.accountIn(tx, person).dropBlock(1) }
		if err := s.update(t.Context(), "", drop); err != nil {
			return err
		}
		c := newChecker(t.Context(), s)
		c.blocks(s.accountIn(tx, person))
		return errors.Join(c.wrong...)
	})
	if err != nil {
		t.Error(err)
	}
}

// The bytes of the search index are those of its frames, and none before there is one.
func TestSearchBytes(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	for range 10 {
		r.MustDeliver(person, "INBOX", "Subject: a\r\n\r\nsome words\r\n")
	}
	if n, err := s.SearchBytes(person); n != 0 || err != nil {
		t.Errorf("%d bytes before there is an index, %v", n, err)
	}
	if err := s.indexAccount(t.Context(), person, 1); err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	err := s.log.Scan(0, func(f segment.Frame) error {
		if f.Kind == frameSearch {
			want += segment.Bytes(len(f.Payload))
		}
		return nil
	})
	if n, failed := s.SearchBytes(person); err != nil || failed != nil || n != want || n == 0 {
		t.Errorf("%d bytes, want %d; %v, %v", n, want, err, failed)
	}
}
