package tests

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
)

// get asks a node's health address.
func get(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	c := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// measured is one number that a node's metrics have.
func measured(t *testing.T, c *harness.Cluster, name domicile.Node, series string) float64 {
	t.Helper()
	_, text := get(t, c.Node(name).HTTP, "/metrics")
	_, rest, found := strings.Cut(text, "\n"+series+" ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(line, 64)
	if err != nil || !found {
		t.Fatalf("%s in the metrics of %s: %q, %v", series, name, line, err)
	}
	return n
}

// TestHealth runs mail, a wrong login, an unknown recipient, a refused export and orders past the nodes, and then reads what they tell of
// themselves: that they serve, and numbers in which no person shows.
func TestHealth(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	const address = "aoife@example.com"
	password := c.Account(t, ireland, address, "IE")
	c.Deliver(t, usNode, address, letter("one", "1"), letter("two", "2"))
	if got := c.Inbox(t, ireland, address, password); len(got) != 2 {
		t.Fatalf("%d messages", len(got))
	}
	if _, err := lab.ReadMail(t.Context(), c.Home(ireland).IMAP, address, "guessed", "INBOX"); err == nil {
		t.Fatal("a wrong password was good")
	}
	if code, _ := try(t, c, usNode, "stranger@example.com", letter("three", "3")); code != 550 {
		t.Errorf("an unknown recipient: %d", code)
	}
	where := c.Ctl(t, ireland, "operator", nil, "account", "where", address)
	account := where.Get("account")
	if account == "" {
		t.Fatalf("where: %s", where)
	}
	c.Ctl(t, usEast, "operator", nil, "account", "export", address, "--to", filepath.Join(c.Root, "export"))
	opened := c.Ctl(t, ireland, "legal", nil, "order", "submit", "--token", treatyToken(t, c), "--target", address)
	if opened.Code != 0 {
		t.Fatalf("submit: %s", opened)
	}

	us, ie := c.Node(usNode).HTTP, c.Node(ieNode).HTTP
	secrets := []string{address, "aoife", "example.com", "sender", "stranger", password, account, opened.Get("case"), "127.0.0.1", "@"}
	for name, addr := range map[domicile.Node]string{usNode: us, ieNode: ie, domicile.Node(c.Witness.Name): c.Witness.HTTP} {
		if code, body := get(t, addr, "/healthz"); code != 200 || body != "alive\n" {
			t.Errorf("%s alive: %d %s", name, code, body)
		}
		var ready struct {
			Ready bool
			Node  domicile.Node
		}
		code, body := get(t, addr, "/readyz")
		if err := json.Unmarshal([]byte(body), &ready); err != nil || code != 200 || !ready.Ready || ready.Node != name {
			t.Errorf("%s ready: %d %s %v", name, code, body, err)
		}
		if code, _ := get(t, addr, "/debug/pprof/"); code != 404 {
			t.Errorf("%s tells more than it should: %d", name, code)
		}
		_, text := get(t, addr, "/metrics")
		for _, s := range secrets {
			if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
				t.Errorf("%s: a scrape holds %q", name, s)
			}
		}
		bounded(t, string(name), text)
	}
	counted(t, us, `domicile_smtp_replies_total{code="250",command="data",front="smtp"} 2`, `domicile_smtp_replies_total{code="550",command="rcpt",front="smtp"} 1`,
		`domicile_crossings_total{class="delivery",outcome="ok"} 3`, // the third is the standing permit for answers
		`domicile_order_steps_total{code="no_token",step="refused"} 1`, `domicile_gossip_members{state="alive"} 3`,
		`domicile_connections_total{front="smtp",result="taken"} 2`, "domicile_ready 1")
	counted(t, ie, `domicile_deliveries_total{outcome="ok"} 2`, `domicile_logins_total{front="imap",result="ok"} 1`,
		`domicile_logins_total{front="imap",result="wrong"} 1`, `domicile_order_steps_total{code="none",step="received"} 1`,
		`domicile_permits_live{class="telemetry",kind="standing"} 1`, `domicile_log_cosigned_leaves{cosigner="witness/witness-1"}`,
		"go_goroutines ", "process_open_fds ")
	documented(t, ie)

	// What a health check of a container or of systemd does.
	mailnode := harness.Program(t, "mailnode")
	if out, err := exec.Command(mailnode, "health", "--config", c.Path(c.Node(usNode).Config)).CombinedOutput(); err != nil {
		t.Errorf("health: %v %s", err, out)
	}
	c.Halt(t, usNode)
	if out, err := exec.Command(mailnode, "health", "--config", c.Path(c.Node(usNode).Config)).CombinedOutput(); err == nil {
		t.Errorf("health of a node that does not run: %s", out)
	}
	if conn, err := net.DialTimeout("tcp", us, time.Second); err == nil {
		conn.Close()
		t.Error("a port stays open behind the node")
	}
}

// counted wants lines that begin so in a scrape.
func counted(t *testing.T, addr string, want ...string) {
	t.Helper()
	_, text := get(t, addr, "/metrics")
	for _, w := range want {
		if !strings.Contains("\n"+text, "\n"+w) {
			t.Errorf("no %s in the scrape of %s:\n%s", w, addr, text)
		}
	}
}

var series = regexp.MustCompile(`(?m)^(domicile_[a-z_]+)(?:\{([^}]*)\})? `)

// bounded wants few series, and labels of words only.
func bounded(t *testing.T, name, text string) {
	t.Helper()
	each, label := map[string]int{}, regexp.MustCompile(`^[a-z_]+="[a-z0-9_/-]{1,40}"$`)
	for _, m := range series.FindAllStringSubmatch(text, -1) {
		each[m[1]]++
		for l := range strings.SplitSeq(m[2], ",") {
			if m[2] != "" && !label.MatchString(l) {
				t.Errorf("%s: %s has the label %s", name, m[1], l)
			}
		}
	}
	if len(each) == 0 {
		t.Errorf("%s: a scrape without metrics of ours", name)
	}
	for metric, n := range each {
		if n > 32 {
			t.Errorf("%s: %s has %d series after a small story", name, metric, n)
		}
	}
}

// documented holds the metrics of a scrape against docs/OPERATING.md.
func documented(t *testing.T, addr string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(harness.Root(t), "docs", "OPERATING.md"))
	if err != nil {
		t.Fatal(err)
	}
	told, shown := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(domicile_[a-z_]+)").FindAllStringSubmatch(string(page), -1) {
		told[m[1]] = true
	}
	_, text := get(t, addr, "/metrics")
	for _, m := range series.FindAllStringSubmatch(text, -1) {
		shown[m[1]] = true
	}
	for m := range shown {
		if !told[m] {
			t.Errorf("docs/OPERATING.md does not tell of %s", m)
		}
	}
	for m := range told {
		if !shown[m] && m != "domicile_smtp_replies_total" && m != "domicile_queue_outcomes_total" { // nobody sent mail to this node, or by it
			t.Errorf("docs/OPERATING.md tells of %s, which no scrape shows", m)
		}
	}
}

// TestSystemdUnit has systemd read the unit, and say how far the sandbox is from open.
func TestSystemdUnit(t *testing.T) {
	analyze := harness.Need(t, "systemd-analyze", "apt-get install systemd")
	unit, err := os.ReadFile(filepath.Join(harness.Root(t), "docs", "mailnode.service"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(unit), "/usr/local/bin/mailnode", harness.Program(t, "mailnode"))
	path := filepath.Join(t.TempDir(), "mailnode.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=20", path).CombinedOutput(); err != nil {
		t.Errorf("the sandbox is more open than 2.0: %v\n%s", err, out)
	}
	if !slices.Contains(strings.Split(text, "\n"), "LimitCORE=0") {
		t.Error("core dumps would hold mail")
	}
}
