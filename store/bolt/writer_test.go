package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// groupStore is a store whose writer is the test's goroutine. step fails or counts its flushes.
func groupStore(t *testing.T, step func(do func() error) error) *Store {
	s, err := Open(Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x"), step: func(name string, do func() error) error {
		if name != "write segment" {
			return do()
		}
		return step(do)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.writer.stop()
	return s
}

// commitGroup gives jobs to the writer as those who wait together.
func commitGroup(s *Store, group []*job) {
	s.writer.jobs = make(chan *job, len(group))
	for _, j := range group[1:] {
		s.writer.jobs <- j
	}
	s.writer.commit(group[0])
}

var errMine = errors.New("mine")

// claim is a job that takes a key which nobody has, and then fails with fail.
func claim(key, by string, fail error) *job {
	return &job{err: make(chan error, 1), fn: func(tx *txn) error {
		b := tx.root(bAddresses)
		if b.Get([]byte(key)) != nil {
			return fmt.Errorf("taken by another: %w", errMine)
		}
		tx.frame(frameChunk, []byte(by))
		b.Put([]byte(key), []byte(by))
		return fail
	}}
}

// In a group, a member that fails leaves nothing, and the others share one write.
func TestGroup(t *testing.T) {
	writes := 0
	s := groupStore(t, func(do func() error) error { writes++; return do() })
	writes = 0
	group := []*job{
		claim("a", "fails first", errMine),
		claim("a", "1", nil),
		claim("b", "2", nil),
		claim("c", "fails after it wrote", errMine),
		claim("a", "late", nil),
		claim("c", "3", nil),
	}
	commitGroup(s, group)
	for i, wantErr := range []bool{true, false, false, true, true, false} {
		if err := <-group[i].err; errors.Is(err, errMine) != wantErr {
			t.Errorf("member %d: %v", i, err)
		}
	}
	if writes != 1 {
		t.Errorf("%d writes, want 1", writes)
	}
	s.view(func(tx *txn) error {
		for key, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
			if got := string(tx.root(bAddresses).Get([]byte(key))); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		return nil
	})
	if n := s.log.Next() - 1; n != 1+2*3 {
		t.Errorf("%d frames: those of who failed are in the log, or others are not", n)
	}
}

// Nobody is refused for what another member only tried.
func TestGroupCommitFails(t *testing.T) {
	var fail error
	s := groupStore(t, func(do func() error) error {
		if err := fail; err != nil {
			fail = nil
			return err
		}
		return do()
	})
	fail = errMine
	first, second := claim("a", "1", nil), claim("a", "2", nil)
	commitGroup(s, []*job{first, second})
	if err := <-first.err; domicile.KindOf(err) != domicile.Unavailable {
		t.Error("the first, whose commit failed:", err)
	}
	if err := <-second.err; err != nil {
		t.Error("the second, whose key is free:", err)
	}
}

// A write that never reached the file is no reason to stop.
func TestCommitNotDone(t *testing.T) {
	for _, after := range []bool{false, true} {
		r, d := crashRig(t, 0)
		newPerson(r)
		d.arm(0, after)
		_, err := r.Deliver(person, "", "INBOX", "x")
		if !slices.Equal(d.seen, []string{"write segment", "truncate segment", "sync segment"}) || domicile.KindOf(err) != domicile.Unavailable {
			t.Fatalf("steps %v, error %v", d.seen, err)
		}
		r.MustDeliver(person, "INBOX", "y")
		if n := len(r.List(person, "INBOX")); n != 1 {
			t.Fatalf("%d messages", n)
		}
		d.disarm()
		r.Reopen()
		if n := len(r.List(person, "INBOX")); n != 1 {
			t.Fatalf("%d messages after a restart", n)
		}
	}
}

// What bbolt does not take stays pending, up to a bound; then nothing more is accepted, until it takes it.
func TestIndexFull(t *testing.T) {
	r, d := crashRig(t, 0)
	s := r.Store.(*Store)
	d.arm(-1, false) // no commit of bbolt is done
	table, err := r.Table("t")
	if err != nil {
		t.Fatal(err)
	}
	keys, value := 0, make([]byte, 8)
	for batch := 0; err == nil && batch < 2*maxPending/1000; batch++ {
		err = s.update(t.Context(), "", func(tx *txn) error {
			for i := range 1000 {
				tx.root(bTables).sub([]byte("x")).Put(fmt.Appendf(nil, "%d %d", batch, i), value)
			}
			return nil
		})
		if err == nil {
			keys += 1000
		}
	}
	if domicile.KindOf(err) != domicile.Unavailable {
		t.Fatalf("after %d keys: %v", keys, err)
	}
	if keys < maxPending || keys > maxPending+2*applyKeys+2000 {
		t.Errorf("%d keys were pending, the bound is %d", keys, maxPending)
	}
	if err := table.Put("too much", value); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatal("more was accepted:", err)
	}
	count := func() (n int) {
		s.view(func(tx *txn) error { n = tx.root(bTables).sub([]byte("x")).count(); return nil })
		return n
	}
	if n := count(); n != keys {
		t.Fatalf("%d keys can be read of %d", n, keys)
	}
	d.disarm()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = table.Put("afterwards", value); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Fatal("it does not go on:", err)
	}
	// These are no records of a table: Check would say so.
	if err := s.update(t.Context(), "", func(tx *txn) error { tx.root(bTables).sub([]byte("x")).deleteSome(1 << 20); return nil }); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Fatalf("%d keys are left", n)
	}
}

// Who is tried again alone gives a hint as others do, and a group that wrote nothing says nothing of the disk.
func TestHintOfRetry(t *testing.T) {
	var fail error
	s := groupStore(t, func(do func() error) error {
		if err := fail; err != nil {
			fail = nil
			return err
		}
		return do()
	})
	hint, stop := s.Watch("anna")
	defer stop()
	fail = errMine
	commitGroup(s, []*job{claim("a", "1", nil), claim("b", "2", errMine)})
	if st := s.Stats(); st.Waiting == nil {
		t.Error("the disk refused a write, and an act that wrote nothing took that back")
	}
	fail = errMine
	second := claim("a", "2", nil)
	second.account = "anna"
	commitGroup(s, []*job{claim("a", "1", nil), second})
	if err := <-second.err; err != nil {
		t.Fatal(err)
	}
	select {
	case <-hint:
	default:
		t.Error("no hint")
	}
}

// Where a flush takes long, a group waits for those whom it expects, up to a bound; who is alone, or needs no flush, waits for nobody.
func TestGather(t *testing.T) {
	writes := 0
	s := groupStore(t, func(do func() error) error { writes++; return do() })
	w := s.writer
	w.jobs = make(chan *job)
	run := func(name string, expects int, patience time.Duration, first *job, later ...*job) (took time.Duration) {
		t.Helper()
		w.expects, w.patience, writes = expects, patience, 0
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			time.Sleep(10 * time.Millisecond) // behind the first, which finds nobody waiting
			for _, j := range later {
				w.jobs <- j
			}
		}()
		began := time.Now()
		w.commit(first)
		took = time.Since(began)
		if len(later) > 0 {
			select {
			case <-sent:
			case <-time.After(time.Second):
				t.Fatalf("%s: they were not taken", name)
			}
		}
		for _, j := range append(later, first) {
			if err := <-j.err; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if writes > 1 {
			t.Errorf("%s: %d writes", name, writes)
		}
		return took
	}
	idle := func() *job { return &job{err: make(chan error, 1), fn: func(*txn) error { return nil }} }
	const long, short = 20 * time.Second, 50 * time.Millisecond
	for _, took := range []time.Duration{
		run("those who are expected come", 3, long, claim("a", "1", nil), claim("b", "2", nil), claim("c", "3", nil)),
		run("nobody else is expected", 1, long, claim("d", "4", nil)),
		run("the disk is fast", 0, 0, claim("e", "5", nil)),
		run("there is nothing to flush", 2, long, idle()),
	} {
		if took >= long {
			t.Errorf("it waited for %v", took)
		}
	}
	if took := run("nobody comes", 2, short, claim("f", "6", nil)); took < short || took >= long {
		t.Errorf("it waited for %v", took)
	}
}

// A group expects somebody only behind two flushes that were slow: those who shared the last, and those who waited then.
func TestExpects(t *testing.T) {
	for _, c := range []struct {
		flushes  []time.Duration
		expects  int
		patience time.Duration
	}{
		{[]time.Duration{time.Millisecond, time.Millisecond}, 0, time.Millisecond / 4},
		{[]time.Duration{time.Millisecond, time.Second}, 0, time.Millisecond / 4},
		{[]time.Duration{5 * time.Millisecond}, 0, 0},
		{[]time.Duration{5 * time.Millisecond, 4 * time.Millisecond}, 3 + 2, time.Millisecond},
		{[]time.Duration{time.Second, time.Second}, 3 + 2, maxGather},
		{[]time.Duration{time.Second, time.Second, time.Millisecond}, 0, time.Millisecond / 4},
	} {
		w := &writer{}
		w.waiting.Store(2)
		for _, took := range c.flushes {
			w.flushed(3, took)
		}
		if w.expects != c.expects || w.patience != c.patience {
			t.Errorf("behind flushes of %v: it waits %v for %d, want %v for %d", c.flushes, w.patience, w.expects, c.patience, c.expects)
		}
	}
}

// A STORE that asks for what stands is no act: it writes nothing, waits for nobody's flush and gives no hint. One that asks for more is, with all of it.
func TestFlagsStand(t *testing.T) {
	r, d := crashRig(t, 0)
	newPerson(r)
	r.MustDeliver(person, "INBOX", "one", store.Seen)
	r.MustDeliver(person, "INBOX", "two", store.Seen)
	late := r.MustDeliver(person, "INBOX", "three")
	s, box := r.Store.(*Store), r.Box(person, "INBOX")
	hint, stop := s.Watch(person)
	defer stop()
	busy, held, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	go func() {
		ended <- s.update(t.Context(), "", func(*txn) error { close(busy); <-held; return nil })
	}()
	<-busy // nobody else's act is taken
	d.arm(-1, false)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ask := []store.UID{late.UID, 2, 1, 2, 99}
	got, err := s.StoreFlags(ctx, "", person, box.ID, ask, store.FlagsAdd, []string{store.Seen}, late.ModSeq-1)
	if err != nil || len(got.Done) != 2 || got.Done[0].UID != 1 || got.Done[1].UID != 2 || !slices.Equal(got.Failed, []store.UID{late.UID}) || got.From != late.ModSeq {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := s.StoreFlags(ctx, "", person, "b9", ask, store.FlagsAdd, nil, 0); domicile.KindOf(err) != domicile.NotExist {
		t.Error("of a mailbox that is not there:", err)
	}
	if steps, _ := d.result(); len(steps) > 0 {
		t.Error("it wrote:", steps)
	}
	release()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	select {
	case h := <-hint:
		t.Error("a hint, of nothing:", h)
	default:
	}
	if got, err = s.StoreFlags(ctx, "", person, box.ID, ask, store.FlagsAdd, []string{store.Seen}, 0); err != nil || len(got.Done) != 3 || got.Done[2].ModSeq <= late.ModSeq {
		t.Fatalf("%+v, %v", got, err)
	}
	if steps, _ := d.result(); !slices.Equal(steps, aGroup) {
		t.Error("steps:", steps)
	}
	d.disarm()
	if now := r.Box(person, "INBOX"); now.Unseen != 0 || now.HighestModSeq != got.Done[2].ModSeq {
		t.Errorf("%+v", now)
	}
}
