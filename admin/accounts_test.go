package admin

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/residence"
	"domicile/store"
)

func anna() CreateAccount {
	return CreateAccount{Address: "Anna+x@Example.com", Residence: "ie", Password: "correct horse"}
}

func TestCreateAccount(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	made, err := c.CreateAccount(t.Context(), anna())
	if err != nil {
		t.Fatal(err)
	}
	if made.Address != "anna@example.com" || made.Residence != "IE" || made.Region != "eu-ireland" || made.Leaf == nil {
		t.Errorf("made %+v", made)
	}
	if k.names.owner["anna@example.com"] != made.Account {
		t.Error("the name is not claimed for this account")
	}
	a, err := k.store.AccountByAddress(t.Context(), "anna@example.com")
	if err != nil || a.Password != "hash of correct horse" || a.Epoch != 1 {
		t.Errorf("stored %+v, %v", a, err)
	}
	if s, err := k.cfg.Residence.Now(made.Account); err != nil || s.Country != "IE" || len(s.Declaration.Evidence) != 1 {
		t.Errorf("residence %+v, %v", s, err)
	}
	if len(k.store.table("accounts_under_way").rows) != 0 {
		t.Error("the intent is still there")
	}
	if n := len(k.leaves("account.created")); n != 1 {
		t.Errorf("%d leaves account.created", n)
	}
	if _, err := c.CreateAccount(t.Context(), anna()); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("the second time: %v", err)
	}
}

func TestCreateAccountRefused(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	k.names.owner["taken@example.com"] = "another"
	for _, tc := range []struct {
		name string
		in   CreateAccount
		want domicile.Reason
	}{
		{"no country", CreateAccount{Address: "a@example.com", Residence: "XX", Password: "correct horse"}, domicile.UnknownCountry},
		{"empty country", CreateAccount{Address: "a@example.com", Password: "correct horse"}, domicile.UnknownCountry},
		{"served by none", CreateAccount{Address: "a@example.com", Residence: "BR", Password: "correct horse"}, domicile.ResidenceNotServed},
		{"served elsewhere", CreateAccount{Address: "a@example.com", Residence: "US", Password: "correct horse"}, domicile.WrongRegion},
		{"other domain", CreateAccount{Address: "a@example.net", Residence: "IE", Password: "correct horse"}, domicile.DomainNotServed},
		{"evidence against it", CreateAccount{Address: "a@example.com", Residence: "IE", Evidence: []string{"billing=US"}, Password: "correct horse"}, domicile.EvidenceContradicts},
		{"name taken", CreateAccount{Address: "taken@example.com", Residence: "IE", Password: "correct horse"}, domicile.NameTaken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := c.CreateAccount(t.Context(), tc.in)
			k.t = t
			k.wantRefusal(err, tc.want)
		})
	}
	k.t = t
	if len(k.store.accounts) != 0 || len(k.store.table("accounts_under_way").rows) != 0 || len(k.names.owner) != 1 {
		t.Error("a refused account left something behind")
	}
	_, err := c.CreateAccount(t.Context(), CreateAccount{Address: "a@example.com", Residence: "US", Password: "correct horse"})
	if !strings.Contains(err.Error(), "us-east") {
		t.Errorf("the home is not named: %v", err)
	}
}

func TestCreateAccountInvalid(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	for name, in := range map[string]CreateAccount{
		"no address":     {Address: "anna", Residence: "IE", Password: "correct horse"},
		"short password": {Address: "a@example.com", Residence: "IE", Password: "short"},
		"no UTF-8":       {Address: "a@example.com", Residence: "IE", Password: "\xff\xfe234567", Evidence: []string{"billing"}},
		"bad evidence":   {Address: "a@example.com", Residence: "IE", Password: "correct horse", Evidence: []string{"hearsay=IE"}},
		"negative quota": {Address: "a@example.com", Residence: "IE", Password: "correct horse", Quota: -1},
	} {
		if _, err := c.CreateAccount(t.Context(), in); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(k.store.accounts) != 0 {
		t.Error("an account was made")
	}
}

// Each step fails twice: once with nothing done, once done and the answer lost. Asking again finishes under the same id.
func TestCreateAccountResumes(t *testing.T) {
	down := domicile.E("test", domicile.Unavailable, "down")
	for name, fail := range map[string]func(*kit){
		"claim not done":   func(k *kit) { k.names.fail = down },
		"claim lost":       func(k *kit) { k.names.lost = down },
		"account not made": func(k *kit) { k.store.fail = down },
		"account lost":     func(k *kit) { k.store.lost = down },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			c := k.client("eu-ireland", "operator")
			fail(k)
			if _, err := c.CreateAccount(t.Context(), anna()); domicile.KindOf(err) != domicile.Unavailable {
				t.Fatalf("got %v", err)
			}
			before := k.names.owner["anna@example.com"]
			k.names.fail, k.names.lost, k.store.fail, k.store.lost = nil, nil, nil, nil
			again := anna()
			again.Password = "another horse"
			made, err := c.CreateAccount(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			if k.store.accounts[made.Account].Password != "hash of another horse" {
				t.Error("the password is that of the first try")
			}
			if before != "" && before != made.Account {
				t.Error("the claim and the account have different ids")
			}
			if len(k.store.accounts) != 1 || len(k.leaves("account.created")) != 1 {
				t.Error("not made exactly once")
			}
		})
	}
}

func TestAccountVerbs(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	made, err := c.CreateAccount(t.Context(), anna())
	if err != nil {
		t.Fatal(err)
	}
	ctx, addr := t.Context(), "anna@example.com"
	if v, err := c.SuspendAccount(ctx, addr); err != nil || v.State != store.Suspended {
		t.Errorf("suspend: %+v, %v", v, err)
	}
	if v, err := c.ResumeAccount(ctx, addr); err != nil || v.State != store.Active {
		t.Errorf("resume: %+v, %v", v, err)
	}
	quota := int64(1 << 20)
	if v, err := c.Quota(ctx, SetQuota{Address: addr, Quota: &quota}); err != nil || v.Quota != quota || v.Bytes == nil {
		t.Errorf("quota: %+v, %v", v, err)
	}
	if _, err := c.SetPassword(ctx, SetPassword{Address: addr, Password: "another horse"}); err != nil || k.store.accounts[made.Account].Password != "hash of another horse" {
		t.Errorf("passwd: %v", err)
	}
	if v, err := c.Account(ctx, addr); err != nil || v.Abroad != "relay" {
		t.Errorf("abroad, unless said otherwise: %+v, %v", v, err)
	}
	for n, choice := range []string{"refuse", "refer", "relay"} {
		if v, err := c.SetAbroad(ctx, SetAbroad{Address: addr, Abroad: choice}); err != nil || v.Abroad != choice || len(k.leaves("account.abroad")) != n+1 {
			t.Errorf("abroad %s: %+v, %v, %d leaves", choice, v, err, len(k.leaves("account.abroad")))
		}
	}
	if _, err := c.SetAbroad(ctx, SetAbroad{Address: addr, Abroad: "perhaps"}); domicile.KindOf(err) != domicile.Invalid || len(k.leaves("account.abroad")) != 3 {
		t.Errorf("abroad perhaps: %v", err)
	}
	if all, err := c.Accounts(ctx); err != nil || len(all) != 1 {
		t.Errorf("ls: %+v, %v", all, err)
	}
	if w, err := c.Where(ctx, addr); err != nil || w.Home != "eu-ireland" || w.Node != "eu-ireland-1" || w.Residence != "IE" {
		t.Errorf("where: %+v, %v", w, err)
	}
	k.names.owner["us1@example.com"] = "elsewhere"
	if w, err := c.Where(ctx, "us1@example.com"); err != nil || w.Home != "us-east" || w.Node != "" || w.Residence != "" {
		t.Errorf("where, elsewhere: %+v, %v", w, err)
	}
	if _, err := c.Account(ctx, "nobody@example.com"); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("show nobody: %v", err)
	}
}

// A removal takes an operator and a legal officer, in this order, and can be taken back in between.
func TestRemove(t *testing.T) {
	k := newKit(t)
	ctx, addr := t.Context(), "anna@example.com"
	ops, legal := k.client("eu-ireland", "operator"), k.named("legal", "eu-ireland", "legal")
	if _, err := ops.CreateAccount(ctx, anna()); err != nil {
		t.Fatal(err)
	}
	_, err := legal.RemoveAccount(ctx, addr)
	k.wantRefusal(err, domicile.DualApprovalMissing)
	for _, try := range []string{"asked", "asked again"} {
		if v, err := ops.RemoveAccount(ctx, addr); err != nil || v.State != "removing" || len(k.store.accounts) != 1 {
			t.Fatalf("%s: %+v, %v", try, v, err)
		}
	}
	if all, err := ops.Accounts(ctx); err != nil || all[0].State != "removing" {
		t.Errorf("ls: %+v, %v", all, err)
	}
	if v, err := ops.Account(ctx, addr); err != nil || v.State != "removing" {
		t.Errorf("show: %+v, %v", v, err)
	}
	if v, err := ops.ResumeAccount(ctx, addr); err != nil || v.State != store.Active {
		t.Errorf("resume: %+v, %v", v, err)
	}
	_, err = legal.RemoveAccount(ctx, addr)
	k.wantRefusal(err, domicile.DualApprovalMissing)
	both := k.named("both", "eu-ireland", "operator", "legal")
	if v, err := both.RemoveAccount(ctx, addr); err != nil || v.State != "removing" {
		t.Fatalf("asked by one with both roles: %+v, %v", v, err)
	}
	_, err = both.RemoveAccount(ctx, addr)
	k.wantRefusal(err, domicile.SelfApproval)
	if v, err := legal.RemoveAccount(ctx, addr); err != nil || v.State != "removed" || len(k.store.accounts) != 0 || k.names.owner["anna@example.com"] != "" {
		t.Errorf("completed: %+v, %v", v, err)
	}
	if n := len(k.store.table("removals").rows); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

// What a case preserves is not removed, and only legal roles learn why: to operators, and to all who read the log, it looks
// like an account that no case preserves.
func TestRemoveFrozen(t *testing.T) {
	ops := map[bool][]Account{}
	for _, frozen := range []bool{false, true} {
		k := newKit(t)
		made, err := k.client("eu-ireland", "operator").CreateAccount(t.Context(), anna())
		if err != nil {
			t.Fatal(err)
		}
		if frozen {
			if err := k.cfg.Residence.Freeze(t.Context(), made.Account, "c1", residence.Actor{Name: "machine", Region: "eu-ireland"}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			v, err := k.client("eu-ireland", "operator").RemoveAccount(t.Context(), "anna@example.com")
			if err != nil {
				t.Fatal(err)
			}
			v.Account, v.Created = "", time.Time{}
			ops[frozen] = append(ops[frozen], v)
		}
		if !frozen {
			continue
		}
		_, err = k.named("legal", "eu-ireland", "legal").RemoveAccount(t.Context(), "anna@example.com")
		if domicile.ReasonOf(err) != domicile.ResidenceFrozen || len(ReceiptOf(err)) == 0 || len(k.store.accounts) != 1 {
			t.Errorf("completed: %v", err)
		}
		if leaves := strings.Join(k.leaves(""), ""); strings.Contains(leaves, "residence_frozen") || strings.Contains(leaves, "preserved") || !strings.Contains(leaves, "dual_approval_missing") {
			t.Errorf("the public log tells of the freeze: %s", leaves)
		}
	}
	if !reflect.DeepEqual(ops[false], ops[true]) {
		t.Errorf("an operator can tell them apart: %+v", ops)
	}
}

// Nobody is named where all may read: not in a leaf, not in the node's own log.
func TestNoAddressInTheOpen(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	ctx := context.Background()
	c.CreateAccount(ctx, anna())
	c.CreateAccount(ctx, CreateAccount{Address: "anna@example.com", Residence: "XX", Password: "correct horse"})
	c.Account(ctx, "anna@example.com")
	c.ExportAccount(ctx, ExportAccount{Address: "anna@example.com"}, &strings.Builder{})
	c.RemoveAccount(ctx, "anna@example.com")
	text := strings.Join(k.leaves(""), "\n") + k.log.String()
	for _, secret := range []string{"anna", "correct horse"} {
		if strings.Contains(strings.ToLower(text), secret) {
			t.Errorf("%q stands in\n%s", secret, text)
		}
	}
	if !strings.Contains(text, "operator.account.show") {
		t.Error("an access has no leaf")
	}
}
