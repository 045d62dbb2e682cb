package disclosure

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile"
	"domicile/audit"
	"domicile/region"
)

func submit(t *testing.T, b *bench, token []byte, target string) Answer {
	t.Helper()
	a, err := b.Submit(context.Background(), b.officer(officer1), token, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// wantAnswer holds decision, code and rule against an answer, and verifies its receipt as a stranger would.
func wantAnswer(t *testing.T, b *bench, a Answer, decision string, code domicile.Reason, rule string) {
	t.Helper()
	if a.Decision != decision || a.Code != code || a.Rule != rule {
		t.Fatalf("got %s %s %s (%s), want %s %s %s", a.Decision, a.Code, a.Rule, a.Detail, decision, code, rule)
	}
	if _, err := audit.VerifyReceipt(a.Receipt, b.w.catalog.Pins()); err != nil {
		t.Fatalf("receipt: %v", err)
	}
}

func TestWarrantOnIrishEntityIsRefused(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	a := submit(t, b, w.sign(w.warrant("mail-ie", "eu-ireland", irish), w.court.as("issuing")), irish)
	wantAnswer(t, b, a, "refuse", domicile.ConflictOfLaws, "gdpr-48/third-country")
	if a.State != "refused" {
		t.Fatal(a.State)
	}
}

func TestWarrantOnParentIsReferredAndTold(t *testing.T) {
	w := newWorld(t)
	us, ie := w.at("us-east", "us-2018", "mlat"), w.at("eu-ireland", "gdpr-48", "mlat")
	token := w.sign(w.warrant("parent-us", "us-east", irish), w.court.as("issuing"))
	w.cut = true
	a := submit(t, us, token, irish)
	wantAnswer(t, us, a, "refer", domicile.ContentStoredAbroad, "house/stored-abroad")
	if a.Awaiting != "eu-ireland" {
		t.Fatal(a.Awaiting)
	}
	w.cut = false
	us.Engine.Close()
	us.parts.retry = 1e6
	us.open()
	for range 200 {
		if list, err := ie.Cases(context.Background(), ie.officer(officer1)); err != nil {
			t.Fatal(err)
		} else if len(list) == 1 && list[0].State == "referred" {
			if list[0].Rule != "gdpr-48/through-parent" || list[0].OrderType != "us.sca.warrant" {
				t.Fatalf("%+v", list[0])
			}
			return
		}
		sleep()
	}
	t.Fatal("Ireland was not told")
}

func TestWarrantAtHomeExecutes(t *testing.T) {
	w := newWorld(t)
	us := w.at("us-east", "us-2018", "mlat")
	for _, entity := range []domicile.Entity{"parent-us", "mail-us"} {
		a := submit(t, us, w.sign(w.warrant(entity, "us-east", american), w.court.as("issuing")), american)
		wantAnswer(t, us, a, "execute", "", "us-2018/control")
	}
}

func TestRoles(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	for _, x := range []struct {
		who  region.Peer
		want domicile.Reason
	}{
		{region.Peer{Operator: "ops", Region: "eu-ireland", Roles: []string{"operator"}}, domicile.WrongRole},
		{region.Peer{Operator: "aud", Region: "eu-ireland", Roles: []string{"auditor"}}, domicile.WrongRole},
		{region.Peer{Operator: "legal-us", Region: "us-east", Roles: []string{"legal"}}, domicile.WrongRegion},
		{region.Peer{Node: "eu-ireland-1", Region: "eu-ireland", Roles: []string{"legal"}}, domicile.WrongRole},
		{region.Peer{}, domicile.WrongRole},
	} {
		if _, err := b.Submit(context.Background(), x.who, nil, irish, nil); domicile.ReasonOf(err) != x.want {
			t.Errorf("%+v: %v, want %s", x.who, err, x.want)
		}
		for name, act := range map[string]func() error{
			"judge":   func() error { _, err := b.Judge(context.Background(), x.who, "c", "refuse", "r"); return err },
			"produce": func() error { _, err := b.Produce(context.Background(), x.who, "c", ""); return err },
			"release": func() error { _, err := b.Release(context.Background(), x.who, "c"); return err },
			"deliver": func() error { return b.Deliver(context.Background(), x.who, "c", nil) },
			"stay":    func() error { _, err := b.Stay(context.Background(), x.who, "c", []byte("x")); return err },
		} {
			if err := act(); domicile.ReasonOf(err) != x.want {
				t.Errorf("%s by %+v: %v, want %s", name, x.who, err, x.want)
			}
		}
	}
	if _, err := b.Cases(context.Background(), region.Peer{Operator: "aud", Region: "eu-ireland", Roles: []string{"auditor"}}); err != nil {
		t.Error("an auditor may read:", err)
	}
}

// TestTargetOfAForeignDomain: an order about somebody whom no region serves is refused like every other one: a case with
// a code, and a receipt.
func TestTargetOfAForeignDomain(t *testing.T) {
	w := newWorld(t)
	us := w.at("us-east", "us-2018", "mlat")
	const target = "someone@elsewhere.net"
	a := submit(t, us, w.sign(w.warrant("mail-us", "us-east", target), w.court.as("issuing")), target)
	wantAnswer(t, us, a, "refuse", domicile.NotPossessed, "house/target")
	if a.Case == "" {
		t.Fatal("no case")
	}
}

// TestOlderStatusList: once a stay was seen, the list of before, signed and young enough, does not undo it, also not
// after a restart; a newer list does.
func TestOlderStatusList(t *testing.T) {
	w := newWorld(t)
	us := w.at("us-east", "us-2018", "mlat")
	path := filepath.Join(w.dir, "status", w.court.ID+".jwt")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	claims := w.warrant("mail-us", "us-east", american)
	token := w.sign(claims, w.court.as("issuing"))
	open := submit(t, us, token, american)
	wantAnswer(t, us, open, "execute", "", "us-2018/control")
	w.status(w.court, map[string]string{claims.JTI: "suspended"})
	wantAnswer(t, us, submit(t, us, token, american), "refuse", domicile.Stayed, "house/status")
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantAnswer(t, us, submit(t, us, token, american), "refuse", domicile.StatusStale, "house/status")
		if _, err := us.Produce(context.Background(), us.officer(officer1), open.Case, ""); domicile.ReasonOf(err) != domicile.StatusStale {
			t.Fatalf("produce on an older list: %v", err)
		}
		us.Engine.Close()
		us.open()
	}
	w.status(w.court, map[string]string{claims.JTI: "valid"})
	wantAnswer(t, us, submit(t, us, token, american), "execute", "", "us-2018/control")
}

// TestStatusListsOfOneSecond: a list made from an old one is always newer than it.
func TestStatusListsOfOneSecond(t *testing.T) {
	w := newWorld(t)
	m := &listMemory{table: &fakeTable{rows: map[string][]byte{}}}
	var text []byte
	for _, state := range []string{"suspended", "valid", "suspended"} {
		var err error
		if text, err = SignStatusList(text, w.court.as(""), map[string]string{"warrant-0001": state}, today); err != nil {
			t.Fatal(err)
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(text), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		list, err := unpack(payload)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.accept("thumb", list); err != nil {
				t.Fatalf("%s: %v", state, err)
			}
		}
	}
}
