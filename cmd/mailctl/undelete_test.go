package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/admin"
)

// listed has a node answer account/expunged with n messages.
func listed(t *testing.T, n *node, count int) {
	t.Helper()
	v := admin.ExpungedMessages{Address: "a@example.com", Keeps: "168h0m0s", Messages: count}
	for i := range count {
		at := time.Date(2026, 11, 20, 14, 0, i, 0, time.UTC)
		v.List = append(v.List, admin.ExpungedMessage{ID: domicile.MessageID(fmt.Sprint("m", i)), Bytes: 10, Expunged: at, Due: at.Add(168 * time.Hour)})
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	n.answer["account/expunged"] = string(raw)
	n.answer["account/undelete"] = `{"address":"a@example.com","mailbox":"Restored","messages":2,"bytes":20,"leaf":5}`
}

func TestUndelete(t *testing.T) {
	n := newNode(t)
	listed(t, n, 2)
	code, out, _ := n.ask(t, "", "account", "undelete", "a@example.com", "--dry-run")
	if want := `{"address":"a@example.com","mailbox":"Restored","dry_run":true,"messages":2,"bytes":20,"leaves":[]}`; code != exitDone || strings.TrimSpace(out) != want || n.path != "account/expunged" {
		t.Errorf("dry run: exit %d, %s of %s", code, out, n.path)
	}
	code, out, _ = n.ask(t, "", "account", "undelete", "a@example.com", "--since", "2026-11-20")
	if want := `{"address":"a@example.com","mailbox":"Restored","messages":2,"bytes":20,"leaves":[5]}`; code != exitDone || strings.TrimSpace(out) != want {
		t.Errorf("exit %d, %s", code, out)
	}
	var first, again admin.Undelete
	if err := json.Unmarshal([]byte(n.body), &first); err != nil || len(first.IDs) != 2 || first.To != "Restored" || first.Token == "" {
		t.Errorf("asked %s", n.body)
	}
	n.ask(t, "", "account", "undelete", "a@example.com")
	if json.Unmarshal([]byte(n.body), &again); again.Token != first.Token {
		t.Error("the same act has another token")
	}
	n.ask(t, "", "account", "undelete", "a@example.com", "--id", "m1", "--to", "INBOX")
	if json.Unmarshal([]byte(n.body), &again); len(again.IDs) != 1 || again.IDs[0] != "m1" || again.To != "INBOX" || again.Token == first.Token {
		t.Errorf("asked %s", n.body)
	}
	n.path = ""
	for _, id := range []string{"m7", ""} {
		if code, out, _ := n.ask(t, "", "account", "undelete", "a@example.com", "--id", "m1", "--id", id); code != exitFailed || !strings.Contains(out, "not_exist") || n.path != "account/expunged" {
			t.Errorf("an id that is not listed: exit %d, %s", code, out)
		}
	}
	code, out, _ = ctl(t, "", "--node", n.addr, "--identity", n.identity, "account", "expunged", "a@example.com")
	if code != exitDone || !strings.Contains(out, "2 messages") || !strings.Contains(out, "m1") {
		t.Errorf("as text: exit %d, %s", code, out)
	}
}

// Many come back in batches.
func TestUndeleteBatches(t *testing.T) {
	n := newNode(t)
	listed(t, n, 2*undeleteBatch+1)
	code, out, _ := n.ask(t, "", "account", "undelete", "a@example.com")
	var in admin.Undelete
	if err := json.Unmarshal([]byte(n.body), &in); err != nil || code != exitDone || len(in.IDs) != 1 || !strings.Contains(out, `"messages":6,"bytes":60,"leaves":[5,5,5]`) {
		t.Errorf("exit %d, %s, the last call %s", code, out, n.body)
	}
}

func TestUndeleteWords(t *testing.T) {
	n := newNode(t)
	for _, words := range [][]string{{"purge", "a@example.com"}, {"undelete"}, {"undelete", "a@example.com", "--to", ""}, {"undelete", "a@example.com", "--since", "soon"}, {"expunged"}} {
		if code, _, errOut := n.ask(t, "", append([]string{"account"}, words...)...); code != exitWords || n.path != "" || errOut == "" {
			t.Errorf("%v: exit %d, asked %q", words, code, n.path)
		}
	}
}
