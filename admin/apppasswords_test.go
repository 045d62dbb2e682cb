package admin

import (
	"context"
	"strings"
	"testing"

	"domicile"
	"domicile/store"
)

// A password of one device is told once, kept as a hash and a verifier, listed without it, and taken away; each act is a leaf that names nobody.
func TestAppPasswords(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	ctx := context.Background()
	const addr = "anna@example.com"
	made, err := c.CreateAccount(ctx, anna())
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]AddAppPassword{
		"no label":      {Address: addr},
		"a long label":  {Address: addr, Label: strings.Repeat("x", maxLabel+1)},
		"a line break":  {Address: addr, Label: "a\nb"},
		"another scope": {Address: addr, Label: "phone", Scope: "pop"},
	} {
		if _, err := c.AddAppPassword(ctx, in); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := c.AddAppPassword(ctx, AddAppPassword{Address: "Anna@Example.com", Label: "phone", Scope: "imap"})
	if err != nil || len(v.List) != 1 || v.List[0].Password == "" || v.List[0].Made == "" || v.Leaf == nil {
		t.Fatalf("%+v, %v", v, err)
	}
	first := v.List[0]
	kept := k.store.accounts[made.Account].AppPasswords
	if len(kept) != 1 || kept[0].Kept != "hash of "+first.Password || kept[0].Scram != "verifier of "+addr+" "+first.Password {
		t.Errorf("kept: %+v", kept)
	}
	for len(k.store.accounts[made.Account].AppPasswords) < store.MaxAppPasswords {
		if _, err := c.AddAppPassword(ctx, AddAppPassword{Address: addr, Label: "one more"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.AddAppPassword(ctx, AddAppPassword{Address: addr, Label: "too many"}); domicile.KindOf(err) != domicile.Conflict {
		t.Errorf("the 33rd: %v", err)
	}
	auditor := k.client("eu-ireland", "auditor")
	if v, err = auditor.AppPasswords(ctx, addr); err != nil || len(v.List) != store.MaxAppPasswords || v.List[0].ID != first.ID || v.List[0].Password != "" || v.List[0].Scope != "imap" {
		t.Errorf("ls: %+v, %v", v.List, err)
	}
	if _, err = c.RemoveAppPassword(ctx, RemoveAppPassword{addr, "another"}); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("rm of another: %v", err)
	}
	if v, err = c.RemoveAppPassword(ctx, RemoveAppPassword{addr, first.ID}); err != nil || len(v.List) != store.MaxAppPasswords-1 || v.List[0].ID == first.ID || v.Leaf == nil {
		t.Errorf("rm: %v", err)
	}
	if a, r := len(k.leaves("account.app_password_added")), len(k.leaves("account.app_password_removed")); a != store.MaxAppPasswords+1 || r != 1 {
		t.Errorf("%d and %d leaves", a, r)
	}
	if text := strings.Join(k.leaves(""), "\n") + k.log.String(); strings.Contains(text, "phone") || strings.Contains(text, first.Password) {
		t.Error("label or password stands in the open")
	}
}

// A new password replaces its verifier with it, and leaves those of devices alone.
func TestPasswdReplacesTheVerifier(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	made, err := c.CreateAccount(t.Context(), anna())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddAppPassword(t.Context(), AddAppPassword{Address: "anna@example.com", Label: "phone"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetPassword(t.Context(), SetPassword{Address: "Anna+x@Example.com", Password: "another password"}); err != nil {
		t.Fatal(err)
	}
	a := k.store.accounts[made.Account]
	if a.Password != "hash of another password" || a.Scram != "verifier of anna@example.com another password" || len(a.AppPasswords) != 1 {
		t.Errorf("%+v", a)
	}
}

// Whoever is told of changes hears of each, as the account is then; and a new password may take those of devices away, each on record.
func TestPasswdAndChanges(t *testing.T) {
	var heard []store.Account
	k := newKit(t, func(s *Server) { s.cfg.Changed = func(a store.Account) { heard = append(heard, a) } })
	c := k.client("eu-ireland", "operator")
	if _, err := c.CreateAccount(t.Context(), anna()); err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"phone", "desk"} {
		if _, err := c.AddAppPassword(t.Context(), AddAppPassword{Address: "anna@example.com", Label: label}); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		remove bool
		left   int
	}{{false, 2}, {true, 0}} {
		v, err := c.SetPassword(t.Context(), SetPassword{Address: "anna@example.com", Password: "another password", RemoveAppPasswords: x.remove})
		if err != nil || v.AppPasswords == nil || *v.AppPasswords != x.left {
			t.Fatalf("%+v, %v", v, err)
		}
		if last := heard[len(heard)-1]; last.Password != "hash of another password" || len(last.AppPasswords) != x.left {
			t.Errorf("heard of %+v", last)
		}
	}
	if n := len(k.leaves(appPasswordRemoved)); n != 2 {
		t.Errorf("%d leaves", n)
	}
	if _, err := c.SuspendAccount(t.Context(), "anna@example.com"); err != nil || heard[len(heard)-1].State != store.Suspended {
		t.Errorf("%v; heard of %+v", err, heard[len(heard)-1])
	}
}
