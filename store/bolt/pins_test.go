package bolt

import (
	"io"
	"testing"

	"domicile"
	"domicile/store/segment"
)

// Who reads a long message comes to its end, though it is expunged and compaction runs meanwhile; then its segments go.
func TestBodyOutlivesExpunge(t *testing.T) {
	r, s := smallRig(t)
	text := noise(7, 3<<20)
	m := r.MustDeliver(person, "INBOX", text)
	r.MustDeliver(person, "INBOX", "in a later segment")
	b, err := s.Body(t.Context(), person, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, 1)
	if _, err := io.ReadFull(b, begin); err != nil {
		t.Fatal(err)
	}
	expunge(t, r, person, m.UID)
	compact(t, s)
	rest, err := io.ReadAll(b)
	if err != nil || string(begin)+string(rest) != text {
		t.Errorf("%d bytes of %d, %v", 1+len(rest), len(text), err)
	}
	b.Close()
	compact(t, s)
	if n := logBytes(t, s); n > 2<<20 {
		t.Errorf("%d bytes are left", n)
	}
	if _, err := s.log.Read(segment.Place{Segment: 1, Offset: 100, Length: 1}); domicile.KindOf(err) != domicile.NotExist {
		t.Error("the first segment is still there:", err)
	}
}
