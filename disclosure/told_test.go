package disclosure

import (
	"encoding/json"
	"strings"
	"testing"

	"domicile"
	"domicile/region"
)

func TestToldMisuse(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	token := string(w.sign(w.warrant("parent-us", "us-east", irish), w.court.as("issuing")))
	us := region.Peer{Region: "us-east", Node: "us-east-1"}
	good := notice{V: 1, Case: "c1", Target: irish, SHA256: digestOf([]byte(token)), Token: token}
	call := func(from region.Peer, change func(*notice)) error {
		n := good
		change(&n)
		header, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.told(ctx, &region.Call{From: from, Header: header})
		return err
	}
	none := func(*notice) {}
	for _, from := range []region.Peer{{}, {Region: "us-east"}, {Region: "eu-ireland", Node: "eu-ireland-1"}, {Region: "mars", Node: "mars-1"}, {Witness: "witness", Node: "w-1"}} {
		if err := call(from, none); domicile.ReasonOf(err) != domicile.PeerUnverified {
			t.Errorf("%+v: %v", from, err)
		}
	}
	for name, change := range map[string]func(*notice){
		"version":        func(n *notice) { n.V = 2 },
		"no case":        func(n *notice) { n.Case = "" },
		"long case":      func(n *notice) { n.Case = strings.Repeat("c", 129) },
		"digest":         func(n *notice) { n.SHA256 = digestOf(nil) },
		"not an address": func(n *notice) { n.Target = "x" },
	} {
		if err := call(us, change); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := call(us, func(n *notice) { n.Target = american }); domicile.ReasonOf(err) != domicile.NotPossessed {
		t.Errorf("somebody else's account: %v", err)
	}
	if n := len(mustCases(t, b)); n != 0 {
		t.Fatalf("%d cases were opened", n)
	}
	// A token that means nothing here, or of another target or region, is still referred, but freezes and preserves nothing.
	elsewhere := w.warrant("parent-us", "us-east", "other@example.com")
	here := w.warrant("mail-ie", "eu-ireland", irish)
	court := w.court.as("issuing")
	for i, tok := range []string{"", "not a token", string(w.sign(elsewhere, court)), string(w.sign(here, court)), token} {
		err := call(us, func(n *notice) {
			n.Case, n.Token = "case-"+string(rune('a'+i)), tok
			if tok != "" {
				n.SHA256 = digestOf([]byte(tok))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	preserved := 0
	for _, c := range mustCases(t, b) {
		if c.State != "referred" {
			t.Errorf("%+v", c)
		}
		rec, err := b.loadCase(c.Case)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Snapshot.Parts > 0 {
			preserved++
		}
	}
	if preserved != 1 {
		t.Errorf("%d cases preserved, want the one whose token authenticates", preserved)
	}
}
