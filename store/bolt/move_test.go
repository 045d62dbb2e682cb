package bolt

import (
	"context"
	"slices"
	"strings"
	"testing"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// exported returns the parts of an account with two bodies, the second of which takes two parts.
func exported(t *testing.T) (parts []store.Part) {
	ctx := context.Background()
	r := storetest.New(t, open)
	newPerson(r)
	r.MustDeliver(person, "INBOX", strings.Repeat("a", 10))
	r.MustDeliver(person, "INBOX", strings.Repeat("b", 10))
	if err := r.UpdateAccount(ctx, person, func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		t.Fatal(err)
	}
	for p := (store.Part{}); !p.Last; parts = append(parts, p) {
		var err error
		if p, err = r.Export(ctx, person, p.Next, 15); err != nil {
			t.Fatal(err)
		}
	}
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	return parts
}

func importParts(r *storetest.Rig, parts []store.Part) error {
	for _, p := range parts {
		if err := r.Import(context.Background(), person, p); err != nil {
			return err
		}
	}
	return nil
}

// resume imports from where the import stands, and activates.
func resume(t *testing.T, r *storetest.Rig, parts []store.Part) {
	t.Helper()
	ctx := context.Background()
	in, err := r.Imported(ctx, person)
	at, whole := in.At, in.Whole
	if _, active := r.Account(ctx, person); active == nil {
		whole = true
	} else if err != nil && domicile.KindOf(err) != domicile.NotExist {
		t.Fatal(err)
	}
	if n := slices.IndexFunc(parts, func(p store.Part) bool { return p.After == at }); !whole {
		if n < 0 {
			t.Fatalf("the import stands at %q, which is no part's", at)
		}
		if err := importParts(r, parts[n:]); err != nil {
			t.Fatal(err)
		}
	}
	r.Check()
	if err := r.Activate(ctx, person, func(a *store.Account) error { a.State = store.Active; return nil }); err != nil {
		t.Fatal(err)
	}
	for n, m := range r.List(person, "INBOX") {
		if body, err := r.ReadBody(person, m.ID); err != nil || body != strings.Repeat(string(rune('a'+n)), 10) {
			t.Fatalf("message %d is %q, %v", n+1, body, err)
		}
	}
	r.MustDeliver(person, "INBOX", "works")
}

// absent: nothing of an account that was not activated is seen.
func absent(t *testing.T, r *storetest.Rig) {
	t.Helper()
	if _, err := r.Account(context.Background(), person); domicile.KindOf(err) != domicile.NotExist {
		t.Fatal("before it was activated:", err)
	}
}

var aBody = []string{"create staging", "write body", "sync body", "close body", "rename body", "sync folder"}

func TestCrashInImport(t *testing.T) {
	parts := exported(t)
	want := map[string][]string{
		"first": {"create key", "commit index"}, "bodies": append(slices.Concat(aBody, aBody), "commit index"),
		"the rest": append(slices.Clone(aBody), "commit index", "remove body"),
	}
	for n, name := range []string{"first", "bodies", "the rest"} {
		t.Run(name, func(t *testing.T) {
			eachCrashLike(t, want[name], func(r *storetest.Rig) func() error {
				if err := importParts(r, parts[:n]); err != nil {
					t.Fatal(err)
				}
				return func() error { return r.Import(context.Background(), person, parts[n]) }
			}, func(t *testing.T, r *storetest.Rig, err error) {
				absent(t, r)
				in, _ := r.Imported(context.Background(), person)
				if err == nil && in.At != parts[n].Next || domicile.KindOf(err) == domicile.Unavailable && in.At != parts[n].After {
					t.Fatalf("after %v the import stands at %q", err, in.At)
				}
				resume(t, r, parts)
			})
		})
	}
}

// eachCrashLike is eachCrash for bodies whose random names may share a folder: the making of folders is not held to an order.
func eachCrashLike(t *testing.T, want []string, prepare func(*storetest.Rig) func() error, verify func(*testing.T, *storetest.Rig, error)) {
	steps := slices.DeleteFunc(stepsOf(t, prepare), func(s string) bool { return s == "make folder" })
	if !slices.Equal(steps, want) {
		t.Fatalf("the order on disk is %v, want %v", steps, want)
	}
	eachCrash(t, stepsOf(t, prepare), prepare, verify)
}

func TestCrashInActivate(t *testing.T) {
	parts := exported(t)
	eachCrash(t, []string{"commit index", "commit index"}, func(r *storetest.Rig) func() error {
		if err := importParts(r, parts); err != nil {
			t.Fatal(err)
		}
		return func() error {
			return r.Activate(context.Background(), person, func(a *store.Account) error { a.State, a.Epoch = store.Active, 2; return nil })
		}
	}, func(t *testing.T, r *storetest.Rig, err error) {
		a, found := r.Account(context.Background(), person)
		if err == nil && found != nil || found == nil && (a.State != store.Active || a.Epoch != 2) {
			t.Fatalf("after %v: %+v, %v", err, a, found)
		}
		resume(t, r, parts)
	})
}

func TestCrashInAbandon(t *testing.T) {
	parts := exported(t)
	ctx := context.Background()
	eachCrash(t, []string{"commit index", "destroy key", "remove body", "remove body", "remove body", "commit index"}, func(r *storetest.Rig) func() error {
		if err := importParts(r, parts[:2]); err != nil {
			t.Fatal(err)
		}
		return func() error { return r.Abandon(ctx, person) }
	}, func(t *testing.T, r *storetest.Rig, err error) {
		absent(t, r)
		_, standing := r.Imported(ctx, person)
		if err == nil && standing == nil {
			t.Fatal("acknowledged, and it is there")
		}
		if standing != nil && r.At.Sealer.HasKey(person) {
			t.Fatal("the import is gone and its key is not")
		}
		if err := r.Abandon(ctx, person); err != nil {
			t.Fatal(err)
		}
		resume(t, r, parts) // it may begin anew
	})
}

// An index of the release before, format 1, is brought up at opening and keeps all it had.
func TestOpensFormat1(t *testing.T) {
	dir := t.TempDir()
	s, err := openAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &storetest.Rig{Store: s, T: t}
	newPerson(r)
	if _, err := r.Deliver(person, "token", "INBOX", "body"); err != nil {
		t.Fatal(err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		a, err := s.account(tx, person)
		if err != nil {
			return err
		}
		key := a.tokenKey("token")
		var rec tokenRecord
		if err := s.openRecord(person, a.b.Bucket(bTokens).Get(key), a.tokenPlace(key), &rec); err != nil {
			return err
		}
		rec.Token = "" // as format 1 wrote it
		sealed, err := a.seal(rec, a.tokenPlace(key))
		return firstError(err, a.b.Bucket(bTokens).Put(key, sealed), tx.DeleteBucket(bImporting), tx.Bucket(bMeta).Put(kFormat, number(1)))
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s, err = openAt(dir); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r = &storetest.Rig{Store: s, T: t}
	r.At.Sealer = s.cfg.Sealer.(*storetest.Sealer)
	if err := r.At.Sealer.CreateAccountKey(person); err != nil { // it keeps its keys in memory
		t.Fatal(err)
	}
	if err := s.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	if m, err := r.Deliver(person, "token", "INBOX", "the repetition"); err != nil || m.UID != 1 {
		t.Fatalf("a token of format 1: %+v, %v", m, err)
	}
	if err := s.UpdateAccount(context.Background(), person, func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		t.Fatal(err)
	}
	for p := (store.Part{}); !p.Last; { // a token without its text stays behind
		if p, err = s.Export(context.Background(), person, p.Next, 10); err != nil {
			t.Fatal(err)
		}
		for _, i := range p.Items {
			if i.Token != nil {
				t.Fatal("a token came out of a record that has none")
			}
		}
	}
}
