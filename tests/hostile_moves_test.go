package tests

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/residence"
	"domicile/tests/harness"
)

// hostileMoves: a node of us-east in the wrong hands pushes accounts into Ireland, and asks for Ireland's. Without a change of
// residence that Ireland can see to be approved it moves nothing, and each try has the code of that.
func hostileMoves(t *testing.T, c *harness.Cluster, us *rogue, aoife domicile.AccountID) {
	sam := domicile.AccountID(c.Ctl(t, usEast, "operator", nil, "account", "show", "sam@example.com").Get("account"))
	refused := func(name string, a answer) {
		t.Helper()
		if a.Error.Reason != string(domicile.MoveNotApproved) || a.Error.Kind != "refused" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	of := func(id domicile.AccountID, address string) object {
		change := string(id) + ".1"
		return object{"v": 1, "move": change, "change": change, "account": id, "name": nameDigest(t, c, address), "domain": "example.com", "country": "IE", "epoch": 2}
	}
	genuine := of(sam, "sam@example.com")
	for name, o := range map[string]object{
		"Ireland's own account":        of(aoife, "aoife@example.com"),
		"another's account by my name": with(genuine, "account", aoife),
		"my account by another's name": with(genuine, "name", nameDigest(t, c, "aoife@example.com")),
		"nobody's account":             of("anobody", "nobody@example.com"),
		"of the first epoch":           with(genuine, "epoch", 1),
		"of an epoch to come":          with(genuine, "epoch", 9),
		"without a change":             with(genuine, "change", ""),
		"another account's change":     with(genuine, "change", "aother.1"),
	} {
		refused("an offer of "+name, us.ask("move/offer", "", o))
	}
	if a := us.ask("move/offer", "", with(genuine, "country", "US")); a.Error.Reason != string(domicile.WrongRegion) {
		t.Errorf("an account that belongs elsewhere: %+v", a)
	}
	for _, m := range []string{"move/residence", "move/part", "move/prepare", "move/handover", "move/erased"} {
		h := object{"v": 1, "move": string(aoife) + ".1", "leaf": 1, "sha256": strings.Repeat("0", 64), "state": "active", "after": "", "next": "x"}
		body := ""
		if m == "move/residence" {
			body = "[]"
		}
		refused(m+" of a move that was never offered", us.call(m, "", strings.NewReader(string(framed(h, body)))))
	}

	// What a region may offer is its own. It then still needs the ledger, in which two persons asked for and approved it.
	if a := us.ask("move/offer", "", genuine); a.Reply == nil || a.Error.Kind != "" {
		t.Fatalf("an offer of its own: %+v", a)
	}
	head := object{"v": 1, "move": string(sam) + ".1"}
	now := time.Now().UTC()
	ops, second := residence.Actor{Name: "ops-us", Region: usEast}, residence.Actor{Name: "ops-us-2", Region: usEast}
	items := []residence.Evidence{{Kind: residence.Bank, Country: "IE"}, {Kind: residence.Tax, Country: "IE"}}
	ledger := func(asked, approved residence.Actor) string {
		raw, err := json.Marshal([]residence.Entry{
			{Version: 1, Act: residence.ActDeclared, Account: sam, KnownAt: now.Add(-3 * time.Minute), By: ops, Country: "US", ValidFrom: now},
			{Version: 1, Act: residence.ActRequested, Account: sam, KnownAt: now.Add(-2 * time.Minute), By: asked, Country: "IE", ValidFrom: now, Evidence: items, Change: string(sam) + ".1"},
			{Version: 1, Act: residence.ActApproved, Account: sam, KnownAt: now.Add(-time.Minute), By: approved, Change: string(sam) + ".1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	item := `{"account":{"ID":"` + string(sam) + `","Address":"sam@example.com"}}`
	part := string(binary.BigEndian.AppendUint32(nil, uint32(len(item)))) + item
	partHead := with(with(head, "after", ""), "next", "mailbox//0/0")
	refused("a part before the ledger", us.call("move/part", "", strings.NewReader(string(framed(partHead, part)))))
	for name, body := range map[string]string{
		"nothing":               "[]",
		"approved by who asked": ledger(ops, ops),
		"approved by nobody":    ledger(ops, residence.Actor{Region: usEast}),
		"approved in Ireland":   ledger(ops, residence.Actor{Name: "ops-ie", Region: ireland}),
		"asked for in Ireland":  ledger(residence.Actor{Name: "ops-ie", Region: ireland}, second),
	} {
		refused("a ledger with "+name, us.call("move/residence", "", strings.NewReader(string(framed(head, body)))))
	}
	for name, body := range map[string]string{"no JSON": "x", "other fields": `[{"v":1,"extra":1}]`, "another account's": strings.ReplaceAll(ledger(ops, second), string(sam), string(aoife))} {
		if a := us.call("move/residence", "", strings.NewReader(string(framed(head, body)))); a.Error.Kind != "invalid" {
			t.Errorf("a ledger of %s: %+v", name, a)
		}
	}
	if a := us.call("move/residence", "", strings.NewReader(string(framed(head, ledger(ops, second))))); a.Reply == nil {
		t.Fatalf("a ledger as a region that lies would make it: %+v", a)
	}
	for name, body := range map[string]string{"no items": "xxxx", "an item at will": "\xff\xff\xff\xff", "a kind of the future": part[:4] + strings.Replace(item, "account", "acc0unt", 1),
		"another account": strings.ReplaceAll(part, string(sam), string(sam)[:len(sam)-1]+"x")} {
		if a := us.call("move/part", "", strings.NewReader(string(framed(partHead, body)))); a.Error.Kind != "invalid" {
			t.Errorf("a part with %s: %+v", name, a)
		}
	}
	if a := us.call("move/part", "", strings.NewReader(string(framed(with(partHead, "last", true), part)))); a.Error.Kind != "invalid" {
		t.Errorf("an account without mailboxes: %+v", a)
	}
	if a := us.ask("move/prepare", "", head); a.Error.Kind != "unavailable" {
		t.Errorf("prepared before all has come: %+v", a)
	}
	refused("a handover of what is not here", us.ask("move/handover", "", with(head, "state", "active")))
	for _, who := range []string{"witness-1/identity.pem", c.Who(usEast, "operator").Identity, c.Who(ireland, "operator").Identity} {
		for _, m := range []string{"move/offer", "move/part", "move/abandon"} {
			if a := rogueOf(t, c, who, ieNode).ask(m, "", genuine); a.Reply != nil {
				t.Errorf("%s as %s: %+v", m, who, a)
			}
		}
	}
	if a := us.ask("move/abandon", "", head); a.Error.Kind != "" {
		t.Errorf("abandon: %+v", a)
	}
	refused("a move that was given up", us.ask("move/offer", "", genuine))
	for r, address := range map[domicile.Region]string{ireland: "aoife@example.com", usEast: "sam@example.com"} {
		if got := c.Ctl(t, r, "operator", nil, "account", "show", address); got.Get("state") != "active" || got.Get("epoch") != "1" {
			t.Errorf("%s: %s", address, got)
		}
	}
}
