package placement

import (
	"testing"

	"domicile"
)

// desk is a directory of a region that the registrar in us-east knows.
func (o *office) desk(t *testing.T, r domicile.Region) *Directory {
	t.Helper()
	cfg := DirectoryConfig{Region: r, Digester: o.names, Trust: o.cluster, Remote: &wire{from: r, to: o.us}, Signer: signer{o.keys[r]}, Now: o.Now}
	if r == us {
		cfg.Registrar = o.us
	}
	d, err := NewDirectory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestHandover(t *testing.T) {
	o := newOffice(t, 0)
	if err := o.d.Claim(ctx, anna, "a1", 1); err != nil {
		t.Fatal(err)
	}
	third := o.desk(t, us)
	next := o.desk(t, de)
	name := next.Digest(anna)
	if loc, err := third.Resolve(ctx, anna); err != nil || loc.Home != ie {
		t.Fatalf("%+v, %v", loc, err)
	}
	if err := next.Holds(ctx, name, "example.com", "a1", ie, 1); err != nil {
		t.Fatal(err)
	}
	prepared, err := next.Prepare(name, "example.com", "a1", 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.TakeOver(ctx, prepared); domicile.ReasonOf(err) != domicile.OwnershipUnverified {
		t.Errorf("a name was taken by its next home alone: %v", err)
	}
	both, err := o.d.HandOver(prepared, anna, "a1", de, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(prepared.Signatures) != 1 {
		t.Error("the handover signed another's copy")
	}
	if err := next.HandedOver(prepared, both, ie); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := next.TakeOver(ctx, both); err != nil {
			t.Fatal(err)
		}
	}
	third.Moved(anna) // its old home said so
	for _, d := range []*Directory{third, o.d} {
		if loc, err := d.Resolve(ctx, anna); err != nil || loc.Home != de || loc.Epoch != 2 || loc.Account != "a1" {
			t.Errorf("%+v, %v", loc, err)
		}
	}
	if err := o.d.Claim(ctx, anna, "a1", 1); err == nil {
		t.Error("the last home claimed it back")
	}
	if err := o.d.Confirm(ctx, anna, "a1", 1); domicile.ReasonOf(err) != domicile.MovePastHandover {
		t.Errorf("the last home is confirmed: %v", err)
	}
	if err := next.Confirm(ctx, anna, "a1", 2); err != nil {
		t.Error(err)
	}
	if err := next.Release(ctx, anna, "a1", 2); err != nil {
		t.Error(err)
	}
}

// A home signs away nothing but what was agreed, and a next home takes nothing but that.
func TestHandoverRefuses(t *testing.T) {
	o := newOffice(t, 0)
	if err := o.d.Claim(ctx, anna, "a1", 1); err != nil {
		t.Fatal(err)
	}
	next := o.desk(t, de)
	for what, r := range map[string]Ownership{
		"another name":       o.record("eve@example.com", "a1", 2, de, de),
		"another account":    o.record(anna, "a2", 2, de, de),
		"another home":       o.record(anna, "a1", 2, us, us),
		"this region":        o.record(anna, "a1", 2, ie, de),
		"another epoch":      o.record(anna, "a1", 3, de, de),
		"no signature":       o.record(anna, "a1", 2, de),
		"another's":          o.record(anna, "a1", 2, de, us),
		"signed here before": o.record(anna, "a1", 2, de, de, ie),
	} {
		if _, err := o.d.HandOver(r, anna, "a1", de, 2); domicile.ReasonOf(err) != domicile.OwnershipUnverified {
			t.Errorf("%s was handed over: %v", what, err)
		}
	}
	prepared := o.record(anna, "a1", 2, de, de)
	for what, r := range map[string]Ownership{
		"the prepared one":       prepared,
		"signed by a third":      o.record(anna, "a1", 2, de, de, us),
		"signed twice by one":    o.record(anna, "a1", 2, de, de, de),
		"another account's":      o.record(anna, "a2", 2, de, de, ie),
		"of another epoch":       o.record(anna, "a1", 3, de, de, ie),
		"signed by one too many": o.record(anna, "a1", 2, de, de, ie, us),
	} {
		if err := next.HandedOver(prepared, r, ie); domicile.ReasonOf(err) != domicile.OwnershipUnverified {
			t.Errorf("%s was taken: %v", what, err)
		}
	}
	for what, ask := range map[string]func() error{
		"another account": func() error { return next.Holds(ctx, next.Digest(anna), "example.com", "a2", ie, 1) },
		"another home":    func() error { return next.Holds(ctx, next.Digest(anna), "example.com", "a1", us, 1) },
		"another epoch":   func() error { return next.Holds(ctx, next.Digest(anna), "example.com", "a1", ie, 2) },
	} {
		if err := ask(); domicile.ReasonOf(err) != domicile.NameTaken {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := next.Holds(ctx, next.Digest("eve@example.com"), "example.com", "a1", ie, 1); domicile.KindOf(err) != domicile.NotExist {
		t.Error(err)
	}
	if err := next.Holds(ctx, next.Digest(anna), "elsewhere.example", "a1", ie, 1); domicile.ReasonOf(err) != domicile.DomainNotServed {
		t.Error(err)
	}
	o.w.set(cut, nil)
	if err := o.d.Holds(ctx, next.Digest(anna), "example.com", "a1", ie, 1); domicile.KindOf(err) != domicile.Unavailable {
		t.Error(err)
	}
}
