package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/tests/harness"
)

var clockLine = regexp.MustCompile(`(?m)^clock_offset = .*\n`)

// setClock starts a node again with a clock that is wrong by a duration, "" for a right one.
func setClock(t *testing.T, c *harness.Cluster, name domicile.Node, by string) {
	t.Helper()
	path := c.Path(filepath.Join(string(name), "node.toml"))
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := clockLine.ReplaceAllString(string(raw), "")
	if by != "" {
		text = "clock_offset = '" + by + "'\n" + text
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if c.Runs(name) {
		c.Halt(t, name)
	}
	c.Launch(t, name)
}

// TestWrongClock sets Ireland's clock hours ahead, then half an hour behind. While it is wrong no order is decided, collected or
// released, and no change of residence asked for or approved: clock_unsure, with a receipt; no token is spent. Mail and logins go on. Set
// hours behind, before its certificate is valid, the node does not start. Each time it is right again, all of it works, and
// no message is lost or doubled.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	p := &post{c: c, passwords: map[string]string{}, sent: map[string][][]byte{}}
	p.passwords["aoife@example.com"] = c.Account(t, ireland, "aoife@example.com", "IE")
	p.passwords["samuel@example.com"] = c.Account(t, usEast, "samuel@example.com", "US")
	legal := func(args ...string) harness.Result { return c.Ctl(t, ireland, "legal", nil, args...) }
	unsure := func(what string, r harness.Result) {
		t.Helper()
		if r.Code != 3 || r.Get("refused") != "clock_unsure" || r.Get("receipt") == "" {
			t.Errorf("%s with a wrong clock: %s", what, r)
			return
		}
		verified(t, c, r.Get("receipt"), 0)
	}
	allMail := func() {
		t.Helper()
		c.Met(t, 3)
		p.deliver(t, usNode, "aoife@example.com", 100)
		p.deliver(t, ieNode, "aoife@example.com", 100)
		p.deliver(t, ieNode, "samuel@example.com", 100)
		p.count(t)
	}

	declare := func() harness.Result {
		return c.Ctl(t, ireland, "operator", nil, "residence", "declare", "aoife@example.com", "--country", "US", "--evidence", "bank=US", "--evidence", "tax=US")
	}
	change := declare().Get("id")
	if change == "" {
		t.Error("a change of residence could not be asked for")
	}
	setClock(t, c, ieNode, "5h")
	allMail()
	unsure("residence declare", declare())
	unsure("residence approve", c.Ctl(t, ireland, "operator", nil, "residence", "approve", change))
	token := treatyToken(t, c)
	submit := func() harness.Result {
		return legal("order", "submit", "--token", token, "--target", "aoife@example.com")
	}
	unsure("order submit", submit())

	setClock(t, c, ieNode, "")
	allMail()
	opened := submit()
	if opened.Get("decision") != "execute" {
		t.Fatalf("the clock is right again: %s", opened)
	}
	id := opened.Get("case")
	setClock(t, c, ieNode, "-30m")
	allMail()
	unsure("order produce", legal("order", "produce", id, "--to", filepath.Join(c.Root, "production")))
	setClock(t, c, ieNode, "")
	c.Met(t, 3)
	if r := legal("order", "produce", id, "--to", filepath.Join(c.Root, "production")); r.Code != 0 {
		t.Fatalf("produce: %s", r)
	}
	setClock(t, c, ieNode, "-30m")
	c.Met(t, 3)
	unsure("order release", legal("order", "release", id))

	c.Halt(t, ieNode) // before any certificate of this lab is valid: the node does not believe its own, says so and does not start
	if said := refuses(t, c, ieNode, map[string]string{"clock_offset = '-30m'": "clock_offset = '-3h'"}); !strings.Contains(said, "not yet valid") {
		t.Errorf("with a clock hours behind the node says: %s", said)
	}
	late := p.putOff(t, usNode, "aoife@example.com", 100)
	setClock(t, c, ieNode, "")
	p.again(t, usNode, "aoife@example.com", late)
	allMail()
	harness.Eventually(t, 2*time.Minute, "the release", func() bool { return legal("order", "release", id).Code == 0 })
	if r := submit(); r.Get("refused") != "replayed" {
		t.Errorf("the same token again: %s", r)
	}
}

// TestLyingCosigner sets the clock of one cosigner, the witness, and then that of the other, wrong by hours: neither alone stops Ireland,
// whose own clock the other one confirms.
func TestLyingCosigner(t *testing.T) {
	t.Parallel()
	for _, liar := range []domicile.Node{"witness-1", usNode} {
		c := harness.New(t, harness.TwoRegions...)
		setClock(t, c, liar, "9h")
		c.Launch(t, ieNode)
		for _, name := range []domicile.Node{"witness-1", usNode} {
			if name != liar {
				c.Launch(t, name)
			}
		}
		c.Met(t, 3)
		c.Account(t, ireland, "aoife@example.com", "IE")
		c.Deliver(t, usNode, "aoife@example.com", letter("one", "1"))
		legal := func(args ...string) harness.Result { return c.Ctl(t, ireland, "legal", nil, args...) }
		opened := legal("order", "submit", "--token", treatyToken(t, c), "--target", "aoife@example.com")
		if opened.Get("decision") != "execute" {
			t.Fatalf("%s lies about the time: %s", liar, opened)
		}
		id := opened.Get("case")
		if r := legal("order", "produce", id, "--to", filepath.Join(c.Root, "production")); r.Code != 0 {
			t.Fatalf("produce: %s", r)
		}
		var r harness.Result
		harness.Eventually(t, 2*time.Minute, "the release", func() bool {
			r = legal("order", "release", id)
			return r.Code == 0 || strings.Contains(r.String(), "clock_unsure")
		})
		if r.Code != 0 {
			t.Errorf("%s lies about the time: %s", liar, r)
		}
	}
}
