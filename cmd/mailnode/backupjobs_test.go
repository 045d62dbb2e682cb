package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/admin"
	"domicile/backup"
)

// slowRepository makes a set when it is let.
type slowRepository struct {
	let  chan error
	made int
}

func (r *slowRepository) Make(ctx context.Context, private map[string]string) (backup.Set, error) {
	if private["operator"] != "ops" {
		return backup.Set{}, errors.New("nobody asked for it")
	}
	select {
	case err := <-r.let:
		r.made++
		return backup.Set{Name: "a set"}, err
	case <-ctx.Done():
		return backup.Set{}, ctx.Err()
	}
}

func (r *slowRepository) Prune(context.Context, backup.Retention, bool) (p backup.Pruned, err error) {
	return p, nil
}
func (r *slowRepository) Health() (s backup.State) { return s }
func (r *slowRepository) State() (s backup.State)  { return s }

// rows is a table of the store.
type rows struct {
	mu sync.Mutex
	m  map[string][]byte // guarded by mu
}

func (t *rows) Get(key string) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.m[key]
	return v, ok, nil
}

func (t *rows) Put(key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[key] = value
	return nil
}

func (t *rows) CompareAndSwap(key string, old, new []byte) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if string(t.m[key]) != string(old) {
		return false, nil
	}
	if t.m[key] = new; new == nil {
		delete(t.m, key)
	}
	return true, nil
}

func (t *rows) Each(func(string, []byte) error) error { return nil }

// A set that was asked for is made though the node is started anew meanwhile, under the same id, and no further one.
func TestSetGoesOn(t *testing.T) {
	r, asked := &slowRepository{let: make(chan error)}, &rows{m: map[string][]byte{}}
	start := func(is repository) (b *backups, stop func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		n := &node{log: slog.New(slog.DiscardHandler)}
		b, err := openBackups(ctx, n, func() repository { return is }, asked)
		if err != nil {
			t.Fatal(err)
		}
		return b, func() { cancel(); n.work.Wait() }
	}
	state := func(b *backups, id string) string {
		t.Helper()
		j, err := b.Job(id)
		if err != nil {
			t.Fatal(err)
		}
		return j.State
	}
	var j admin.BackupJob
	ends := func(b *backups, want string) {
		t.Helper()
		for by := time.Now().Add(time.Minute); state(b, j.ID) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(by) {
				t.Fatalf("the job is %s, not %s", state(b, j.ID), want)
			}
		}
	}
	b, stop := start(r)
	j, err := b.Begin(t.Context(), "ops", admin.BeginBackup{Kind: "create"})
	if err != nil || state(b, j.ID) != "running" {
		t.Fatal(j, err)
	}
	stop()
	b, stop = start(nil) // the repository is out of reach
	if state(b, j.ID) != "running" {
		t.Error("it does not wait for the repository")
	}
	stop()
	b, stop = start(r)
	if again, err := b.Begin(t.Context(), "ops", admin.BeginBackup{Kind: "create"}); err != nil || again.ID != j.ID || state(b, j.ID) != "running" {
		t.Fatalf("another is begun beside it: %+v, %v", again, err)
	}
	if s, err := b.State(); err != nil || s.Job == nil || s.Job.ID != j.ID {
		t.Fatalf("it is not shown: %+v, %v", s, err)
	}
	r.let <- nil
	ends(b, "done")
	if done, _ := b.Job(j.ID); done.Set == nil || done.Set.Name != "a set" {
		t.Errorf("%+v", done)
	}
	stop()
	b, stop = start(r)
	if _, err := b.Job(j.ID); domicile.KindOf(err) != domicile.NotExist || r.made != 1 {
		t.Fatalf("it goes on with what is done: %v, %d sets", err, r.made)
	}
	if j, err = b.Begin(t.Context(), "ops", admin.BeginBackup{Kind: "create"}); err != nil {
		t.Fatal(err)
	}
	r.let <- errors.New("the disk is full")
	ends(b, "failed")
	stop()
	if b, stop = start(r); len(b.jobs) > 0 {
		t.Error("what failed is tried for ever")
	}
	stop()
}

// A node whose folder was restored makes no set because the folder says that one was being made; nor does one that cannot read what was asked for, which starts all the same.
func TestSetNotAskedForAnew(t *testing.T) {
	for name, c := range map[string]struct {
		asked    string
		restored *backup.Mark
	}{
		"restored":      {`{"v":1,"id":"b1","operator":"ops"}`, &backup.Mark{}},
		"a later form":  {`{"v":2,"id":"b1"}`, nil},
		"no form":       {`x`, nil},
		"nothing asked": {"", &backup.Mark{}},
	} {
		asked := &rows{m: map[string][]byte{}}
		if c.asked != "" {
			asked.m[askedKey] = []byte(c.asked)
		}
		n := &node{log: slog.New(slog.DiscardHandler), restored: c.restored}
		ctx, cancel := context.WithCancel(t.Context())
		b, err := openBackups(ctx, n, func() repository { return nil }, asked)
		if err != nil || len(b.jobs) > 0 || len(asked.m) > 0 {
			t.Errorf("%s: %v, it goes on: %v, it stays: %q", name, err, b != nil && len(b.jobs) > 0, asked.m)
		}
		cancel()
		n.work.Wait()
	}
}
