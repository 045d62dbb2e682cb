package bolt

import (
	"context"
	"slices"
	"strings"
	"testing"

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

func TestCrashInImport(t *testing.T) {
	parts := exported(t)
	want := map[string][]string{"first": append([]string{"create key"}, aGroup...), "bodies": aGroup, "the rest": aGroup}
	for n, name := range []string{"first", "bodies", "the rest"} {
		t.Run(name, crashes{want[name], 0, func(r *storetest.Rig) func() error {
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
		}}.run)
	}
}

func TestCrashInActivate(t *testing.T) {
	parts := exported(t)
	crashes{aGroup, 0, func(r *storetest.Rig) func() error {
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
	}}.run(t)
}

func TestCrashInAbandon(t *testing.T) {
	parts := exported(t)
	ctx := context.Background()
	crashes{slices.Concat(aGroup, []string{"destroy key"}, aGroup), 0, func(r *storetest.Rig) func() error {
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
	}}.run(t)
}
