package bolt

import (
	"encoding/json"
	"slices"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
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

// And with those of mailboxes, which go with their account and no other.
func TestBoxesForgotten(t *testing.T) {
	r := storetest.New(t, open)
	s := r.Store.(*Store)
	for id, addr := range map[domicile.AccountID]domicile.Address{"a1": "ann@example.com", "a2": "bob@example.com"} {
		if err := r.CreateAccount(t.Context(), "", store.Account{ID: id, Address: addr}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Mailboxes(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.DeleteAccount(t.Context(), "a1"); err != nil {
		t.Fatal(err)
	}
	kept := map[domicile.AccountID]int{}
	for key := range s.boxes.recent {
		kept[key.acct]++
	}
	if len(kept) != 1 || kept["a2"] == 0 {
		t.Errorf("records of mailboxes are kept: %v", kept)
	}
}

// A token of an earlier release does not know what was before: it is as if others had changed all of it.
func TestFlaggedByAnEarlierRelease(t *testing.T) {
	var f flagged
	if err := json.Unmarshal([]byte(`{"Done":[{"ID":"m-1","UID":3,"ModSeq":7,"Internal":1,"Saved":1,"Size":1}],"Failed":null}`), &f); err != nil {
		t.Fatal(err)
	}
	if got := f.told(); len(got.Done) != 1 || !slices.Equal(got.Before, []store.ModSeq{7}) || got.From != 0 {
		t.Errorf("%+v", got)
	}
}
