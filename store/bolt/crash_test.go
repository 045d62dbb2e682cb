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

var errDisk = errors.New("the disk failed")

// disk fails one step, counted from arm: before it is done, or after. While it is armed bbolt takes nothing, so that what is on disk
// is what the log has.
type disk struct {
	mu    sync.Mutex
	seen  []string // names of the steps since arm, those of bbolt aside
	armed bool
	nth   int // which one fails; -1 = none
	after bool
	hit   bool
}

func (d *disk) arm(nth int, after bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen, d.armed, d.nth, d.after, d.hit = nil, true, nth, after, false
}

func (d *disk) disarm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
}

// result is what came since arm, and whether the step that fails was among it.
func (d *disk) result() (seen []string, hit bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen), d.hit
}

func (d *disk) step(name string, do func() error) error {
	fail, after := d.fails(name)
	if !fail {
		return do()
	}
	if after {
		if err := do(); err != nil {
			return err
		}
	}
	return errDisk
}

func (d *disk) fails(name string) (fail, after bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.armed {
		return false, false
	}
	if name == "commit index" {
		return true, false
	}
	d.seen = append(d.seen, name)
	if len(d.seen)-1 != d.nth {
		return false, false
	}
	d.hit = true
	return true, d.after
}

// still is a store whose cleaner does not run by itself: small segments would have it run every second.
func still(cfg Config) (*Store, error) {
	s, err := Open(cfg)
	if err == nil {
		s.stopCleaner()
	}
	return s, err
}

// crashRig is a rig whose disk can fail; size is of its segments, 0 = the default.
func crashRig(t *testing.T, size int64) (*storetest.Rig, *disk) {
	d := &disk{}
	return storetest.New(t, func(at storetest.At) (store.Store, error) {
		return still(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, step: d.step, SegmentSize: size})
	}), d
}

// crashes is an act to be failed at each of its steps.
type crashes struct {
	want    []string                                           // its order on disk
	size    int64                                              // of segments
	prepare func(r *storetest.Rig) (act func() error)          // may be called often
	verify  func(t *testing.T, r *storetest.Rig, failed error) // after it was opened again
}

// run holds the act to its order on disk, and fails every step twice, once not done and once done but
// reported as failed, opens the store again, and lets verify look at the result.
func (c crashes) run(t *testing.T) {
	r, d := crashRig(t, c.size)
	act := c.prepare(r)
	d.arm(-1, false)
	err := act()
	d.disarm()
	if err != nil {
		t.Fatal(err)
	}
	steps := slices.Clone(d.seen)
	if !slices.Equal(steps, c.want) {
		t.Fatalf("the order on disk is %v, want %v", steps, c.want)
	}
	for i, name := range steps {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s/done=%v", i, name, after), func(t *testing.T) {
				r, d := crashRig(t, c.size)
				act := c.prepare(r)
				d.arm(i, after)
				err := act()
				if !d.hit {
					t.Fatal("the step did not come")
				}
				r.Close() // nothing more reaches bbolt
				d.disarm()
				r.Reopen()
				r.Check()
				c.verify(t, r, err)
			})
		}
	}
}

var aGroup = []string{"write segment", "sync segment"}

// A delivery is one write and one flush before its acknowledgement, and nothing else.
func TestCrashInCommit(t *testing.T) {
	deliver := func(r *storetest.Rig) error {
		_, err := r.Deliver(person, "token", "INBOX", "the body")
		return err
	}
	verify := func(t *testing.T, r *storetest.Rig, err error) {
		before := len(r.List(person, "INBOX"))
		switch {
		case err == nil && before != 1:
			t.Fatalf("acknowledged, and %d are there", before)
		case domicile.KindOf(err) == domicile.Unavailable && before != 0:
			t.Fatal("said that nothing was done, and it was")
		case err != nil && domicile.KindOf(err) != domicile.Unavailable && domicile.KindOf(err) != domicile.Unknown:
			t.Fatal("no outcome of the four:", err)
		}
		if err := deliver(r); err != nil { // the sender tries again
			t.Fatal(err)
		}
		list := r.List(person, "INBOX")
		if len(list) != 1 {
			t.Fatalf("after a retry %d are there", len(list))
		}
		if body, err := r.ReadBody(person, list[0].ID); err != nil || body != "the body" {
			t.Fatalf("body %q, %v", body, err)
		}
	}
	prepare := func(r *storetest.Rig) func() error {
		newPerson(r)
		return func() error { return deliver(r) }
	}
	t.Run("in a segment", crashes{aGroup, 0, prepare, verify}.run)
	inNew := append([]string{"create segment", "sync segment", "sync folder"}, aGroup...)
	t.Run("in a new segment", crashes{inNew, 64, prepare, verify}.run)
}

// Several messages come in the place of one by the same one write and one flush; of many bytes all but the last ones are written before, each a group's worth
// by a write and a flush of its own. Wherever it ends, all of it was done or nothing.
func TestCrashInCommitTogether(t *testing.T) {
	for name, c := range map[string]struct {
		want []string
		size int64
		body string
	}{
		"small": {aGroup, 0, "the body"},
		"large": {slices.Concat(aGroup, aGroup, aGroup), 1 << 20, noise(7, 60_000)},
	} {
		commit := func(r *storetest.Rig) error {
			_, _, err := r.Commit(context.Background(), "token", person, "Sent", r.Letters(person, "0"+c.body, "1"+c.body, "2"+c.body),
				&store.Instead{Mailbox: r.Box(person, "Drafts").ID, UID: 1})
			return err
		}
		t.Run(name, crashes{c.want, c.size, func(r *storetest.Rig) func() error {
			newPerson(r)
			r.MustDeliver(person, "Drafts", "gone")
			return func() error { return commit(r) }
		}, func(t *testing.T, r *storetest.Rig, err error) {
			count := func() string { return fmt.Sprint(len(r.List(person, "Sent")), " for ", len(r.List(person, "Drafts"))) }
			before := count()
			kind := domicile.KindOf(err)
			switch {
			case before != "3 for 0" && before != "0 for 1":
				t.Fatalf("some of it was done: %s", before)
			case err == nil && before != "3 for 0" || err != nil && kind == domicile.Unavailable && before != "0 for 1":
				t.Fatalf("%v, and %s", err, before)
			case err != nil && kind != domicile.Unavailable && kind != domicile.Unknown:
				t.Fatal("no outcome of the four:", err)
			}
			if err := commit(r); err != nil || count() != "3 for 0" {
				t.Fatalf("the retry: %v, %s", err, count())
			}
			for n, m := range r.List(person, "Sent") {
				if body, err := r.ReadBody(person, m.ID); err != nil || body != fmt.Sprint(n)+c.body {
					t.Fatalf("body %d: %.20q, %v", n, body, err)
				}
			}
		}}.run)
	}
}

// Messages that come together under a token each come again in other groups, wherever the first ended: each is there once, in their order.
func TestCrashInCommitLetters(t *testing.T) {
	group := func(r *storetest.Rig, bodies ...string) error {
		letters := r.Letters(person, bodies...)
		for i, body := range bodies {
			letters[i].Token = store.Token("of " + body)
		}
		_, _, err := r.Commit(context.Background(), "", person, "Sent", letters, nil)
		return err
	}
	crashes{aGroup, 0, func(r *storetest.Rig) func() error {
		newPerson(r)
		return func() error { return group(r, "a", "b", "c") }
	}, func(t *testing.T, r *storetest.Rig, err error) {
		if n := len(r.List(person, "Sent")); n != 3 && (err == nil || n != 0) {
			t.Fatalf("%v, and %d are there", err, n)
		}
		for _, again := range [][]string{{"a", "b"}, {"b", "c", "d"}, {"e"}, {"a", "b", "c", "d", "e"}} {
			if err := group(r, again...); err != nil {
				t.Fatal(err)
			}
		}
		got := ""
		for _, m := range r.List(person, "Sent") {
			body, err := r.ReadBody(person, m.ID)
			if err != nil {
				t.Fatal(err)
			}
			got += body
		}
		if got != "abcde" {
			t.Errorf("%q is there", got)
		}
	}}.run(t)
}

func TestCrashInExpunge(t *testing.T) {
	expunge := func(r *storetest.Rig) error {
		_, err := r.Expunge(context.Background(), "", person, r.Box(person, "INBOX").ID, nil)
		return err
	}
	crashes{aGroup, 0, func(r *storetest.Rig) func() error {
		newPerson(r)
		r.MustDeliver(person, "INBOX", "kept")
		r.MustDeliver(person, "INBOX", "gone", "\\Deleted")
		r.MustDeliver(person, "INBOX", "gone too", "\\Deleted")
		return func() error { return expunge(r) }
	}, func(t *testing.T, r *storetest.Rig, err error) {
		if n := len(r.List(person, "INBOX")); err == nil && n != 1 || err != nil && n != 1 && n != 3 {
			t.Fatalf("%d messages after %v", n, err)
		}
		if err := expunge(r); err != nil {
			t.Fatal(err)
		}
		list := r.List(person, "INBOX")
		if body, err := r.ReadBody(person, list[0].ID); len(list) != 1 || err != nil || body != "kept" {
			t.Fatalf("%d messages, body %q, %v", len(list), body, err)
		}
	}}.run(t)
}

func TestCrashInDeleteAccount(t *testing.T) {
	crashes{slices.Concat(aGroup, []string{"destroy key"}, aGroup), 0, func(r *storetest.Rig) func() error {
		newPerson(r)
		r.MustDeliver(person, "INBOX", "one")
		r.MustDeliver(person, "INBOX", "two")
		return func() error { return r.DeleteAccount(context.Background(), person) }
	}, func(t *testing.T, r *storetest.Rig, err error) {
		_, gone := r.Account(context.Background(), person)
		if err == nil && gone == nil {
			t.Fatal("acknowledged, and the account is there")
		}
		if gone == nil { // all of it, then
			if n := len(r.List(person, "INBOX")); n != 2 {
				t.Fatalf("%d messages left", n)
			}
			if err := r.DeleteAccount(context.Background(), person); err != nil {
				t.Fatal(err)
			}
		}
		if r.At.Sealer.HasKey(person) {
			t.Fatal("the account is gone and its key is not")
		}
		newPerson(r) // the address is free
	}}.run(t)
}

func TestCrashInCreateAccount(t *testing.T) {
	a := store.Account{ID: person, Address: "ann@example.com"}
	crashes{append([]string{"create key"}, aGroup...), 0, func(r *storetest.Rig) func() error {
		return func() error { return r.CreateAccount(context.Background(), "token", a) }
	}, func(t *testing.T, r *storetest.Rig, err error) {
		if _, found := r.Account(context.Background(), person); err == nil && found != nil {
			t.Fatal("acknowledged, and not there")
		}
		if err := r.CreateAccount(context.Background(), "token", a); err != nil {
			t.Fatal("the retry:", err)
		}
		r.MustDeliver(person, "INBOX", "works")
	}}.run(t)
}

// A new store whose making was cut short at any step opens as a new store.
func TestCrashInFirstOpen(t *testing.T) {
	steps := slices.Concat([]string{"put index", "renew meta", "sync folder", "create segment", "sync segment", "sync folder"}, aGroup)
	for i := range steps {
		for _, after := range []bool{false, true} {
			d := &disk{}
			at := storetest.At{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")}
			cfg := Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, step: d.step}
			d.arm(i, after)
			if _, err := Open(cfg); !errors.Is(err, errDisk) || d.seen[i] != steps[i] {
				t.Fatalf("steps %v, error %v", d.seen, err)
			}
			d.disarm()
			s, err := Open(cfg)
			if err != nil {
				t.Fatalf("after a crash at %s, done=%v: %v", steps[i], after, err)
			}
			r := &storetest.Rig{Store: s, T: t}
			newPerson(r)
			r.MustDeliver(person, "INBOX", "works")
			r.Check()
			s.Close()
		}
	}
}

// After a flush that failed nothing may be written before the log was opened anew.
func TestBrokenLogTakesNoMore(t *testing.T) {
	for _, after := range []bool{false, true} {
		r, d := crashRig(t, 0)
		newPerson(r)
		d.arm(1, after)
		if _, err := r.CreateMailbox(context.Background(), "", person, "X", ""); domicile.KindOf(err) != domicile.Unknown || d.seen[1] != "sync segment" {
			t.Fatalf("steps %v, outcome %v", d.seen, err)
		}
		for range 2 {
			if _, err := r.Deliver(person, "", "INBOX", "y"); domicile.KindOf(err) != domicile.Unavailable {
				t.Fatal("outcome is", err)
			}
		}
		if n := len(d.seen); n != 2 {
			t.Fatalf("it went on writing: %v", d.seen)
		}
		if n := len(r.List(person, "INBOX")); n != 0 {
			t.Fatal("nobody may see what is not durable:", n)
		}
		d.disarm()
		r.Reopen()
		r.MustDeliver(person, "INBOX", "z")
	}
}

// Bytes that nobody committed are nobody's after a restart.
func TestIncomingEndsWithTheStore(t *testing.T) {
	r, _ := crashRig(t, 0)
	newPerson(r)
	in, err := r.Incoming(context.Background(), person, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(make([]byte, 2*maxChunk+1)); err != nil {
		t.Fatal(err)
	}
	r.Reopen() // as after a kill: nobody called Abort
	r.Check()
	if _, err := in.Commit(context.Background(), "", "INBOX", nil, time.Time{}); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatal("a message of before the restart was taken:", err)
	}
}
