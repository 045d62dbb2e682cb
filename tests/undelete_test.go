package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile/admin"
	"domicile/tests/harness"
)

// keepFor sets "undelete" in Ireland's node.toml and starts the node.
func keepFor(t *testing.T, c *harness.Cluster, long string) {
	t.Helper()
	path := c.Path(filepath.Join(string(ieNode), "node.toml"))
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("undelete = '"+long+"'\n"), raw...), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Halt(t, ieNode)
	c.Launch(t, ieNode)
	c.Met(t, 3)
}

// operate runs a verb of account for a person, which must end well, and reads its answer.
func (p *person) operate(out any, verb string, words ...string) {
	p.t.Helper()
	r := p.Ctl(p.t, ireland, "operator", nil, append([]string{"account", verb, p.address}, words...)...)
	if err := json.Unmarshal(r.Out, out); err != nil || r.Code != 0 {
		p.t.Fatalf("account %s: %v %s", verb, err, r)
	}
}

// expunge removes all messages of a mailbox, as a mail program does.
func (p *person) expunge(mailbox string) {
	p.t.Helper()
	p.imap(mailbox, `STORE 1:* +FLAGS.SILENT (\Deleted)`, "EXPUNGE")
}

// wantExpunged holds what account expunged says against how many messages it should list.
func (p *person) wantExpunged(n int) (v admin.ExpungedMessages) {
	p.t.Helper()
	if p.operate(&v, "expunged"); v.Messages != n || len(v.List) != n {
		p.t.Fatalf("want %d expunged messages: %+v", n, v)
	}
	return v
}

// TestUndelete expunges mail over IMAP and has an operator bring it back: byte for byte, with its flags and dates, once. What is purged, or
// past its time, is gone. Another region refuses, and a node that is not told to keep anything keeps nothing.
func TestUndelete(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	p := &person{Cluster: c, t: t, address: "undo@example.com", dir: t.TempDir(), at: c.Home(ireland)}
	p.password = c.Account(t, ireland, p.address, "IE")

	c.Deliver(t, usNode, p.address, letter("before", "nothing is kept"))
	p.expunge("INBOX")
	if v := p.wantExpunged(0); v.Keeps != "0s" {
		t.Errorf("unless it is told to, a node keeps for %s", v.Keeps)
	}

	keepFor(t, c, "24h")
	c.Deliver(t, usNode, p.address, letter("secret-word", "one"))
	p.imap("INBOX", `STORE 1 FLAGS (\Seen $Work)`)
	lay(t, login(t, p.Home(ireland).IMAP, p.address, p.password), "INBOX", []imap.Flag{`\Answered`, `\Flagged`}, longAgo, letter("long ago", strings.Repeat("two ", 50000)))
	before := p.shape()
	p.expunge("INBOX")
	list := p.wantExpunged(2)
	if raw, _ := json.Marshal(list.List); strings.Contains(string(raw), "secret") || strings.Contains(string(raw), "@") || list.List[0].Due.Sub(list.List[0].Expunged) != 24*time.Hour {
		t.Errorf("the listing: %s", raw)
	}
	for _, verb := range [][]string{{"expunged", p.address}, {"undelete", p.address}, {"purge", p.address, "--yes"}} {
		if r := c.Ctl(t, usEast, "operator", nil, append([]string{"account"}, verb...)...); r.Code != 3 || r.Get("refused") != "wrong_region" || r.Get("receipt") == "" {
			t.Errorf("%v at us-east: %s", verb, r)
		}
		want := "wrong_role"
		if verb[0] == "purge" { // nobody asked for it
			want = "dual_approval_missing"
		}
		if r := c.Ctl(t, ireland, "legal", nil, append([]string{"account"}, verb...)...); r.Code != 3 || r.Get("refused") != want {
			t.Errorf("%v by a legal officer: %s", verb, r)
		}
	}
	var done struct {
		Messages int
		Leaves   []uint64
	}
	if p.operate(&done, "undelete", "--to", "Restored", "--dry-run"); done.Messages != 2 || len(p.shape()) != 0 {
		t.Errorf("a dry run: %+v", done)
	}
	var quota admin.Account
	p.operate(&quota, "quota", "--set", "1000")
	if r := c.Ctl(t, ireland, "operator", nil, "account", "undelete", p.address); r.Code != 1 || r.Get("code") != "too_large" || len(p.shape()) != 0 {
		t.Errorf("over the quota: %s", r)
	}
	p.operate(&quota, "quota", "--set", "0")
	if p.operate(&done, "undelete", "--to", "Restored"); done.Messages != 2 || len(done.Leaves) != 1 {
		t.Errorf("undelete: %+v", done)
	}
	got := p.shape()
	slices.Sort(got["Restored"]) // two that were expunged at once come back in any order
	slices.Sort(before["INBOX"])
	alike(t, "brought back", got, map[string][]string{"Restored": before["INBOX"]})
	if p.operate(&done, "undelete", "--to", "Restored"); done.Messages != 0 || len(p.shape()["Restored"]) != 2 {
		t.Errorf("once more: %+v", done)
	}

	p.imap("INBOX", "DELETE Restored") // with all that is in it
	if p.operate(&done, "undelete", "--to", "INBOX", "--id", string(p.wantExpunged(2).List[0].ID)); done.Messages != 1 {
		t.Errorf("one of them: %+v", done)
	}
	if r := c.Ctl(t, ireland, "operator", nil, "account", "purge", p.address); r.Code != 2 {
		t.Errorf("purge without --yes: %s", r)
	}
	p.operate(&done, "purge", "--yes")
	p.wantExpunged(1)
	if r := c.Ctl(t, ireland, "legal", nil, "account", "purge", p.address, "--yes"); r.Code != 0 || r.Get("state") != "purged" || done.Messages != 1 || len(p.shape()["INBOX"]) != 1 {
		t.Errorf("purge: %+v, %s", done, r)
	}
	p.wantExpunged(0)

	p.expunge("INBOX")
	gone := p.wantExpunged(1).List[0]
	setClock(t, c, ieNode, "25h")
	p.wantExpunged(0)
	if r := c.Ctl(t, ireland, "operator", nil, "account", "undelete", p.address, "--id", string(gone.ID)); r.Code != 1 || r.Get("code") != "not_exist" {
		t.Errorf("past its time: %s", r)
	}
	setClock(t, c, ieNode, "")
}
