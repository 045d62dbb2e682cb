package tests

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
	"domicile/tests/netlink"
)

// The two directions of the link that mail for Ireland takes.
var (
	toIreland = netlink.Link{From: usNode, To: ieNode}
	toUS      = netlink.Link{From: ieNode, To: usNode}
)

// patience is how long a sender tries again: longer than home waits to hear what became of an answer.
const patience = 4 * time.Minute

// post is mail over a bad network. Its sender tries again until it is answered with 250, as mail servers do; at the end each
// message must be in its account once, unaltered, and nothing else.
type post struct {
	c         *harness.Cluster
	net       *netlink.Net
	passwords map[string]string
	sent      map[string][][]byte // by recipient, in no order that matters
}

var homes = map[string]domicile.Region{"aoife@example.com": ireland, "samuel@example.com": usEast}

// badNetwork starts the lab of the story with a network between its nodes that can be made bad, and an account in each region.
func badNetwork(t *testing.T) *post {
	t.Helper()
	c := harness.New(t, harness.TwoRegions...)
	p := &post{c: c, net: netlink.Lay(t, c, netlink.Blind), passwords: map[string]string{}, sent: map[string][][]byte{}}
	c.StartAll(t)
	p.passwords["aoife@example.com"] = c.Account(t, ireland, "aoife@example.com", "IE")
	p.passwords["samuel@example.com"] = c.Account(t, usEast, "samuel@example.com", "US")
	return p
}

// write makes a message of some size that is like no other.
func (p *post) write(to string, size int) []byte {
	text := letter(domicile.NewID("net"), strings.Repeat("not to be lost, doubled or misplaced\n", 1+size/38))
	p.sent[to] = append(p.sent[to], text)
	return text
}

// deliver sends a new message until it is answered with 250.
func (p *post) deliver(t *testing.T, at domicile.Node, to string, size int) {
	t.Helper()
	p.again(t, at, to, p.write(to, size))
}

func (p *post) again(t *testing.T, at domicile.Node, to string, text []byte) {
	t.Helper()
	harness.Eventually(t, patience, "a message to be taken", func() bool {
		code, err := try(t, p.c, at, to, text)
		if code >= 500 {
			t.Fatalf("refused for good: %v", err)
		}
		return code == 250
	})
}

// putOff sends a new message once; it must be put off. It is returned to be sent again.
func (p *post) putOff(t *testing.T, at domicile.Node, to string, size int) []byte {
	t.Helper()
	text := p.write(to, size)
	if code, err := try(t, p.c, at, to, text); code != 451 {
		t.Errorf("a message to %s by %s: %d (%v), want 451", to, at, code, err)
	}
	return text
}

// judge counts, and wants nothing to be left of what was cut off.
func (p *post) judge(t *testing.T) {
	t.Helper()
	p.count(t)
	for _, n := range p.c.Nodes {
		harness.Eventually(t, 2*time.Minute, "nothing to be on its way in "+string(n.Name), func() bool { return staged(t, p.c, n.Name) == 0 })
	}
}

// count wants each message where it belongs, once and unaltered, and nothing else.
func (p *post) count(t *testing.T) {
	t.Helper()
	for to, texts := range p.sent {
		got := p.c.Inbox(t, homes[to], to, p.passwords[to])
		onceEach(t, to, got, texts)
	}
}

// onceEach wants what a mailbox holds to be what was sent to it, each message once and unaltered, in whatever order.
func onceEach(t *testing.T, to string, got, sent [][]byte) {
	t.Helper()
	if len(got) != len(sent) {
		t.Errorf("%s has %d messages, and %d were sent", to, len(got), len(sent))
	}
	for i, text := range sent {
		found := 0
		for _, m := range got {
			if lab.BehindTrace(m, text) == nil {
				found++
			}
		}
		if found != 1 {
			t.Errorf("message %d for %s is there %d times", i, to, found)
		}
	}
}

// staged counts messages that are coming in.
func staged(t *testing.T, c *harness.Cluster, name domicile.Node) int {
	t.Helper()
	return int(measured(t, c, name, "domicile_store_incoming"))
}

// TestSlowLink has 300 ms each way and 96 KiB a second between the regions, and connections that are reset in the middle of a
// message: it is put off, never committed, and sent again it arrives once.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	p := badNetwork(t)
	slow := netlink.Fault{Delay: 300 * time.Millisecond, Rate: 96 << 10}
	p.net.Both(usNode, ieNode, slow)
	for range 3 {
		p.deliver(t, usNode, "aoife@example.com", 8000)
		p.deliver(t, ieNode, "samuel@example.com", 100)
	}
	for _, after := range []int64{20 << 10, 70 << 10, 139 << 10} {
		cut := slow
		cut.CutAfter = after
		p.net.Set(toIreland, cut)
		text := p.putOff(t, usNode, "aoife@example.com", 150<<10)
		if p.net.Cutting(toIreland) {
			t.Errorf("no connection was cut after %d bytes", after)
		}
		p.again(t, usNode, "aoife@example.com", text)
	}
	p.net.Both(usNode, ieNode, netlink.Fault{Cut: true})
	text := p.putOff(t, usNode, "aoife@example.com", 10)
	p.deliver(t, ieNode, "aoife@example.com", 10) // at home nobody else is needed
	p.net.Both(usNode, ieNode, slow)
	p.again(t, usNode, "aoife@example.com", text)
	p.judge(t)
}

// TestDroppedGossip loses 40 % of all packets of gossip: nodes find each other, stay together, and mail flows.
func TestDroppedGossip(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	p := &post{c: c, net: netlink.Lay(t, c, netlink.Blind), passwords: map[string]string{}, sent: map[string][][]byte{}}
	for _, from := range p.net.Nodes() {
		for _, to := range p.net.Nodes() {
			p.net.Set(netlink.Link{From: from, To: to}, netlink.Fault{Drop: 0.4})
		}
	}
	c.StartAll(t)
	p.passwords["aoife@example.com"] = c.Account(t, ireland, "aoife@example.com", "IE")
	p.passwords["samuel@example.com"] = c.Account(t, usEast, "samuel@example.com", "US")
	lost := func() (n int) {
		for _, from := range p.net.Nodes() {
			for _, to := range p.net.Nodes() {
				n += p.net.Lost(netlink.Link{From: from, To: to})
			}
		}
		return n
	}
	for first := lost(); lost() < first+20; time.Sleep(200 * time.Millisecond) {
		p.deliver(t, usNode, "aoife@example.com", 1000)
		p.deliver(t, ieNode, "samuel@example.com", 1000)
		if t.Context().Err() != nil {
			t.Fatal("the test was ended")
		}
	}
	c.Met(t, 3)
	t.Logf("%d packets were lost, %d messages sent", lost(), len(p.sent["aoife@example.com"]))
	p.judge(t)
}

// TestOneWayCut loses everything that goes one way, and nothing that goes the other: first mail cannot leave the US, then it gets home
// and its answer does not. Nobody is told 250 in vain, and what home has already is not stored twice.
func TestOneWayCut(t *testing.T) {
	t.Parallel()
	p := badNetwork(t)
	p.deliver(t, usNode, "aoife@example.com", 10)
	p.deliver(t, ieNode, "samuel@example.com", 10)
	p.net.Set(toIreland, netlink.Fault{Silent: true})
	out := p.putOff(t, usNode, "aoife@example.com", 10)
	back := p.putOff(t, ieNode, "samuel@example.com", 10) // it would arrive; that it did cannot be heard
	p.deliver(t, ieNode, "aoife@example.com", 10)
	p.deliver(t, usNode, "samuel@example.com", 10)
	p.net.Heal()
	p.again(t, usNode, "aoife@example.com", out)

	// The connection stands and the message goes whole; what comes back is lost.
	text := p.write("aoife@example.com", 10)
	s, err := lab.DialSMTP(t.Context(), p.c.Node(usNode).SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Begin("maeve@sender.example", "aoife@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(text); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 2*time.Minute, "the message to be on its way", func() bool { return staged(t, p.c, ieNode) > 0 })
	p.net.Set(toUS, netlink.Fault{Silent: true})
	if _, err := s.Command(250, "."); lab.Code(err) != 451 {
		t.Errorf("the answer of home was lost, and the sender is told %v", err)
	}
	if got := p.c.Inbox(t, ireland, "aoife@example.com", p.passwords["aoife@example.com"]); len(got) != len(p.sent["aoife@example.com"]) {
		t.Errorf("home has %d messages of %d: the answer was lost before there was one", len(got), len(p.sent["aoife@example.com"]))
	}
	p.net.Heal()
	p.c.Met(t, 3)
	p.again(t, usNode, "aoife@example.com", text)
	p.again(t, ieNode, "samuel@example.com", back)
	p.judge(t)
}

// TestStalledLink stops a link in the middle of a message, without closing it, for longer than either side waits: the message is put
// off, home keeps nothing of it, and when the link moves again it arrives once.
func TestStalledLink(t *testing.T) {
	t.Parallel()
	p := badNetwork(t)
	p.deliver(t, usNode, "aoife@example.com", 10)
	text := p.write("aoife@example.com", 200<<10)
	s, err := lab.DialSMTP(t.Context(), p.c.Node(usNode).SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Begin("maeve@sender.example", "aoife@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(text[:100<<10]); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 2*time.Minute, "the message to be on its way", func() bool { return staged(t, p.c, ieNode) > 0 })
	p.net.Both(usNode, ieNode, netlink.Fault{Silent: true})
	harness.Eventually(t, 2*time.Minute, "home to give up", func() bool { return staged(t, p.c, ieNode) == 0 })
	s.Write(text[100<<10:]) // the front may have ended the connection
	if msg, err := s.Command(250, "."); err == nil {
		t.Errorf("a message that home gave up was answered with 250: %s", msg)
	}
	p.deliver(t, ieNode, "aoife@example.com", 10)
	p.net.Heal()
	p.again(t, usNode, "aoife@example.com", text)
	p.judge(t)
}

// TestSessionOnBadLink reads and appends through the wrong region over a link that is slow, is cut in the middle and falls silent: the
// client's connection ends where the link does, an APPEND that was cut off is not there and one that was answered is, and a
// login over the link that is well again works.
func TestSessionOnBadLink(t *testing.T) {
	t.Parallel()
	p := badNetwork(t)
	login := func() *reader {
		k := dialIMAP(t, p.c.Node(usNode).IMAP)
		k.want("LOGIN aoife@example.com "+p.passwords["aoife@example.com"], "OK")
		k.want("SELECT INBOX", "OK")
		return k
	}
	slow := netlink.Fault{Delay: 200 * time.Millisecond, Rate: 128 << 10}
	p.net.Both(usNode, ieNode, slow)
	p.deliver(t, usNode, "aoife@example.com", 150<<10)
	k := login()
	if err := lab.BehindTrace(k.read(1), p.sent["aoife@example.com"][0]); err != nil {
		t.Error(err)
	}
	appended := p.write("aoife@example.com", 100<<10)
	if got := k.upload("INBOX", appended); !strings.HasPrefix(got, "OK") {
		t.Errorf("APPEND over a slow link: %q", got)
	}

	cut := slow
	cut.CutAfter = 60 << 10
	p.net.Set(toUS, cut)
	fmt.Fprintf(k, "x UID FETCH 1 BODY.PEEK[]\r\n")
	if n, err := io.Copy(io.Discard, k.r); n > 100<<10 || err != nil && isTimeout(err) {
		t.Errorf("the link was cut in the middle of a message, and the client got %d bytes and %v", n, err)
	}
	k = login()
	p.net.Set(toIreland, cut)
	if got := k.upload("INBOX", letter("cut off", strings.Repeat("never whole\n", 20000))); strings.HasPrefix(got, "OK") {
		t.Errorf("an APPEND that was cut off: %q", got)
	}

	p.net.Heal()
	k = login()
	p.net.Both(usNode, ieNode, netlink.Fault{Silent: true})
	io.WriteString(k, "y NOOP\r\n")
	if n, err := io.Copy(io.Discard, k.r); err != nil && isTimeout(err) {
		t.Errorf("the link is silent, and the client's connection stays: %d bytes, %v", n, err)
	}
	k = dialIMAP(t, p.c.Node(usNode).IMAP)
	k.want("LOGIN aoife@example.com "+p.passwords["aoife@example.com"], "NO [UNAVAILABLE]")
	p.net.Heal()
	p.c.Met(t, 3)
	harness.Eventually(t, 2*time.Minute, "a login by the wrong region", func() bool {
		k := dialIMAP(t, p.c.Node(usNode).IMAP)
		got, _ := k.ask("LOGIN aoife@example.com " + p.passwords["aoife@example.com"])
		return strings.HasPrefix(got, "OK")
	})
	p.judge(t)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// TestCutOff cuts Ireland off from everybody: mail for it is put off elsewhere, at home mail and logins go on, an order served abroad is
// kept until it can be told, and a release waits for its cosigners and says so. Joined again, all of it happens, once.
func TestCutOff(t *testing.T) {
	t.Parallel()
	p := badNetwork(t)
	p.deliver(t, usNode, "aoife@example.com", 10)
	legal := func(args ...string) harness.Result { return p.c.Ctl(t, ireland, "legal", nil, args...) }
	opened := legal("order", "submit", "--token", treatyToken(t, p.c), "--target", "aoife@example.com")
	id := opened.Get("case")
	if opened.Get("decision") != "execute" {
		t.Fatalf("submit: %s", opened)
	}

	p.net.Alone(ieNode, netlink.Fault{Cut: true})
	out := p.putOff(t, usNode, "aoife@example.com", 10)
	back := p.putOff(t, ieNode, "samuel@example.com", 10)
	p.deliver(t, ieNode, "aoife@example.com", 10)
	p.deliver(t, usNode, "samuel@example.com", 10)
	for to, texts := range map[string]int{"aoife@example.com": 2, "samuel@example.com": 1} { // what was put off is not there
		if got := p.c.Inbox(t, homes[to], to, p.passwords[to]); len(got) != texts {
			t.Errorf("%s has %d messages, want %d", to, len(got), texts)
		}
	}
	if r := legal("order", "produce", id, "--to", filepath.Join(p.c.Root, "production")); r.Code != 0 {
		t.Errorf("produce, which needs nobody else: %s", r)
	}
	if r := legal("order", "release", id); r.Code != 4 || r.Get("code") != "quorum_not_reached" {
		t.Errorf("release without cosigners: %s", r)
	}
	token := newToken(t, p.c, map[string]any{"iss": "us-district-court", "order_type": "us.sca.warrant", "regime": "us.sca",
		"issued_under": "18 U.S.C. 2703(a)", "aud": map[string]string{"entity": "example-inc", "region": "us-east"}},
		"us-district-court", "--key", p.c.AuthorityFile("us-district-court", "key.pem"))
	told := p.c.Ctl(t, usEast, "legal", nil, "order", "submit", "--token", token, "--target", "aoife@example.com")
	if told.Get("code") != "content_stored_abroad" || !strings.Contains(told.Get("detail"), "could not be told yet") {
		t.Errorf("a warrant on the parent: %s", told)
	}

	p.net.Heal()
	p.c.Met(t, 3)
	p.again(t, usNode, "aoife@example.com", out)
	p.again(t, ieNode, "samuel@example.com", back)
	harness.Eventually(t, 2*time.Minute, "the release", func() bool { return legal("order", "release", id).Code == 0 })
	harness.Eventually(t, 2*time.Minute, "Ireland to be told", func() bool { return strings.Count(string(legal("order", "ls").Out), `"refer"`) == 1 })
	p.judge(t)
}
