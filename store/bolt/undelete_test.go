package bolt

import (
	"context"
	"errors"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

func undeleteRig(t *testing.T) *storetest.Rig {
	return storetest.New(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, Undelete: 24 * time.Hour})
	})
}

// TestStoreThatUndeletes is the whole suite for a store that keeps what was expunged.
func TestStoreThatUndeletes(t *testing.T) {
	storetest.Run(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, Undelete: time.Hour})
	})
}

func expungeAll(t *testing.T, r *storetest.Rig, box string) {
	t.Helper()
	ctx, id := context.Background(), r.Box(person, box).ID
	var uids []store.UID
	for _, m := range r.List(person, box) {
		uids = append(uids, m.UID)
	}
	_, _, err := r.StoreFlags(ctx, "", person, id, uids, store.FlagsAdd, []string{store.Deleted}, 0)
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
	if _, _, err := r.Copy(ctx, "", person, r.Box(person, "INBOX").ID, []store.UID{two.UID}, "Archive"); err != nil {
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
