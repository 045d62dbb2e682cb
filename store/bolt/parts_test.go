package bolt

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

const (
	large         = manyAtOnce + 100 // messages of an act that is written in parts
	largeSegments = 512 << 10        // and spans two files of this size
)

// largeRig is a rig with so many messages in INBOX, whose acts are written in parts of 32 KiB.
func largeRig(t *testing.T) (*storetest.Rig, *disk) {
	t.Helper()
	r, d := crashRig(t, largeSegments)
	newPerson(r)
	box := r.Store.(*Store).inboxOf(person)
	for range 100 {
		r.MustDeliver(person, "INBOX", "x")
	}
	if err := r.Store.(*Store).indexAccount(t.Context(), person, 1); err != nil { // or the indexer has something for bbolt while the disk is armed
		t.Fatal(err)
	}
	for made := 100; made < large; made += 100 {
		if _, _, _, err := r.Copy(t.Context(), "", person, box, uidsTo(100), "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	return r, d
}

func uidsTo(n int) (all []store.UID) {
	for i := range n {
		all = append(all, store.UID(i+1))
	}
	return all
}

func moveAll(t *testing.T, r *storetest.Rig) error {
	_, _, _, err := r.Store.Move(t.Context(), "all", person, r.Store.(*Store).inboxOf(person), uidsTo(large), "Archive")
	return err
}

// moved says whether all messages are in Archive; all must be in one place.
func wasMoved(t *testing.T, r *storetest.Rig) bool {
	t.Helper()
	from, to := len(r.List(person, "INBOX")), len(r.List(person, "Archive"))
	if from != large && to != large || from+to != large {
		t.Fatalf("a part of an act: %d messages are in INBOX and %d in Archive", from, to)
	}
	return to == large
}

// A process is killed while it writes an act in parts: of the log there is every frame up to some place. The act was done if the last frame is there, and not
// at all otherwise, whatever came behind it later.
func TestTornParts(t *testing.T) {
	r, d := largeRig(t)
	s := r.Store.(*Store)
	s.flushIndex()
	d.arm(-1, false) // bbolt takes nothing more: what is on disk of the act is in the log alone
	if err := moveAll(t, r); err != nil {
		t.Fatal(err)
	}
	before, parts, last := copyOf(t, r.At.Dir), find(t, s, framePart), find(t, s, frameLast)
	d.disarm()
	if len(parts) < 10 || len(last) != 1 {
		t.Fatalf("%d parts, %d ends", len(parts), len(last))
	}
	list := s.log.List()
	if first := parts[0].Place.Segment; first == last[0].Place.Segment {
		t.Fatal("the act is in one file alone")
	}
	ends := append(parts, last...)
	for i, f := range ends {
		if i%7 > 0 && i < len(ends)-2 {
			continue
		}
		for _, cut := range []int64{0, int64(f.Place.Length / 2), int64(f.Place.Length)} {
			dir := copyOf(t, before)
			for _, info := range list {
				path := filepath.Join(dir, segmentsDir, filepath.Base(s.log.Path(info.Number)))
				switch {
				case info.Number > f.Place.Segment:
					os.Remove(path)
				case info.Number == f.Place.Segment:
					if err := os.Truncate(path, int64(f.Place.Offset)+cut); err != nil {
						t.Fatal(err)
					}
				}
			}
			torn, err := still(Config{Dir: dir, Region: r.At.Region, Sealer: r.At.Sealer, Now: r.At.Now, SegmentSize: largeSegments})
			if err != nil {
				t.Fatal(err)
			}
			tr := &storetest.Rig{Store: torn, T: t, At: r.At}
			whole := i == len(ends)-1 && cut == int64(f.Place.Length)
			if wasMoved(t, tr) != whole {
				t.Fatalf("cut at %d of %d: moved is %v", i, len(ends), !whole)
			}
			tr.Check()
			if !whole { // again, behind what is left of the first try
				if err := moveAll(t, tr); err != nil {
					t.Fatal(err)
				}
				torn.Close()
				os.Remove(filepath.Join(dir, indexFile))
				if torn, err = still(torn.cfg); err == nil {
					tr.Store = torn
				}
			}
			if err != nil || !wasMoved(t, tr) {
				t.Fatal("the second try:", err)
			}
			tr.Check()
			torn.Close()
		}
	}
}

// Each write and each flush of an act in parts fails, once not done and once done but reported as failed.
func TestFailedParts(t *testing.T) {
	r, d := largeRig(t)
	s := r.Store.(*Store)
	s.flushIndex()
	start := copyOf(t, r.At.Dir)
	for nth, hit := 0, true; hit; nth += 4 {
		for _, after := range []bool{false, true} {
			cfg := s.cfg
			cfg.Dir = copyOf(t, start)
			try, err := still(cfg)
			if err != nil {
				t.Fatal(err)
			}
			tr := &storetest.Rig{Store: try, T: t, At: r.At}
			d.arm(nth, after)
			err = moveAll(t, tr)
			d.disarm()
			if _, hit = d.result(); !hit {
				if err != nil {
					t.Fatal(err)
				}
				try.Close()
				break
			}
			kind := domicile.KindOf(err)
			if kind != domicile.Unavailable && kind != domicile.Unknown {
				t.Fatalf("step %d: %v", nth, err)
			}
			if wasMoved(t, tr) {
				t.Fatal("it failed and can be seen")
			}
			try.Close()
			cfg.step = nil
			if try, err = still(cfg); err != nil {
				t.Fatal(err)
			}
			tr.Store = try
			if wasMoved(t, tr) && kind == domicile.Unavailable {
				t.Fatal("nothing was done, it said")
			}
			if err := moveAll(t, tr); err != nil || !wasMoved(t, tr) {
				t.Fatal("the second try:", err)
			}
			tr.Check()
			try.Close()
		}
	}
}

// An act of which a part is damaged is not done in part: all of it is lost, and that is told.
func TestDamagedPart(t *testing.T) {
	r, d := largeRig(t)
	s := r.Store.(*Store)
	s.flushIndex()
	d.arm(-1, false)
	if err := moveAll(t, r); err != nil {
		t.Fatal(err)
	}
	parts, dir := find(t, s, framePart), copyOf(t, r.At.Dir)
	d.disarm()
	flip(t, dir, parts[len(parts)/2].Place)
	cfg := s.cfg
	cfg.Dir, cfg.step = dir, nil
	damaged, err := still(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer damaged.Close()
	if wasMoved(t, &storetest.Rig{Store: damaged, T: t, At: r.At}) {
		t.Error("it was done without a part")
	}
	if damaged.Check(t.Context()) == nil {
		t.Error("Check does not see it")
	}
}

// A large act in every call that can have one: as a whole, and under a token once. A new index, and one that was shrunk, have it too.
func TestLargeActs(t *testing.T) {
	r, _ := largeRig(t)
	s := r.Store.(*Store)
	ctx, box, all := t.Context(), s.inboxOf(person), uidsTo(large)
	same := func(what string, got, want int, err error) {
		t.Helper()
		if got != want || err != nil {
			t.Fatalf("%s: %d, want %d, %v", what, got, want, err)
		}
	}
	for range 2 {
		flagged, err := s.StoreFlags(ctx, "flag", person, box, all, store.FlagsAdd, []string{store.Deleted}, 1<<40)
		same("flagged", len(flagged.Done), large, err)
		same("flagged before", len(flagged.Before), large, nil)
		_, from, made, err := s.Copy(ctx, "copy", person, box, all, "Archive")
		same("copied", len(made), large, err)
		if !slices.Equal(from, all) || made[large-1].UID != made[0].UID+large-1 || made[0].Flags[0] != store.Deleted {
			t.Fatalf("the last is %+v", made[large-1])
		}
	}
	for range 2 {
		gone, err := s.Expunge(ctx, "expunge", person, r.Box(person, "Archive").ID, nil)
		same("expunged", len(gone), large, err)
	}
	if err := s.RenameMailbox(ctx, "rename", person, "INBOX", "Elsewhere"); err != nil {
		t.Fatal(err)
	}
	same("renamed", len(r.List(person, "Elsewhere")), large, nil)
	compact(t, s)
	want := seen(t, s)
	s.upkeep.Lock()
	err := s.shrink()
	s.upkeep.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	wantSeen(t, s, want)
	if err := s.DeleteMailbox(ctx, "delete", person, "Elsewhere"); err != nil {
		t.Fatal(err)
	}
	r.Reopen()
	r.Check()
	same("left", len(r.List(person, "INBOX"))+len(r.List(person, "Archive")), 0, nil)
}

// An act that would put bytes of a body among its parts, where a reading of the log would lose it, is not done.
func TestNoFrameInParts(t *testing.T) {
	r, _ := largeRig(t)
	s := r.Store.(*Store)
	box, before := s.inboxOf(person), r.Box(person, "INBOX")
	err := s.update(t.Context(), person, func(tx *txn) error {
		if err := tx.many(large); err != nil {
			return err
		}
		m, err := s.mailboxByID(tx, person, box)
		if err != nil {
			return err
		}
		records, err := m.all()
		if err == nil {
			_, err = m.addCopies(m, records)
		}
		if tx.w.parts.first == 0 {
			t.Error("the act has no parts yet")
		}
		tx.frame(frameBody, []byte("bytes"))
		m.save()
		return err
	})
	if domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("%v", err)
	}
	if after := r.Box(person, "INBOX"); after != before {
		t.Errorf("%+v, was %+v", after, before)
	}
	r.MustDeliver(person, "INBOX", "the next act is taken")
	r.Reopen()
}

// An act that deletes until nothing is left ends, though the log did not take one of its parts and nothing goes any more.
func TestDeleteEndsWithoutLog(t *testing.T) {
	r, d := largeRig(t)
	s := r.Store.(*Store)
	box, before := s.inboxOf(person), r.Box(person, "INBOX")
	err := s.update(t.Context(), person, func(tx *txn) error {
		if err := tx.many(large); err != nil {
			return err
		}
		m, err := s.mailboxByID(tx, person, box)
		if err != nil {
			return err
		}
		d.arm(0, false)
		defer d.disarm()
		for n := 0; !m.b.deleteSome(10); n++ {
			if n > large {
				t.Error("it deletes for ever")
				return errDamaged
			}
		}
		return nil
	})
	if domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("%v", err)
	}
	if after := r.Box(person, "INBOX"); after != before {
		t.Errorf("%+v, was %+v", after, before)
	}
	r.Reopen()
	r.Check()
}

// bbolt took a part of an act, and then a frame of the act in the log is damaged: the index is made anew, so that it has nothing of it.
func TestDamagedPartHalfInIndex(t *testing.T) {
	var commits atomic.Int64 // of bbolt that are done yet
	commits.Store(1 << 40)
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, step: func(name string, do func() error) error {
			if name == "commit index" && commits.Add(-1) < 0 {
				return errDisk
			}
			return do()
		}})
	})
	newPerson(r)
	s := r.Store.(*Store)
	for range 1000 {
		r.MustDeliver(person, "INBOX", "x")
	}
	const copies = 13
	for range copies {
		if _, _, _, err := r.Copy(t.Context(), "", person, s.inboxOf(person), uidsTo(1000), "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.rebase(true); err != nil {
		t.Fatal(err)
	}
	s.flushIndex()
	commits.Store(1)
	if _, _, _, err := s.Move(t.Context(), "", person, s.inboxOf(person), uidsTo(1000*(copies+1)), "Archive"); err != nil {
		t.Fatal(err)
	}
	parts := find(t, s, framePart)
	for commits.Load() >= 0 { // the second has failed
		s.writer.nudge <- struct{}{}
		time.Sleep(time.Millisecond)
	}
	dir := copyOf(t, r.At.Dir)
	commits.Store(1 << 40)
	flip(t, dir, parts[len(parts)/2].Place)
	again, err := still(Config{Dir: dir, Region: r.At.Region, Sealer: r.At.Sealer, Now: r.At.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	ar := &storetest.Rig{Store: again, T: t, At: r.At}
	if in, out := len(ar.List(person, "INBOX")), len(ar.List(person, "Archive")); in != 1000*(copies+1) || out != 0 {
		t.Errorf("%d messages are in INBOX and %d in Archive", in, out)
	}
	if again.Stats().Remade == nil {
		t.Error("it does not say that the index was made anew")
	}
	ar.MustDeliver(person, "Archive", "goes on")
	if err := again.Check(t.Context()); err == nil || strings.Contains(err.Error(), "mailbox") {
		t.Error("it is not the damaged frame alone:", err)
	}
}
