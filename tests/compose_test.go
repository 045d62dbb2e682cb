package tests

import (
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"domicile"
	"domicile/config"
	"domicile/lab"
	"domicile/tests/harness"
)

// preset is a variable of docker-compose.yml and what it is where nothing is set.
var preset = regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)

// TestComposeFile makes the lab that docker-compose.yml asks for, without Docker, and holds the file against it: each node has a
// service, at the addresses that it tells others and its region, that publishes its doors for clients and operators, and
// nothing else.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	services := composeServices(preset.ReplaceAllString(document(t, "docker-compose.yml"), "$1"))
	dir := filepath.Join(t.TempDir(), "lab")
	words := []string{"lab", "init", "--dir", dir}
	here, base := harness.BasePort(), 0 // where others may have taken ports, the lab of the file would have others
	for _, w := range regexp.MustCompile(`(?m)^ +- (--\S+)$`).FindAllStringSubmatch(services["lab"], -1) {
		switch flag, value, _ := strings.Cut(w[1], "="); flag {
		case "--dir":
		case "--base-port":
			base, _ = strconv.Atoi(value)
			words = append(words, flag, strconv.Itoa(here))
		default:
			words = append(words, w[1])
		}
	}
	if out, err := exec.Command(harness.Program(t, "mailctl"), words...).CombinedOutput(); err != nil || base == 0 {
		t.Fatalf("mailctl %v: %v\n%s", words, err, out)
	}
	l, err := lab.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(services) != len(l.Nodes)+2 { // the lab itself, and the witness
		t.Errorf("%d services for %d nodes", len(services), len(l.Nodes))
	}
	for _, n := range l.Nodes {
		var doors []string
		for _, addr := range []string{n.SMTP, n.Submission, n.Submissions, n.IMAPS, n.Admin} {
			if ap, err := netip.ParseAddrPort(addr); err == nil {
				port := strconv.Itoa(int(ap.Port()) - here + base)
				doors = append(doors, port+":"+port)
			}
		}
		checkService(t, services, n.Name, l, doors)
	}
	checkService(t, services, domicile.Node(l.Witness.Name), l, nil)
}

// composeServices splits the file's services by how it is indented.
func composeServices(text string) map[string]string {
	_, text, _ = strings.Cut(text, "\nservices:\n")
	text, _, _ = strings.Cut(text, "\nnetworks:\n")
	out := map[string]string{}
	heads := regexp.MustCompile(`(?m)^  ([a-z0-9-]+):$`).FindAllStringSubmatchIndex(text, -1)
	for i, h := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		out[text[h[2]:h[3]]] = text[h[1]:end]
	}
	return out
}

func checkService(t *testing.T, services map[string]string, name domicile.Node, l *lab.Lab, doors []string) {
	t.Helper()
	c, err := config.Load(l.Path(string(name) + "/node.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, m := range regexp.MustCompile(`(?m)^ +- 127\.0\.0\.1:(\d+:\d+)$`).FindAllStringSubmatch(services[string(name)], -1) {
		have = append(have, m[1])
	}
	slices.Sort(doors)
	slices.Sort(have)
	if !slices.Equal(have, doors) {
		t.Errorf("%s publishes %v, and its doors are %v", name, have, doors)
	}
	for network, addr := range map[string]string{"wide": c.RPC.Advertise, c.Region: c.RPC.Inside} {
		if host, _, err := net.SplitHostPort(addr); err == nil && !strings.Contains(services[string(name)], network+`: {ipv4_address: "`+host+`"}`) {
			t.Errorf("%s is told to be at %s on the network %s; its service has\n%s", name, host, network, services[string(name)])
		}
	}
}
