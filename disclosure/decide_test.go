package disclosure

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
)

func TestBundlesAreSignedOff(t *testing.T) {
	all, err := loadBundles()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"us-2014", "us-2016", "us-2018", "gdpr-48", "mlat", "house"} {
		b := all[name]
		if b == nil || b.Title == "" || len(b.policies) == 0 {
			t.Errorf("%s: missing, or without a title", name)
			continue
		}
		for _, p := range b.policies {
			if a := p.cedar.Annotations(); a["author"] != "domicile project" || a["reviewer"] == "" {
				t.Errorf("%s: author %q, reviewer %q", p.id, a["author"], a["reviewer"])
			}
		}
	}
}

// TestControlTestReadsNoPlace: the law of 2014 may not know where anything rests.
func TestControlTestReadsNoPlace(t *testing.T) {
	text, err := embedded.ReadFile("bundles/us-2014.cedar")
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range []string{"storage", "residence", "region", "qualifying"} {
		if strings.Contains(string(text), "context."+fact) || strings.Contains(string(text), "_"+fact) {
			t.Errorf("us-2014 reads a fact about %s", fact)
		}
	}
}

func TestBadBundles(t *testing.T) {
	good := `@id("x/a") @regime("r") @article("a") @valid_from("2020-01-01") @valid_to("") @author("p") @reviewer("q") permit (principal, action, resource);`
	if _, err := parseBundle("x", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"not Cedar":      "permit everything",
		"foreign id":     strings.Replace(good, "x/a", "y/a", 1),
		"no reviewer":    strings.Replace(good, `@reviewer("q")`, "", 1),
		"no article":     strings.Replace(good, `@article("a")`, "", 1),
		"no date":        strings.Replace(good, "2020-01-01", "yesterday", 1),
		"no end":         strings.Replace(good, `@valid_to("")`, "", 1),
		"bad end":        strings.Replace(good, `@valid_to("")`, `@valid_to("never")`, 1),
		"twice":          good + good,
		"forbid no code": strings.Replace(good, "permit", "forbid", 1),
		"unknown code":   strings.Replace(good, "permit", `@code("because") permit`, 1),
	} {
		if _, err := parseBundle("x", []byte(text)); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := parseBundle(house, []byte(strings.ReplaceAll(good, "x/", "house/"))); err == nil {
		t.Error("a house rule that permits")
	}
}

// TestPolicyErrorsRefuse: a policy that cannot be evaluated decides nothing.
func TestPolicyErrorsRefuse(t *testing.T) {
	all, err := loadBundles()
	if err != nil {
		t.Fatal(err)
	}
	b, err := parseBundle("x", []byte(`@id("x/a") @regime("r") @article("a") @valid_from("2020-01-01") @valid_to("") @author("p") @reviewer("q")
permit (principal, action == Action::"execute", resource) when { context.no_such_fact };
@id("x/b") @regime("r") @article("a") @valid_from("2020-01-01") @valid_to("") @author("p") @reviewer("q")
permit (principal, action == Action::"execute", resource);`))
	if err != nil {
		t.Fatal(err)
	}
	all["x"] = b
	s, err := choose(all, []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	f := Facts{Region: "eu-ireland", StorageRegion: "eu-ireland", Status: "valid"}
	if d := s.decide(f, time.Time{}); d.Decision != "refuse" || d.Code != domicile.NoLegalBasis {
		t.Fatalf("%+v", d)
	}
}

func TestReplay(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	a := submit(t, b, w.sign(w.warrant("mail-ie", "eu-ireland", irish), w.court.as("issuing")), irish)
	c, err := b.loadCase(a.Case)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c.Record)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "@") {
		t.Error("a decision's record names an address")
	}
	again := func() Record {
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if d, err := Replay(again()); err != nil || d.Rule != "gdpr-48/third-country" {
		t.Fatalf("%+v %v", d, err)
	}
	for name, change := range map[string]func(*Record){
		"facts":                                  func(r *Record) { r.Facts = json.RawMessage(strings.Replace(string(r.Facts), `"US"`, `"IE"`, 1)) },
		"hash":                                   func(r *Record) { r.FactsHash = digestOf(nil) },
		"bundles":                                func(r *Record) { r.Bundles = []string{"mlat"} },
		"bundle":                                 func(r *Record) { r.BundleHash = digestOf(nil) },
		"decision":                               func(r *Record) { r.Decision.Decision = "execute" },
		"rule":                                   func(r *Record) { r.Decision.Rules = nil },
		"law of another day, other facts hidden": func(r *Record) { r.AsOf = 1 },
	} {
		r := again()
		change(&r)
		if _, err := Replay(r); err == nil {
			t.Errorf("%s altered, and it replays", name)
		}
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	me := b.officer(officer1)
	token := w.sign(w.request(), w.treatySigners()...)
	before := len(mustCases(t, b))
	ask := func(q ExplainQuery) Explanation {
		t.Helper()
		q.Token, q.Target = token, irish
		x, err := b.Explain(ctx, me, q)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := ask(ExplainQuery{}); x.Decision != "execute" || !x.Execute || !x.Preserve || x.FactsHash != digestOf(x.Facts) || !slices.Contains(x.Rules, "mlat/domestic-order") {
		t.Errorf("%+v", x)
	}
	if x := ask(ExplainQuery{Date: time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC)}); x.Decision != "refuse" {
		t.Errorf("before the treaty: %+v", x)
	}
	if x := ask(ExplainQuery{Bundle: "us-2014", Date: today}); x.Rule != "house/default-refuse" && x.Code != domicile.NoLegalBasis {
		t.Errorf("an ended bundle, with a date: %+v", x)
	}
	for name, q := range map[string]ExplainQuery{
		"bundle":       {Token: token, Target: irish, Bundle: "us-1791"},
		"fact":         {Token: token, Target: irish, Facts: map[string]json.RawMessage{"weather": json.RawMessage(`"rain"`)}},
		"fact's type":  {Token: token, Target: irish, Facts: map[string]json.RawMessage{"judged": json.RawMessage(`"yes"`)}},
		"fact is null": {Token: token, Target: irish, Facts: map[string]json.RawMessage{"issuer": json.RawMessage(`null`)}},
		"fact's JSON":  {Token: token, Target: irish, Facts: map[string]json.RawMessage{"issuer": json.RawMessage(`"a","judged":true`)}},
		"target":       {Token: token, Target: "x"},
	} {
		if _, err := b.Explain(ctx, me, q); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if x, err := b.Explain(ctx, me, ExplainQuery{Target: irish}); err != nil || x.Code != domicile.NoToken {
		t.Errorf("%+v %v", x, err)
	}
	if _, err := b.Explain(ctx, me, ExplainQuery{Case: "c-none"}); domicile.KindOf(err) != domicile.NotExist {
		t.Error(err)
	}
	if len(mustCases(t, b)) != before || b.log.Head().Size != 0 {
		t.Error("explaining changed something")
	}
	a := submit(t, b, token, irish)
	if _, err := b.Produce(ctx, me, a.Case, ""); err != nil {
		t.Fatal(err)
	}
	if x, err := b.Explain(ctx, me, ExplainQuery{Case: a.Case}); err != nil || x.Decision != "execute" {
		t.Errorf("a spent token is explained like any other: %+v %v", x, err)
	}
}

func mustCases(t *testing.T, b *bench) []CaseInfo {
	t.Helper()
	list, err := b.Cases(ctx, b.officer(officer1))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestOpenRefusesWrongLaw(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "mlat")
	for _, bundles := range [][]string{{"us-2014"}, {"us-2016", "mlat"}, {"nonsense"}} {
		cfg := b.cfg
		cfg.Bundles = bundles
		if e, err := open(cfg, b.parts); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%v: %v %v", bundles, e, err)
		}
	}
	for _, info := range b.Bundles() {
		if want := info.Name == "mlat" || info.Name == "house"; info.InForce != want || len(info.Hash) != 64 {
			t.Errorf("%+v", info)
		}
	}
	if len(b.Authorities()) != 5 {
		t.Error("authorities")
	}
}

func TestProtectedAndFrozen(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	b.Engine.Close()
	var frozen []string
	b.cfg.Protected = func(_ ctxType, _ domicile.AccountID) (bool, error) { return true, nil }
	b.cfg.Freeze = func(_ ctxType, id domicile.AccountID, c string) error {
		frozen = append(frozen, string(id))
		return nil
	}
	b.open()
	a := submit(t, b, w.sign(w.request(), w.treatySigners()...), irish)
	wantAnswer(t, b, a, "refer", domicile.Referred, "house/protected-person")
	if len(frozen) != 1 || frozen[0] != "acct-irish" {
		t.Error("not frozen before the decision")
	}
}
