package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"reflect"
	"testing"

	"domicile/message"
	"domicile/store/storetest"
)

func TestPackSummary(t *testing.T) {
	if sum := sha256.Sum256([]byte(summaryWords)); hex.EncodeToString(sum[:4]) != "368c932f" {
		t.Error("the dictionary is another: give it another number than packedSummary, and keep the old one for what was packed with it")
	}
	sum := message.Parse([]byte("From: Anna <anna@example.com>\r\nTo: <bob@example.com>\r\nSubject: a letter\r\nMessage-ID: <1.2@example.com>\r\n\r\ntext\r\n")).Summarize()
	plain := sum.AppendBinary(nil)
	packed := packSummary(sum)
	if len(packed)*2 > len(plain) {
		t.Errorf("%d bytes of %d", len(packed), len(plain))
	}
	for name, b := range map[string][]byte{"packed": packed, "as an earlier release wrote it": plain} {
		if got, err := unpackSummary(b); err != nil || !reflect.DeepEqual(got, sum) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	large := binary.AppendUvarint([]byte{packedSummary}, message.MaxSummary+1)
	for name, b := range map[string][]byte{"nothing": nil, "no block": {packedSummary}, "cut off": packed[:len(packed)-1], "too large": large} {
		if got, err := unpackSummary(b); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A base has no summaries; an index made from it has them again once somebody lists the messages.
func TestBaseWithoutSummaries(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	for range 3 {
		r.MustDeliver(person, "INBOX", "Subject: a letter\r\n\r\ntext\r\n", "\\Seen")
	}
	s := r.Store.(*Store)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	bases, err := s.bases()
	if err != nil || len(bases) != 1 {
		t.Fatal(bases, err)
	}
	n := 0
	err = readBase(s.basePath(bases[0]), func(k, v []byte) error {
		if n++; ofSummary(k) {
			t.Errorf("%q is in it", k)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	if kept := summariesOf(t, s); kept != 3 {
		t.Fatalf("%d summaries in the index", kept)
	}
	s.Close()
	if err := os.Remove(s.path(indexFile)); err != nil {
		t.Fatal(err)
	}
	r.Reopen()
	s = r.Store.(*Store)
	if kept := summariesOf(t, s); kept != 0 {
		t.Fatalf("%d summaries came from a base that has none", kept)
	}
	all, err := s.Listing(t.Context(), person, s.inboxOf(person), 0, 10)
	if err != nil || len(all) != 3 || all[0].Summary == nil || all[0].Summary.BaseSubject() != "a letter" {
		t.Fatalf("%+v, %v", all, err)
	}
	if kept := summariesOf(t, s); kept != 3 {
		t.Errorf("%d summaries are kept", kept)
	}
	r.Check()
}

// summariesOf counts them, in all mailboxes.
func summariesOf(t *testing.T, s *Store) (n int) {
	err := s.view(func(tx *txn) error {
		walk := tx.scan(nil)
		for ok := walk.seek(nil); ok; ok = walk.next() {
			if ofSummary(walk.key) {
				n++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
