package residence

import (
	"slices"
	"testing"
	"time"

	"domicile"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// item makes evidence of kind for country, observed age before start; opts: a session, or a strength.
func item(kind Kind, country domicile.Country, age time.Duration, opts ...any) Evidence {
	e := Evidence{Kind: kind, Country: country, ObservedAt: start.Add(-age), Strength: kind.strength()}
	for _, o := range opts {
		switch o := o.(type) {
		case string:
			e.Session = o
		case Strength:
			e.Strength = o
		case time.Time:
			e.Expires = o
		}
	}
	return e
}

func TestParseEvidence(t *testing.T) {
	for s, want := range map[string]string{
		"billing=IE": "", "bank=ie": "", "sim=DE": "", "ip=US": "", "tax=FR": "", "wallet=IE": "", "document=IE": "", "operator=IE": "",
		"": "invalid", "billing": "invalid", "=IE": "invalid", "passport=IE": "invalid", "Billing=IE": "invalid", " billing=IE": "invalid",
		"billing=": "unknown_country", "billing=XX": "unknown_country", "billing=IRL": "unknown_country", "billing=IE=IE": "unknown_country", "billing=IE ": "unknown_country",
	} {
		e, err := ParseEvidence(s)
		got := string(domicile.ReasonOf(err))
		if got == "" && err != nil {
			got = domicile.KindOf(err).String()
		}
		if got != want {
			t.Errorf("ParseEvidence(%q): %v, want %q", s, err, want)
		}
		if err == nil {
			if _, err := e.check(start); err != nil || !slices.Contains(Kinds, e.Kind) {
				t.Errorf("%q: %+v, %v", s, e, err)
			}
		}
	}
}

func FuzzParseEvidence(f *testing.F) {
	for _, s := range []string{"billing=IE", "ip=XX", "=", "operator=us"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEvidence(s)
		if err != nil {
			return
		}
		if again, err := ParseEvidence(string(e.Kind) + "=" + string(e.Country)); err != nil || again != e {
			t.Fatalf("%q: %+v, then %+v, %v", s, e, again, err)
		}
	})
}

func TestEvidenceCheck(t *testing.T) {
	long := make([]byte, maxText+1)
	for name, e := range map[string]Evidence{
		"no country":            {Kind: Bank},
		"XX":                    {Kind: Bank, Country: "XX"},
		"no kind":               {Country: "IE"},
		"observed tomorrow":     {Kind: Bank, Country: "IE", ObservedAt: start.Add(time.Hour)},
		"an unknown strength":   {Kind: Bank, Country: "IE", Strength: "iron"},
		"a strong IP":           {Kind: IP, Country: "IE", Strength: Strong},
		"a source without end":  {Kind: Bank, Country: "IE", Source: string(long)},
		"a session without end": {Kind: Bank, Country: "IE", Session: string(long)},
	} {
		if _, err := e.check(start); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := checkAll(make([]Evidence, maxItems+1), start); domicile.KindOf(err) != domicile.TooLarge {
		t.Error(err)
	}
}

const (
	ok           = domicile.Reason("")
	insufficient = domicile.EvidenceInsufficient
	contradicts  = domicile.EvidenceContradicts
)

// TestSufficient is the table of evidence: what moves a residence to US.
func TestSufficient(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name  string
		items []Evidence
		want  domicile.Reason
	}{
		{"nothing", nil, insufficient},
		{"one item", []Evidence{item(Billing, "US", day)}, insufficient},
		{"one strong item", []Evidence{item(Document, "US", day)}, insufficient},
		{"two kinds", []Evidence{item(Billing, "US", day), item(SIM, "US", day)}, ok},
		{"one kind twice", []Evidence{item(Billing, "US", day), item(Billing, "US", 2*day)}, insufficient},
		{"IP twice", []Evidence{item(IP, "US", day), item(IP, "US", 2*day)}, insufficient},
		{"IP alone", []Evidence{item(IP, "US", day)}, insufficient},
		{"IP and a billing address", []Evidence{item(IP, "US", day), item(Billing, "US", day)}, ok},
		{"IP and a weak item", []Evidence{item(IP, "US", day), item(Billing, "US", day, Weak)}, insufficient},
		{"two of one login session", []Evidence{item(Wallet, "US", day, "s1"), item(IP, "US", day, "s1")}, insufficient},
		{"two strong ones of one login session", []Evidence{item(Wallet, "US", day, "s1"), item(Bank, "US", day, "s1")}, insufficient},
		{"two sessions", []Evidence{item(Wallet, "US", day, "s1"), item(Bank, "US", day, "s2")}, ok},
		{"one session and an operator's item", []Evidence{item(Wallet, "US", day, "s1"), item(Document, "US", day)}, ok},
		{"two of a session and a third outside it", []Evidence{item(Wallet, "US", day, "s1"), item(IP, "US", day, "s1"), item(Bank, "US", day)}, ok},
		{"an operator's statement and a billing address", []Evidence{item(Statement, "US", 0), item(Billing, "US", day)}, ok},
		{"an operator's statement alone", []Evidence{item(Statement, "US", 0)}, insufficient},
		{"two countries", []Evidence{item(Billing, "US", day), item(SIM, "IE", day)}, contradicts},
		{"two for another country", []Evidence{item(Billing, "DE", day), item(SIM, "DE", day)}, contradicts},
		{"three, one against", []Evidence{item(Billing, "US", day), item(SIM, "US", day), item(IP, "IE", day)}, contradicts},
		{"one against, replaced by a newer one", []Evidence{item(Billing, "IE", 9*day), item(Billing, "US", day), item(SIM, "US", day)}, ok},
		{"one for, replaced by a newer one against", []Evidence{item(Billing, "US", 9*day), item(Billing, "IE", day), item(SIM, "US", day)}, contradicts},
		{"observed together, the last named counts", []Evidence{item(Billing, "IE", day), item(Billing, "US", day), item(SIM, "US", day)}, ok},
		{"one expired", []Evidence{item(Billing, "US", day, start), item(SIM, "US", day)}, insufficient},
		{"one against, expired", []Evidence{item(IP, "IE", day, start.Add(-1)), item(Billing, "US", day), item(SIM, "US", day)}, ok},
		{"one that expires later", []Evidence{item(Billing, "US", day, start.Add(1)), item(SIM, "US", day)}, ok},
	} {
		if got := domicile.ReasonOf(Sufficient("US", c.items, start)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		slices.Reverse(c.items)
		if got := domicile.ReasonOf(Sufficient("US", c.items, start)); got != c.want && c.name != "observed together, the last named counts" {
			t.Errorf("%s, in the other order: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestInitial(t *testing.T) {
	for _, c := range []struct {
		name  string
		items []Evidence
		want  domicile.Reason
	}{
		{"nothing", nil, insufficient},
		{"the operator's statement", []Evidence{item(Statement, "IE", 0)}, ok},
		{"an IP address", []Evidence{item(IP, "IE", 0)}, ok},
		{"one for elsewhere", []Evidence{item(Billing, "US", 0)}, contradicts},
		{"two that disagree", []Evidence{item(Billing, "IE", 0), item(SIM, "US", 0)}, contradicts},
		{"one that expired", []Evidence{item(Billing, "IE", 0, start)}, insufficient},
	} {
		if got := domicile.ReasonOf(Initial("IE", c.items, start)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

var (
	ops1   = Actor{Name: "ops-ie", Region: "eu-ireland"}
	ops2   = Actor{Name: "ops-ie-2", Region: "eu-ireland"}
	legal  = Actor{Name: "legal-ie", Region: "eu-ireland", Legal: true}
	abroad = Actor{Name: "ops-us", Region: "us-east"}
	rules  = Rules{Region: "eu-ireland", CoolDown: 14 * 24 * time.Hour, Between: 180 * 24 * time.Hour}
	toUS   = []Evidence{item(Billing, "US", 0), item(SIM, "US", 0)}
)

func TestMayRequest(t *testing.T) {
	free := Standing{Country: "IE", State: Effective}
	held := Standing{Country: "IE", State: Frozen, Cases: []string{"c1"}}
	with := func(s State) Standing { return Standing{Country: "IE", Change: &Change{State: s}} }
	for _, c := range []struct {
		name    string
		s       Standing
		who     Actor
		country domicile.Country
		items   []Evidence
		want    string
	}{
		{"an honest mover", free, ops1, "US", toUS, ""},
		{"an operator of the gaining region", free, abroad, "US", toUS, "wrong_region"},
		{"nobody", free, Actor{}, "US", toUS, "wrong_region"},
		{"to where one lives", free, ops1, "IE", toUS, "invalid"},
		{"while one rests", with(Cooling), ops1, "US", toUS, "cooling_down"},
		{"while one waits for the move", with(Approved), ops1, "US", toUS, "cooling_down"},
		{"after one was contested", with(Contested), ops1, "US", toUS, ""},
		{"a second one in 180 days", Standing{Country: "IE", LastApproved: start.Add(-rules.Between + 1)}, ops1, "US", toUS, "cooling_down"},
		{"a second one after 180 days", Standing{Country: "IE", LastApproved: start.Add(-rules.Between)}, ops1, "US", toUS, ""},
		{"on too little", free, ops1, "US", toUS[:1], "evidence_insufficient"},
		{"against the evidence", free, ops1, "DE", toUS, "evidence_contradicts"},
		{"frozen, by an operator: as if it were not", held, ops1, "US", toUS, ""},
		{"frozen, by an operator, on too little: as if it were not", held, ops1, "US", nil, "evidence_insufficient"},
		{"frozen, by legal", held, legal, "US", toUS, "residence_frozen"},
	} {
		if got := answer(rules.MayRequest(c.s, c.who, c.country, c.items, start)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMayApprove(t *testing.T) {
	change := func(s State, age time.Duration) Change {
		return Change{State: s, By: ops1, Rests: start.Add(-age)}
	}
	rested := change(Cooling, rules.CoolDown)
	held := Standing{Country: "IE", Cases: []string{"c1"}}
	for _, c := range []struct {
		name string
		s    Standing
		c    Change
		who  Actor
		want string
	}{
		{"by a second operator, after the rest", Standing{}, rested, ops2, ""},
		{"by legal, after the rest", Standing{}, rested, legal, ""},
		{"too early", Standing{}, change(Cooling, rules.CoolDown-1), ops2, "cooling_down"},
		{"by who asked", Standing{}, rested, ops1, "self_approval"},
		{"by who asked, too early", Standing{}, change(Cooling, 0), ops1, "self_approval"},
		{"by a namesake of the gaining region", Standing{}, rested, abroad, "wrong_region"},
		{"by nobody of the region", Standing{}, rested, Actor{Region: "eu-ireland"}, "self_approval"},
		{"contested", Standing{}, change(Contested, rules.CoolDown), ops2, "evidence_contradicts"},
		{"rejected", Standing{}, change(Rejected, rules.CoolDown), ops2, "conflict"},
		{"approved before", Standing{}, change(Approved, rules.CoolDown), ops2, "conflict"},
		{"frozen", held, rested, ops2, "cooling_down"},
		{"frozen, too early", held, change(Cooling, 0), ops2, "cooling_down"},
		{"frozen, by legal", held, rested, legal, "residence_frozen"},
	} {
		if got := answer(rules.MayApprove(c.s, c.c, c.who, start)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	early := rules.MayApprove(Standing{}, change(Cooling, 0), ops2, start)
	if frozen := rules.MayApprove(held, rested, ops2, start); early.Error() != frozen.Error() {
		t.Errorf("a freeze gives itself away:\n%v\n%v", early, frozen)
	}
}

func TestMayClose(t *testing.T) {
	for _, c := range []struct {
		from, to State
		who      Actor
		want     string
	}{
		{Cooling, Rejected, ops1, ""}, {Cooling, Contested, ops2, ""}, {Approved, Contested, ops1, ""}, {Approved, Rejected, ops1, ""}, {Contested, Rejected, ops1, ""},
		{Rejected, Contested, ops1, "conflict"}, {Rejected, Rejected, ops1, "conflict"}, {Contested, Contested, ops1, "conflict"},
		{Moving, Rejected, ops1, "conflict"}, {Effective, Rejected, ops1, "conflict"}, {"", Rejected, ops1, "conflict"},
		{Cooling, Rejected, abroad, "wrong_region"}, {Cooling, Rejected, Actor{Region: "eu-ireland"}, "wrong_region"},
	} {
		if got := answer(rules.MayClose(Change{State: c.from}, c.who, c.to)); got != c.want {
			t.Errorf("%s to %s by %s: %q, want %q", c.from, c.to, c.who.Name, got, c.want)
		}
	}
}

func TestTransitionsNameKnownStates(t *testing.T) {
	states := []State{Declared, Evidenced, Effective, ChangeRequested, Cooling, Approved, Moving, Contested, Frozen, Rejected}
	for from, next := range transitions {
		for _, s := range append(next, from) {
			if !slices.Contains(states, s) || s == Frozen {
				t.Errorf("%s to %s", from, s)
			}
		}
	}
}

// answer is the reason or kind of an error, "" for none.
func answer(err error) string {
	if err == nil {
		return ""
	}
	if r := domicile.ReasonOf(err); r != "" {
		return string(r)
	}
	return domicile.KindOf(err).String()
}
