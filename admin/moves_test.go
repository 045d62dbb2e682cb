package admin

import (
	"context"
	"testing"

	"domicile"
	"domicile/move"
	"domicile/store"
)

func TestMoves(t *testing.T) {
	k := newKit(t)
	ctx := context.Background()
	ops, auditor := k.named("ops", "eu-ireland", "operator"), k.named("audit", "eu-ireland", "auditor")
	if list, err := auditor.Moves(ctx); err != nil || len(list) != 1 || list[0].State != move.Copying {
		t.Errorf("%+v, %v", list, err)
	}
	if m, err := auditor.Move(ctx, "a1.1"); err != nil || m.ID != "a1.1" {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := auditor.Move(ctx, "a2.1"); domicile.KindOf(err) != domicile.NotExist {
		t.Error(err)
	}
	_, err := auditor.CancelMove(ctx, "a1.1")
	k.wantRefusal(err, domicile.WrongRole)
	_, err = k.named("sam", "us-east", "operator").CancelMove(ctx, "a1.1")
	k.wantRefusal(err, domicile.WrongRegion)
	if m, err := ops.CancelMove(ctx, "a1.1"); err != nil || m.State != move.Cancelled || k.moves.by != "ops" {
		t.Errorf("%+v by %q, %v", m, k.moves.by, err)
	}
	_, err = ops.CancelMove(ctx, "a1.1")
	k.wantRefusal(err, domicile.MovePastHandover)
	if n := len(k.leaves("operator.move.cancel")); n != 2 {
		t.Errorf("%d leaves of what was asked", n)
	}
}

// Of an account that moves nothing is shown or changed that the move could lose; of one that was handed over, nothing at all.
func TestMovingAccount(t *testing.T) {
	k := newKit(t)
	ctx := context.Background()
	ops := k.named("ops", "eu-ireland", "operator")
	made, err := ops.CreateAccount(ctx, CreateAccount{Address: "anna@example.com", Residence: "IE", Password: "a long one"})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.store.UpdateAccount(ctx, made.Account, func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		t.Fatal(err)
	}
	if a, err := ops.Account(ctx, "anna@example.com"); err != nil || a.State != store.Moving || a.Messages != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if w, err := ops.Where(ctx, "anna@example.com"); err != nil || w.Home != "eu-ireland" {
		t.Errorf("%+v, %v", w, err)
	}
	quota := int64(5)
	for name, act := range map[string]func() error{
		"passwd": func() error {
			_, err := ops.SetPassword(ctx, SetPassword{Address: "anna@example.com", Password: "another one"})
			return err
		},
		"quota": func() error {
			_, err := ops.Quota(ctx, SetQuota{Address: "anna@example.com", Quota: &quota})
			return err
		},
		"suspend": func() error { _, err := ops.SuspendAccount(ctx, "anna@example.com"); return err },
		"resume":  func() error { _, err := ops.ResumeAccount(ctx, "anna@example.com"); return err },
		"export": func() error {
			return ops.ExportAccount(ctx, ExportAccount{Address: "anna@example.com", Consent: "said so"}, &discard{})
		},
	} {
		if err := act(); domicile.KindOf(err) != domicile.Unavailable {
			t.Errorf("%s of a moving account: %v", name, err)
		}
	}
	if _, err := ops.RemoveAccount(ctx, "anna@example.com"); domicile.KindOf(err) != domicile.Conflict {
		t.Errorf("rm of a moving account: %v", err)
	}

	k.moves.gone[made.Account] = "us-east"
	if w, err := ops.Where(ctx, "anna@example.com"); err != nil || w.Home != "us-east" || w.Epoch != 2 || w.Account != made.Account {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := ops.Account(ctx, "anna@example.com"); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("show behind the handover: %v", err)
	}
	if list, err := ops.Accounts(ctx); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	k.wantRefusal(ops.ExportAccount(ctx, ExportAccount{Address: "anna@example.com", Consent: "said so"}, &discard{}), domicile.NoToken)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
