package bolt

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// openCounter counts records that are opened.
type openCounter struct {
	*storetest.Sealer
	n atomic.Int64
}

func (o *openCounter) OpenRecord(id domicile.AccountID, sealed, associated []byte) ([]byte, error) {
	o.n.Add(1)
	return o.Sealer.OpenRecord(id, sealed, associated)
}

// Of an account's annotations those are opened that changed, whatever else it has.
func TestAnnotatedOpensWhatChanged(t *testing.T) {
	sealer := &openCounter{Sealer: storetest.NewSealer("annotated")}
	s, err := Open(Config{Dir: t.TempDir(), Region: "eu-ireland", Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.CreateAccount(t.Context(), "", store.Account{ID: person, Address: "p@example.com"}); err != nil {
		t.Fatal(err)
	}
	annotate := func(set ...store.Annotation) uint64 {
		t.Helper()
		n, err := s.Annotate(t.Context(), "", person, s.inboxOf(person), set)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var set []store.Annotation
	for n := range 15 {
		set = append(set, store.Annotation{Entry: fmt.Sprint("/private/", n), Value: []byte(strings.Repeat("x", store.MaxAnnotation))})
	}
	since := annotate(set...)
	annotate(store.Annotation{Entry: "/private/3", Value: []byte("y")})
	annotate(store.Annotation{Entry: "/private/4"})
	sealer.n.Store(0)
	changed, all, err := s.Annotated(t.Context(), person, since)
	if err != nil || changed != since+2 || len(all) != 14 {
		t.Fatal(changed, len(all), err)
	}
	if n := sealer.n.Load(); n != 1 {
		t.Errorf("%d records were opened", n)
	}
}
