package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
	"domicile/disclosure"
	"domicile/region"
)

// node is a node that says what it is told to, over real TLS, and remembers what it was asked.
type node struct {
	addr, identity string
	path, body     string            // of the last call
	status         int               // 0 = 200
	answer         map[string]string // path → body
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{answer: map[string]string{}, identity: filepath.Join(t.TempDir(), "ops.pem")}
	ca, err := region.NewAuthority("eu-ireland", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.IssueNode("eu-ireland-1", []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(server, server)
	if err != nil {
		t.Fatal(err)
	}
	id, err := ca.IssueOperator("ops", []string{"operator"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.identity, id, 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		n.path, n.body = strings.TrimPrefix(r.URL.Path, "/v1/"), string(raw)
		if n.status != 0 {
			w.WriteHeader(n.status)
		}
		io.WriteString(w, n.answer[n.path])
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	n.addr = strings.TrimPrefix(s.URL, "https://")
	return n
}

// ctl runs mailctl and returns what it says.
func ctl(t *testing.T, stdin string, words ...string) (code int, out, errOut string) {
	t.Helper()
	t.Setenv("DOMICILE_NODE", "")
	t.Setenv("DOMICILE_IDENTITY", "")
	var o, e bytes.Buffer
	code = run(context.Background(), words, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

// ask runs mailctl against the node, with JSON.
func (n *node) ask(t *testing.T, stdin string, words ...string) (int, string, string) {
	t.Helper()
	return ctl(t, stdin, append([]string{"--node", n.addr, "--identity", n.identity, "--output", "json"}, words...)...)
}

// Every verb that talks to a node: what it asks, and what it prints of an answer.
func TestVerbs(t *testing.T) {
	n := newNode(t)
	paper := filepath.Join(t.TempDir(), "paper")
	if err := os.WriteFile(paper, []byte("paper"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ words, path, body, answer string }{
		{"account create a@example.com --residence IE --evidence billing=IE --evidence sim=IE --quota 5 --password-stdin", "account/create",
			`{"address":"a@example.com","residence":"IE","evidence":["billing=IE","sim=IE"],"password":"correct horse","quota":5}`, `{"address":"a@example.com"}`},
		{"account ls", "account/ls", `{}`, `[{"address":"a@example.com"}]`},
		{"account show a@example.com", "account/show", `{"address":"a@example.com"}`, `{"address":"a@example.com"}`},
		{"account rm a@example.com", "account/rm", `{"address":"a@example.com"}`, `{}`},
		{"account passwd a@example.com --password-stdin", "account/passwd", `{"address":"a@example.com","password":"correct horse"}`, `{}`},
		{"account suspend a@example.com", "account/suspend", `{"address":"a@example.com"}`, `{"state":"suspended"}`},
		{"account resume a@example.com", "account/resume", `{"address":"a@example.com"}`, `{"state":"active"}`},
		{"account quota a@example.com", "account/quota", `{"address":"a@example.com"}`, `{"quota":7}`},
		{"account quota a@example.com --set 0", "account/quota", `{"address":"a@example.com","quota":0}`, `{"quota":0}`},
		{"account abroad a@example.com refuse", "account/abroad", `{"address":"a@example.com","abroad":"refuse"}`, `{"abroad":"refuse"}`},
		{"account app-password add a@example.com --label phone --scope imap", "account/app-password-add", `{"address":"a@example.com","label":"phone","scope":"imap"}`, `{"address":"a@example.com"}`},
		{"account app-password ls a@example.com", "account/app-password-ls", `{"address":"a@example.com"}`, `{"address":"a@example.com"}`},
		{"account app-password rm a@example.com p1", "account/app-password-rm", `{"address":"a@example.com","id":"p1"}`, `{"address":"a@example.com"}`},
		{"account expunged a@example.com", "account/expunged", `{"address":"a@example.com"}`, `{"keeps":"0s","messages":0}`},
		{"account purge a@example.com --yes", "account/purge", `{"address":"a@example.com"}`, `{"messages":7,"bytes":9}`},
		{"account where a@example.com", "account/where", `{"address":"a@example.com"}`, `{"home":"eu-ireland","why":"so"}`},
		{"residence declare a@example.com --country DE --evidence bank=DE", "residence/declare", `{"address":"a@example.com","country":"DE","evidence":["bank=DE"]}`, `{"id":"x.1"}`},
		{"residence reassign a@example.com --country DE", "residence/declare", `{"address":"a@example.com","country":"DE","evidence":null}`, `{"id":"x.1"}`},
		{"residence ls", "residence/ls", `{}`, `[{"id":"x.1"}]`},
		{"residence show a@example.com --at 2026-01-31", "residence/show", `{"address":"a@example.com","at":"2026-01-31T00:00:00Z"}`, `{"country":"IE"}`},
		{"residence approve x.1", "residence/approve", `{"id":"x.1"}`, `{"id":"x.1","state":"approved"}`},
		{"residence reject x.1", "residence/reject", `{"id":"x.1"}`, `{"id":"x.1"}`},
		{"residence contest x.1", "residence/contest", `{"id":"x.1"}`, `{"id":"x.1"}`},
		{"order submit --target a@example.com --token " + paper + " --document " + paper, "order/submit", `{"token":"cGFwZXI=","target":"a@example.com","document":"cGFwZXI="}`, `{"case":"c1","decision":"execute"}`},
		{"order ls", "order/ls", `{}`, `[{"case":"c1"}]`},
		{"order show c1", "order/show", `{"id":"c1"}`, `{"case":"c1"}`},
		{"order explain c1 --bundle us-2014 --date 2014-05-01", "order/explain", `{"case":"c1","bundle":"us-2014","date":"2014-05-01T00:00:00Z"}`, `{"decision":"execute"}`},
		{"order judge c1 --decision refuse --reason because", "order/judge", `{"id":"c1","decision":"refuse","reason":"because"}`, `{"case":"c1","decision":"object"}`},
		{"order stay c1 --document " + paper, "order/stay", `{"id":"c1","document":"cGFwZXI="}`, `{"case":"c1"}`},
		{"order lift c1 --document " + paper, "order/lift", `{"id":"c1","document":"cGFwZXI="}`, `{"case":"c1"}`},
		{"order withdraw c1 --document " + paper, "order/withdraw", `{"id":"c1","document":"cGFwZXI="}`, `{"case":"c1"}`},
		{"bundle ls", "bundle/ls", `{}`, `[{"name":"us-2014"}]`},
		{"authority ls", "authority/ls", `{}`, `[{"id":"ie-court"}]`},
		{"audit tail -n 3", "audit/tail", `{"count":3}`, `[{"index":1,"leaf":{}}]`},
		{"catalog show", "catalog/show", `{}`, `{"hash":"00","catalog":{"Version":3}}`},
		{"region ls", "region/ls", `{}`, `[{"name":"us-east"}]`},
		{"node ls", "node/ls", `{}`, `[{"name":"us-east-1"}]`},
	} {
		t.Run(c.words, func(t *testing.T) {
			n.answer[c.path] = c.answer
			code, out, errOut := n.ask(t, "correct horse\n", strings.Fields(c.words)...)
			if code != exitDone {
				t.Fatalf("exit %d: %s%s", code, out, errOut)
			}
			if n.path != c.path || n.body != c.body {
				t.Errorf("asked %s %s\nwant  %s %s", n.path, n.body, c.path, c.body)
			}
			if !contains(t, out, c.answer) {
				t.Errorf("printed %s of the answer %s", out, c.answer)
			}
			// The same for people: it prints something, on the standard output, and no JSON.
			code, out, errOut = ctl(t, "correct horse\n", append([]string{"--node", n.addr, "--identity", n.identity}, strings.Fields(c.words)...)...)
			if code != exitDone || strings.TrimSpace(out) == "" || json.Valid([]byte(out)) {
				t.Errorf("as text, exit %d: %q %q", code, out, errOut)
			}
		})
	}
}

// contains reports whether every top-level field of want (or of its first element) is in got.
func contains(t *testing.T, got, want string) bool {
	t.Helper()
	var g, w any
	if json.Unmarshal([]byte(got), &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
		return false
	}
	if list, ok := w.([]any); ok {
		gl, ok := g.([]any)
		if !ok || len(gl) != len(list) {
			return false
		}
		g, w = gl[0], list[0]
	}
	for key, v := range w.(map[string]any) {
		if _, isMap := v.(map[string]any); !isMap && fmt.Sprint(g.(map[string]any)[key]) != fmt.Sprint(v) {
			return false
		}
	}
	return true
}

// How each kind of failure ends.
func TestExitCodes(t *testing.T) {
	n := newNode(t)
	dir := t.TempDir()
	for _, c := range []struct {
		name   string
		status int
		f      admin.Failure
		code   int
		want   string
	}{
		{"refused", 403, admin.Failure{Kind: "refused", Reason: domicile.UnknownCountry, Rule: "house/known-country", Detail: "XX", Receipt: []byte("proof")}, exitRefused,
			`{"refused":"unknown_country","rule":"house/known-country","detail":"XX","receipt":"` + filepath.Join(dir, "unknown_country-"+digest("proof")+".receipt") + `"}`},
		{"refused without receipt", 403, admin.Failure{Kind: "refused", Reason: domicile.WrongRole, Rule: "r", Detail: "d"}, exitRefused,
			`{"refused":"wrong_role","rule":"r","detail":"d"}`},
		{"unavailable", 503, admin.Failure{Kind: "unavailable", Op: "release", Reason: domicile.QuorumNotReached, Detail: "1 of 2"}, exitUnavailable,
			`{"error":"release: not now (quorum_not_reached): 1 of 2","code":"quorum_not_reached"}`},
		{"not there", 404, admin.Failure{Kind: "not_exist", Op: "account.show", Detail: "no such account"}, exitFailed,
			`{"error":"account.show: no such account","code":"not_exist"}`},
		{"wrong words", 400, admin.Failure{Kind: "invalid", Op: "address", Detail: "no @ in it"}, exitWords, `{"error":"address: no @ in it","code":"invalid"}`},
		{"unknown", 500, admin.Failure{Kind: "unknown", Detail: "ask again"}, exitFailed, `{"error":"ask again","code":"unknown"}`},
		{"no domicile node", 502, admin.Failure{}, exitFailed, `{"error":"account/ls: the node answered 502 Bad Gateway; is it a domicile node of this release?","code":"other"}`},
	} {
		raw, err := json.Marshal(c.f)
		if err != nil {
			t.Fatal(err)
		}
		n.status, n.answer["account/ls"] = c.status, string(raw)
		code, out, _ := n.ask(t, "", "account", "ls", "--receipts", dir)
		if code != c.code || strings.TrimSpace(out) != c.want {
			t.Errorf("%s: exit %d\ngot  %swant %s", c.name, code, out, c.want)
		}
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "unknown_country-"+digest("proof")+".receipt")); err != nil || string(raw) != "proof" {
		t.Errorf("the receipt's file: %q, %v", raw, err)
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

func TestNodeOutOfReach(t *testing.T) {
	n := newNode(t)
	n.addr = "127.0.0.1:1"
	if code, out, _ := n.ask(t, "", "node", "ls"); code != exitUnavailable || !strings.Contains(out, `"code":"unavailable"`) {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestSubmitRefused(t *testing.T) {
	n := newNode(t)
	dir := t.TempDir()
	n.answer["order/submit"] = `{"case":"c1","decision":"refuse","code":"conflict_of_laws","rule":"gdpr-48/third-country","detail":"the treaty path","state":"closed","receipt":"cHJvb2Y="}`
	code, out, _ := n.ask(t, "", "order", "submit", "--target", "a@example.com", "--receipts", dir)
	want := `{"case":"c1","decision":"refuse","code":"conflict_of_laws","rule":"gdpr-48/third-country","awaiting":"","state":"closed","receipt":"` +
		filepath.Join(dir, "conflict_of_laws-"+digest("proof")+".receipt") + `","refused":"conflict_of_laws","detail":"the treaty path"}`
	if code != exitRefused || strings.TrimSpace(out) != want {
		t.Errorf("exit %d\ngot  %swant %s", code, out, want)
	}
	n.answer["order/submit"] = `{"case":"c2","decision":"refer","code":"referred","awaiting":"a person","state":"decided"}`
	if code, out, _ := n.ask(t, "", "order", "submit", "--target", "a@example.com"); code != exitDone || strings.Contains(out, "refused") {
		t.Errorf("referred: exit %d, %s", code, out)
	}
}

func TestProduceAndRelease(t *testing.T) {
	n := newNode(t)
	dir := t.TempDir()
	archive := "sealed bytes"
	sum := sha256.Sum256([]byte(archive))
	p := disclosure.Production{Case: "c1", State: "sealed", Archive: "../c1.age", SHA256: hex.EncodeToString(sum[:]), Bytes: 12, Manifest: json.RawMessage(`{"items":1}`), To: dir}
	put := func(path string, p disclosure.Production) {
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		n.answer[path] = string(raw)
	}
	put("order/produce", p)
	code, out, _ := n.ask(t, "", "order", "produce", "c1", "--to", dir)
	if code != exitDone || strings.Contains(out, "archive") {
		t.Fatalf("exit %d: %s", code, out)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "c1.manifest.json")); err != nil || !strings.Contains(string(raw), `"items": 1`) {
		t.Errorf("manifest: %q, %v", raw, err)
	}
	p.State, p.Receipt = "released", []byte("proof")
	put("order/release", p)
	n.answer["order/deliver"] = "other bytes"
	if code, out, _ := n.ask(t, "", "order", "release", "c1", "--receipts", dir); code != exitUnavailable {
		t.Errorf("another archive: exit %d: %s", code, out)
	}
	n.answer["order/deliver"] = archive
	code, out, _ = n.ask(t, "", "order", "release", "c1", "--receipts", dir)
	if raw, err := os.ReadFile(filepath.Join(dir, "c1.age")); code != exitDone || err != nil || string(raw) != archive {
		t.Errorf("exit %d, %q, %v: %s", code, raw, err, out)
	}
	if !strings.Contains(out, `"receipt":"`+filepath.Join(dir, "disclosure-"+digest("proof"))) {
		t.Errorf("no receipt in %s", out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".tmp-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A folder that cannot be written to is found before anything is done. What is done already is told all the same.
func TestFolderNotWritable(t *testing.T) {
	n := newNode(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"order submit --target a@example.com --receipts FILE", "order judge c1 --decision refuse --reason r --receipts FILE",
		"order produce c1 --to FILE", "order release c1 --to FILE", "order release c1 --receipts FILE", "account export a@example.com --consent yes --to FILE/x",
		"audit prove 1 --receipts FILE"} {
		n.path = ""
		code, out, _ := n.ask(t, "", strings.Fields(strings.ReplaceAll(words, "FILE", file))...)
		if code != exitWords || n.path != "" || !strings.Contains(out, "nothing was done") && !strings.Contains(out, "not a directory") {
			t.Errorf("%s: exit %d, asked %q: %s", words, code, n.path, out)
		}
	}
	n.answer["order/stay"] = `{"case":"c1","decision":"execute","state":"stayed","receipt":"cHJvb2Y="}`
	code, out, errOut := n.ask(t, "", "order", "stay", "c1", "--document", file, "--receipts", file)
	if code != exitDone || !strings.Contains(out, `"stayed"`) || !strings.Contains(errOut, "audit prove") {
		t.Errorf("a stay: exit %d: %s%s", code, out, errOut)
	}
}

// An unset variable of a shell is no order without a token.
func TestEmptyFlags(t *testing.T) {
	n := newNode(t)
	for _, words := range [][]string{{"order", "submit", "--target", "a@example.com", "--token", ""}, {"order", "submit", "--target", ""},
		{"account", "export", "a@example.com", "--to", "x", "--order", ""}, {"account", "export", "a@example.com", "--to", ""}} {
		if code, out, _ := n.ask(t, "", words...); code != exitWords || n.path != "" || !strings.Contains(out, "is empty") {
			t.Errorf("%q: exit %d, asked %q: %s", words, code, n.path, out)
		}
	}
}

// Ctrl-C ends a command that waits for a password.
func TestInterruptedPassword(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	in, w := io.Pipe()
	defer w.Close()
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"account", "passwd", "a@example.com", "--password-stdin", "--node", n.addr, "--identity", n.identity}, in, &out, &errOut)
	if code != exitFailed || n.path != "" || !strings.Contains(errOut.String(), "nothing was done") {
		t.Errorf("exit %d, asked %q: %s", code, n.path, errOut.String())
	}
}

func TestExport(t *testing.T) {
	pack := func(names ...string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			body := "message"
			if name == "manifest.json" {
				body = `{"v":1,"address":"a@example.com","messages":[{},{}],"leaf":9}`
			}
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(body)), ModTime: time.Unix(1e9, 0)}); err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, body)
		}
		w.Close()
		return b.String()
	}
	n := newNode(t)
	export := func(answer string) (int, string, string) {
		to := filepath.Join(t.TempDir(), "out")
		n.answer["account/export"] = answer
		code, out, _ := n.ask(t, "", "account", "export", "a@example.com", "--to", to, "--consent", "yes")
		return code, out, to
	}
	code, out, to := export(pack("INBOX/cur/1.m1:2,S", "A.B/cur/1.m2:2,", "manifest.json"))
	if code != exitDone || !strings.Contains(out, `"messages":2`) {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, name := range []string{"INBOX/cur/1.m1:2,S", "A.B/cur/1.m2:2,", "manifest.json"} {
		if _, err := os.Stat(filepath.Join(to, name)); err != nil {
			t.Error(err)
		}
	}
	if code, out, _ := n.ask(t, "", "account", "export", "a@example.com", "--to", to); code != exitWords || !strings.Contains(out, "not empty") {
		t.Errorf("into a full folder: exit %d: %s", code, out)
	}
	to = filepath.Join(t.TempDir(), "out")
	n.answer["account/export"] = "sealed"
	code, out, _ = n.ask(t, "", "account", "export", "a@example.com", "--to", to, "--order", "c1")
	if raw, err := os.ReadFile(filepath.Join(to, "c1.tar.age")); code != exitDone || err != nil || string(raw) != "sealed" || !strings.Contains(n.body, `"order":"c1"`) {
		t.Errorf("with an order: exit %d, %q, %v: %s", code, raw, err, out)
	}
	for name, answer := range map[string]string{
		"no manifest": pack("INBOX/cur/1.m1:2,S"),
		"cut":         pack("INBOX/cur/1.m1:2,S", "manifest.json")[:700],
		"climbs out":  pack("../cur/x", "manifest.json"),
		"absolute":    pack("/tmp/cur/x", "manifest.json"),
		"twice":       pack("INBOX/cur/1", "INBOX/cur/1", "manifest.json"),
		"no tar":      "hello",
	} {
		code, out, to := export(answer)
		if code == exitDone {
			t.Errorf("%s: exit %d: %s", name, code, out)
		}
		if left, err := os.ReadDir(filepath.Dir(to)); err != nil || len(left) != 0 {
			t.Errorf("%s: it leaves %v, %v, and asking again would fail", name, left, err)
		}
	}
}

func TestWrongWords(t *testing.T) {
	n := newNode(t)
	for _, words := range []string{"frobnicate", "account frobnicate", "account create", "account create a@example.com", "account ls extra", "account show",
		"account ls --frobnicate", "account ls --output yaml", "order explain", "order explain c1 --token f", "order judge c1", "order stay c1",
		"residence show a@example.com --at yesterday", "audit prove x", "receipt verify", "token new --claims f", "token status --key k --set x --to f",
		"lab init", "lab init --dir d --region us-east", "lab init --dir d --region us-east=XX", "lab init --dir d --region us-east=US --owner us-east",
		"lab init --dir d --region us-east=US --host us-east-1",
		"account create a@example.com --residence IE", "account show a@example.com --identity /nowhere", "order submit --target a@example.com --token /nowhere"} {
		t.Run(words, func(t *testing.T) {
			if code, out, errOut := n.ask(t, "", strings.Fields(words)...); code != exitWords || !strings.Contains(errOut, "Usage:") {
				t.Errorf("exit %d: %s%s", code, out, errOut)
			}
		})
	}
	for _, words := range []string{"account ls", "account ls --node 127.0.0.1:1"} {
		code, _, errOut := ctl(t, "", strings.Fields(words)...)
		if code != exitWords || !strings.Contains(errOut, "DOMICILE_") || !strings.Contains(errOut, "Usage:") {
			t.Errorf("%s: exit %d: %s", words, code, errOut)
		}
	}
}

// Every command has help with an example, and no verb is a stub.
func TestHelp(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no short text or example", c.CommandPath())
		}
		if !c.Runnable() {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).command())
	for _, words := range []string{"--help", "account --help", "account create --help", "completion bash", "version", "account"} {
		if code, out, errOut := ctl(t, "", strings.Fields(words)...); code != exitDone || len(out) < 10 {
			t.Errorf("%s: exit %d: %s%s", words, code, out, errOut)
		}
	}
}

// What a node says can not play with the terminal.
func TestControlCharacters(t *testing.T) {
	n := newNode(t)
	n.answer["account/where"] = `{"home":"eu-ireland","why":"\u001b[2Jso\u009b"}`
	_, out, _ := ctl(t, "", "--node", n.addr, "--identity", n.identity, "account", "where", "a@example.com")
	if strings.ContainsAny(out, "\x1b\u009b") || !strings.Contains(out, "?[2Jso?") {
		t.Errorf("%q", out)
	}
}
