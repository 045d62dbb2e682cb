package bolt

import (
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// A damaged record of an account keeps nobody from erasing it, nor the store from being opened.
func TestEraseDamaged(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")}
	s, err := still(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.CreateAccount(t.Context(), "", store.Account{ID: person, Address: "anna@example.com"}); err != nil {
		t.Fatal(err)
	}
	err = s.update(t.Context(), "", func(tx *txn) error {
		a := s.accountIn(tx, person)
		a.b.sub(bBodies).Put([]byte("m-damaged"), []byte("x"))
		a.b.sub(bChunks).Put([]byte("damaged"), []byte("x"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteAccount(t.Context(), person); err != nil {
		t.Error(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// What was expunged and is damaged goes when it is due, and keeps nothing else from going.
func TestPurgeDamaged(t *testing.T) {
	s, err := still(Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x"), Preserved: nobody})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.update(t.Context(), "", func(tx *txn) error {
		a, at := s.accountIn(tx, person), number(1)
		for _, id := range []domicile.MessageID{"m-lost", "m-damaged", "m-sound"} {
			a.b.sub(bExpunged).Put([]byte(id), at)
			tx.root(bDue).Put(dueKey(at, person, id), nil)
		}
		a.b.sub(bBodies).Put([]byte("m-damaged"), []byte("x"))
		a.putBody("m-sound", bodyRecord{})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.purgeDue(nil); err != nil {
		t.Error(err)
	}
	s.view(func(tx *txn) error {
		if a := s.accountIn(tx, person); !a.b.Empty() || !tx.root(bDue).Empty() {
			t.Error("something is left")
		}
		return nil
	})
}
