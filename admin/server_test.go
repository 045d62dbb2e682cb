package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"domicile"
)

// Every call, and which roles may make it. A call that is not listed fails the test.
var rights = map[string]string{
	"account/create": "operator", "account/rm": "operator legal", "account/passwd": "operator", "account/suspend": "operator",
	"account/resume": "operator", "account/quota": "operator", "account/abroad": "operator",
	"account/app-password-add": "operator", "account/app-password-rm": "operator", "account/app-password-ls": "operator legal auditor",
	"account/ls": "operator legal auditor", "account/show": "operator legal auditor", "account/where": "operator legal auditor",
	"account/export": "operator legal", "account/expunged": "operator", "account/undelete": "operator", "account/purge": "operator legal",
	"backup/begin": "operator", "backup/job": "operator", "backup/ls": "operator legal auditor",
	"import/begin": "operator", "import/known": "operator", "import/mailbox": "operator", "import/account": "operator", "import/put": "operator", "import/end": "operator",
	"queue/ls": "operator", "queue/show": "operator", "queue/retry": "operator", "queue/hold": "operator", "queue/drop": "operator",
	"residence/declare": "operator", "residence/approve": "operator", "residence/reject": "operator", "residence/contest": "operator",
	"residence/ls": "operator legal auditor", "residence/show": "operator legal auditor",
	"move/ls": "operator legal auditor", "move/show": "operator legal auditor", "move/cancel": "operator",
	"order/submit": "legal", "order/judge": "legal", "order/produce": "legal", "order/release": "legal", "order/deliver": "legal",
	"order/stay": "legal", "order/lift": "legal", "order/withdraw": "legal",
	"order/ls": "legal auditor", "order/show": "legal auditor", "order/explain": "legal auditor", "bundle/ls": "legal auditor", "authority/ls": "legal auditor",
	"audit/tail": "operator legal auditor", "audit/prove": "operator legal auditor", "audit/checkpoint": "operator legal auditor", "audit/copy": "operator legal auditor",
	"catalog/show": "operator legal auditor", "region/ls": "operator legal auditor", "node/ls": "operator legal auditor",
}

func TestRights(t *testing.T) {
	k := newKit(t)
	for _, role := range []string{"operator", "legal", "auditor"} {
		c := k.client("eu-ireland", role)
		for path, may := range rights {
			err := c.stream(t.Context(), path, struct{}{}, io.Discard)
			refused := domicile.ReasonOf(err) == domicile.WrongRole
			if allowed := strings.Contains(may, role); allowed == refused {
				t.Errorf("%s as %s: %v", path, role, err)
			}
			if refused {
				k.wantRefusal(err, domicile.WrongRole)
			}
		}
	}
}

// An operator of another region gets nothing at all, whatever the role, and each try is a leaf.
func TestForeignOperator(t *testing.T) {
	k := newKit(t)
	for path := range rights {
		c := k.client("us-east", "operator", "legal", "auditor")
		err := c.stream(t.Context(), path, struct{}{}, io.Discard)
		k.wantRefusal(err, domicile.WrongRegion)
	}
	if n := len(k.leaves("operator.refused")); n != len(rights) {
		t.Errorf("%d leaves for %d refusals", n, len(rights))
	}
}

func TestEveryCallIsInTheTable(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	for _, noun := range []string{"account", "residence", "order", "bundle", "authority", "audit", "catalog", "region", "node", "queue", "move", "import", "backup"} {
		for _, verb := range []string{"create", "ls", "show", "rm", "passwd", "suspend", "resume", "quota", "abroad", "export", "where", "declare", "reassign", "approve", "reject", "contest",
			"submit", "explain", "judge", "produce", "release", "deliver", "stay", "lift", "withdraw", "tail", "prove", "verify", "copy", "checkpoint", "retry", "hold", "drop", "cancel", "begin", "known", "mailbox", "account", "put", "end", "expunged", "undelete", "purge", "app-password-add", "app-password-ls", "app-password-rm"} {
			path := noun + "/" + verb
			err := c.stream(t.Context(), path, struct{}{}, io.Discard)
			absent := err != nil && strings.Contains(err.Error(), "404")
			if _, listed := rights[path]; listed == absent {
				t.Errorf("%s: listed %v, %v", path, listed, err)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"no JSON", "POST", "account/show", "hello", 400},
		{"empty", "POST", "account/show", "", 400},
		{"unknown field", "POST", "account/show", `{"adress":"a@example.com"}`, 400},
		{"two objects", "POST", "account/show", `{"address":"a@example.com"}{}`, 400},
		{"wrong type", "POST", "account/show", `{"address":7}`, 400},
		{"deep", "POST", "account/show", strings.Repeat("[", 20000), 400},
		{"too long", "POST", "account/show", `{"address":"` + strings.Repeat("a", 25<<20) + `"}`, 413},
		{"GET", "GET", "account/ls", "", 405},
		{"unknown", "POST", "account/grant", "{}", 404},
		{"address in the URL", "POST", "account/show/anna@example.com", "{}", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, c.url+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if resp.Body.Close(); resp.StatusCode != tc.status {
			t.Errorf("%s: %s, want %d", tc.name, resp.Status, tc.status)
		}
	}
}

func TestReadOnlyCalls(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "auditor")
	ctx := t.Context()
	if v, err := c.Catalog(ctx); err != nil || v.Catalog.Version != 1 || len(v.Pins.Logs) != 2 {
		t.Errorf("catalog: %+v, %v", v, err)
	}
	if v, err := c.Regions(ctx); err != nil || len(v) != 2 || v[0].Alive != 1 {
		t.Errorf("regions: %+v, %v", v, err)
	}
	if v, err := c.Nodes(ctx); err != nil || len(v) != 2 {
		t.Errorf("nodes: %+v, %v", v, err)
	}
	if v, err := c.Bundles(ctx); err != nil || len(v) == 0 {
		t.Errorf("bundles: %+v, %v", v, err)
	}
	if v, err := c.Authorities(ctx); err != nil || v == nil || len(v) != 0 {
		t.Errorf("authorities: %+v, %v", v, err)
	}
	if v, err := c.Cases(ctx); err != nil || v == nil || len(v) != 0 {
		t.Errorf("cases: %+v, %v", v, err)
	}
	c.Case(ctx, "c-none") // a case names somebody: who looks for one is on record, whatever is found
	c.ExplainOrder(ctx, ExplainOrder{Target: "anna@example.com"})
	for _, call := range []string{"ls", "show", "explain"} {
		if l := k.leaves("operator.order." + call); len(l) != 1 || strings.Contains(l[0], "anna") || strings.Contains(l[0], "c-none") {
			t.Errorf("leaves of order %s: %q", call, l)
		}
	}
	leaves, err := c.TailLog(ctx, 1)
	if err != nil || len(leaves) != 1 {
		t.Fatalf("tail: %+v, %v", leaves, err)
	}
	p, err := c.ProveLeaf(ctx, ProveLeaf{Leaf: leaves[0].Index})
	if err != nil || len(p.Receipt) == 0 {
		t.Errorf("prove: %+v, %v", p, err)
	}
	_, err = c.ProveLeaf(ctx, ProveLeaf{Leaf: leaves[0].Index, Reveal: true})
	k.wantRefusal(err, domicile.WrongRole)
	if n := len(k.leaves("operator.audit.reveal")); n != 0 {
		t.Errorf("%d leaves say that something was revealed", n)
	}
	opened, err := k.client("eu-ireland", "legal").ProveLeaf(ctx, ProveLeaf{Leaf: leaves[0].Index, Reveal: true})
	if n := len(k.leaves("operator.audit.reveal")); err != nil || n != 1 || len(opened.Receipt) <= len(p.Receipt) {
		t.Errorf("%d leaves of what was revealed, receipts of %d and %d bytes, %v", n, len(p.Receipt), len(opened.Receipt), err)
	}
	if _, err := c.ProveLeaf(ctx, ProveLeaf{Leaf: 1 << 40}); err == nil {
		t.Error("a leaf that is not there was proved")
	}
	if cp, err := c.Checkpoint(ctx); err != nil || !strings.HasPrefix(cp, "example.com/domicile/eu-ireland\n") {
		t.Errorf("checkpoint: %q, %v", cp, err)
	}
	var log bytes.Buffer
	if err := c.CopyLog(ctx, &log); err != nil || !strings.Contains(log.String(), "checkpoint") || strings.Contains(log.String(), "log.db") {
		t.Errorf("copy: %v", err)
	}
}

func TestClientErrors(t *testing.T) {
	k := newKit(t)
	id, err := k.issue["eu-ireland"].IssueOperator("ops", []string{"operator"})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := k.issue["us-east"].IssueOperator("ops", []string{"operator"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient("nowhere", id); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("no port: %v", err)
	}
	if _, err := NewClient(k.addr, []byte("hello")); err == nil {
		t.Error("an identity that is none was accepted")
	}
	c, err := NewClient("127.0.0.1:1", id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Nodes(t.Context()); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("nobody listens: %v", err)
	}
	// Without the other region's CA the client does not talk to its nodes at all.
	c, err = NewClient(k.addr, foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Nodes(t.Context()); domicile.ReasonOf(err) != domicile.PeerUnverified {
		t.Errorf("other authority: %v", err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0") // another port of the node
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	go func() {
		for {
			conn, err := plain.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "220 mail.example.com ESMTP\r\n")
			conn.Close()
		}
	}()
	if c, err = NewClient(plain.Addr().String(), foreign); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Nodes(t.Context()); domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), "--node") {
		t.Errorf("the SMTP port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.client("eu-ireland", "operator").Nodes(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What the node's own errors say stays in its log, unless they are of a kind that is made to be told.
func TestFailureTellsNothingUnplanned(t *testing.T) {
	secret := errors.New("open /var/lib/secret: no")
	for _, tc := range []struct {
		err  error
		want string
	}{
		{secret, "the node's log says more"},
		{domicile.W("outer", secret), ""},
		{&domicile.Error{Op: "x", Kind: domicile.Unavailable, Detail: "try again", Err: secret}, "try again"},
		{domicile.W("outer", domicile.E("inner", domicile.Conflict, "read again")), "read again"},
	} {
		if f := failure(tc.err); f.Detail != tc.want || strings.Contains(f.Detail, "secret") {
			t.Errorf("%v: detail %q, want %q", tc.err, f.Detail, tc.want)
		}
	}
}
