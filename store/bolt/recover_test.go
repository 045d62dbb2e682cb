package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
	"domicile/store/storetest"
)

// smallSegments is a size of segments of which a short test fills many.
const smallSegments = 100 << 10

// populate does each act that changes a store, some so that nothing may be left of them.
func populate(r *storetest.Rig) {
	r.T.Helper()
	ctx := context.Background()
	no := func(err error) {
		r.T.Helper()
		if err != nil {
			r.T.Fatal(err)
		}
	}
	newPerson(r)
	_, err := r.CreateMailbox(ctx, "make", person, "Work/Plans", "")
	no(err)
	no(r.Subscribe(ctx, "", person, "Work", true))
	no(r.RenameMailbox(ctx, "", person, "Work", "Labour"))
	inbox := r.Box(person, "INBOX").ID
	for i := range 12 {
		_, err := r.Deliver(person, store.Token(fmt.Sprint("d", i)), "INBOX", noise(uint64(i), i*i*4000), "\\Flagged")
		no(err)
	}
	_, err = r.StoreFlags(ctx, "", person, inbox, []store.UID{1, 3, 5}, store.FlagsAdd, []string{store.Seen, "$work"}, 0)
	no(err)
	_, _, _, err = r.Copy(ctx, "copy", person, inbox, []store.UID{9, 10}, "Archive")
	no(err)
	_, _, _, err = r.Move(ctx, "move", person, inbox, []store.UID{8, 2}, "Labour/Plans")
	no(err)
	_, err = r.StoreFlags(ctx, "", person, inbox, []store.UID{1, 4, 7, 10}, store.FlagsAdd, []string{store.Deleted}, 0)
	no(err)
	_, err = r.Expunge(ctx, "", person, inbox, nil)
	no(err)
	_, err = r.CreateMailbox(ctx, "", person, "Short", "")
	no(err)
	r.MustDeliver(person, "Short", noise(50, 50_000))
	no(r.DeleteMailbox(ctx, "", person, "Short"))
	table, err := r.Table("t")
	no(err)
	no(table.Put("k", []byte("v")))
	no(table.Put("k2", nil))
	_, err = table.CompareAndSwap("k2", []byte{}, nil)
	no(err)
	gone := r.Person("gone")
	r.MustDeliver(gone, "INBOX", noise(51, 100_000))
	no(r.DeleteAccount(ctx, gone))
	in, err := r.Incoming(ctx, person, 1<<20) // given up
	no(err)
	_, err = in.Write([]byte(noise(52, 600_000)))
	no(err)
	in.Abort()
	no(r.Import(ctx, "a7", store.Part{Next: "mailbox//0/0", Items: []store.Item{{Account: &store.ExportedAccount{
		Account: store.Account{ID: "a7", Address: "coming@example.com", Epoch: 2}, UIDValidity: 5}}}}))
}

// seen is all that a store has: every key of the index with its bytes, and every body.
func seen(t testing.TB, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	bodies := map[bodyID]bodyRecord{}
	err := s.view(func(tx *txn) error {
		walk := tx.scan(nil)
		for ok := walk.seek(nil); ok; ok = walk.next() {
			all[string(walk.key)] = string(walk.value)
		}
		for _, id := range s.accountIDs(tx) {
			s.accountIn(tx, id).b.sub(bBodies).ForEach(func(k, v []byte) error {
				r, err := decodeBody(v)
				bodies[bodyID{id, domicile.MessageID(k)}] = r
				return err
			})
		}
		return nil
	})
	for id, rec := range bodies {
		var b bytes.Buffer
		if _, err := b.ReadFrom(s.openBody(id.acct, id.id, rec)); err != nil {
			t.Fatalf("body %v: %v", id, err)
		}
		all[fmt.Sprint("body ", id)] = b.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantSeen(t testing.TB, s *Store, want map[string]string) {
	t.Helper()
	wantSame(t, seen(t, s), want)
}

// unsummarized is what a base keeps of what was seen.
func unsummarized(all map[string]string) map[string]string {
	maps.DeleteFunc(all, func(k, _ string) bool { return ofSummary([]byte(k)) })
	return all
}

func wantSame(t testing.TB, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for k, v := range want {
		if g, ok := got[k]; !ok {
			t.Errorf("%q is lost", k)
		} else if g != v {
			t.Errorf("%q is %d bytes %.60q, was %d bytes %.60q", k, len(g), g, len(v), v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%q came back", k)
		}
	}
	t.FailNow()
}

// copyOf copies a store's folder, which lies still.
func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// stopped is a populated store's folder after its process ended, and what it had.
type stopped struct {
	at   storetest.At
	want map[string]string
}

// leave populates a store, runs more on it, and ends it; if killed, bbolt has nothing of what populate and more did.
func leave(t *testing.T, killed bool, more func(s *Store)) stopped {
	t.Helper()
	r, d := crashRig(t, smallSegments)
	if killed {
		d.arm(-1, false)
	}
	populate(r)
	s := r.Store.(*Store)
	if more != nil {
		more(s)
	}
	r.Check()
	out := stopped{r.At, seen(t, s)}
	s.Close()
	out.at.Dir = copyOf(t, r.At.Dir)
	d.disarm()
	r.Reopen()
	return out
}

func (c stopped) open(t testing.TB, dir string) (*Store, error) {
	s, err := still(Config{Dir: dir, Region: c.at.Region, Sealer: c.at.Sealer, Now: c.at.Now, SegmentSize: smallSegments})
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func (c stopped) mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := c.open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ruined overwrites or cuts an index in ways that leave nothing to be used.
var ruined = map[string]func(path string) error{
	"gone":         os.Remove,
	"empty":        func(path string) error { return os.Truncate(path, 0) },
	"one page":     func(path string) error { return os.Truncate(path, 4096) },
	"four pages":   func(path string) error { return os.Truncate(path, 4*4096) },
	"cut mid-page": func(path string) error { return os.Truncate(path, 5*4096+17) },
	"garbage": func(path string) error {
		b := make([]byte, 1<<20)
		rand.NewChaCha8([32]byte{1}).Read(b)
		return os.WriteFile(path, b, 0o600)
	},
	"garbage at its beginning": func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(bytes.Repeat([]byte("garbage "), 1024), 0)
		return errors.Join(err, f.Close())
	},
}

// An index that is lost in any way is made anew, from the log alone, or a base, or a base behind which segments were compacted: with the
// same bytes under the same keys, nothing more and nothing less, but for the summaries that a base does not have.
func TestIndexLost(t *testing.T) {
	compact := func(s *Store) {
		if err := s.Compact(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	after := func(s *Store) {
		r := &storetest.Rig{Store: s, T: t}
		r.MustDeliver(person, "INBOX", noise(99, 120_000))
		r.MustDeliver(person, "INBOX", "after the base", "\\Deleted")
		if _, err := s.Expunge(context.Background(), "", person, s.inboxOf(person), nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		killed bool
		more   func(s *Store)
		base   bool
	}{
		"log alone":                       {false, nil, false},
		"log alone, killed":               {true, nil, false},
		"base":                            {false, func(s *Store) { s.flushIndex(); s.writeBase(); after(s) }, true},
		"base and compacted segments":     {false, func(s *Store) { compact(s); after(s) }, true},
		"base, compacted twice":           {false, func(s *Store) { compact(s); after(s); compact(s) }, true},
		"base with nothing behind it":     {false, func(s *Store) { s.flushIndex(); s.writeBase() }, true},
		"base of a log that had no index": {true, func(s *Store) { s.writeBase(); after(s) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			had := leave(t, c.killed, c.more)
			look := seen
			if c.base {
				unsummarized(had.want)
				look = func(t testing.TB, s *Store) map[string]string { return unsummarized(seen(t, s)) }
			}
			if bases, _ := filepath.Glob(filepath.Join(had.at.Dir, baseDir, "*")); len(bases) > 0 != c.base {
				t.Fatalf("bases: %v", bases)
			}
			for how, ruin := range ruined {
				t.Run(how, func(t *testing.T) {
					dir := copyOf(t, had.at.Dir)
					if err := ruin(filepath.Join(dir, indexFile)); err != nil {
						t.Fatal(err)
					}
					s := had.mustOpen(t, dir)
					wantSame(t, look(t, s), had.want)
					if err := s.Check(t.Context()); err != nil {
						t.Fatal(err)
					}
					s.Close()
					s = had.mustOpen(t, dir)
					wantSame(t, look(t, s), had.want)
					(&storetest.Rig{Store: s, T: t}).MustDeliver(person, "INBOX", "works")
				})
			}
		})
	}
}

// Without an index, a damaged base or a missing file is a clear refusal that changes nothing.
func TestRecoveryRefuses(t *testing.T) {
	had := leave(t, false, func(s *Store) {
		if err := s.Compact(context.Background()); err != nil {
			t.Fatal(err)
		}
		r := &storetest.Rig{Store: s, T: t}
		for range 5 {
			r.MustDeliver(person, "INBOX", noise(99, 60_000))
			r.MustDeliver(person, "INBOX", noise(98, 60_000))
		}
	})
	glob := func(dir, pattern string) []string {
		all, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(all) == 0 {
			t.Fatal("no such files:", pattern, err)
		}
		return all
	}
	alter := func(path string, at func(size int) int) {
		b, err := os.ReadFile(path)
		if err == nil {
			b[at(len(b))] ^= 4
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	segments := len(glob(had.at.Dir, "segments/*.seg"))
	if segments < 4 {
		t.Fatalf("%d segments", segments)
	}
	cases := map[string]struct {
		index  bool
		damage func(dir string)
		says   string
	}{
		"a bit in the base":             {false, func(dir string) { alter(glob(dir, "base/*/*.seg")[0], func(n int) int { return n / 2 }) }, "base of the index is damaged"},
		"a bit at the base's end":       {false, func(dir string) { alter(glob(dir, "base/*/*.seg")[0], func(n int) int { return n - 1 }) }, "base of the index is damaged"},
		"a base that is cut":            {false, func(dir string) { os.Truncate(glob(dir, "base/*/*.seg")[0], 5000) }, "base of the index is damaged"},
		"a base without its file":       {false, func(dir string) { os.Remove(glob(dir, "base/*/*.seg")[0]) }, "base of the index is damaged"},
		"a base without segments":       {false, func(dir string) { os.RemoveAll(filepath.Join(dir, segmentsDir)) }, "segments are missing"},
		"neither base nor first files":  {false, func(dir string) { os.RemoveAll(filepath.Join(dir, baseDir)) }, "segments are missing"},
		"no segments and an index":      {true, func(dir string) { os.RemoveAll(filepath.Join(dir, segmentsDir)) }, "segments are missing"},
		"the newest segment is missing": {true, func(dir string) { os.Remove(glob(dir, "segments/*.seg")[segments-1]) }, "segments are missing"},
	}
	for i := range segments - 1 {
		for _, index := range []bool{false, true} {
			cases[fmt.Sprintf("segment %d is missing, index there: %v", i, index)] = struct {
				index  bool
				damage func(dir string)
				says   string
			}{index, func(dir string) { os.Remove(glob(dir, "segments/*.seg")[i]) }, "segments are missing"}
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, had.at.Dir)
			if !c.index {
				os.Remove(filepath.Join(dir, indexFile))
			}
			c.damage(dir)
			before := files(t, dir)
			for range 2 {
				_, err := had.open(t, dir)
				if domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("error is %v, want %q", err, c.says)
				}
			}
			for path, b := range files(t, dir) {
				if old, ok := before[path]; ok && !strings.HasSuffix(path, indexFile) && !strings.Contains(path, baseDir) && !bytes.Equal(old, b) {
					t.Errorf("%s was changed", path)
				}
				delete(before, path)
			}
			for path := range before {
				t.Errorf("%s was removed", path)
			}
		})
	}
}

// find returns the frames of a store of one kind, in order.
func find(t testing.TB, s *Store, kind byte) (all []segment.Frame) {
	t.Helper()
	err := s.log.Scan(0, func(f segment.Frame) error {
		if f.Kind == kind {
			f.Payload = bytes.Clone(f.Payload)
			all = append(all, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// flip alters a bit of a frame's payload in a folder.
func flip(t testing.TB, dir string, p segment.Place) {
	t.Helper()
	path := filepath.Join(dir, segmentsDir, fmt.Sprintf("%08x.seg", p.Segment))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	at := int64(p.Offset) + int64(p.Length)/2
	f.ReadAt(b, at)
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// A flipped bit in a body or a chunk: the messages that have it read as errors, all others as ever, and Check names them.
func TestFlippedBody(t *testing.T) {
	for _, killed := range []bool{false, true} {
		had := leave(t, killed, nil)
		s := had.mustOpen(t, copyOf(t, had.at.Dir))
		bodies := find(t, s, frameBody)
		chunks := find(t, s, frameChunk)
		s.Close()
		for _, f := range append(bodies[len(bodies)/2:len(bodies)/2+3], chunks[len(chunks)/3], bodies[0]) {
			dir := copyOf(t, had.at.Dir)
			flip(t, dir, f.Place)
			s := had.mustOpen(t, dir)
			r := &storetest.Rig{Store: s, T: t}
			failed := map[domicile.MessageID]bool{}
			all, err := s.Mailboxes(t.Context(), person)
			if err != nil {
				t.Fatal(err)
			}
			for _, box := range all {
				for _, m := range r.List(person, box.Name) {
					body, err := r.ReadBody(person, m.ID)
					if err != nil {
						failed[m.ID] = true
					} else if want := had.want[fmt.Sprint("body ", bodyID{person, m.ID})]; body != want {
						t.Fatal("another message is served wrong")
					}
				}
			}
			err = s.Check(t.Context())
			if err == nil {
				t.Fatal("Check does not see it")
			}
			if len(failed) > 1 {
				t.Fatalf("%d messages do not open", len(failed))
			}
			for id := range failed {
				if !strings.Contains(err.Error(), string(id)) {
					t.Fatalf("Check does not name %s: %v", id, err)
				}
			}
			r.MustDeliver(person, "INBOX", "works")
			s.Close()
		}
	}
}

// A flipped bit in what an act changed does no harm once bbolt has it; before, what the act changed is lost, all else is served, and Check tells.
func TestFlippedChange(t *testing.T) {
	for _, killed := range []bool{false, true} {
		had := leave(t, killed, nil)
		s := had.mustOpen(t, copyOf(t, had.at.Dir))
		changes := find(t, s, frameChange)
		s.Close()
		for i := 3; i < len(changes); i++ {
			if i%7 != 0 && i != len(changes)-1 {
				continue
			}
			dir := copyOf(t, had.at.Dir)
			flip(t, dir, changes[i].Place)
			s := had.mustOpen(t, dir)
			err := s.Check(t.Context())
			last := i == len(changes)-1
			switch {
			case !killed:
				wantSeen(t, s, had.want)
				if err == nil || !strings.Contains(err.Error(), "frames of the log are damaged") {
					t.Fatal("Check says", err)
				}
			case last: // nobody can tell it from a group that was never flushed
			case err == nil:
				t.Fatal("Check does not see it")
			}
			if _, err := s.Accounts(t.Context(), "", store.MaxPage); err != nil {
				t.Fatal(err)
			}
			s.Close()
		}
	}
}

// What a killed process left to replay is bounded by what may be pending.
func TestReplayIsBounded(t *testing.T) {
	r, d := crashRig(t, 0)
	newPerson(r)
	d.arm(-1, false) // bbolt takes nothing
	acts := 0
	for ; ; acts++ {
		_, err := r.Deliver(person, store.Token(fmt.Sprint(acts)), "INBOX", "x")
		if domicile.KindOf(err) == domicile.Unavailable {
			break
		}
		if err != nil || acts > maxPending {
			t.Fatalf("after %d acts: %v", acts, err)
		}
	}
	s := r.Store.(*Store)
	if n := s.index.top.Len() + s.index.frozen.Len(); n > maxPending+applyKeys+20*maxGroup {
		t.Errorf("%d keys are pending", n)
	}
	r.Close()
	d.disarm()
	began := time.Now()
	r.Reopen()
	t.Logf("%d acts replayed in %v", acts, time.Since(began))
	if n := len(r.List(person, "INBOX")); n != acts {
		t.Fatalf("%d messages of %d acknowledged", n, acts)
	}
}

// A full disk: nothing more is accepted, with the outcome Unavailable, nothing is lost, and it goes on when there is room.
func TestDiskFull(t *testing.T) {
	full := false
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, SegmentSize: smallSegments, step: func(name string, do func() error) error {
			if full && slices.Contains([]string{"write segment", "create segment", "commit index", "put base", "put index"}, name) {
				return errDisk
			}
			return do()
		}})
	})
	populate(r)
	s := r.Store.(*Store)
	s.flushIndex() // so that none is at work when full changes
	s.upkeep.Lock()
	want := seen(t, s)
	full = true
	for i := range 3 {
		if _, err := r.Deliver(person, "full", "INBOX", noise(1, i*500_000)); domicile.KindOf(err) != domicile.Unavailable {
			t.Fatal("outcome is", err)
		}
		if err := r.Subscribe(t.Context(), "", person, "INBOX", false); domicile.KindOf(err) != domicile.Unavailable {
			t.Fatal("outcome is", err)
		}
		wantSeen(t, s, want)
	}
	full = false
	s.upkeep.Unlock()
	wantSeen(t, s, want)
	if _, err := r.Deliver(person, "full", "INBOX", "fits"); err != nil {
		t.Fatal(err)
	}
	want = seen(t, s)
	r.Reopen()
	wantSeen(t, r.Store.(*Store), want)
}
