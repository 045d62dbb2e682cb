package tests

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/keys"
	"domicile/lab"
	"domicile/placement"
	"domicile/region"
	"domicile/tests/harness"
	"domicile/tests/netlink"
	"domicile/tests/scan"
)

// tapped is the story as it is told over tapped links, with what must be found on them and what must not.
type tapped struct {
	c      *harness.Cluster
	people []string // words of addresses
	secret []secret
	mails  []tappedMail
}

// secret is a password, and the node that may check it.
type secret struct {
	text string
	home domicile.Node
}

// tappedMail is one message, by its marker: its home, and the one link that it may come on; none if it arrived there.
type tappedMail struct {
	marker string
	home   domicile.Node
	link   netlink.Link
	abroad bool         // it comes in its sender's own session at a front abroad; else as a delivery
	moves  netlink.Link // on which its account moves later
}

// tapStory is what is done over the tapped links, act by act. What crosses in an act that is added here is held against guard and
// journal with the rest; a new call between nodes also needs its line in netlink.Methods.
var tapStory = []struct {
	name string
	do   func(*tapped, *testing.T)
}{
	{"accounts", (*tapped).accounts},
	{"mail", (*tapped).mail},
	{"submission", (*tapped).submission},
	{"reading abroad", (*tapped).abroad},
	{"doors that stay shut", (*tapped).shut},
	{"an order served on the parent", (*tapped).parent},
	{"the treaty path", (*tapped).treaty},
	{"a move", (*tapped).move},
	{"an account that ends", (*tapped).removal},
}

// TestTaps is promise P2 as a stranger with every key of the lab sees it: all links between nodes are tapped while the story
// is told. Mail is seen once, on its way home under the permit for it, and nowhere else in any dress; addresses only there
// and in the notice of an order; passwords never. Gossip holds no person and no owner. Every byte that left a region left
// behind a permit that was on disk before, within what its journal says.
func TestTaps(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2", "--cool-down", "1s"}, harness.TwoRegions...)...)
	net := netlink.Lay(t, c, netlink.Tapped)
	c.StartAll(t)
	s := &tapped{c: c}
	for _, act := range tapStory {
		if t.Log(act.name); !t.Failed() {
			act.do(s, t)
		}
	}
	digests := s.digests(t)
	for _, name := range []domicile.Node{"us-east-2", "eu-ireland-2", usNode, ieNode, domicile.Node(c.Witness.Name)} {
		c.Halt(t, name)
	}
	taken, err := net.Take()
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d calls, %d messages of gossip", len(taken.Calls), len(taken.Gossip))
	s.content(t, net, taken.Calls)
	s.gossip(t, taken.Gossip, digests)
	for _, r := range []domicile.Region{usEast, ireland} {
		s.account(t, net, taken, r)
	}
}

func (s *tapped) accounts(t *testing.T) {
	for _, a := range []struct {
		r       domicile.Region
		address string
		country string
	}{{ireland, "aoife@example.com", "IE"}, {ireland, "niamh-leaves@example.com", "DE"}, {usEast, "samuel@example.com", "US"},
		{ireland, "siobhan@example.com", "IE"}} {
		s.secret = append(s.secret, secret{s.c.Account(t, a.r, a.address, a.country), s.c.Home(a.r).Name})
		local, _, _ := strings.Cut(a.address, "@")
		s.people = append(s.people, local)
	}
}

// mail goes in at both regions for both, and by a front that holds no store; small and large. The marker stands in every field,
// the envelope's sender too.
func (s *tapped) mail(t *testing.T) {
	home := map[string]domicile.Node{"aoife@example.com": ieNode, "samuel@example.com": usNode}
	for _, m := range []struct {
		at   domicile.Node
		to   string
		size int
	}{{usNode, "aoife@example.com", 1}, {usNode, "aoife@example.com", 60}, {ieNode, "aoife@example.com", 1}, {usNode, "samuel@example.com", 1}, {ieNode, "samuel@example.com", 7},
		{"us-east-2", "aoife@example.com", 2}, {"us-east-2", "samuel@example.com", 2}} {
		marker := strings.ToLower(domicile.NewID("tap")[:18])
		sender, err := lab.DialSMTP(t.Context(), s.c.Node(m.at).SMTP)
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(marker+"@sender.example", marked(marker, m.to, m.size), m.to); err != nil {
			t.Fatal(err)
		}
		sender.Close()
		kept := tappedMail{marker: marker, home: home[m.to]}
		if home[m.to] != m.at {
			kept.link = netlink.Link{From: m.at, To: home[m.to]}
		}
		s.mails = append(s.mails, kept)
	}
	if got := s.c.Inbox(t, ireland, "aoife@example.com", s.secret[0].text); len(got) != 4 {
		t.Errorf("%d messages at home", len(got))
	}
}

// submission sends from an Irish account to one of each region: one copy stays, the other goes home from the queue. A third letter is
// handed in at us-east, and goes to Ireland in its sender's session.
func (s *tapped) submission(t *testing.T) {
	const own = "aoife@example.com"
	out := submission(t, s.c, ieNode, own, s.secret[0].text)
	for to, m := range map[string]tappedMail{own: {home: ieNode}, "samuel@example.com": {home: usNode, link: netlink.Link{From: ieNode, To: usNode}}} {
		m.marker = strings.ToLower(domicile.NewID("tap")[:18])
		if err := out.Send(own, from(own, m.marker, "The word is "+m.marker+"."), to); err != nil {
			t.Fatal(err)
		}
		s.mails = append(s.mails, m)
	}
	m := tappedMail{marker: strings.ToLower(domicile.NewID("tap")[:18]), home: ieNode, link: netlink.Link{From: usNode, To: ieNode}, abroad: true}
	away := submission(t, s.c, usNode, own, s.secret[0].text)
	if err := away.Send(own, from(own, m.marker, "The word is "+m.marker+"."), own); err != nil {
		t.Fatal(err)
	}
	away.Close()
	s.mails = append(s.mails, m)
	harness.Eventually(t, 2*time.Minute, "all copies", func() bool {
		return len(s.c.Inbox(t, ireland, own, s.secret[0].text)) == 6 && len(s.c.Inbox(t, usEast, "samuel@example.com", s.secret[2].text)) == 4
	})
}

// abroad reads Irish mail through us-east, which sees it in memory; by TLS to the home's name, which it cannot; and mail of us-east
// through that region's front.
func (s *tapped) abroad(t *testing.T) {
	read := func(got [][]byte, err error, want int) {
		t.Helper()
		if err != nil || len(got) != want {
			t.Errorf("%d messages, want %d: %v", len(got), want, err)
		}
	}
	got, err := lab.ReadMail(t.Context(), s.c.Home(usEast).IMAP, "aoife@example.com", s.secret[0].text, "INBOX")
	read(got, err, 6)
	got, err = lab.ReadMail(t.Context(), s.c.Node("us-east-2").IMAP, "samuel@example.com", s.secret[2].text, "INBOX")
	read(got, err, 4)
	pem, err := os.ReadFile(s.c.Path(s.c.CA[string(ireland)]))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	got, err = lab.ReadMailTLS(t.Context(), s.c.Home(usEast).IMAPS, &tls.Config{RootCAs: roots, ServerName: "eu-ireland.example.com"}, "aoife@example.com", s.secret[0].text, "INBOX")
	read(got, err, 6)
}

// shut tries what is refused, and asks for a name that nobody has.
func (s *tapped) shut(t *testing.T) {
	nobody := strings.ToLower(domicile.NewID("nobody")[:18])
	s.people = append(s.people, nobody)
	if code, err := try(t, s.c, ieNode, nobody+"@example.com", letter("to nobody", "x")); code != 550 {
		t.Errorf("a name that nobody has: %d, %v", code, err)
	}
	if _, err := lab.ReadMail(t.Context(), s.c.Home(usEast).IMAP, "aoife@example.com", "guess-"+nobody, "INBOX"); err == nil {
		t.Error("a guessed password was taken")
	}
	if r := s.c.Ctl(t, usEast, "operator", nil, "account", "export", "aoife@example.com", "--to", filepath.Join(s.c.Root, "export")); r.Get("refused") != "no_token" {
		t.Errorf("export at us-east: %s", r)
	}
}

// parent serves a warrant on the US parent: us-east tells Ireland of it.
func (s *tapped) parent(t *testing.T) {
	token := newToken(t, s.c, map[string]any{"iss": "us-district-court", "order_type": "us.sca.warrant", "regime": "us.sca",
		"issued_under": "18 U.S.C. 2703(a)", "aud": map[string]string{"entity": "example-inc", "region": "us-east"}},
		"us-district-court", "--key", s.c.AuthorityFile("us-district-court", "key.pem"))
	if r := s.c.Ctl(t, usEast, "legal", nil, "order", "submit", "--token", token, "--target", "aoife@example.com"); r.Get("code") != "content_stored_abroad" {
		t.Fatalf("a warrant on the parent: %s", r)
	}
	harness.Eventually(t, 2*time.Minute, "Ireland to have the case", func() bool {
		return strings.Contains(string(s.c.Ctl(t, ireland, "legal", nil, "order", "ls").Out), `"refer"`)
	})
}

// treaty discloses aoife's mail to the Irish central authority, cosigned by the witness.
func (s *tapped) treaty(t *testing.T) {
	legal := func(args ...string) harness.Result { return s.c.Ctl(t, ireland, "legal", nil, args...) }
	opened := legal("order", "submit", "--token", treatyToken(t, s.c), "--target", "aoife@example.com")
	id := opened.Get("case")
	if opened.Get("decision") != "execute" {
		t.Fatalf("submit: %s", opened)
	}
	if r := legal("order", "produce", id, "--to", filepath.Join(s.c.Root, "production")); r.Code != 0 {
		t.Fatalf("produce: %s", r)
	}
	harness.Eventually(t, 2*time.Minute, "the release", func() bool { return legal("order", "release", id).Code == 0 })
}

// move takes an account with mail in it to its next home.
func (s *tapped) move(t *testing.T) {
	m := tappedMail{marker: strings.ToLower(domicile.NewID("tap")[:18]), home: usNode, moves: netlink.Link{From: ieNode, To: usNode}}
	s.c.Deliver(t, ieNode, "siobhan@example.com", marked(m.marker, "siobhan@example.com", 30))
	s.mails = append(s.mails, m)
	id := approvedFor(t, s.c, ireland, "siobhan@example.com", "US")
	harness.Eventually(t, 2*time.Minute, "the move to end", func() bool {
		return moveOf(t, s.c, ireland, id).Done && moveOf(t, s.c, usEast, id).Done
	})
	s.secret[3].home = usNode // who has logged in before the move, has done so at home
	got, err := lab.ReadMail(t.Context(), s.c.Node("us-east-2").IMAP, "siobhan@example.com", s.secret[3].text, "INBOX")
	if err != nil || len(got) != 1 {
		t.Errorf("%d messages at the new home: %v", len(got), err)
	}
}

// removal gives a name up at the registrar, which is another region's.
func (s *tapped) removal(t *testing.T) {
	for _, role := range []string{"operator", "legal"} {
		if r := s.c.Ctl(t, ireland, role, nil, "account", "rm", "niamh-leaves@example.com"); r.Code != 0 {
			t.Fatalf("account rm by %s: %s", role, r)
		}
	}
}

// content holds what each call carried against what it may carry.
func (s *tapped) content(t *testing.T, net *netlink.Net, calls []netlink.Call) {
	t.Helper()
	seen, abroad, moved := map[string][]netlink.Link{}, map[string]bool{}, map[string]bool{}
	methods := map[string]int{}
	for _, k := range calls {
		methods[k.Method]++
		where := map[string][]byte{"header": k.Header, "body": k.Body, "answer": k.Answer, "back": k.Back, "fields": []byte(strings.Join(append(k.Fields, k.Method, k.Case, k.Status), "\n"))}
		for part, data := range where {
			for _, m := range s.mails {
				if len(scan.Bytes(data, m.marker)) == 0 {
					continue
				}
				if k.Method == "session/imap" && k.To == m.home && (part == "back" || part == "answer") {
					abroad[m.marker] = true // its owner reads it
					continue
				}
				if k.Method == "move/part" && part == "body" && k.Link == m.moves {
					moved[m.marker] = true
					continue
				}
				if part == "body" {
					seen[m.marker] = append(seen[m.marker], k.Link)
				}
				came := "delivery/store"
				if m.abroad {
					came = "session/submission"
				}
				if k.Method != came || part != "body" && part != "header" || k.Link != m.link {
					t.Errorf("mail is in the %s of a call of %s, %s to %s", part, k.Method, k.From, k.To)
				}
			}
			var hits []scan.Hit
			for _, p := range s.secret {
				if !ownSession(k.Method) || part != "header" || k.To != p.home { // not a login on its way home
					hits = append(hits, scan.Bytes(data, p.text)...)
				}
			}
			if !mayName(k.Method, part) || k.Method == "directory/own" && net.Owner(k.From) != net.Owner(k.To) {
				hits = append(hits, scan.Bytes(data, s.people...)...)
			}
			for _, h := range hits {
				t.Errorf("%v in the %s of a call of %s, %s to %s", h, part, k.Method, k.From, k.To)
			}
		}
	}
	for _, m := range s.mails {
		if m.link.From == "" && len(seen[m.marker]) > 0 || m.link.From != "" && !slices.Equal(seen[m.marker], []netlink.Link{m.link}) {
			t.Errorf("a message that may be seen on %v was seen on %v", m.link, seen[m.marker])
		}
		if (m.moves.From != "") != moved[m.marker] {
			t.Errorf("a message whose account moves on %v was seen to: %v", m.moves, moved[m.marker])
		}
		if !abroad[m.marker] {
			t.Error("a message that was read abroad was not seen: the taps see nothing in sessions")
		}
	}
	for method := range netlink.Methods {
		if methods[method] == 0 {
			t.Errorf("the story has no call of %s: what it would carry was not looked at", method)
		}
	}
	t.Logf("calls: %v", methods)
}

// mayName reports whether a part of a call may hold an address: the message on its way home and who sent it, the notice of an order, which is
// about one, the question of a front to the store of its own region, and a session of the address's owner.
func mayName(method, part string) bool {
	switch method {
	case "delivery/store":
		return part == "body" || part == "header"
	case "move/part": // an account on its way to its next home
		return part == "body"
	case "order/told", "directory/own":
		return part == "header"
	}
	return ownSession(method) && part != "fields"
}

// ownSession reports whether a call is a session whose login the front has seen.
func ownSession(method string) bool {
	return method == "session/imap" || method == "session/submission"
}

// digests are what would give a person or an owner away without an address: ids of accounts, and hashes of addresses.
func (s *tapped) digests(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(s.c.Path("names.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	digester, err := placement.NewDigester(key)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for address, r := range map[domicile.Address]domicile.Region{"aoife@example.com": ireland, "samuel@example.com": usEast} {
		id := s.c.Ctl(t, r, "operator", nil, "account", "show", string(address)).Get("account")
		if len(id) < 8 {
			t.Fatalf("account show of %s: id %q", address, id)
		}
		keyed, plain := digester.Digest(address), sha256.Sum256([]byte(address))
		out = append(out, id, keyed.String(), hex.EncodeToString(plain[:]))
	}
	return out
}

// gossip wants nothing of anybody in gossip; that each message is of the known shape, netlink has seen to.
func (s *tapped) gossip(t *testing.T, all []netlink.Gossip, digests []string) {
	t.Helper()
	words := slices.Concat(s.people, digests)
	for _, p := range s.secret {
		words = append(words, p.text)
	}
	for _, m := range s.mails {
		words = append(words, m.marker)
	}
	kinds := map[string]int{}
	var last *byte
	for _, g := range all {
		kinds[g.Type]++
		if &g.Plain[0] == last { // of the same packet as the one before
			continue
		}
		last = &g.Plain[0]
		for _, h := range scan.Bytes(g.Plain, words...) {
			t.Errorf("%v in gossip (%s) of %s", h, g.Type, g.From)
		}
		for _, d := range digests { // as bytes, not as text
			if raw, err := hex.DecodeString(d); err == nil && bytes.Contains(g.Plain, raw) {
				t.Errorf("the digest %s in gossip (%s) of %s", d, g.Type, g.From)
			}
		}
	}
	for _, kind := range []string{"ping", "ack", "alive", "push/pull", "state"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was seen: %v", kind, kinds)
		}
	}
	t.Logf("gossip: %v", kinds)
}

// account holds what left a region against its journal. Where nothing is tried twice and lost, the two are the same to the byte.
func (s *tapped) account(t *testing.T, net *netlink.Net, taken netlink.Taken, r domicile.Region) {
	t.Helper()
	balances, err := net.Account(r, journalOf(t, s.c, r), taken)
	if err != nil {
		t.Error(err)
	}
	for _, b := range balances {
		t.Logf("%s: %s", r, b)
		exact := b.Class != domicile.Gossip && b.Class != domicile.Checkpoint // of these some go to nodes that are ending, and are lost
		if exact && b.Crossed != b.Written {
			t.Errorf("%s: the journal and the tap differ: %s", r, b)
		}
	}
	if len(balances) < 5 {
		t.Errorf("%s: only %d balances: %v", r, len(balances), balances)
	}
	data := s.c.Path(s.c.Home(r).Data)
	checked := s.c.Run(t, nil, "audit", "journal", "--dir", filepath.Join(data, "journal"), "--root-key", s.c.Path(string(r)+"/root.key"),
		"--log", filepath.Join(data, "audit"), "--pins", s.c.Path(s.c.Pins), "--output", "json")
	if checked.Code != 0 || checked.Get("commitments") == "0" {
		t.Errorf("%s: the log's commitments to the journal: %s", r, checked)
	}
}

// journalOf reads the journals of a region's nodes, which do not run, with the region's root key.
func journalOf(t *testing.T, c *harness.Cluster, r domicile.Region) (out []region.Record) {
	t.Helper()
	root, err := keys.LoadRoot(c.Path(string(r) + "/root.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if n.Region != r {
			continue
		}
		secret, err := root.OpenCopy(filepath.Join(c.Path(n.Data), keys.SecretName))
		if err != nil {
			t.Fatal(err)
		}
		err = region.ReadJournal(filepath.Join(c.Path(n.Data), "journal"), secret.Box("journal"), func(rec region.Record) error {
			out = append(out, rec)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}
