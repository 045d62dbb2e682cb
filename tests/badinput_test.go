package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"domicile/lab"
	"domicile/tests/harness"
)

// Exit codes of mailctl.
const (
	failed      = 1
	usage       = 2
	refused     = 3
	unavailable = 4
)

// TestBadInput gives mailctl malformed words, files, tokens, countries and addresses: each has its exit code and its code, and
// the error says something.
func TestBadInput(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	c.Account(t, ireland, "careful@example.com", "IE")
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	garbage := file("garbage", "\x00\xff{not anything\n")
	empty := file("empty", "")
	huge := file("huge", strings.Repeat("A", 9<<20))
	create := func(addr, cc string, more ...string) []string {
		return append([]string{"account", "create", addr, "--residence", cc, "--password-stdin"}, more...)
	}
	password := []byte("long enough\n")
	for _, x := range []struct {
		name string
		role string // "" = operator
		in   []byte
		args []string
		exit int
		code string // in the JSON, "" = any
	}{
		{"unknown verb", "", nil, []string{"account", "destroy"}, usage, ""},
		{"unknown noun", "", nil, []string{"acount", "ls"}, usage, ""},
		{"unknown flag", "", nil, []string{"account", "ls", "--al"}, usage, ""},
		{"flag without value", "", nil, []string{"account", "create", "a@example.com", "--residence"}, usage, ""},
		{"too many words", "", nil, []string{"account", "show", "a@example.com", "b@example.com"}, usage, ""},
		{"no word", "", nil, []string{"account", "show"}, usage, ""},

		{"country XX", "", password, create("x@example.com", "XX"), refused, "unknown_country"},
		{"country empty", "", password, create("x@example.com", ""), usage, "usage"},
		{"country of three letters", "", password, create("x@example.com", "IRL"), refused, "unknown_country"},
		{"country that no region serves", "", password, create("x@example.com", "BR"), refused, "residence_not_served"},
		{"home elsewhere", "", password, create("x@example.com", "US"), refused, "wrong_region"},
		{"domain not ours", "", password, create("x@elsewhere.example", "IE"), refused, "domain_not_served"},
		{"address without @", "", password, create("careful", "IE"), usage, "invalid"},
		{"address with a space", "", password, create("care ful@example.com", "IE"), usage, "invalid"},
		{"address too long", "", password, create(strings.Repeat("a", 65)+"@example.com", "IE"), usage, "invalid"},
		{"address with a newline", "", password, create("a\n@example.com", "IE"), usage, "invalid"},
		{"address taken", "", password, create("careful@example.com", "IE"), failed, "exist"},
		{"address taken, other case", "", password, create("CAREFUL+tag@EXAMPLE.com", "IE"), failed, "exist"},
		{"password short", "", []byte("short\n"), create("x@example.com", "IE"), usage, "invalid"},
		{"password absent", "", nil, create("x@example.com", "IE"), usage, "invalid"},
		{"evidence malformed", "", password, create("x@example.com", "IE", "--evidence", "billing"), usage, "invalid"},
		{"evidence of no kind", "", password, create("x@example.com", "IE", "--evidence", "hearsay=IE"), usage, "invalid"},
		{"no such account", "", nil, []string{"account", "show", "nobody@example.com"}, failed, "not_exist"},
		{"export without consent", "", nil, []string{"account", "export", "careful@example.com", "--to", filepath.Join(t.TempDir(), "out")}, refused, "consent_missing"},

		{"change of residence on one item", "", nil, []string{"residence", "declare", "careful@example.com", "--country", "DE", "--evidence", "billing=DE"}, refused, "evidence_insufficient"},
		{"change on items that contradict", "", nil, []string{"residence", "declare", "careful@example.com", "--country", "DE", "--evidence", "billing=DE", "--evidence", "bank=FR"}, refused, "evidence_contradicts"},
		{"change to no country", "", nil, []string{"residence", "declare", "careful@example.com", "--country", "XX", "--evidence", "billing=DE", "--evidence", "bank=DE"}, refused, "unknown_country"},

		{"order as operator", "", nil, []string{"order", "submit", "--target", "careful@example.com"}, refused, "wrong_role"},
		{"account as legal", "legal", password, create("x@example.com", "IE"), refused, "wrong_role"},
		{"order without a token", "legal", nil, []string{"order", "submit", "--target", "careful@example.com"}, refused, "no_token"},
		{"token of garbage", "legal", nil, []string{"order", "submit", "--target", "careful@example.com", "--token", garbage}, refused, "bad_signature"},
		{"token empty", "legal", nil, []string{"order", "submit", "--target", "careful@example.com", "--token", empty}, refused, ""},
		{"token huge", "legal", nil, []string{"order", "submit", "--target", "careful@example.com", "--token", huge}, refused, "bad_signature"},
		{"token file absent", "legal", nil, []string{"order", "submit", "--target", "careful@example.com", "--token", "nowhere"}, usage, ""},
		{"target malformed", "legal", nil, []string{"order", "submit", "--target", "@@"}, usage, "invalid"},
		{"no such case", "legal", nil, []string{"order", "show", "cnone"}, failed, "not_exist"},
		{"no such case to release", "legal", nil, []string{"order", "release", "cnone"}, failed, "not_exist"},
		{"judgement unknown", "legal", nil, []string{"order", "judge", "cnone", "--decision", "perhaps", "--reason", "x"}, usage, ""},

		{"leaf is no number", "auditor", nil, []string{"audit", "prove", "first"}, usage, ""},
		{"leaf beyond the log", "auditor", nil, []string{"audit", "prove", "99999999"}, failed, "not_exist"},
	} {
		t.Run(x.name, func(t *testing.T) {
			role := x.role
			if role == "" {
				role = "operator"
			}
			got := c.Ctl(t, ireland, role, x.in, x.args...)
			code := got.Get("refused") + got.Get("code")
			if got.Get("refused") != "" {
				code = got.Get("refused")
			}
			if got.Code != x.exit || x.code != "" && code != x.code {
				t.Errorf("want exit %d and %q, got %s", x.exit, x.code, got)
			}
			if len(got.Out) == 0 && got.Err == "" {
				t.Error("nothing was said about it")
			}
			if got.Code != usage && !json.Valid(got.Out) {
				t.Errorf("no JSON on the standard output: %s", got)
			}
		})
	}
	t.Run("operator of another region", func(t *testing.T) {
		got := c.Run(t, nil, "account", "ls", "--node", c.Home(ireland).Admin, "--identity", c.Path(c.Who(usEast, "operator").Identity),
			"--ca", c.Path(c.CA[string(ireland)]), "--output", "json")
		if got.Code != refused || got.Get("refused") != "wrong_region" {
			t.Errorf("headquarters' operator in Ireland: %s", got)
		}
	})
	offline(t, c, garbage, empty)
}

// offline are the verbs that talk to no node.
func offline(t *testing.T, c *harness.Cluster, garbage, empty string) {
	pins := c.Path(c.Pins)
	lab := func(args ...string) []string {
		return append([]string{"lab", "init", "--dir", filepath.Join(t.TempDir(), "lab")}, args...)
	}
	id := c.Path(c.Who(ireland, "operator").Identity)
	for _, x := range []struct {
		name string
		args []string
		exit int
	}{
		{"bad output", []string{"token", "inspect", garbage, "--output", "xml"}, usage},
		{"receipt of garbage", []string{"receipt", "verify", garbage, "--pins", pins}, failed},
		{"receipt empty", []string{"receipt", "verify", empty, "--pins", pins}, failed},
		{"receipt absent", []string{"receipt", "verify", "nowhere", "--pins", pins}, usage},
		{"pins of garbage", []string{"receipt", "verify", garbage, "--pins", garbage}, usage},
		{"pins not given", []string{"receipt", "verify", garbage}, usage},
		{"log folder absent", []string{"audit", "verify", "--dir", "nowhere", "--pins", pins}, failed},
		{"token of garbage", []string{"token", "inspect", garbage}, refused},
		{"claims of garbage", []string{"token", "new", "--claims", garbage, "--key", c.AuthorityFile("ie-court", "key.pem")}, usage},
		{"key of garbage", []string{"token", "new", "--claims", garbage, "--key", garbage}, usage},
		{"status unknown", []string{"token", "status", "--key", c.AuthorityFile("ie-court", "key.pem"), "--set", "12345678=gone", "--to", filepath.Join(t.TempDir(), "s")}, usage},
		{"node not said", []string{"account", "ls"}, usage},
		{"identity not said", []string{"account", "ls", "--node", "127.0.0.1:1"}, usage},
		{"identity of garbage", []string{"account", "ls", "--node", "127.0.0.1:1", "--identity", garbage}, usage},
		{"node without a port", []string{"account", "ls", "--node", "localhost", "--identity", id}, usage},
		{"node out of reach", []string{"account", "ls", "--node", "127.0.0.1:1", "--identity", id}, unavailable},
		{"lab without a region", lab(), usage},
		{"lab with a country XX", lab("--region", "r1=XX"), usage},
		{"lab with a bad name", lab("--region", "../r=IE"), usage},
		{"lab with a region twice", lab("--region", "r1=IE", "--region", "r1=US"), usage},
		{"lab in a folder in use", []string{"lab", "init", "--dir", c.Dir, "--region", "r1=IE"}, failed},
		{"lab with a bad owner", lab("--region", "r1=IE", "--owner", "r1"), usage},
		{"lab with no nodes", lab("--region", "r1=IE", "--nodes", "-1"), usage},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := c.Run(t, nil, x.args...); got.Code != x.exit || got.Err == "" && len(got.Out) == 0 {
				t.Errorf("want exit %d, got %s", x.exit, got)
			}
		})
	}
}

// TestBadConfig gives mailnode configurations that are wrong: exit 2, and file, line and key are named.
func TestBadConfig(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	path := c.Path(c.Node(ieNode).Config)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct{ text, word string }{
		"unknown key":   {"nmae = 'x'\n" + string(raw), "name"},
		"not TOML":      {"= =", ":1:"},
		"empty":         {"", "name"},
		"unknown role":  {strings.Replace(string(raw), "'store'", "'shop'", 1), "roles"},
		"absent key":    {strings.Replace(string(raw), "root.key", "no.key", 1), "root_key"},
		"host name":     {strings.Replace(string(raw), "127.0.0.1", "localhost", 1), "listen"},
		"wrong genesis": {strings.Replace(string(raw), "genesis = 'sha256:", "genesis = 'sha256:0", 1), "genesis"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(filepath.Dir(path), "bad.toml")
			if err := os.WriteFile(file, []byte(x.text), 0o600); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(file)
			for _, verb := range []string{"check", "serve"} {
				out, _ := command(t, "mailnode", verb, "--config", file)
				if out.Code != usage || !strings.Contains(out.Err+string(out.Out), x.word) {
					t.Errorf("%s: want exit 2 and %q, got %s", verb, x.word, out)
				}
			}
		})
	}
}

// TestBadMail says what no SMTP client should, to the front in the wrong region.
func TestBadMail(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	password := c.Account(t, ireland, "patient@example.com", "IE")
	c.Account(t, usEast, "other@example.com", "US")
	for _, x := range []struct {
		name string
		say  []string
		code int    // of the last line
		text string // in its answer
	}{
		{"no such name", []string{"MAIL FROM:<a@b.example>", "RCPT TO:<nobody-at-all@example.com>"}, 550, "5.1.1"},
		{"other domain", []string{"MAIL FROM:<a@b.example>", "RCPT TO:<a@elsewhere.example>"}, 550, "5.7.1"},
		{"two homes", []string{"MAIL FROM:<a@b.example>", "RCPT TO:<patient@example.com>", "RCPT TO:<other@example.com>"}, 452, "4.5.3"},
		{"too large", []string{"MAIL FROM:<a@b.example> SIZE=99999999999"}, 552, ""},
		{"no recipient", []string{"MAIL FROM:<a@b.example>", "DATA"}, 502, ""},
		{"unknown command", []string{"FROB"}, 500, ""},
		{"malformed path", []string{"MAIL FROM:a@b@c<>"}, 501, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			s, err := lab.DialSMTP(t.Context(), c.Node(usNode).SMTP)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for _, line := range x.say[:len(x.say)-1] {
				if _, err := s.Command(250, "%s", line); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			_, err = s.Command(250, "%s", x.say[len(x.say)-1])
			if lab.Code(err)/100 != x.code/100 || x.text != "" && (lab.Code(err) != x.code || !strings.Contains(err.Error(), x.text)) {
				t.Errorf("%s: %v, want %d %s", x.say[len(x.say)-1], err, x.code, x.text)
			}
		})
	}
	nul, err := lab.DialSMTP(t.Context(), c.Node(usNode).SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer nul.Close()
	if err := nul.Send("a@b.example", []byte("Subject: x\r\n\r\na\x00b\r\n"), "patient@example.com"); lab.Code(err)/100 != 5 {
		t.Errorf("a message with a NUL byte: %v, want 5xx", err)
	}
	after := letter("after all that", "still here")
	c.Deliver(t, usNode, "patient@example.com", after)
	expect(t, c.Inbox(t, ireland, "patient@example.com", password), after)
}

// command runs one of the programs.
func command(t *testing.T, program string, args ...string) (harness.Result, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Program(t, program), args...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	return harness.Result{Code: cmd.ProcessState.ExitCode(), Out: []byte(out.String()), Err: errOut.String()}, err
}
