package bolt

import (
	"strings"
	"testing"

	"domicile/store"
	"domicile/store/segment"
	"domicile/store/storetest"
)

// What was written before its act is not reclaimed until the act names it, however much is compacted in between.
func TestWrittenAheadStays(t *testing.T) {
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, SegmentSize: 64 << 10})
	})
	newPerson(r)
	s := r.Store.(*Store)
	bodies := []string{noise(1, 20_000), noise(2, 20_000), noise(3, 20_000)}
	letters := r.Letters(person, bodies...)
	all, err := s.ready(person, letters)
	if err == nil {
		err = s.writeAhead(t.Context(), all)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all {
		if ahead := r.at != (segment.Place{}); ahead != (i < 2) {
			t.Fatalf("message %d written ahead: %v", i, ahead)
		}
	}
	for range 10 {
		r.MustDeliver(person, "INBOX", noise(4, 30_000), store.Deleted)
	}
	first := all[0].at.Segment
	if _, err := s.Expunge(t.Context(), "", person, r.Box(person, "INBOX").ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := s.log.List(); list[0].Number != first || len(list) == int(list[len(list)-1].Number) {
		t.Fatalf("compaction removed what is pinned, or nothing: %v", list)
	}
	err = s.update(t.Context(), person, func(tx *txn) error {
		a, err := s.served(tx, person)
		if err == nil {
			_, err = a.commit("INBOX", all, nil)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		l.Bytes.Abort()
	}
	for i, m := range r.List(person, "INBOX") {
		if body, err := r.ReadBody(person, m.ID); err != nil || body != bodies[i] {
			t.Errorf("body %d: %v", i, err)
		}
	}
}

// A token that an earlier release wrote of a delivery has no UIDVALIDITY, and its message all the same.
func TestTokenOfEarlierRelease(t *testing.T) {
	r, _ := crashRig(t, 0)
	newPerson(r)
	s := r.Store.(*Store)
	err := s.update(t.Context(), person, func(tx *txn) error {
		a, err := s.served(tx, person)
		if err == nil {
			err = a.remember("old", actDeliver, messageRecord{ID: "m-old", UID: 7, ModSeq: 9, Size: 3, Flags: []string{"key"}})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	letters := r.Letters(person, "again")
	letters[0].Token = "old"
	validity, made, err := r.Commit(t.Context(), "", person, "INBOX", letters, nil)
	if err != nil || validity != 0 || len(made) != 1 || made[0].ID != "m-old" || made[0].UID != 7 || strings.Join(made[0].Flags, " ") != "key" {
		t.Errorf("%d, %v, %v", validity, made, err)
	}
}
