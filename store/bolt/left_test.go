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

// leftIn is how many leftovers an account has.
func leftIn(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.view(func(tx *txn) error {
		return s.accountIn(tx, person).eachLeft(func(leftover) error { n++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A large mailbox that is deleted is gone at once, for every reader, and its name is free. What it leaves is sound, and goes; behind a crash too.
func TestDeleteLargeMailbox(t *testing.T) {
	r, _ := largeRig(t)
	s := r.Store.(*Store)
	ctx, inbox := t.Context(), s.inboxOf(person)
	if err := s.RenameMailbox(ctx, "", person, "INBOX", "Many"); err != nil {
		t.Fatal(err)
	}
	many := r.Box(person, "Many")
	kept := r.MustDeliver(person, "INBOX", "kept")
	if err := s.DeleteMailbox(ctx, "gone", person, "Many"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.MailboxByName(ctx, person, "Many"); domicile.KindOf(err) != domicile.NotExist {
		t.Fatal("it is there by name:", err)
	}
	if _, err := s.Messages(ctx, person, many.ID, 0, 10); domicile.KindOf(err) != domicile.NotExist {
		t.Fatal("it is there by id:", err)
	}
	again, err := s.CreateMailbox(ctx, "", person, "Many", "")
	if err != nil || again.ID == many.ID || again.UIDValidity <= many.UIDValidity {
		t.Fatalf("%+v, %v", again, err)
	}
	boxes, err := s.Mailboxes(ctx, person)
	if err != nil || len(boxes) != 7 || leftIn(t, s) != 1 {
		t.Fatalf("%d mailboxes, %d leftovers, %v", len(boxes), leftIn(t, s), err)
	}
	r.Check()
	if mended, err := s.Repair(ctx); err != nil || len(mended) > 0 {
		t.Fatalf("it mended %q, %v", mended, err)
	}
	if used, _ := s.Used(ctx, person); used < 100 {
		t.Fatal("its bodies have gone before the sweeper came:", used)
	}
	r.Reopen() // knows of it still
	s = r.Store.(*Store)
	if err := s.settle(ctx, person); err != nil {
		t.Fatal(err)
	}
	if used, err := s.Used(ctx, person); used != kept.Size || leftIn(t, s) > 0 || err != nil {
		t.Fatalf("%d bytes are used, %d leftovers, %v", used, leftIn(t, s), err)
	}
	err = s.view(func(tx *txn) error {
		a := s.accountIn(tx, person)
		if n := a.rows(inbox).sub(bMessages).count() + a.rows(many.ID).sub(bMessages).count() + a.rows(inbox).sub(bChanges).count(); n > 0 {
			t.Errorf("%d rows are left", n)
		}
		return nil
	})
	if list := r.List(person, "INBOX"); err != nil || len(list) != 1 || list[0].ID != kept.ID {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := s.DeleteMailbox(ctx, "gone", person, "Many"); err != nil || r.Box(person, "Many").ID != again.ID {
		t.Fatal("the token of the deletion deletes again", err)
	}
	r.Check()
}

// Each step of a deletion and of what follows it fails, before and after it was done. The mailbox is there whole, or is gone and leaves nothing.
func TestCrashInDeleteLargeMailbox(t *testing.T) {
	r, d := largeRig(t)
	s := r.Store.(*Store)
	ctx := t.Context()
	if err := s.RenameMailbox(ctx, "", person, "INBOX", "Many"); err != nil {
		t.Fatal(err)
	}
	s.flushIndex()
	start := copyOf(t, r.At.Dir)
	for nth, hit := 0, true; hit; nth++ {
		for _, after := range []bool{false, true} {
			cfg := s.cfg
			cfg.Dir = copyOf(t, start)
			try, err := still(cfg)
			if err != nil {
				t.Fatal(err)
			}
			d.arm(nth, after)
			err = errors.Join(try.DeleteMailbox(ctx, "", person, "Many"), try.settle(context.Background(), person))
			d.disarm()
			if _, hit = d.result(); !hit && err != nil {
				t.Fatal(err)
			}
			try.Close()
			cfg.step = nil
			if try, err = still(cfg); err != nil {
				t.Fatal(err)
			}
			tr := &storetest.Rig{Store: try, T: t, At: r.At}
			if err := try.settle(ctx, person); err != nil {
				t.Fatal(err)
			}
			_, gone := try.MailboxByName(ctx, person, "Many")
			used, _ := try.Used(ctx, person)
			if (gone == nil) != (used > 0) || gone == nil && len(tr.List(person, "Many")) != large || !hit && gone == nil {
				t.Fatalf("step %d: %v, %d bytes are used", nth, gone, used)
			}
			tr.Check()
			try.Close()
		}
	}
}

// What a deleted mailbox leaves can be undeleted when the sweeper has come to it, and nothing of it when Purge has returned. An account moves without it.
func TestDeleteLargeThenPurgeThenMove(t *testing.T) {
	r, _ := largeRig(t)
	s := r.Store.(*Store)
	s.cfg.Undelete = time.Hour
	ctx := t.Context()
	rename := func() {
		t.Helper()
		if err := errors.Join(s.RenameMailbox(ctx, "", person, "INBOX", "Many"), s.DeleteMailbox(ctx, "", person, "Many")); err != nil {
			t.Fatal(err)
		}
	}
	rename()
	if err := s.Purge(ctx, person); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Expunged(ctx, person); err != nil || len(left) > 0 || leftIn(t, s) > 0 {
		t.Fatalf("%d messages can be undeleted, %v", len(left), err)
	}
	r.Check()
	one := r.MustDeliver(person, "INBOX", "one of many")
	for n := 1; n < large; n *= 2 {
		if _, _, _, err := s.Copy(ctx, "", person, s.inboxOf(person), uidsTo(large + n)[large:], "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	rename()
	if err := s.UpdateAccount(ctx, person, func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		t.Fatal(err)
	}
	if n := leftIn(t, s); n > 0 {
		t.Fatal("it moves with leftovers:", n)
	}
	if err := s.UpdateAccount(ctx, person, func(a *store.Account) error { a.State = store.Active; return nil }); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Expunged(ctx, person); err != nil || len(left) != 1 || left[0].ID != one.ID {
		t.Fatalf("%+v can be undeleted, %v", left, err)
	}
	r.Check()
}

// A store that is opened by who knows of no cases, as to check it, leaves what a deleted mailbox left to one who does: it can be undeleted then.
func TestLeftBehindACheck(t *testing.T) {
	r, _ := largeRig(t)
	s, ctx := r.Store.(*Store), t.Context()
	want, err := s.Used(ctx, person)
	if err = errors.Join(err, s.RenameMailbox(ctx, "", person, "INBOX", "Many"), s.DeleteMailbox(ctx, "", person, "Many"), s.Close()); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: r.At.Dir, Region: r.At.Region, Sealer: r.At.Sealer, Now: r.At.Now}
	check, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if mended, err := check.Repair(ctx); err != nil || len(mended) > 0 || check.sweeper != nil {
		t.Fatalf("it mended %q, %v; it removes what is left: %v", mended, err, check.sweeper != nil)
	}
	if err := errors.Join(check.Check(ctx), check.Close()); err != nil {
		t.Fatal(err)
	}
	cfg.Undelete, cfg.Preserved = time.Hour, nobody
	s, err = Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	for by := time.Now().Add(time.Minute); leftIn(t, s) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatal("nobody removes what is left")
		}
	}
	all, err := s.Expunged(ctx, person)
	for _, m := range all {
		want -= m.Size
	}
	if err != nil || want != 0 {
		t.Fatalf("%d messages can be undeleted, %d bytes cannot, %v", len(all), want, err)
	}
	r.Check()
}

// watched is a sealer that tells of each record that it seals, and opens none that it may not.
type watched struct {
	store.Sealer
	seals func()
	opens func() error
}

func (w watched) SealRecord(id domicile.AccountID, plain, associated []byte) ([]byte, error) {
	if w.seals != nil {
		w.seals()
	}
	return w.Sealer.SealRecord(id, plain, associated)
}

func (w watched) OpenRecord(id domicile.AccountID, sealed, associated []byte) ([]byte, error) {
	if w.opens != nil && id != "" {
		if err := w.opens(); err != nil {
			return nil, err
		}
	}
	return w.Sealer.OpenRecord(id, sealed, associated)
}

// No large copy can begin between the removal of what is left and the act by which an account goes on its way.
func TestMovingKeepsCopiesAway(t *testing.T) {
	var s *Store
	var held, watching atomic.Bool
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		opened, err := Open(Config{Dir: at.Dir, Region: at.Region, Sealer: watched{Sealer: at.Sealer, seals: func() {
			if watching.Load() {
				held.Store(len(s.large) == 1)
			}
		}}, Now: at.Now})
		s = opened
		return s, err
	})
	newPerson(r)
	watching.Store(true)
	err := s.UpdateAccount(t.Context(), person, func(a *store.Account) error { a.State = store.Moving; return nil })
	watching.Store(false)
	if err != nil || !held.Load() {
		t.Fatalf("copies are kept away: %v, %v", held.Load(), err)
	}
}

// What keeps the index from taking more is said of a removal as of any other act: nothing was done, try again.
func TestSweepOfStuckIndex(t *testing.T) {
	r, _ := largeRig(t)
	s, ctx := r.Store.(*Store), t.Context()
	if err := errors.Join(s.RenameMailbox(ctx, "", person, "INBOX", "Many"), s.DeleteMailbox(ctx, "", person, "Many")); err != nil {
		t.Fatal(err)
	}
	s.flushIndex()
	stuck := func(err error) {
		s.index.mu.Lock()
		defer s.index.mu.Unlock()
		s.index.waiting = err
	}
	stuck(errDisk)
	err := s.settle(ctx, person)
	stuck(nil)
	if domicile.KindOf(err) != domicile.Unavailable || !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if err := s.settle(ctx, person); err != nil {
		t.Fatal(err)
	}
}

// What is left of one account and cannot be read keeps no other from being mended.
func TestRepairBesideUnreadableLeft(t *testing.T) {
	s, r := plainStore(t)
	newOther := r.Person("other")
	r.MustDeliver(person, "INBOX", "x")
	r.MustDeliver(newOther, "INBOX", "y")
	edit(t, s, func(m *mailbox) {
		m.leave(leftover{m.id, m.id})
		m.rows.sub(bMessages).Put(uidKey(1), []byte("x"))
		m.b.Put(kCounters, []byte("x"))
		s.accountIn(m.b.tx, newOther).b.Put(kUsage, number(99))
	})
	if _, err := s.Repair(t.Context()); err != nil {
		t.Fatal(err)
	}
	if used, err := s.Used(t.Context(), newOther); used != 1 || err != nil {
		t.Fatalf("%d bytes are used, %v", used, err)
	}
}

// While the key of an account cannot be read nothing that is left of it goes: not all its rows are damaged. Nor does the sweeper try for ever if there is none.
func TestSweepWithoutKey(t *testing.T) {
	var broken atomic.Pointer[error] // the indexer asks too
	broken.Store(new(error))
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Now: at.Now, Sealer: watched{Sealer: at.Sealer, opens: func() error { return *broken.Load() }}})
	})
	newPerson(r)
	s, ctx := r.Store.(*Store), t.Context()
	r.MustDeliver(person, "Archive", "x")
	box := r.Box(person, "Archive").ID
	edit(t, s, func(m *mailbox) { m.leave(leftover{rows: box}) })
	gone := domicile.E("open", domicile.NotExist, "no key")
	for _, why := range []error{errDisk, gone} {
		broken.Store(&why)
		if err := s.settle(ctx, person); !errors.Is(err, why) {
			t.Fatal(err)
		}
		if err := s.sweep(ctx); why == gone && err != nil || why != gone && !errors.Is(err, why) {
			t.Fatal(err)
		}
	}
	broken.Store(new(error))
	if used, err := s.Used(ctx, person); used != 1 || err != nil || leftIn(t, s) != 1 {
		t.Fatalf("%d bytes are used, %d leftovers, %v", used, leftIn(t, s), err)
	}
	edit(t, s, func(m *mailbox) { m.left().Delete([]byte(box)) })
}

// A damaged row that a copy left takes with it what the list of changes says of it.
func TestSweepDamagedRow(t *testing.T) {
	r, _, l := laidRig(t, "Archive")
	s := r.Store.(*Store)
	<-s.large
	err := s.update(t.Context(), "", func(tx *txn) error {
		m, err := s.accountIn(tx, person).mailbox(l.to)
		if err == nil {
			m.rows.sub(bMessages).Put(uidKey(l.rows.First), []byte("x"))
		}
		return err
	})
	if err = errors.Join(err, s.settle(t.Context(), person)); err != nil || leftIn(t, s) > 0 {
		t.Fatal(leftIn(t, s), err)
	}
	err = s.view(func(tx *txn) error {
		m, err := s.accountIn(tx, person).mailbox(l.to)
		if n := m.rows.sub(bChanges).count(); n > 0 {
			t.Errorf("%d changes are left", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if mended, err := s.Repair(t.Context()); err != nil || len(mended) == 0 { // the reference that it had
		t.Fatal(mended, err)
	}
}
