package bolt

import (
	"testing"

	"domicile"
	"domicile/store"
)

// What was read before all was forgotten, as when its account was erased, is not kept afterwards.
func TestSectionsForgotten(t *testing.T) {
	var c sections
	age := c.age()
	c.put(age, person, "before", []byte("text"))
	c.clear()
	c.put(age, person, "read before", []byte("text"))
	c.put(c.age(), person, "read after", []byte("text"))
	for owner, want := range map[string]bool{"before": false, "read before": false, "read after": true} {
		if _, ok := c.get(person, owner); ok != want {
			t.Errorf("%s: kept %v", owner, ok)
		}
	}
}

// So it is with the records of accounts; and what a caller changes in one is not changed in memory.
func TestAccountsForgotten(t *testing.T) {
	var o openedAccounts
	sealed, age := []byte("sealed"), o.age()
	o.put(age, person, sealed, store.Account{ID: person, AppPasswords: []store.AppPassword{{ID: "a"}}})
	for range 2 {
		a, ok := o.get(person, sealed)
		if !ok || a.AppPasswords[0].ID != "a" {
			t.Fatalf("kept %v: %+v", ok, a)
		}
		a.AppPasswords[0].ID = "changed"
	}
	o.forget(func(id domicile.AccountID) bool { return id == person })
	o.put(age, person, sealed, store.Account{ID: person})
	if _, ok := o.get(person, sealed); ok {
		t.Error("a record is kept that was read before its account was erased")
	}
}
