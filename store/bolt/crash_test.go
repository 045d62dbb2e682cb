package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

var errDisk = errors.New("the disk failed")

// disk fails one step on disk, counted from arm: before it is done, or after.
type disk struct {
	seen  []string // names of the steps since arm
	nth   int      // which one fails; -1 = none
	after bool
	hit   bool
}

func (d *disk) arm(nth int, after bool) { *d = disk{nth: nth, after: after} }

func (d *disk) step(name string, do func() error) error {
	d.seen = append(d.seen, name)
	if len(d.seen)-1 != d.nth {
		return do()
	}
	d.hit = true
	if d.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errDisk
}

// crashRig is a rig whose disk can fail.
func crashRig(t *testing.T) (*storetest.Rig, *disk) {
	d := &disk{nth: -1}
	return storetest.New(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, step: d.step})
	}), d
}

// stepsOf runs an act on a sound disk and returns the names of its steps.
func stepsOf(t *testing.T, prepare func(*storetest.Rig) func() error) []string {
	r, d := crashRig(t)
	act := prepare(r)
	d.arm(-1, false)
	if err := act(); err != nil {
		t.Fatal(err)
	}
	return d.seen
}

// eachCrash holds an act to its order on disk, and fails every step twice, once not done and once done but
// reported as failed, opens the store again, and lets verify look at the result.
func eachCrash(t *testing.T, want []string, prepare func(*storetest.Rig) func() error, verify func(t *testing.T, r *storetest.Rig, err error)) {
	steps := stepsOf(t, prepare)
	if !slices.Equal(steps, want) {
		t.Fatalf("the order on disk is %v, want %v", steps, want)
	}
	for i, name := range steps {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d %s/done=%v", i, name, after), func(t *testing.T) {
				r, d := crashRig(t)
				act := prepare(r)
				d.arm(i, after)
				err := act()
				if !d.hit {
					t.Fatal("the step did not come")
				}
				d.arm(-1, false)
				r.Reopen()
				r.Check()
				verify(t, r, err)
			})
		}
	}
}

const person domicile.AccountID = "a1"

func newPerson(r *storetest.Rig) {
	if err := r.CreateAccount(context.Background(), "", store.Account{ID: person, Address: "ann@example.com"}); err != nil {
		r.T.Fatal(err)
	}
}

func TestCrashInCommit(t *testing.T) {
	deliver := func(r *storetest.Rig) error {
		_, err := r.Deliver(person, "token", "INBOX", "the body")
		return err
	}
	eachCrash(t, []string{"create staging", "make folder", "write body", "sync body", "close body", "rename body", "sync folder", "commit index"}, func(r *storetest.Rig) func() error {
		newPerson(r)
		return func() error { return deliver(r) }
	}, func(t *testing.T, r *storetest.Rig, err error) {
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
	})
}

func TestCrashInExpunge(t *testing.T) {
	expunge := func(r *storetest.Rig) error {
		_, err := r.Expunge(context.Background(), person, r.Box(person, "INBOX").ID, nil)
		return err
	}
	eachCrash(t, []string{"commit index", "remove body", "remove body"}, func(r *storetest.Rig) func() error {
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
	})
}

func TestCrashInDeleteAccount(t *testing.T) {
	eachCrash(t, []string{"commit index", "destroy key", "remove body", "remove body", "commit index"}, func(r *storetest.Rig) func() error {
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
	})
}

func TestCrashInCreateAccount(t *testing.T) {
	a := store.Account{ID: person, Address: "ann@example.com"}
	eachCrash(t, []string{"create key", "commit index"}, func(r *storetest.Rig) func() error {
		return func() error { return r.CreateAccount(context.Background(), "token", a) }
	}, func(t *testing.T, r *storetest.Rig, err error) {
		if _, found := r.Account(context.Background(), person); err == nil && found != nil {
			t.Fatal("acknowledged, and not there")
		}
		if err := r.CreateAccount(context.Background(), "token", a); err != nil {
			t.Fatal("the retry:", err)
		}
		r.MustDeliver(person, "INBOX", "works")
	})
}

// After a failed commit nothing may be written before the file was opened anew.
func TestBrokenIndexTakesNoMore(t *testing.T) {
	r, d := crashRig(t)
	newPerson(r)
	d.arm(0, true) // the only step of making a mailbox is the commit
	if _, err := r.CreateMailbox(context.Background(), "", person, "X", ""); domicile.KindOf(err) != domicile.Unknown {
		t.Fatal("outcome is", err)
	}
	if _, err := r.Deliver(person, "", "INBOX", "y"); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatal("outcome is", err)
	}
	r.Reopen()
	r.MustDeliver(person, "INBOX", "z")
}

// Bytes that nobody committed are gone after a restart.
func TestStagedBytesAreSwept(t *testing.T) {
	r, _ := crashRig(t)
	newPerson(r)
	in, err := r.Incoming(context.Background(), person, 100)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "half a message")
	r.Reopen() // as after a kill: nobody called Abort
	r.Check()
	if _, err := in.Commit(context.Background(), "", "INBOX", nil, time.Time{}); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatal("a message of before the restart was taken:", err)
	}
}
