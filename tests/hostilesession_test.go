package tests

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"domicile/tests/harness"
)

// session opens a session at the rogue's node, sends more behind the header, and reads how it was taken.
func (r *rogue) session(front, caseID string, header any, more []byte) (a answer) {
	r.t.Helper()
	res, err := r.post("session/"+front, caseID, bytes.NewReader(append(headerFrame(header), more...)))
	if err != nil {
		return a
	}
	defer res.Body.Close()
	a.Status = res.StatusCode
	if a.Status != http.StatusOK {
		return a
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(res.Body, head); err != nil || head[0] != 'H' {
		r.t.Errorf("session: %q, %v", head, err)
		return a
	}
	raw := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(res.Body, raw); err != nil || json.Unmarshal(raw, &a) != nil {
		r.t.Errorf("session: %q, %v", raw, err)
	}
	return a
}

// TestHostileSessions is a node of us-east in the wrong hands that hands sessions to Ireland: it may try passwords, few at a time and each
// late, which keeps no owner out, and nothing else.
func TestHostileSessions(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	password := c.Account(t, ireland, "aoife@example.com", "IE")
	us := rogueOf(t, c, "us-east-1/identity.pem", ieNode)
	guess := func(client, name, password string) object {
		return object{"client": client, "tag": "a", "login": object{"name": name, "password": password}}
	}
	wrong := us.session("imap", "", guess("192.0.2.1", "aoife@example.com", "guess"), nil)
	nobody := us.session("imap", "", guess("192.0.2.2", "nobody@example.com", "guess"), nil)
	if wrong.Error.Kind != "not_exist" || wrong.Error != nobody.Error {
		t.Errorf("a wrong password: %+v; an unknown name: %+v", wrong, nobody)
	}
	good := guess("192.0.2.3", "aoife@example.com", "guess")
	for name, x := range map[string]struct {
		front, caseID string
		header        any
		more          string
		status        int
		kind          string
	}{
		"no such front":           {"smtp", "", good, "", 404, ""},
		"a case":                  {"imap", "c1", good, "", 403, ""},
		"no JSON":                 {"imap", "", []byte("{"), "", 400, ""},
		"a long header":           {"imap", "", with(good, "tag", strings.Repeat("x", 20<<10)), "", 400, ""},
		"a long client":           {"imap", "", with(good, "client", strings.Repeat("x", 65)), "", 400, ""},
		"words before the answer": {"imap", "", good, "D\x00\x00\x00\x01x", 400, ""},
		"no login":                {"imap", "", with(good, "login", nil), "", 200, "invalid"},
		"no tag":                  {"imap", "", with(good, "tag", ""), "", 200, "invalid"},
		"a tag that is a line":    {"imap", "", with(good, "tag", "a OK\r\n* x"), "", 200, "invalid"},
		"a login to be unread":    {"imaps", "", good, "", 200, "invalid"},
		"no address":              {"imap", "", guess("192.0.2.4", "@@", "x"), "", 200, "not_exist"},
	} {
		if a := us.session(x.front, x.caseID, x.header, []byte(x.more)); a.Status != x.status || a.Error.Kind != x.kind {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for _, identity := range []string{"witness-1/identity.pem", c.Who(usEast, "operator").Identity, c.Who(ireland, "operator").Identity} {
		if a := rogueOf(t, c, identity, ieNode).session("imap", "", guess("192.0.2.5", "aoife@example.com", password), nil); a.Status == http.StatusOK {
			t.Errorf("as %s: %+v", identity, a)
		}
	}
	var guesses sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 40 {
		guesses.Go(func() {
			a := us.session("imap", "", guess("192.0.2.9", "aoife@example.com", "guess"), nil)
			mu.Lock()
			defer mu.Unlock()
			statuses[a.Status]++
		})
	}
	dialIMAP(t, c.Node(usNode).IMAP).want("LOGIN aoife@example.com "+password, "OK")
	dialIMAP(t, c.Node(ieNode).IMAP).want("LOGIN aoife@example.com "+password, "OK")
	guesses.Wait()
	if statuses[200]+statuses[429] != 40 || statuses[429] == 0 || statuses[200] == 0 {
		t.Errorf("40 guesses at once: %v; few may be under way for one network", statuses)
	}
	// A connection passed through is no way in without a password, nor is a frame that only a home may send.
	hello := append(frame('D', []byte("\x16\x03\x01\x00\x05hello")), frame('L', []byte(`{"account":"a1"}`))...)
	if a := us.session("imaps", "", object{"client": "192.0.2.10"}, nil); a.Status != 200 || a.Error.Kind != "" {
		t.Errorf("passed through: %+v", a)
	}
	if a := us.session("imaps", "", object{"client": "192.0.2.10"}, hello); a.Status != 400 {
		t.Errorf("bytes before the answer: %+v", a)
	}
}
