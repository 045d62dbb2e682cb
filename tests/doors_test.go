package tests

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
	"domicile/tests/netlink"
	"domicile/tests/scan"
)

// doors is one Irish account with marked mail, and somebody who wants it: with everything that us-east has, and with credentials
// that are good elsewhere.
type doors struct {
	*harness.Cluster
	t        *testing.T
	address  string
	password string
	marker   string
	got      bytes.Buffer // all that any door gave
}

// door is one way by which the mail might come out. try knocks and returns the code that it was refused with; the record of
// it must then stand where record says.
type door struct {
	name   string
	try    func(*doors) string
	code   string
	record func(*doors) int // how many records of this kind there are
}

// TestEveryDoor tries to take the mail of an Irish account out by every door that there is, through us-east and by foreign credentials.
// Each is refused, with its code, and leaves its record; nothing that any of them gave holds a word of the mail.
func TestEveryDoor(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--nodes", "2"}, harness.TwoRegions...)...)
	c.StartAll(t)
	d := &doors{Cluster: c, t: t, marker: strings.ToLower(domicile.NewID("mk")[:18])}
	d.address = "aoife@example.com"
	d.password = c.Account(t, ireland, d.address, "IE")
	c.Account(t, usEast, "sam@example.com", "US")
	text := marked(d.marker, d.address, 1)
	c.Deliver(t, usNode, d.address, text)
	expect(t, c.Inbox(t, ireland, d.address, d.password), text)

	for _, door := range d.all() {
		t.Run(door.name, func(t *testing.T) {
			d.t = t
			before := 0
			if door.record != nil {
				before = door.record(d)
			}
			if code := door.try(d); code != door.code {
				t.Errorf("refused with %q, want %q", code, door.code)
			}
			if door.record != nil && door.record(d) <= before {
				t.Error("it left no record")
			}
		})
	}
	d.t = t
	for _, h := range scan.Bytes(d.got.Bytes(), d.marker) {
		t.Errorf("a door gave the mail away: %v", h)
	}
	if d.got.Len() < 1000 {
		t.Errorf("the doors gave %d bytes in all: were they asked?", d.got.Len())
	}
	for _, n := range c.Nodes {
		c.Kill9(t, n.Name)
	}
	hits, _, err := scan.Tree(c.Root, d.marker)
	if err != nil || len(hits) > 0 {
		t.Errorf("readable on disk: %v, %v", hits, err)
	}
	control(t, c, d.marker)
}

// all lists the doors.
func (d *doors) all() []door {
	return slices.Concat(d.operators(), d.calls(), d.fronts(), d.monitors(), d.folders())
}

// operators are what mailctl can be asked for, at us-east by its own people and at home by foreign ones.
func (d *doors) operators() []door {
	to := filepath.Join(d.Root, "taken")
	paper := d.write("letterhead", "Hand over everything. Headquarters.\n")
	atHome := func(role string, args ...string) func(*doors) string {
		return func(d *doors) string {
			foreign := []string{"--node", d.Home(ireland).Admin, "--identity", d.Path(d.Who(usEast, role).Identity), "--ca", d.Path(d.CA[string(ireland)]),
				"--receipts", d.Receipts(), "--output", "json"}
			return d.refused(d.Run(d.t, []byte("password of mine\n"), append(args, foreign...)...))
		}
	}
	abroad := func(role string, args ...string) func(*doors) string {
		return func(d *doors) string { return d.refused(d.Ctl(d.t, usEast, role, nil, args...)) }
	}
	home := leavesOf(ireland, func(kind, r string) bool { return kind == "operator.refused" && r == "wrong_region" })
	out := []door{
		{"export at us-east", abroad("operator", "account", "export", d.address, "--to", to), "no_token", us("no_token")},
		{"export at us-east, with consent", abroad("operator", "account", "export", d.address, "--to", to, "--consent", "she said so"), "no_token", us("no_token")},
		{"a demand on letterhead", abroad("legal", "order", "submit", "--target", d.address, "--document", paper), "no_token", us("no_token")},
		{"an account of the same name at us-east", func(d *doors) string {
			return d.refused(d.Ctl(d.t, usEast, "operator", []byte("password of mine\n"), "account", "create", d.address, "--residence", "US", "--password-stdin"))
		}, "name_taken", us("name_taken")},
	}
	for _, args := range [][]string{
		{"account", "export", d.address, "--to", to, "--consent", "she said so"}, {"account", "show", d.address}, {"account", "ls"},
		{"account", "passwd", d.address, "--password-stdin"}, {"account", "where", d.address}, {"account", "rm", d.address},
		{"account", "expunged", d.address}, {"account", "undelete", d.address}, {"account", "purge", d.address, "--yes"},
		{"residence", "declare", d.address, "--country", "US", "--evidence", "bank=US", "--evidence", "tax=US"}, {"residence", "ls"}, {"residence", "show", d.address},
		{"audit", "tail"},
	} {
		out = append(out, door{"at home, by an operator of us-east: " + strings.Join(args[:2], " "), atHome("operator", args...), "wrong_region", home})
	}
	for _, args := range [][]string{{"order", "ls"}, {"order", "submit", "--target", d.address, "--document", paper}, {"account", "rm", d.address}} {
		out = append(out, door{"at home, by a legal officer of us-east: " + strings.Join(args[:2], " "), atHome("legal", args...), "wrong_region", home})
	}
	return out
}

// calls are those between nodes: every method, called directly.
func (d *doors) calls() []door {
	methods := slices.AppendSeq([]string{"move/abandon"}, maps.Keys(netlink.Methods)) // the taps see no move that is abandoned
	ask := func(identity string, want func(answer) bool) func(*doors) string {
		return func(d *doors) string {
			who := rogueOf(d.t, d.Cluster, identity, ieNode)
			for _, method := range methods {
				for _, header := range []object{{}, {"v": 1, "account": d.address, "address": d.address, "target": d.address, "name": strings.Repeat("0", 64), "domain": "example.com"}} {
					a := who.call(method, "", bytes.NewReader(framed(header, "")))
					fmt.Fprintf(&d.got, "%s: %+v\n", method, a)
					if !want(a) {
						d.t.Errorf("%s as %s: %+v", method, identity, a)
					}
				}
			}
			return "refused"
		}
	}
	noReply := func(a answer) bool { return a.Status != http.StatusOK || a.Error.Kind != "" || string(a.Reply) == "{}" }
	unheard := func(a answer) bool { return a.Status != http.StatusOK }
	return []door{
		{"every call, by a node of us-east", ask("us-east-1/identity.pem", noReply), "refused", nil},
		{"every call, by an operator of us-east", ask(d.Who(usEast, "operator").Identity, unheard), "refused", nil},
		{"every call, by an operator of Ireland", ask(d.Who(ireland, "operator").Identity, unheard), "refused", nil},
	}
}

// fronts are what mail programs talk to.
func (d *doors) fronts() []door {
	guess := func(at domicile.Node) func(*doors) string {
		return func(d *doors) string {
			_, err := lab.ReadMail(d.t.Context(), d.Node(at).IMAP, d.address, "a guess", "INBOX")
			if err == nil {
				return "let in"
			}
			fmt.Fprintln(&d.got, err)
			if !strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
				return err.Error()
			}
			return "AUTHENTICATIONFAILED"
		}
	}
	speak := func(addr string, lines ...string) func(*doors) string {
		return func(d *doors) string {
			for _, line := range d.speak(addr, lines...) {
				if strings.Contains(line, "@") || strings.Contains(line, "aoife") {
					return line
				}
			}
			return "refused"
		}
	}
	login := func(at domicile.Node) func(*doors) string {
		return func(d *doors) string {
			a := d.speak(d.Node(at).Submission, "EHLO x.example", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+d.address+"\x00a guess")))
			return a[len(a)-1][:3]
		}
	}
	curious := []string{"VRFY " + d.address, "EXPN " + d.address, "ETRN example.com", "HELP", "TURN", "XCLIENT ADDR=127.0.0.1", "AUTH PLAIN AGFvaWZlAHg=",
		"STAT", "RETR 1", "a SELECT INBOX", "GET / HTTP/1.0"}
	return []door{
		{"IMAP with a guessed password, at home", guess(ieNode), "AUTHENTICATIONFAILED", refusalsOf(ireland)},
		{"IMAP with a guessed password, at us-east", guess(usNode), "AUTHENTICATIONFAILED", refusalsOf(ireland)},
		{"IMAP with a guessed password, at a front without a store", guess("us-east-2"), "AUTHENTICATIONFAILED", refusalsOf(ireland)},
		{"submission with a guessed password, at home", login(ieNode), "535", refusalsOf(ireland)},
		{"submission with a guessed password, at us-east", login(usNode), "535", refusalsOf(usEast, ireland)},
		{"SMTP at us-east asked for more than it does", speak(d.Node(usNode).SMTP, append([]string{"EHLO x.example"}, curious...)...), "refused", nil},
		{"LMTP at us-east asked for more than it does", speak(d.Node(usNode).LMTP, append([]string{"LHLO x.example"}, curious...)...), "refused", nil},
	}
}

// monitors are the addresses that tell how a node fares, and where a console would be.
func (d *doors) monitors() []door {
	get := func(d *doors) string {
		for _, n := range d.Nodes {
			for _, path := range []string{"/", "/metrics", "/readyz", "/healthz", "/console", "/debug/pprof/", "/debug/vars", "/v1/account/export", "/../journal", "/accounts/" + d.address} {
				code, body := get(d.t, n.HTTP, path)
				fmt.Fprintln(&d.got, code, body)
				known := slices.Contains([]string{"/metrics", "/readyz", "/healthz"}, path)
				if known != (code == http.StatusOK) || strings.Contains(body, "aoife") {
					d.t.Errorf("%s of %s: %d", path, n.Name, code)
				}
			}
		}
		return "refused"
	}
	console := func(d *doors) string {
		raw, err := os.ReadFile(d.Path(d.Who(usEast, "legal").Identity))
		if err != nil {
			d.t.Fatal(err)
		}
		cert, err := tls.X509KeyPair(raw, raw)
		if err != nil {
			d.t.Fatal(err)
		}
		codes := map[int]bool{}
		for _, certs := range [][]tls.Certificate{{cert}, nil} {
			c := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{Certificates: certs, InsecureSkipVerify: true}}}
			for _, path := range []string{"/", "/console", "/v1/account/export?address=" + d.address, "/v1/order/ls"} {
				res, err := c.Get("https://" + d.Home(ireland).Admin + path)
				if err != nil { // without a certificate nothing is said at all
					continue
				}
				io.Copy(&d.got, io.LimitReader(res.Body, 1<<20))
				res.Body.Close()
				codes[res.StatusCode] = true
			}
		}
		if codes[http.StatusOK] {
			return "answered"
		}
		return "refused"
	}
	return []door{{"health, metrics and what might be beside them", get, "refused", nil}, {"a browser at the operators' address", console, "refused", nil}}
}

// folders are what us-east could do with a copy of Ireland's.
func (d *doors) folders() []door {
	copied := filepath.Join(d.Root, "irish.backup")
	return []door{{"a backup of Ireland, restored in us-east", func(d *doors) string {
		mailctl := func(words ...string) harness.Result {
			return d.Run(d.t, nil, append(words, "--receipts", d.Receipts(), "--output", "json")...)
		}
		d.Halt(d.t, ieNode)
		made := mailctl("backup", "create", "--config", d.Path(d.Node(ieNode).Config), "--to", copied)
		d.Launch(d.t, ieNode)
		raw, err := os.ReadFile(copied)
		if err != nil || len(raw) < 10000 || made.Code != 0 {
			d.t.Fatalf("%d bytes, %v, %s", len(raw), err, made)
		}
		d.got.Write(raw)
		d.Halt(d.t, usNode)
		defer d.Launch(d.t, usNode)
		return d.refused(mailctl("backup", "restore", copied, "--config", d.Path(d.Node(usNode).Config)))
	}, "wrong_region", us("wrong_region")}, {"a copy of the Irish data folder, served in us-east", func(d *doors) string {
		stolen := filepath.Join(d.t.TempDir(), "stolen")
		if out, err := exec.Command("cp", "-rp", d.Path(d.Node(ieNode).Data), stolen).CombinedOutput(); err != nil { // keys refuse to open with wider modes
			d.t.Fatalf("%v: %s", err, out)
		}
		out := refuses(d.t, d.Cluster, usNode, map[string]string{"data = 'data'": "data = '" + stolen + "'"})
		d.got.WriteString(out)
		if !strings.Contains(out, "wrong_region") {
			return out
		}
		return "wrong_region"
	}, "wrong_region", nil}}
}

// refused returns the code of a refusal, whose receipt must verify.
func (d *doors) refused(r harness.Result) string {
	d.got.Write(r.Out)
	d.got.WriteString(r.Err)
	if r.Code != 3 {
		return r.String()
	}
	if receipt := r.Get("receipt"); receipt != "" {
		verified(d.t, d.Cluster, receipt, 0)
	}
	return r.Get("refused")
}

// speak sends lines, each when the one before is answered, and returns the answers.
func (d *doors) speak(addr string, lines ...string) (answers []string) {
	c, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(io.TeeReader(c, &d.got))
	for _, line := range append([]string{""}, lines...) {
		if line != "" {
			fmt.Fprintf(c, "%s\r\n", line)
		}
		for {
			got, err := r.ReadString('\n')
			if err != nil {
				return answers
			}
			answers = append(answers, got)
			if len(got) < 4 || got[3] != '-' {
				break
			}
		}
	}
	return answers
}

func (d *doors) write(name, text string) string {
	path := filepath.Join(d.Root, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// us counts the leaves of us-east with a reason.
func us(reason string) func(*doors) int {
	return leavesOf(usEast, func(_, r string) bool { return r == reason })
}

// leavesOf counts leaves of a region's log.
func leavesOf(r domicile.Region, is func(kind, reason string) bool) func(*doors) int {
	return func(d *doors) (n int) {
		var leaves []struct {
			Leaf struct{ Kind, Reason string }
		}
		if got := d.Ctl(d.t, r, "auditor", nil, "audit", "tail", "-n", "1000"); json.Unmarshal(got.Out, &leaves) != nil {
			d.t.Fatalf("audit tail: %s", got)
		}
		for _, l := range leaves {
			if is(l.Leaf.Kind, l.Leaf.Reason) {
				n++
			}
		}
		return n
	}
}

// refusalsOf counts the refusals in the sealed journals of regions, whose nodes may run.
func refusalsOf(regions ...domicile.Region) func(*doors) int {
	return func(d *doors) (n int) {
		for _, r := range regions {
			for _, rec := range journalOf(d.t, d.Cluster, r) {
				if rec.Type == "refused" {
					n++
				}
			}
		}
		return n
	}
}
