package disclosure

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"domicile"
)

var update = flag.Bool("update", false, "rewrite testdata/matrix.txt")

func sleep() { time.Sleep(10 * time.Millisecond) }

// question is one row group of the matrix: who asks for what, where.
type asked struct {
	name   string
	at     domicile.Region
	token  []byte
	target string
	facts  map[string]string
}

func (w *world) cases() []asked {
	court := w.court.as("issuing")
	content := w.sign(w.warrant("mail-ie", "eu-ireland", irish), court)
	records := w.warrant("mail-ie", "eu-ireland", irish)
	records.Scope.Categories = []string{Subscriber, Traffic}
	claimed := w.warrant("mail-ie", "eu-ireland", irish)
	claimed.IssuedUnder = "gdpr:art49(1)(e)"
	preserve := w.warrant("mail-ie", "eu-ireland", irish)
	preserve.OrderType, preserve.Scope.Categories, preserve.DeliveryTo = "us.sca.preservation_2703f", nil, ""
	subpoena := w.warrant("mail-us", "us-east", american)
	subpoena.OrderType, subpoena.Scope.Categories = "us.sca.subpoena", []string{Subscriber}
	noTreaty := w.request()
	noTreaty.Agreement = "cets-224"
	direct := w.request()
	direct.DeliveryTo = w.oia.Recipient
	domestic := w.warrant("mail-ie", "eu-ireland", irish)
	domestic.Issuer, domestic.OrderType, domestic.Regime, domestic.DeliveryTo = w.judge.ID, "ie.domestic_order", "ie", w.judge.Recipient
	epoc := w.warrant("mail-ie", "eu-ireland", irish)
	epoc.Issuer, epoc.OrderType, epoc.Regime, epoc.DeliveryTo = w.german.ID, "eu.epoc", "eu.evidence", w.german.Recipient
	return []asked{
		{"US content warrant, served on the Irish entity, Irish account", "eu-ireland", content, irish, nil},
		{"US warrant for records only, served on the Irish entity, Irish account", "eu-ireland", w.sign(records, court), irish, nil},
		{"the same, had the records rested in the US", "eu-ireland", w.sign(records, court), irish, map[string]string{"record_storage": `["US"]`}},
		{"US content warrant, Irish entity, had a copy of all of it rested in the US", "eu-ireland", content, irish, map[string]string{"content_storage": `["IE","US"]`, "record_storage": `["IE","US"]`}},
		{"US content warrant, Irish entity, had the account's state been a qualifying government", "eu-ireland", content, irish, map[string]string{"qualifying_government": "true"}},
		{"US content warrant, Irish entity, a transfer ground of GDPR 49 claimed", "eu-ireland", w.sign(claimed, court), irish, nil},
		{"US content warrant, served on the US parent, presented in Ireland", "eu-ireland", w.sign(w.warrant("parent-us", "eu-ireland", irish), court), irish, nil},
		{"US content warrant, served on the US parent in the US, Irish account", "us-east", w.sign(w.warrant("parent-us", "us-east", irish), court), irish, nil},
		{"US content warrant, served on the US entity, US account", "us-east", w.sign(w.warrant("mail-us", "us-east", american), court), american, nil},
		{"US subpoena for subscriber records, US entity, US account", "us-east", w.sign(subpoena, court), american, nil},
		{"US preservation letter, Irish entity, Irish account", "eu-ireland", w.sign(preserve, court), irish, nil},
		{"treaty request with the Irish order, Irish account", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, nil},
		{"treaty request citing an agreement that is not in force", "eu-ireland", w.sign(noTreaty, w.treatySigners()...), irish, nil},
		{"treaty request asking for delivery to the US authority", "eu-ireland", w.sign(direct, w.treatySigners()...), irish, nil},
		{"treaty request, account of a protected person", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, map[string]string{"protected_person": "true"}},
		{"treaty request, end-to-end account, plaintext asked", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, map[string]string{"account_class": `"e2e"`, "format": `"plaintext"`}},
		{"treaty request, status list stale", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, map[string]string{"status": `"status_stale"`}},
		{"treaty request, a window that ends after the order", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, map[string]string{"window_to": "2000000000"}},
		{"treaty request, ceiling exceeded", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, map[string]string{"max_items": "100001"}},
		{"treaty request, one person's judgement only", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, map[string]string{"judged": "true", "approvals": "1"}},
		{"treaty request, authority registry frozen", "eu-ireland", w.sign(w.request(), w.treatySigners()...), irish, map[string]string{"registry_frozen": "true"}},
		{"Irish court's order, Irish entity, Irish account", "eu-ireland", w.sign(domestic, w.judge.as("issuing")), irish, nil},
		{"German EPOC, Irish entity, Irish account", "eu-ireland", w.sign(epoc, w.german.as("issuing")), irish, nil},
	}
}

var matrixBundles = []string{"us-2014", "us-2016", "us-2018", "gdpr-48", "mlat", "house", ""}

func (b *bench) explain(t testing.TB, q asked, bundle string) Explanation {
	t.Helper()
	over := map[string]json.RawMessage{}
	for k, v := range q.facts {
		over[k] = json.RawMessage(v)
	}
	x, err := b.Explain(context.Background(), b.officer(officer1), ExplainQuery{Token: q.token, Target: q.target, Bundle: bundle, Facts: over})
	if err != nil {
		t.Fatalf("%s under %q: %v", q.name, bundle, err)
	}
	return x
}

// matrix answers every case by every bundle.
func (w *world) matrix(t testing.TB, us, ie *bench) string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "One case, every bundle: what would be answered. House rules apply everywhere; \"in force\" is what the region\n"+
		"has adopted (us-east: us-2018 and mlat; eu-ireland: gdpr-48 and mlat). Made by go test ./disclosure -update.\n")
	for _, q := range w.cases() {
		b := ie
		if q.at == "us-east" {
			b = us
		}
		fmt.Fprintf(&out, "\n%s\n", q.name)
		for _, name := range matrixBundles {
			x := b.explain(t, q, name)
			label := name
			if name == "" {
				label = "in force"
			}
			fmt.Fprintf(&out, "  %-9s %-8s %-26s %-27s %s\n", label, x.Decision, dash(string(x.Code)), x.Rule, dash(x.Path))
		}
	}
	return out.String()
}

func dash(s string) string { return or(s, "-") }

func TestMatrix(t *testing.T) {
	w := newWorld(t)
	got := w.matrix(t, w.at("us-east", "us-2018", "mlat"), w.at("eu-ireland", "gdpr-48", "mlat"))
	path := filepath.Join("testdata", "matrix.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the matrix changed; look at it, then run with -update\n%s", got)
	}
}

// TestStory holds the outcomes that the issue names, apart from the golden file.
func TestStory(t *testing.T) {
	w := newWorld(t)
	ie := w.at("eu-ireland", "gdpr-48", "mlat")
	warrant := w.cases()[0]
	for _, x := range []struct {
		bundle, decision string
		code             domicile.Reason
	}{
		{"us-2014", "execute", ""},
		{"us-2016", "refuse", domicile.ContentStoredAbroad},
		{"us-2018", "refer", domicile.ConflictOfLaws},
		{"gdpr-48", "refuse", domicile.ConflictOfLaws},
		{"mlat", "refuse", domicile.NoLegalBasis},
	} {
		if got := ie.explain(t, warrant, x.bundle); got.Decision != x.decision || got.Code != x.code {
			t.Errorf("%s: %s %s, want %s %s", x.bundle, got.Decision, got.Code, x.decision, x.code)
		}
	}
}

// TestOwnerChange: an Irish owner of the Irish entity changes what US law of 2014 and 2018 says, and nothing else.
func TestOwnerChange(t *testing.T) {
	w := newWorld(t)
	ie := w.at("eu-ireland", "gdpr-48", "mlat")
	warrant := w.cases()[0]
	before := map[string]Explanation{}
	for _, name := range matrixBundles {
		before[name] = ie.explain(t, warrant, name)
	}
	w.catalog = w.newCatalog("holding-ie")
	for _, name := range matrixBundles {
		a, b := before[name], ie.explain(t, warrant, name)
		switch name {
		case "us-2014", "us-2018":
			if b.Decision != "refuse" || a.Decision == "refuse" {
				t.Errorf("%s: %s, then %s", name, a.Decision, b.Decision)
			}
		default:
			if a.Decision != b.Decision || a.Code != b.Code || a.Rule != b.Rule {
				t.Errorf("%s changed: %s %s %s, then %s %s %s", name, a.Decision, a.Code, a.Rule, b.Decision, b.Code, b.Rule)
			}
		}
	}
}
