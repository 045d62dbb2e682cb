package bolt

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

func undeleteRig(t *testing.T) *storetest.Rig {
	return storetest.New(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, Undelete: 24 * time.Hour, Preserved: nobody})
	})
}

func nobody(domicile.AccountID) (bool, error) { return false, nil }

// TestStoreThatUndeletes is the whole suite for a store that keeps what was expunged.
func TestStoreThatUndeletes(t *testing.T) {
	storetest.Run(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, Undelete: time.Hour, Preserved: nobody})
	})
}

func expungeAll(t *testing.T, r *storetest.Rig, box string) {
	t.Helper()
	ctx, id := context.Background(), r.Box(person, box).ID
	var uids []store.UID
	for _, m := range r.List(person, box) {
		uids = append(uids, m.UID)
	}
	_, err := r.StoreFlags(ctx, "", person, id, uids, store.FlagsAdd, []string{store.Deleted}, 0)
	if err == nil {
		_, err = r.Expunge(ctx, "", person, id, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestUndelete(t *testing.T) {
	ctx := context.Background()
	r := undeleteRig(t)
	newPerson(r)
	one := r.MustDeliver(person, "INBOX", "Subject: one\r\n\r\n"+noise(3, 200_000), store.Seen)
	two := r.MustDeliver(person, "INBOX", "Subject: two\r\n\r\n")
	if _, _, _, err := r.Copy(ctx, "", person, r.Box(person, "INBOX").ID, []store.UID{two.UID}, "Archive"); err != nil {
		t.Fatal(err)
	}
	expungeAll(t, r, "INBOX")
	r.Reopen()
	all, err := r.Expunged(ctx, person)
	if err != nil || len(all) != 1 || all[0].ID != one.ID || all[0].Size != one.Size {
		t.Fatalf("expunged: %+v, %v", all, err)
	}
	if _, err := r.ReadBody(person, one.ID); domicile.KindOf(err) != domicile.NotExist {
		t.Fatal("an expunged message is read:", err)
	}
	for range 2 { // the second by the token
		made, err := r.Undelete(ctx, "t", person, []domicile.MessageID{one.ID}, "Archive")
		if err != nil || len(made) != 1 || made[0].ID != one.ID || store.HasFlag(made[0].Flags, store.Deleted) || !store.HasFlag(made[0].Flags, store.Seen) {
			t.Fatalf("%+v, %v", made, err)
		}
	}
	if body, err := r.ReadBody(person, one.ID); err != nil || int64(len(body)) != one.Size || len(r.List(person, "Archive")) != 2 {
		t.Fatal(len(body), err)
	}
	if _, err := r.Undelete(ctx, "", person, []domicile.MessageID{one.ID}, "Archive"); domicile.KindOf(err) != domicile.NotExist {
		t.Fatal("undeleted twice:", err)
	}
	if uids, err := r.Find(ctx, person, r.Box(person, "Archive").ID, store.InHeader, "Subject", "one"); err != nil || len(uids) != 1 {
		t.Fatal("it is not found again:", uids, err)
	}

	// Past its time it is gone, and its bytes are reclaimed.
	expungeAll(t, r, "Archive")
	r.Pass(23 * time.Hour)
	s := r.Store.(*Store)
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Expunged(ctx, person); err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	r.Check()
	r.Pass(2 * time.Hour)
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Expunged(ctx, person); err != nil || len(all) != 0 || alive(t, s) != 0 {
		t.Fatalf("%+v, %d bytes, %v", all, alive(t, s), err)
	}
}

// What was expunged does not count against the quota, and comes back only if there is room; a purge and the end of the account leave nothing.
func TestUndeleteQuotaAndPurge(t *testing.T) {
	ctx := context.Background()
	r := undeleteRig(t)
	newPerson(r)
	if err := r.UpdateAccount(ctx, person, func(a *store.Account) error { a.Quota = 1000; return nil }); err != nil {
		t.Fatal(err)
	}
	one := r.MustDeliver(person, "INBOX", noise(1, 900))
	expungeAll(t, r, "INBOX")
	r.MustDeliver(person, "INBOX", noise(2, 900))
	if _, err := r.Undelete(ctx, "", person, []domicile.MessageID{one.ID}, "INBOX"); !errors.Is(err, store.ErrOverQuota) {
		t.Fatal("over the quota:", err)
	}
	expungeAll(t, r, "INBOX")
	r.Check()
	if err := r.Purge(ctx, person); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Expunged(ctx, person); err != nil || len(all) != 0 || alive(t, r.Store.(*Store)) != 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	r.MustDeliver(person, "INBOX", noise(4, 900))
	expungeAll(t, r, "INBOX")
	if err := r.DeleteAccount(ctx, person); err != nil {
		t.Fatal(err)
	}
	r.Check()
	r.Pass(48 * time.Hour)
	if err := r.Store.(*Store).Compact(ctx); err != nil {
		t.Fatal(err)
	}
}

// To undelete nothing changes nothing.
func TestUndeleteNothing(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	before := r.Box(person, store.Inbox).HighestModSeq
	if _, err := r.Store.(*Store).Undelete(t.Context(), "", person, nil, store.Inbox); err != nil {
		t.Fatal(err)
	}
	if after := r.Box(person, store.Inbox).HighestModSeq; after != before {
		t.Errorf("HIGHESTMODSEQ went from %d to %d", before, after)
	}
}

// What is due stays while its account is preserved, or while nobody can say, and goes when that is over. That of others goes meanwhile.
func TestDueIsPreserved(t *testing.T) {
	ctx := context.Background()
	var is atomic.Value
	is.Store("unknown")
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, Undelete: time.Hour, Preserved: func(id domicile.AccountID) (bool, error) {
			if is.Load() == "unknown" {
				return false, errDisk
			}
			return id == person && is.Load() == "preserved", nil
		}})
	})
	newPerson(r)
	other := r.Person("other")
	for _, who := range []domicile.AccountID{person, other} { // more than one page of them, those of the one before those of the other
		for range 600 {
			r.MustDeliver(who, "INBOX", "x", store.Deleted)
		}
		if _, err := r.Expunge(ctx, "", who, r.Box(who, "INBOX").ID, nil); err != nil {
			t.Fatal(err)
		}
		r.Pass(time.Minute)
	}
	r.Pass(2 * time.Hour)
	for _, step := range []struct {
		is         string
		mine, also int
	}{{"unknown", 600, 600}, {"preserved", 600, 0}, {"preserved", 600, 0}, {"free", 0, 0}} {
		is.Store(step.is)
		if err := r.Store.(*Store).Compact(ctx); err != nil {
			t.Fatal(step.is, err)
		}
		mine, err1 := r.Expunged(ctx, person)
		also, err2 := r.Expunged(ctx, other)
		if len(mine) != step.mine || len(also) != step.also || err1 != nil || err2 != nil {
			t.Fatalf("%s: %d and %d can be undeleted, %v, %v", step.is, len(mine), len(also), err1, err2)
		}
		r.Check()
		if step.is != "free" {
			if err := r.Purge(ctx, person); step.is == "unknown" && !errors.Is(err, errDisk) || step.is == "preserved" && domicile.ReasonOf(err) != domicile.ResidenceFrozen {
				t.Fatal(step.is, err)
			}
		}
	}
	s := r.Store.(*Store)
	s.cfg.Preserved = nil
	r.MustDeliver(person, "INBOX", "x", store.Deleted)
	expungeAll(t, r, "INBOX")
	r.Pass(2 * time.Hour)
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Expunged(ctx, person); len(all) != 1 || err != nil {
		t.Fatal("a store that knows of no cases removes:", all, err)
	}
}

// A run that removes what is due asks again as it goes on: what comes to be preserved meanwhile stays.
func TestPreservedMeanwhile(t *testing.T) {
	var asked atomic.Int64
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, Undelete: time.Hour, Preserved: func(domicile.AccountID) (bool, error) {
			return asked.Add(1) > 1, nil
		}})
	})
	newPerson(r)
	for range 1010 { // more than are removed in an act
		r.MustDeliver(person, "INBOX", "x", store.Deleted)
	}
	expungeAll(t, r, "INBOX")
	r.Pass(2 * time.Hour)
	if err := r.Store.(*Store).Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Expunged(t.Context(), person); err != nil || len(all) != 10 {
		t.Fatalf("%d can be undeleted, %v", len(all), err)
	}
}
