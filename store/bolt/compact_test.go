package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
	"domicile/store/storetest"
)

// smallRig is a rig with small segments.
func smallRig(t *testing.T) (*storetest.Rig, *Store) {
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, SegmentSize: smallSegments})
	})
	newPerson(r)
	return r, r.Store.(*Store)
}

func compact(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// logBytes is how large the segments are, by their list and on disk.
func logBytes(t testing.TB, s *Store) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(s.path(segmentsDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	if list := s.log.List(); len(list) != len(entries) {
		t.Fatalf("%d files, %d are listed", len(entries), len(list))
	}
	return sum
}

// expunge removes messages of INBOX.
func expunge(t testing.TB, r *storetest.Rig, acct domicile.AccountID, uids ...store.UID) {
	t.Helper()
	box := r.Box(acct, "INBOX").ID
	_, err := r.StoreFlags(t.Context(), "", acct, box, uids, store.FlagsAdd, []string{store.Deleted}, 0)
	if err == nil {
		_, err = r.Expunge(t.Context(), "", acct, box, uids)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unplaced is what was seen without where it is, and without search blocks, which are made beside.
func unplaced(all map[string]string) map[string]string {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(key, _ string) bool {
		var path []string
		for key != "" && key[0] > 0 && len(key) > int(key[0]) && !strings.HasPrefix(key, "body ") {
			path, key = append(path, key[1:1+key[0]]), key[1+key[0]:]
		}
		return len(path) > 0 && path[0] == string(bSegments) || len(path) == 2 && key == "\x00"+string(kBlock) ||
			len(path) > 2 && slices.Contains([]string{string(bChunks), string(bBodies), string(bUnfound), string(bBlocks)}, path[2])
	})
	return all
}

// What is alive survives, to the byte; what is dead gives its room back.
func TestCompact(t *testing.T) {
	r, s := smallRig(t)
	for i := range 60 {
		r.MustDeliver(person, "INBOX", noise(uint64(i), 30_000+i*1000))
	}
	full := logBytes(t, s)
	expunge(t, r, person, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	for uid := store.UID(11); uid <= 60; uid++ {
		if uid%5 > 0 {
			expunge(t, r, person, uid)
		}
	}
	want := unplaced(seen(t, s))
	compact(t, s)
	if got := unplaced(seen(t, s)); !maps.Equal(got, want) {
		t.Fatal("it changed what is there")
	}
	live := alive(t, s)
	if now := logBytes(t, s); now > live*5/4+2*smallSegments || now > full/2 {
		t.Errorf("the log has %d bytes, had %d, and %d are alive", now, full, live)
	}
	r.Check()
	r.Reopen()
	s = r.Store.(*Store)
	if got := unplaced(seen(t, s)); !maps.Equal(got, want) {
		t.Fatal("after a restart it has changed")
	}
	for range 3 { // once all is alive there is nothing more to do, but for the frames of compaction itself
		compact(t, s)
	}
	if now := logBytes(t, s); now > live*5/4+2*smallSegments {
		t.Errorf("the log has %d bytes, %d are alive", now, live)
	}
	expunge(t, r, person, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60)
	for range 2 {
		r.MustDeliver(person, "Archive", noise(1, int(smallSegments)))
		compact(t, s)
	}
	if now := logBytes(t, s); now > 5*smallSegments {
		t.Errorf("the log has %d bytes and one message", now)
	}
}

// Nothing of an erased account is left in the log after compaction but the newest segment.
func TestCompactAfterErasure(t *testing.T) {
	r, s := smallRig(t)
	other := r.Person("bob")
	for i := range 20 {
		r.MustDeliver(other, "INBOX", noise(uint64(i), 50_000))
	}
	s.indexQuietly(t.Context(), other) // so that it is not being done when the account goes
	if err := r.DeleteAccount(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	r.MustDeliver(person, "INBOX", noise(77, int(smallSegments)))
	compact(t, s)
	list := s.log.List()
	for _, kind := range []byte{frameBody, frameChunk, frameSearch} {
		for _, f := range find(t, s, kind) {
			if h, _, err := parseFrame(f.Payload); err != nil || h.acct == other && f.Place.Segment < list[len(list)-1].Number {
				t.Errorf("frame %d is still there: %v", f.LSN, err)
			}
		}
	}
}

// Compaction cut short at any step loses nothing, and the next one goes on.
func TestCrashInCompact(t *testing.T) {
	prepare := func(r *storetest.Rig, s *Store) map[string]string {
		newPerson(r)
		for i := range 9 {
			r.MustDeliver(person, "INBOX", noise(uint64(i), 60_000))
		}
		expunge(t, r, person, 1, 2, 4, 5, 7, 8)
		return unplaced(seen(t, s))
	}
	run := func(nth int, after bool) []string {
		r, d := crashRig(t, smallSegments)
		s := r.Store.(*Store)
		want := prepare(r, s)
		s.flushIndex()
		d.arm(nth, after)
		err := s.Compact(t.Context())
		if nth >= 0 && d.hit && err == nil && !slices.Contains([]string{"write segment"}, d.seen[nth]) {
			t.Errorf("step %d, %s, failed and nobody says so", nth, d.seen[nth])
		}
		if got := unplaced(seen(t, s)); !maps.Equal(got, want) {
			t.Fatalf("after %v: it changed what is there", d.seen)
		}
		steps := slices.Clone(d.seen)
		r.Close()
		d.disarm()
		r.Reopen()
		s = r.Store.(*Store)
		if got := unplaced(seen(t, s)); !maps.Equal(got, want) {
			t.Fatalf("after %v and a restart: it changed what is there", steps)
		}
		r.Check()
		compact(t, s)
		r.Check()
		if got := unplaced(seen(t, s)); !maps.Equal(got, want) {
			t.Fatalf("after %v and another run: it changed what is there", steps)
		}
		if now, live := logBytes(t, s), alive(t, s); now > live*5/4+2*smallSegments {
			t.Errorf("after %v: the log has %d bytes, %d are alive", steps, now, live)
		}
		return steps
	}
	steps := run(-1, false)
	for _, want := range []string{"write segment", "sync segment", "put base", "remove segment", "create segment"} {
		if !slices.Contains(steps, want) {
			t.Fatalf("no %q in %v", want, steps)
		}
	}
	for i := range steps {
		for _, after := range []bool{false, true} {
			run(i, after)
		}
	}
}

// A reader that had a body open before finishes it, wherever its bytes have gone; of a message that was expunged it has the whole or an error.
func TestCompactBesideReaders(t *testing.T) {
	r, s := smallRig(t)
	bodies := map[domicile.MessageID]string{}
	open := map[domicile.MessageID]io.ReadCloser{}
	begin := map[domicile.MessageID][]byte{}
	for i := range 8 {
		text := noise(uint64(i), 400_000)
		m := r.MustDeliver(person, "INBOX", text)
		bodies[m.ID] = text
		b, err := r.Body(t.Context(), person, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		open[m.ID], begin[m.ID] = b, make([]byte, 1000)
		if i%2 == 0 { // some have read of it already
			if _, err := io.ReadFull(b, begin[m.ID]); err != nil {
				t.Fatal(err)
			}
		} else {
			begin[m.ID] = nil
		}
	}
	list := r.List(person, "INBOX")
	expunge(t, r, person, 2, 3, 5, 6)
	for range 3 {
		compact(t, s)
		r.MustDeliver(person, "Archive", noise(99, int(smallSegments)))
	}
	for _, m := range list {
		rest, err := io.ReadAll(open[m.ID])
		open[m.ID].Close()
		gone := slices.Contains([]store.UID{2, 3, 5, 6}, m.UID)
		switch text := string(begin[m.ID]) + string(rest); {
		case err == nil && text != bodies[m.ID]:
			t.Errorf("UID %d ends early or is another, and no error says so", m.UID)
		case err != nil && !gone:
			t.Errorf("UID %d: %v", m.UID, err)
		case err != nil && domicile.KindOf(err) != domicile.NotExist:
			t.Errorf("UID %d, expunged: %v", m.UID, err)
		}
	}
}

// A message that comes in slowly keeps what it has written of itself.
func TestCompactBesideIncoming(t *testing.T) {
	r, s := smallRig(t)
	text := noise(1, 900_000)
	in, err := r.Incoming(t.Context(), person, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(text); at += 100_000 {
		if _, err := io.WriteString(in, text[at:at+100_000]); err != nil {
			t.Fatal(err)
		}
		r.MustDeliver(person, "Archive", noise(99, int(smallSegments)))
		compact(t, s)
	}
	m, err := in.Commit(t.Context(), "", "INBOX", nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	compact(t, s)
	if body, err := r.ReadBody(person, m.ID); err != nil || body != text {
		t.Fatal("it is not what was sent:", err)
	}
	for _, end := range []func(in store.Incoming){
		func(in store.Incoming) { in.Abort() },
		func(in store.Incoming) { in.Commit(t.Context(), "", "no such mailbox", nil, time.Time{}) },
	} {
		in, err := r.Incoming(t.Context(), person, 1<<20)
		if err == nil {
			_, err = io.WriteString(in, noise(2, 900_000))
		}
		if err != nil {
			t.Fatal(err)
		}
		end(in)
		before := logBytes(t, s)
		r.MustDeliver(person, "Archive", noise(99, int(smallSegments)))
		compact(t, s)
		if now := logBytes(t, s); now > before-500_000 {
			t.Errorf("what was given up is still there: %d bytes, before %d", now, before)
		}
	}
}

// Deliveries, expunges, copies, an erasure and readers beside compaction and bases.
func TestCompactBesideAll(t *testing.T) {
	r, s := smallRig(t)
	deadline := time.Now().Add(3 * time.Second)
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	running := func(i int) bool { return i < rounds && time.Now().Before(deadline) }
	var wg sync.WaitGroup
	var mu sync.Mutex
	texts := map[domicile.MessageID]string{}
	fail := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for g := range 3 {
		wg.Go(func() {
			for i := 0; running(i); i++ {
				text := noise(uint64(1000*g+i), (i*7919)%150_000)
				m, err := r.Deliver(person, "", "INBOX", text)
				fail(err)
				mu.Lock()
				texts[m.ID] = text
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		box := s.inboxOf(person)
		for i := 0; running(i); i++ {
			all, err := s.Messages(t.Context(), person, box, 0, store.MaxPage)
			fail(err)
			if len(all) < 6 {
				continue
			}
			uid := []store.UID{all[i%len(all)].UID}
			_, err = s.StoreFlags(t.Context(), "", person, box, uid, store.FlagsAdd, []string{store.Deleted}, 0)
			fail(err)
			if i%3 == 0 {
				_, _, _, err = s.Copy(t.Context(), "", person, box, uid, "Archive")
				fail(err)
			}
			_, err = s.Expunge(t.Context(), "", person, box, uid)
			fail(err)
		}
	})
	wg.Go(func() {
		for i := 0; running(i); i++ {
			id := domicile.AccountID(fmt.Sprint("b", i))
			fail(s.CreateAccount(t.Context(), "", store.Account{ID: id, Address: domicile.Address(id + "@example.com")}))
			for n := range 3 {
				_, err := r.Deliver(id, "", "INBOX", noise(uint64(n), 90_000))
				fail(err)
			}
			fail(s.DeleteAccount(t.Context(), id))
		}
	})
	wg.Go(func() {
		for i := 0; running(i); i++ {
			for _, box := range []string{"INBOX", "Archive"} {
				all, err := s.Messages(t.Context(), person, r.Box(person, box).ID, 0, store.MaxPage)
				fail(err)
				if len(all) == 0 {
					continue
				}
				m := all[i%len(all)]
				body, err := r.ReadBody(person, m.ID)
				mu.Lock()
				want, known := texts[m.ID]
				mu.Unlock()
				if err == nil && known && body != want || err != nil && domicile.KindOf(err) != domicile.NotExist {
					t.Errorf("UID %d of %s: %v", m.UID, box, err)
				}
			}
		}
	})
	for i := 0; running(i); i++ {
		fail(s.Compact(t.Context()))
	}
	wg.Wait()
	r.Check()
	want := unplaced(seen(t, s))
	r.Reopen()
	if got := unplaced(seen(t, r.Store.(*Store))); !maps.Equal(got, want) {
		t.Error("after a restart it has changed")
	}
	for _, box := range []string{"INBOX", "Archive"} {
		for _, m := range r.List(person, box) {
			if body, err := r.ReadBody(person, m.ID); err != nil || body != texts[m.ID] {
				t.Errorf("UID %d of %s: %v", m.UID, box, err)
			}
		}
	}
}

// A frame that is damaged keeps its segment: the other frames of it are moved, and nothing else is lost.
func TestCompactKeepsDamage(t *testing.T) {
	had := leave(t, false, nil)
	s := had.mustOpen(t, had.at.Dir)
	bodies := find(t, s, frameBody)
	s.Close()
	s = had.mustOpen(t, had.at.Dir)
	named := map[domicile.MessageID]bool{}
	r := &storetest.Rig{Store: s, T: t}
	for _, m := range r.List(person, "INBOX") {
		named[m.ID] = true
	}
	i := slices.IndexFunc(bodies, func(f segment.Frame) bool {
		h, _, _ := parseFrame(f.Payload)
		return named[domicile.MessageID(h.owner)] && int(f.Place.Segment) < len(s.log.List())
	})
	h, _, _ := parseFrame(bodies[i].Payload)
	damaged := domicile.MessageID(h.owner)
	s.Close()
	flip(t, had.at.Dir, bodies[i].Place)
	s = had.mustOpen(t, had.at.Dir)
	r = &storetest.Rig{Store: s, T: t}
	all := r.List(person, "INBOX")
	for _, m := range all[:len(all)-1] {
		if m.ID != damaged {
			expunge(t, r, person, m.UID)
		}
	}
	for range 3 {
		r.MustDeliver(person, "Archive", noise(99, int(smallSegments)))
		compact(t, s)
	}
	if _, err := os.Stat(s.log.Path(bodies[i].Place.Segment)); err != nil {
		t.Fatal("the segment with the damage:", err)
	}
	for _, m := range r.List(person, "INBOX") {
		if _, err := r.ReadBody(person, m.ID); (err != nil) != (m.ID == damaged) || domicile.KindOf(err) == domicile.NotExist {
			t.Errorf("UID %d: %v", m.UID, err)
		}
	}
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), string(damaged)) {
		t.Fatal("Check says", err)
	}
	expunge(t, r, person, all[slices.IndexFunc(all, func(m store.Message) bool { return m.ID == damaged })].UID)
	compact(t, s)
	if _, err := os.Stat(s.log.Path(bodies[i].Place.Segment)); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("it is not needed any more:", err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// An account of many entries is erased in several acts; a crash between any of them is made up for when the store is opened.
func TestCrashInLongErasure(t *testing.T) {
	const entries = 25_000
	fill := func(s *Store) {
		for n := 0; n < entries; n += 5000 {
			err := s.update(t.Context(), "", func(tx *txn) error {
				a := s.accountIn(tx, person)
				for i := n; i < n+5000; i++ {
					a.putBody(domicile.MessageID(fmt.Sprint("m", i)), bodyRecord{refs: 1})
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	acts := 0
	for i := 0; ; i++ {
		r, d := crashRig(t, 0)
		newPerson(r)
		r.MustDeliver(person, "INBOX", "gone")
		other := r.Person("bob")
		r.MustDeliver(other, "INBOX", "kept")
		s := r.Store.(*Store)
		fill(s)
		d.arm(i, i%2 == 0)
		err := r.DeleteAccount(t.Context(), person)
		seen, hit := d.result()
		if acts = len(seen); !hit {
			if err != nil || acts < 2*4+1 {
				t.Fatalf("%v, %v", err, seen)
			}
		} else if kind := domicile.KindOf(err); err != nil && kind != domicile.Unknown && kind != domicile.Unavailable {
			t.Fatal("outcome is", err)
		}
		r.Close()
		d.disarm()
		r.Reopen()
		s = r.Store.(*Store)
		if _, err := r.Account(t.Context(), person); err == nil { // the first act was not done
			if err := r.DeleteAccount(t.Context(), person); err != nil {
				t.Fatal(err)
			}
		}
		r.Check()
		left := 0
		s.view(func(tx *txn) error {
			walk := s.accountIn(tx, person).b
			if !walk.Empty() || !tx.root(bErasing).Empty() {
				left = 1
			}
			return nil
		})
		if left > 0 || r.At.Sealer.HasKey(person) {
			t.Fatal("entries or the key are left")
		}
		if n := len(r.List(other, "INBOX")); n != 1 {
			t.Fatal("another account has", n)
		}
		if !hit {
			return
		}
	}
}
