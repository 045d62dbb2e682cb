package placement

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
)

const anna = domicile.Address("anna@example.com")

var ctx = context.Background()

func TestRegistrar(t *testing.T) {
	c, l := newCluster(t), &leaves{}
	r := c.registrar(t, newTable(), l)
	claim := func(o Ownership, from domicile.Region) error { return r.Claim(ctx, from, o) }
	release := func(o Ownership, from domicile.Region) error { return r.Release(ctx, from, o) }
	const day = 24 * time.Hour
	for i, step := range []struct {
		name string
		do   func(Ownership, domicile.Region) error
		o    Ownership
		from domicile.Region
		want string // kind, or reason of a refusal
		wait time.Duration
	}{
		{"release of what was never claimed", release, c.record(anna, "a1", 1, ie, ie), ie, "not_exist", 0},
		{"claim for another region", claim, c.record(anna, "a1", 1, ie, ie), us, "wrong_region", 0},
		{"claim by nobody", claim, c.record(anna, "a1", 1, "", ie), "", "wrong_region", 0},
		{"claim without a signature", claim, c.record(anna, "a1", 1, ie), ie, "ownership_unverified", 0},
		{"claim signed by another", claim, c.record(anna, "a1", 1, ie, us), ie, "ownership_unverified", 0},
		{"claim in a foreign domain", claim, c.record("anna@elsewhere.example", "a1", 1, ie, ie), ie, "domain_not_served", 0},
		{"claim in another registrar's domain", claim, c.record("anna@example.ie", "a1", 1, ie, ie), ie, "wrong_region", 0},
		{"claim", claim, c.record(anna, "a1", 1, ie, ie), ie, "", 0},
		{"claim again", claim, c.record(anna, "a1", 1, ie, ie), ie, "", 0},
		{"claim by another account", claim, c.record(anna, "a2", 1, ie, ie), ie, "name_taken", 0},
		{"claim by another region's account", claim, c.record(anna, "a3", 1, us, us), us, "name_taken", 0},
		{"seize the account", claim, c.record(anna, "a1", 2, us, us), us, "ownership_unverified", 0},
		{"skip an epoch", claim, c.record(anna, "a1", 3, us, us, ie), us, "ownership_unverified", 0},
		{"handover", claim, c.record(anna, "a1", 2, us, us, ie), us, "", 0},
		{"the old home claims again", claim, c.record(anna, "a1", 1, ie, ie), ie, "ownership_unverified", 0},
		{"the old home releases", release, c.record(anna, "a1", 1, ie, ie), ie, "ownership_unverified", 0},
		{"another account releases", release, c.record(anna, "a2", 2, us, us, ie), us, "name_taken", 0},
		{"release", release, c.record(anna, "a1", 2, us, us, ie), us, "", 0},
		{"release again", release, c.record(anna, "a1", 2, us, us, ie), us, "", 0},
		{"claim in quarantine", claim, c.record(anna, "a2", 1, ie, ie), ie, "name_taken", 179 * day},
		{"claim after quarantine", claim, c.record(anna, "a2", 1, ie, ie), ie, "", 2 * day},
		{"release the new one", release, c.record(anna, "a2", 1, ie, ie), ie, "", 0},
		{"its own account has second thoughts", claim, c.record(anna, "a2", 1, ie, ie), ie, "", 0},
	} {
		c.pass(step.wait)
		err := step.do(step.o, step.from)
		got := string(domicile.ReasonOf(err))
		if got == "" && err != nil {
			got = domicile.KindOf(err).String()
		}
		if got != step.want {
			t.Errorf("%d, %s: %v; want %q", i, step.name, err, step.want)
		}
	}
	want := "name.claimed a1,name.claimed a1,name.released a1,name.claimed a2,name.released a2,name.claimed a2"
	if got := strings.Join(l.list, ","); got != want {
		t.Errorf("recorded %s\nwant     %s", got, want)
	}
	if o, err := r.Lookup(ctx, c.names.Digest(anna), "example.com"); err != nil || o.Account != "a2" {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := r.Lookup(ctx, c.names.Digest(anna), "example.net"); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("a name of example.com is answered for example.net: %v", err)
	}
	for domain, want := range map[string]string{"example.com": "not_exist", "elsewhere.example": "domain_not_served", "example.ie": "wrong_region"} {
		_, err := r.Lookup(ctx, c.names.Digest("bob@example.com"), domain)
		if got := string(domicile.ReasonOf(err)); got != want && domicile.KindOf(err).String() != want {
			t.Errorf("lookup in %s: %v", domain, err)
		}
	}
}

// A registrar that cannot record does nothing, and says that it did nothing.
func TestRegistrarRefusesWithoutALeaf(t *testing.T) {
	c, l, table := newCluster(t), &leaves{err: errors.New("log is full")}, newTable()
	r := c.registrar(t, table, l)
	o := c.record(anna, "a1", 1, ie, ie)
	if err := r.Claim(ctx, ie, o); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatal(err)
	}
	if len(table.rows) != 0 {
		t.Errorf("left behind: %v", table.rows)
	}
	l.err = nil
	if err := r.Claim(ctx, ie, o); err != nil {
		t.Fatal(err)
	}
	l.err = errors.New("log is full")
	if err := r.Release(ctx, ie, o); domicile.KindOf(err) != domicile.Unavailable {
		t.Fatal(err)
	}
	if _, err := r.Lookup(ctx, o.Name, o.Domain); err != nil {
		t.Errorf("a release that was not recorded took the name away: %v", err)
	}
}

// Each call of the table fails once, with nothing written and with the answer lost; then the process starts anew.
// Whatever happened: what is claimed has a leaf, and the claim can be made again.
func TestRegistrarSurvivesEveryFailure(t *testing.T) {
	for _, reached := range []bool{false, true} {
		for at := 1; ; at++ {
			c, l, table := newCluster(t), &leaves{}, newTable()
			o := c.record(anna, "a1", 1, ie, ie)
			r := c.registrar(t, table, l)
			table.failAt, table.reached = at, reached
			claimErr := r.Claim(ctx, ie, o)
			releaseErr := r.Release(ctx, ie, o)
			if table.calls < at {
				break // no call is left to fail
			}
			table.failAt = 0
			r = c.registrar(t, table, l) // crash and start
			what := fmt.Sprintf("call %d, reached %v, claim %v, release %v", at, reached, claimErr, releaseErr)
			_, err := r.Lookup(ctx, o.Name, o.Domain)
			exists := err == nil
			if exists && (len(l.list) == 0 || l.list[len(l.list)-1] != "name.claimed a1") {
				t.Errorf("%s: claimed, and the log says %v", what, l.list)
			}
			if !exists && len(l.list) > 0 && l.list[len(l.list)-1] != "name.released a1" {
				t.Errorf("%s: not claimed, and the log says %v", what, l.list)
			}
			if claimErr == nil && releaseErr != nil && !exists && !reached && len(l.list) < 2 {
				t.Errorf("%s: an answered claim is gone", what)
			}
			if err := r.Claim(ctx, ie, o); err != nil {
				t.Errorf("%s: claiming again: %v", what, err)
			}
			if _, err := r.Lookup(ctx, o.Name, o.Domain); err != nil {
				t.Errorf("%s: after claiming again: %v", what, err)
			}
		}
	}
}

// Neither the leaf nor the way back can be written: then it is not said that nothing was done.
func TestRegistrarSaysWhenItIsUnsure(t *testing.T) {
	for what, logErr := range map[string]error{"the way back": errors.New("log is full"), "the end": nil} {
		c, l, table := newCluster(t), &leaves{}, newTable()
		r := c.registrar(t, table, l)
		l.err = logErr
		table.failAt = 3 // after the first look and the intent
		o := c.record(anna, "a1", 1, ie, ie)
		if err := r.Claim(ctx, ie, o); domicile.KindOf(err) != domicile.Unknown {
			t.Errorf("%s: %v", what, err)
		}
		l.err = nil
		if err := r.Claim(ctx, ie, o); err != nil {
			t.Errorf("%s, again: %v", what, err)
		}
	}
}

// The process dies between the intent and its leaf: the next start finishes the claim, or refuses to start while the
// log cannot be written.
func TestRegistrarFinishesAtStart(t *testing.T) {
	c, l, table := newCluster(t), &leaves{}, newTable()
	o := c.record(anna, "a1", 1, ie, ie)
	r := c.registrar(t, table, l)
	pending := nameRow{Next: &nameRow{State: stateClaimed, Record: o, Since: c.Now()}}
	if _, err := r.swap(nameRow{}, pending); err != nil {
		t.Fatal(err)
	}
	l.err = errors.New("log is full")
	if _, err := NewRegistrar(r.cfg); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("started over an unrecorded claim: %v", err)
	}
	if _, err := r.Lookup(ctx, o.Name, o.Domain); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("an unrecorded claim is answered: %v", err)
	}
	l.err = nil
	if _, err := r.Lookup(ctx, o.Name, o.Domain); err != nil || len(l.list) != 1 {
		t.Errorf("%v, %v", err, l.list)
	}
}

func TestRegistrarRefusesBadRows(t *testing.T) {
	c, table := newCluster(t), newTable()
	for _, bad := range []string{"", "{", `{"v":2,"state":"claimed"}`, `{"state":"claimed"}`} {
		table.rows[c.names.Digest(anna).String()] = bad
		if _, err := NewRegistrar(RegistrarConfig{Region: us, Trust: c, Table: table, Record: (&leaves{}).record}); err == nil {
			t.Errorf("row %q was accepted", bad)
		}
	}
}

// Many accounts want one name, and many names are claimed at once: one wins each, one leaf each.
func TestRegistrarRace(t *testing.T) {
	c, l := newCluster(t), &leaves{}
	r := c.registrar(t, newTable(), l)
	var won sync.Map
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			name := domicile.Address(fmt.Sprintf("n%d@example.com", i%4))
			if err := r.Claim(ctx, ie, c.record(name, domicile.AccountID(fmt.Sprintf("a%d", i)), 1, ie, ie)); err == nil {
				if _, twice := won.LoadOrStore(name, i); twice {
					t.Errorf("%s has two owners", name)
				}
			} else if domicile.ReasonOf(err) != domicile.NameTaken {
				t.Error(err)
			}
			_, _ = r.Lookup(ctx, c.names.Digest(name), "example.com")
		})
	}
	wg.Wait()
	if len(l.list) != 4 {
		t.Errorf("recorded %v", l.list)
	}
}
