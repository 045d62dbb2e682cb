package tests

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
	"domicile/tests/scan"
)

// submission opens a session with a region's node, logged in as an account.
func submission(t *testing.T, c *harness.Cluster, at domicile.Node, address, password string) *lab.Sender {
	t.Helper()
	s, err := lab.DialSMTP(t.Context(), c.Node(at).Submission)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Command(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+address+"\x00"+password))); err != nil {
		t.Fatal(err)
	}
	return s
}

// from makes a letter of a customer's.
func from(address, subject, body string) []byte {
	return lab.Canonical([]byte("From: <" + address + ">\nTo: you\nSubject: " + subject + "\nDate: Mon, 2 Mar 2026 10:00:00 +0000\nMessage-ID: <" + subject + "@client.example>\n\n" + body + "\n"))
}

// TestSubmission sends from Ireland to an account of each region and to nobody: each arrives once, byte for byte behind a trace that
// does not tell where its sender is; what is not ours is refused at once.
func TestSubmission(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	const own, irish, american = "submits@example.com", "submitted-ie@example.com", "submitted-us@example.com"
	password := c.Account(t, ireland, own, "IE")
	ie, us := c.Account(t, ireland, irish, "IE"), c.Account(t, usEast, american, "US")
	s := submission(t, c, ieNode, own, password)
	text := from(own, "submitted", "dear all\n.\n..dots\n")
	if err := s.Send(own, text, irish, american); err != nil {
		t.Fatal(err)
	}
	for _, who := range []struct {
		region            domicile.Region
		address, password string
	}{{ireland, irish, ie}, {usEast, american, us}} {
		harness.Eventually(t, 2*time.Minute, who.address+"'s copy", func() bool { return len(c.Inbox(t, who.region, who.address, who.password)) > 0 })
		got := c.Inbox(t, who.region, who.address, who.password)
		expect(t, got, text)
		if !bytes.Contains(got[0], []byte("with ESMTPA id ")) || bytes.Contains(got[0], []byte("127.0.0.1")) || bytes.Contains(got[0], []byte("sender.example")) {
			t.Errorf("the trace: %.400q", got[0])
		}
	}
	for to, code := range map[string]string{"nobody-at-all@example.com": "5.1.1", "someone@elsewhere.example": "outside_not_served"} {
		if err := s.Begin(own, to); lab.Code(err) != 550 || !strings.Contains(err.Error(), code) {
			t.Errorf("to %s: %v", to, err)
		}
		s.Command(250, "RSET")
	}
	if err := s.Begin(irish, american); lab.Code(err) != 550 {
		t.Errorf("in another's name: %v", err)
	}
	s.Command(250, "RSET")
	if err := s.Send(own, from(irish, "forged", "x"), american); lab.Code(err) != 550 {
		t.Errorf("with another's name in the header: %v", err)
	}
	if got := c.Inbox(t, ireland, own, password); len(got) != 0 {
		t.Errorf("%d notices", len(got))
	}
	abroad, err := lab.DialSMTP(t.Context(), c.Node(usNode).SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer abroad.Close()
	if _, err := abroad.Command(235, "AUTH PLAIN AGEAYg=="); lab.Code(err) != 502 {
		t.Errorf("AUTH on port 25: %v", err)
	}
	if err := abroad.Begin(own, "someone@elsewhere.example"); lab.Code(err) != 550 {
		t.Errorf("relaying on port 25: %v", err)
	}
}

// TestSubmissionWaits: what is sent to a region that is down waits sealed at home, over a restart, without a readable byte of it on any
// disk; operators see it, hold and drop it on record; what they let go arrives once, and of what they drop the sender is told.
func TestSubmissionWaits(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	const own, american = "waits@example.com", "far@example.com"
	password, us := c.Account(t, ireland, own, "IE"), c.Account(t, usEast, american, "US")
	s := submission(t, c, ieNode, own, password)
	if err := s.Send(own, from(own, "before", "x"), american); err != nil { // the directory knows the name from now on
		t.Fatal(err)
	}
	inbox := func(n int) func() bool {
		return func() bool { return len(c.Inbox(t, usEast, american, us)) >= n }
	}
	harness.Eventually(t, 2*time.Minute, "the first letter", inbox(1))
	c.Halt(t, usNode)

	marker := "marker" + domicile.NewID("")
	waits, drops := from(own, marker, marker), from(own, "dropped", "x")
	for _, text := range [][]byte{waits, drops} {
		if err := s.Send(own, text, american); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	c.Kill9(t, ieNode)
	c.Launch(t, ieNode)
	type queued struct {
		ID         string `json:"id"`
		Recipients int    `json:"recipients"`
		Held       bool   `json:"held"`
		Tries      int    `json:"tries"`
	}
	queue := func() (list []queued) {
		t.Helper()
		if r := c.Ctl(t, ireland, "operator", nil, "queue", "ls"); r.Code != 0 || json.Unmarshal(r.Out, &list) != nil {
			t.Fatal(r)
		}
		return list
	}
	harness.Eventually(t, 2*time.Minute, "tries in vain", func() bool {
		list := queue()
		return len(list) == 2 && list[0].Tries > 0 && list[1].Tries > 0
	})
	hits, files, err := scan.Tree(c.Root, marker, "far@")
	if err != nil || files < 20 || len(hits) > 0 {
		t.Errorf("%d files, %v: %v", files, err, hits)
	}
	list := queue()
	if r := c.Ctl(t, ireland, "operator", nil, "queue", "show", list[1].ID); r.Code != 0 || !strings.Contains(string(r.Out), american) {
		t.Error(r)
	}
	if r := c.Ctl(t, ireland, "auditor", nil, "queue", "show", list[1].ID); r.Code != 3 || r.Get("refused") != "wrong_role" {
		t.Error(r)
	}
	for _, verb := range []string{"hold", "retry", "hold"} {
		if r := c.Ctl(t, ireland, "operator", nil, "queue", verb, list[0].ID); r.Code != 0 || r.Get("held") != fmt.Sprint(verb == "hold") {
			t.Error(r)
		}
	}
	if r := c.Ctl(t, ireland, "operator", nil, "queue", "drop", list[1].ID); r.Code != 0 {
		t.Error(r)
	}
	harness.Eventually(t, 2*time.Minute, "the notice", func() bool { return len(c.Inbox(t, ireland, own, password)) == 1 })
	if got := string(c.Inbox(t, ireland, own, password)[0]); !strings.Contains(got, "Final-Recipient: rfc822; "+american) || !strings.Contains(got, "Subject: dropped") {
		t.Errorf("the notice: %s", got)
	}
	c.Launch(t, usNode)
	c.Met(t, 3)
	if r := c.Ctl(t, ireland, "operator", nil, "queue", "retry", list[0].ID); r.Code != 0 {
		t.Error(r)
	}
	harness.Eventually(t, 2*time.Minute, "what waited", inbox(2))
	harness.Eventually(t, 2*time.Minute, "an empty queue", func() bool { return len(queue()) == 0 })
	expect(t, c.Inbox(t, usEast, american, us)[1:], waits)
	if r := c.Ctl(t, ireland, "operator", nil, "queue", "show", list[0].ID); r.Code != 1 {
		t.Error(r)
	}
	leaves := string(c.Ctl(t, ireland, "auditor", nil, "audit", "tail", "--count", "100").Out)
	for _, verb := range []string{"ls", "show", "hold", "retry", "drop"} {
		if !strings.Contains(leaves, "operator.queue."+verb) {
			t.Errorf("no leaf of queue %s", verb)
		}
	}
}

// TestSubmissionAbroad: a customer in Ireland logs in and sends at us-east. The password is checked in Ireland, what is sent is queued there,
// and us-east has it in memory alone, also when it is killed in the middle. A wrong password, an unknown name and one that rests
// elsewhere sound alike. The owner may refuse it.
func TestSubmissionAbroad(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	marker := strings.ToLower(domicile.NewID("mk")[:18])
	const own, to = "travels@example.com", "stays@example.com"
	password, reader := c.Account(t, ireland, own, "IE"), c.Account(t, ireland, to, "IE")
	text := func(n int) []byte {
		return from(own, fmt.Sprint(marker, n), marker+"\n.\n"+strings.Repeat(marker+"\n", 1000*n))
	}
	var sent [][]byte
	for i, at := range []domicile.Node{usNode, "us-east-2", "eu-ireland-2", usNode} { // a store node abroad, a front abroad, a front at home
		s := submission(t, c, at, own, password)
		if i == 0 {
			if caps, err := s.Command(250, "EHLO again.example"); err != nil || strings.Contains(caps, "AUTH") || strings.Contains(caps, "STARTTLS") || !strings.Contains(caps, "SIZE") {
				t.Errorf("EHLO behind the login: %q, %v", caps, err)
			}
			if _, err := s.Command(235, "AUTH PLAIN AGEAYg=="); lab.Code(err) != 503 {
				t.Errorf("a second login: %v", err)
			}
			if err := s.Begin(to, to); lab.Code(err) != 550 {
				t.Errorf("in another's name: %v", err)
			}
			s.Command(250, "RSET")
		}
		sent = append(sent, text(i))
		if err := s.Send(own, sent[i], to); err != nil {
			t.Fatal(err)
		}
	}
	arrive := func() {
		t.Helper()
		harness.Eventually(t, 2*time.Minute, "all that was sent", func() bool { return len(c.Inbox(t, ireland, to, reader)) >= len(sent) })
		onceEach(t, to, c.Inbox(t, ireland, to, reader), sent)
	}
	arrive()

	answers := map[string]bool{}
	for _, who := range []string{own, "nobody@example.com", "x@elsewhere.example"} {
		s, err := lab.DialSMTP(t.Context(), c.Node(usNode).Submission)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Command(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+who+"\x00wrong")))
		if lab.Code(err) != 535 {
			t.Errorf("%s: %v", who, err)
		}
		answers[fmt.Sprint(err)] = true
		s.Close()
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %v", answers)
	}

	s := submission(t, c, usNode, own, password) // the front dies in the middle
	if err := s.Begin(own, to); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(bytes.Repeat([]byte("From: <"+own+">\r\n\r\n"+strings.Repeat(marker+"\r\n", 20)), 200)); err != nil {
		t.Fatal(err)
	}
	c.Kill9(t, usNode)
	hits, files, err := scan.Tree(c.Root, marker)
	if err != nil || files < 30 || len(hits) > 0 {
		t.Errorf("%d files, %v: %v", files, err, hits)
	}
	c.Launch(t, usNode)
	c.Met(t, 5)
	if left := queueOf(t, c); left != 0 {
		t.Errorf("%d messages are queued: half a message among them", left)
	}
	s = submission(t, c, usNode, own, password)
	sent = append(sent, text(9))
	if err := s.Send(own, sent[len(sent)-1], to); err != nil {
		t.Fatal(err)
	}
	arrive()

	login := func(at domicile.Node, want int, reason string) {
		t.Helper()
		s, err := lab.DialSMTP(t.Context(), c.Node(at).Submission)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.Command(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+own+"\x00"+password)))
		if code := lab.Code(err); err == nil && want != 235 || err != nil && (code != want || !strings.Contains(err.Error(), reason)) {
			t.Errorf("at %s: %v, want %d %s", at, err, want, reason)
		}
	}
	for _, choice := range []struct {
		how, reason string
		code        int
	}{{"refuse", "abroad_refused", 535}, {"refer", "read_at_home", 535}, {"relay", "", 235}} {
		if r := c.Ctl(t, ireland, "operator", nil, "account", "abroad", own, choice.how); r.Code != 0 {
			t.Fatal(r)
		}
		login(usNode, choice.code, choice.reason)
		login(ieNode, 235, "")
		login("eu-ireland-2", 235, "") // a front of the home region is not abroad
	}
	if r := c.Ctl(t, ireland, "operator", nil, "account", "suspend", own); r.Code != 0 {
		t.Fatal(r)
	}
	login(usNode, 535, "5.7.13")
	if r := c.Ctl(t, ireland, "operator", nil, "account", "resume", own); r.Code != 0 {
		t.Fatal(r)
	}
	c.Halt(t, ieNode)
	login(usNode, 454, "")
}

// queueOf returns how many messages wait in Ireland.
func queueOf(t *testing.T, c *harness.Cluster) int {
	t.Helper()
	var list []any
	if r := c.Ctl(t, ireland, "operator", nil, "queue", "ls"); r.Code != 0 || json.Unmarshal(r.Out, &list) != nil {
		t.Fatal(r)
	}
	return len(list)
}
