package bolt

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store/storetest"
)

// groupStore is a store whose writer is the test's goroutine. step fails or counts its commits.
func groupStore(t *testing.T, step func(do func() error) error) *Store {
	s, err := Open(Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x"),
		step: func(_ string, do func() error) error { return step(do) }})
	if err != nil {
		t.Fatal(err)
	}
	s.writer.stop()
	t.Cleanup(func() { s.db.Close() })
	return s
}

var errMine = errors.New("mine")

// claim is a job that takes a key which nobody has, and then fails with fail.
func claim(key, by string, fail error) *job {
	return &job{err: make(chan error, 1), fn: func(tx *bbolt.Tx) error {
		if tx.Bucket(bAddresses).Get([]byte(key)) != nil {
			return fmt.Errorf("taken by another: %w", errMine)
		}
		if err := tx.Bucket(bAddresses).Put([]byte(key), []byte(by)); err != nil {
			return err
		}
		return fail
	}}
}

// In a group, a member that fails leaves nothing, and the others share one commit.
func TestGroup(t *testing.T) {
	commits := 0
	s := groupStore(t, func(do func() error) error { commits++; return do() })
	group := []*job{
		claim("a", "fails first", errMine),
		claim("a", "1", nil),
		claim("b", "2", nil),
		claim("c", "fails after it wrote", errMine),
		claim("a", "late", nil),
		claim("c", "3", nil),
	}
	s.writer.commit(slices.Clone(group))
	for i, wantErr := range []bool{true, false, false, true, true, false} {
		if err := <-group[i].err; errors.Is(err, errMine) != wantErr {
			t.Errorf("member %d: %v", i, err)
		}
	}
	if commits != 1 {
		t.Errorf("%d commits, want 1", commits)
	}
	s.db.View(func(tx *bbolt.Tx) error {
		for key, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
			if got := string(tx.Bucket(bAddresses).Get([]byte(key))); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		return nil
	})
}

// Nobody is refused for what another member only tried.
func TestGroupCommitFails(t *testing.T) {
	fail := errMine
	s := groupStore(t, func(do func() error) error {
		if err := fail; err != nil {
			fail = nil
			return err
		}
		return do()
	})
	first, second := claim("a", "1", nil), claim("a", "2", nil)
	s.writer.commit([]*job{first, second})
	if err := <-first.err; domicile.KindOf(err) != domicile.Unavailable {
		t.Error("the first, whose commit failed:", err)
	}
	if err := <-second.err; err != nil {
		t.Error("the second, whose key is free:", err)
	}
}

// A commit that never reached the file is no reason to stop.
func TestCommitNotDone(t *testing.T) {
	r, d := crashRig(t)
	newPerson(r)
	d.arm(7, false)
	_, err := r.Deliver(person, "", "INBOX", "x")
	if d.seen[7] != "commit index" || domicile.KindOf(err) != domicile.Unavailable {
		t.Fatalf("steps %v, error %v", d.seen, err)
	}
	d.arm(-1, false)
	r.MustDeliver(person, "INBOX", "y")
	if n := len(r.List(person, "INBOX")); n != 1 {
		t.Fatalf("%d messages", n)
	}
}

// A full disk refuses what does not fit, keeps what is there, and the store goes on once there is room.
func TestDiskFull(t *testing.T) {
	r := storetest.New(t, open)
	db := r.Store.(*Store).db
	table, err := r.Table("t")
	if err != nil {
		t.Fatal(err)
	}
	db.MaxSize = 1 // bbolt may not let its file grow
	put, value := 0, make([]byte, 64<<10)
	for ; err == nil && put < 1000; put++ {
		err = table.Put(fmt.Sprint(put), value)
	}
	if domicile.KindOf(err) != domicile.Unavailable {
		t.Fatalf("after %d records: %v", put, err)
	}
	db.MaxSize = 0
	if err := table.Put("afterwards", value); err != nil {
		t.Fatal(err)
	}
	n := 0
	table.Each(func(string, []byte) error { n++; return nil })
	if n != put-1+1 {
		t.Fatalf("%d records, want %d", n, put)
	}
}
