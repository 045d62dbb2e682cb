package bolt

import (
	"context"
	"errors"
	"slices"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// laidRig is a largeRig with a copy of INBOX to a mailbox under way, of which half is laid down.
func laidRig(t *testing.T, to string) (*storetest.Rig, *disk, *laid) {
	t.Helper()
	r, d := largeRig(t)
	s := r.Store.(*Store)
	l := &laid{s: s, acct: person, from: s.inboxOf(person), now: s.cfg.Now().Unix(), flags: map[string][]string{}}
	s.large <- struct{}{}
	if _, err := l.begin(t.Context(), "", "copy messages", to, large); err != nil {
		t.Fatal(err)
	}
	if err := l.lay(t.Context(), uidsTo(large/2)); err != nil {
		t.Fatal(err)
	}
	return r, d, l
}

func (l *laid) finish(ctx context.Context) error {
	return errors.Join(l.lay(ctx, uidsTo(large)[large/2:]), l.end(ctx, "", "copy messages"))
}

// While a copy is laid down others go on in both mailboxes, and see nothing of it; then they see all of it, as what came last.
func TestCopyBesideOthers(t *testing.T) {
	for _, to := range []string{"Archive", "INBOX"} {
		t.Run(to, func(t *testing.T) {
			r, _, l := laidRig(t, to)
			s, ctx, inbox := r.Store.(*Store), t.Context(), r.Store.(*Store).inboxOf(person)
			before := r.Box(person, to)
			old := r.MustDeliver(person, to, "came meanwhile")
			flagged, err := s.StoreFlags(ctx, "", person, inbox, uidsTo(2), store.FlagsAdd, []string{"late"}, 0)
			if err != nil || len(flagged.Done) != 2 {
				t.Fatal(err)
			}
			if _, err := s.StoreFlags(ctx, "", person, inbox, []store.UID{large}, store.FlagsAdd, []string{store.Deleted}, 0); err != nil {
				t.Fatal(err)
			}
			if gone, err := s.Expunge(ctx, "", person, inbox, nil); err != nil || len(gone) != 1 {
				t.Fatal(gone, err)
			}
			mid := r.Box(person, to)
			c, err := storetest.Since(s, person, before.ID, before.HighestModSeq)
			if want := map[string]int{"Archive": 1, "INBOX": 3}[to]; err != nil || len(c.Changed) != want || mid.UIDNext != old.UID+1 {
				t.Fatalf("%d changes, UIDNEXT %d, %v", len(c.Changed), mid.UIDNext, err)
			}
			if n := len(r.List(person, to)); n != int(mid.Messages) {
				t.Fatalf("%d messages are seen of %d", n, mid.Messages)
			}
			if found, err := s.Find(ctx, person, before.ID, store.InText, "", "x"); err != nil || len(found) > large {
				t.Fatalf("%d were found, %v", len(found), err)
			}
			if got, err := s.StoreFlags(ctx, "", person, before.ID, []store.UID{l.rows.First}, store.FlagsAdd, []string{"seen"}, 0); err != nil || len(got.Done) > 0 {
				t.Fatal("a row that is no message has flags", got, err)
			}
			r.Check()
			if mended, err := s.Repair(ctx); err != nil || len(mended) > 0 {
				t.Fatalf("it mended %q, %v", mended, err)
			}
			if err := l.finish(ctx); err != nil {
				t.Fatal(err)
			}
			<-s.large
			after := r.Box(person, to)
			if len(l.Made) != large-1 || after.Messages != mid.Messages+large-1 || l.Made[0].UID <= old.UID || after.UIDNext != l.Made[large-2].UID+1 {
				t.Fatalf("%d copies, %+v", len(l.Made), after)
			}
			c, err = storetest.Since(s, person, before.ID, mid.HighestModSeq)
			if err != nil || len(c.Changed) != large-1 || c.Changed[0].UID != l.Made[0].UID || len(c.Vanished) > 0 {
				t.Fatalf("%d changes, %v", len(c.Changed), err)
			}
			if next := r.MustDeliver(person, to, "comes behind"); next.UID != after.UIDNext {
				t.Fatal(next.UID)
			}
			if leftIn(t, s) > 0 {
				t.Fatal("a copy that ended is left")
			}
			r.Check()
			r.Reopen()
			r.Check()
		})
	}
}

// A copy that does not end leaves nothing, whatever keeps it from that.
func TestCopyGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		to   string
		do   func(r *storetest.Rig, s *Store, l *laid) error
		want domicile.Kind
	}{
		"crash": {"Archive", func(r *storetest.Rig, _ *Store, _ *laid) error { r.Reopen(); return nil }, domicile.Unavailable},
		"mailbox deleted": {"Archive", func(_ *storetest.Rig, s *Store, _ *laid) error {
			return s.DeleteMailbox(context.Background(), "", person, "Archive")
		}, domicile.NotExist},
		"source deleted": {"Archive", func(_ *storetest.Rig, s *Store, l *laid) error {
			l.from = "bnone"
			return nil
		}, domicile.NotExist},
		"INBOX renamed": {"INBOX", func(_ *storetest.Rig, s *Store, _ *laid) error {
			return s.RenameMailbox(context.Background(), "", person, "INBOX", "Old")
		}, domicile.Unavailable},
		"overtaken": {"INBOX", func(r *storetest.Rig, s *Store, l *laid) error {
			box := r.Box(person, "INBOX")
			err := s.NumberMailbox(context.Background(), person, box.ID, box.UIDValidity, l.rows.First+5)
			if m := r.MustDeliver(person, "INBOX", "far behind"); m.UID != l.rows.Last+1 {
				r.T.Errorf("it has UID %d, and rows are up to %d", m.UID, l.rows.Last)
			}
			if n := len(r.List(person, "INBOX")); n != large+1 {
				r.T.Errorf("%d messages are seen", n)
			}
			return err
		}, domicile.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, l := laidRig(t, c.to)
			if err := c.do(r, r.Store.(*Store), l); err != nil {
				t.Fatal(err)
			}
			if err := l.finish(t.Context()); domicile.KindOf(errors.Unwrap(err)) != c.want && domicile.KindOf(err) != c.want {
				t.Fatal("it ended", err)
			}
			s := r.Store.(*Store)
			if s == l.s {
				<-s.large
			}
			r.Check()
			messages := 0
			boxes, err := s.Mailboxes(t.Context(), person)
			for _, b := range boxes {
				messages += int(b.Messages)
			}
			if err != nil || messages < large || messages > large+1 {
				t.Fatalf("%d messages, %v", messages, err)
			}
			if err := s.settle(t.Context(), person); err != nil || leftIn(t, s) > 0 {
				t.Fatal(leftIn(t, s), err)
			}
			err = s.view(func(tx *txn) error {
				rows, a := 0, s.accountIn(tx, person)
				err := a.b.sub(bMailboxes).ForEachBucket(func(id []byte) error {
					rows += a.rows(domicile.MailboxID(id)).sub(bMessages).count()
					return nil
				})
				if rows != messages {
					t.Errorf("%d rows for %d messages", rows, messages)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			r.Check()
		})
	}
}

// Each step of a large copy fails, before and after it was done: all of it is there, or nothing; said again under its token it is there once.
func TestCrashInCopy(t *testing.T) {
	r, d := largeRig(t)
	s := r.Store.(*Store)
	s.flushIndex()
	start, ctx := copyOf(t, r.At.Dir), t.Context()
	copyAll := func(s *Store) ([]store.UID, []store.Message, error) {
		_, from, made, err := s.Copy(ctx, "copy", person, s.inboxOf(person), uidsTo(large), "Archive")
		return from, made, err
	}
	for nth, hit := 0, true; hit; nth++ {
		for _, after := range []bool{false, true} {
			cfg := s.cfg
			cfg.Dir = copyOf(t, start)
			try, err := still(cfg)
			if err != nil {
				t.Fatal(err)
			}
			d.arm(nth, after)
			_, _, err = copyAll(try)
			d.disarm()
			if _, hit = d.result(); !hit && err != nil {
				t.Fatal(err)
			}
			kind := domicile.KindOf(err)
			if err != nil && kind != domicile.Unavailable && kind != domicile.Unknown {
				t.Fatalf("step %d: %v", nth, err)
			}
			tr := &storetest.Rig{Store: try, T: t, At: r.At}
			if n := len(tr.List(person, "Archive")); n > 0 && err != nil {
				t.Fatalf("step %d: it failed and %d are seen", nth, n)
			}
			try.Close()
			cfg.step = nil
			if try, err = still(cfg); err != nil {
				t.Fatal(err)
			}
			tr.Store = try
			if n := len(tr.List(person, "Archive")); n != 0 && n != large || n > 0 && kind == domicile.Unavailable && hit {
				t.Fatalf("step %d: %d are there, and it said %v", nth, n, kind)
			}
			from, made, err := copyAll(try)
			if list := tr.List(person, "Archive"); err != nil || len(list) != large || len(from) != large || !slices.Equal(made[large-1].Flags, list[large-1].Flags) || made[large-1].UID != list[large-1].UID {
				t.Fatalf("step %d: then %d are there, %v", nth, len(list), err)
			}
			if err := try.settle(ctx, person); err != nil {
				t.Fatal(err)
			}
			tr.Check()
			try.Close()
		}
	}
}
