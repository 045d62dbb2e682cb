package bolt

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// Of an index that lost most of its entries the file becomes small, while mail goes on, and says the same.
func TestShrink(t *testing.T) {
	ctx := context.Background()
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	table, err := r.Table("t")
	if err != nil {
		t.Fatal(err)
	}
	value := []byte(strings.Repeat("v", 30_000))
	for i := range 300 {
		if err := table.Put(fmt.Sprint(i), value); err != nil {
			t.Fatal(err)
		}
	}
	s.flushIndex()
	for i := range 300 {
		if _, err := table.CompareAndSwap(fmt.Sprint(i), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.flushIndex()
	for i := range 20 {
		r.MustDeliver(person, "INBOX", fmt.Sprint("before ", i))
	}
	s.flushIndex()
	stop, done := make(chan bool), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
				if _, err := r.Deliver(person, "", "INBOX", fmt.Sprint("beside it ", n)); err != nil {
					t.Error(err)
				}
				n++
			}
		}
	}()
	before := s.index.file().Stats().FreePageN
	s.upkeep.Lock()
	err = s.shrink()
	s.upkeep.Unlock()
	close(stop)
	n := <-done
	if err != nil {
		t.Fatal(err)
	}
	if after := s.index.file().Stats().FreePageN; after > before/4 {
		t.Errorf("%d free pages before, %d after", before, after)
	}
	r.Check()
	r.Reopen()
	if got := len(r.List(person, "INBOX")); got != 20+n {
		t.Errorf("%d messages, want %d", got, 20+n)
	}
	if _, err := r.Expunge(ctx, "", person, r.Box(person, store.Inbox).ID, nil); err != nil {
		t.Fatal(err)
	}
}

// Who reads the old file for long keeps nobody from the new one.
func TestShrinkBesideAReader(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	s := r.Store.(*Store)
	r.MustDeliver(person, "INBOX", "before")
	s.flushIndex()
	reader, err := s.index.file().Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		s.upkeep.Lock()
		defer s.upkeep.Unlock()
		done <- s.shrink()
	}()
	select {
	case err = <-done:
	case <-time.After(time.Minute):
		t.Error("it waits for a reader")
	}
	if reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	r.MustDeliver(person, "INBOX", "after")
	s.flushIndex()
	r.Check()
	r.Reopen()
	if got := len(r.List(person, "INBOX")); got != 2 {
		t.Errorf("%d messages", got)
	}
}

// A failed step leaves the old file, or the store takes no more until it is opened anew.
func TestShrinkFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		r, d := crashRig(t, 0)
		newPerson(r)
		s := r.Store.(*Store)
		r.MustDeliver(person, "INBOX", "one")
		s.flushIndex()
		r.MustDeliver(person, "INBOX", "two")
		d.arm(0, after)
		s.upkeep.Lock()
		err := s.shrink()
		s.upkeep.Unlock()
		if err == nil || d.seen[0] != "put index" {
			t.Fatalf("steps %v, %v", d.seen, err)
		}
		d.disarm()
		if _, err := r.Deliver(person, "", "INBOX", "three"); domicile.KindOf(err) != domicile.Unavailable {
			t.Fatal("it goes on:", err)
		}
		r.Reopen()
		r.Check()
		if n := len(r.List(person, "INBOX")); n != 2 {
			t.Fatalf("%d messages", n)
		}
		if _, err := os.Stat(s.path(indexFile) + ".shrunk"); err == nil {
			t.Error("the new file is left")
		}
	}
}

// A new file that would lack what a damaged frame of the log says does not take the old one's place, which has it.
func TestShrinkBesideDamage(t *testing.T) {
	s, err := still(Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	copied, lsn, err := s.copyIndex()
	if err != nil {
		t.Fatal(err)
	}
	table, err := s.Table("t")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"a", "b"} {
		if err := table.Put(k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	s.flushIndex()
	frames := find(t, s, frameChange)
	flip(t, s.cfg.Dir, frames[len(frames)-2].Place)
	s.upkeep.Lock()
	err = s.replaceIndex(copied, lsn)
	s.upkeep.Unlock()
	if err == nil {
		t.Error("it was shrunk")
	}
	for _, k := range []string{"a", "b"} {
		if v, ok, err := table.Get(k); !ok || string(v) != k {
			t.Errorf("%s is %q, %v", k, v, err)
		}
	}
}
