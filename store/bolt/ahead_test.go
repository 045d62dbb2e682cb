package bolt

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// A panic where a body is read ahead, on a goroutine of the store, is the error of that body: the others come, and the process goes on.
func TestBodiesPanic(t *testing.T) {
	panics := &panicSealer{}
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		panics.Sealer = at.Sealer
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: panics, Now: at.Now})
	})
	newPerson(r)
	var ids []domicile.MessageID
	for range 2*readRun + 1 {
		ids = append(ids, r.MustDeliver(person, "INBOX", "text").ID)
	}
	bad := 3
	panics.over.Store(&ids[bad])
	n := 0
	for body, err := range r.Bodies(t.Context(), person, ids) {
		var text []byte
		if err == nil {
			text, err = io.ReadAll(body)
		}
		if n == bad && (err == nil || domicile.KindOf(err) != domicile.Other) || n != bad && (err != nil || string(text) != "text") {
			t.Errorf("body %d: %q, %v", n, text, err)
		}
		n++
	}
	if n != len(ids) {
		t.Errorf("%d of %d bodies", n, len(ids))
	}
	panics.over.Store(nil)
}

// panicSealer panics over what is bound to one message's name.
type panicSealer struct {
	store.Sealer
	over atomic.Pointer[domicile.MessageID]
}

func (s *panicSealer) OpenRecord(acct domicile.AccountID, sealed, associated []byte) ([]byte, error) {
	if id := s.over.Load(); id != nil && bytes.Contains(associated, []byte(*id)) {
		panic("a test")
	}
	return s.Sealer.OpenRecord(acct, sealed, associated)
}
