package placement

import (
	"testing"

	"domicile"
)

func TestConfirm(t *testing.T) {
	o := newOffice(t, 0)
	if err := o.d.Claim(ctx, anna, "a1", 1); err != nil {
		t.Fatal(err)
	}
	honest := o.record(anna, "a1", 1, ie, ie)
	for _, c := range []struct {
		name   string
		err    error
		answer *Ownership
		want   string
	}{
		{"as claimed", nil, nil, "other"},
		{"out of reach", cut, nil, "unavailable"},
		{"forgotten", domicile.E("lookup", domicile.NotExist, ""), nil, "not_exist"},
		{"another account", nil, ptr(o.record(anna, "a2", 1, ie, ie)), "name_taken"},
		{"another home", nil, ptr(o.record(anna, "a1", 1, us, us)), "name_taken"},
		{"another home, of a later epoch, that this region did not sign for", nil, ptr(o.record(anna, "a1", 2, us, us, de)), "name_taken"},
		{"handed over", nil, ptr(o.record(anna, "a1", 2, us, us, ie)), "move_past_handover"},
		{"signed by both, of another account", nil, ptr(o.record(anna, "a2", 2, us, us, ie)), "name_taken"},
		{"signed by both, of this epoch", nil, ptr(o.record(anna, "a1", 1, us, us, ie)), "name_taken"},
		{"a later epoch that was never handed over", nil, ptr(o.record(anna, "a1", 2, ie, ie)), "ownership_unverified"},
		{"unsigned", nil, ptr(o.record(anna, "a1", 1, ie)), "ownership_unverified"},
		{"another name", nil, ptr(o.record("eve@example.com", "a1", 1, ie, ie)), "ownership_unverified"},
		{"as claimed again", nil, &honest, "other"},
	} {
		o.w.set(c.err, c.answer)
		err := o.d.Confirm(ctx, anna, "a1", 1)
		got := string(domicile.ReasonOf(err))
		if got == "" {
			got = domicile.KindOf(err).String()
		}
		if got != c.want || (c.want == "other") != (err == nil) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if err := o.d.Confirm(ctx, "anna@elsewhere.example", "a1", 1); domicile.ReasonOf(err) != domicile.DomainNotServed {
		t.Error(err)
	}
}

func ptr[T any](v T) *T { return &v }
