package lab

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/config"
	"domicile/disclosure"
	"domicile/region"
)

func storyLab(dir string) InitOptions {
	return InitOptions{Dir: dir, BasePort: 23000, CoolDown: 5 * time.Second, Regions: []RegionSpec{
		{Name: "us-east", Country: "US", Serves: []domicile.Country{"US"}},
		{Name: "eu-ireland", Country: "IE", Serves: []domicile.Country{"IE", "DE", "FR"}}}}
}

// TestInit holds everything that Init writes against those who read it.
func TestInit(t *testing.T) {
	o := storyLab(filepath.Join(t.TempDir(), "lab"))
	o.Nodes = 2
	o.Hosts = map[string]Host{"us-east-2": {IP: "10.1.2.3"}}
	l, err := Init(o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Load(o.Dir); err != nil || len(again.Nodes) != 4 || again.Dir != l.Dir {
		t.Fatalf("Load: %+v, %v", again, err)
	}
	var genesis string
	for _, n := range l.Nodes {
		c, err := config.Load(l.Path(n.Config))
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != string(n.Name) || c.Region != string(n.Region) || !c.Lab || c.Data != l.Path(n.Data) || len(c.Gossip.Seeds) == 0 {
			t.Errorf("%s: %+v", n.Name, c)
		}
		if store := strings.HasSuffix(string(n.Name), "-1"); c.Has("store") != store || (n.Admin != "") != store || n.IMAP == "" || n.IMAPS == "" || n.SMTP == "" || n.LMTP == "" || n.Submission == "" || n.Submissions == "" {
			t.Errorf("%s: wrong services: %+v", n.Name, n)
		}
		if n.Name == "us-east-2" && (!strings.HasPrefix(n.SMTP, "10.1.2.3:") || c.RPC.Listen[:9] != "10.1.2.3:") {
			t.Errorf("%s is not on its host: %+v", n.Name, n)
		}
		genesis = c.Catalog.Genesis
	}
	if _, err := config.Load(l.Path(l.Witness.Config)); err != nil {
		t.Fatal(err)
	}
	cat, err := region.LoadCatalog(l.Path("catalog"), genesis)
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := cat.Registrar("example.com"); !ok || r != "us-east" {
		t.Errorf("registrar is %q", r)
	}
	ie, _ := cat.Region("eu-ireland")
	if up := cat.Controllers(ie.Entity); len(up) != 2 || up[1].Country != "US" {
		t.Errorf("eu-ireland is controlled by %+v, want a US parent", up)
	}
	if host := cat.HostOf("eu-ireland"); host != "eu-ireland.example.com" {
		t.Errorf("the host of eu-ireland is %q", host)
	}
	if w := cat.Witnesses; len(w) != 1 || slices.Contains([]domicile.Country{"US", "IE"}, w[0].CompellableBy[0]) {
		t.Errorf("witness %+v", w)
	}
	raw, err := os.ReadFile(l.Path(l.Pins))
	if err != nil {
		t.Fatal(err)
	}
	if pins, err := audit.ParsePins(raw); err != nil || len(pins.Logs) != 2 || len(pins.Cosigners) != 3 {
		t.Errorf("pins: %+v, %v", pins, err)
	}
	raw, err = os.ReadFile(l.Path("eu-ireland/authorities.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := disclosure.ParseRegistry(raw); err != nil || len(list) != 5 {
		t.Errorf("registry: %d entries, %v", len(list), err)
	}
	checkLabJSON(t, l)
}

// TestInitOnTwoNetworks: a region with a network of its own serves clients and operators there, tells other regions its wide
// address, its own nodes the other, and seeds each of them there.
func TestInitOnTwoNetworks(t *testing.T) {
	o := storyLab(filepath.Join(t.TempDir(), "lab"))
	o.NodesOf = map[domicile.Region]int{"eu-ireland": 2}
	o.Hosts = map[string]Host{"us-east-1": {"10.0.0.1", "10.1.0.1"}, "eu-ireland-1": {"10.0.0.2", "10.2.0.2"},
		"eu-ireland-2": {"fd00::3", "fd02::3"}, "witness-1": {IP: "10.0.0.4"}}
	l, err := Init(o)
	if err != nil || len(l.Nodes) != 3 {
		t.Fatalf("%d nodes, %v", len(l.Nodes), err)
	}
	byName := map[domicile.Node]*config.Node{}
	for _, n := range l.Nodes {
		if byName[n.Name], err = config.Load(l.Path(n.Config)); err != nil {
			t.Fatal(err)
		}
	}
	home, front := byName["eu-ireland-1"], byName["eu-ireland-2"]
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	rpc, gossip := port(home.RPC.Listen), port(home.Gossip.Listen)
	for what, is := range map[string][2]string{
		"rpc":              {home.RPC.Listen + " " + home.RPC.Advertise + " " + home.RPC.Inside, "0.0.0.0:" + rpc + " 10.0.0.2:" + rpc + " 10.2.0.2:" + rpc},
		"gossip":           {home.Gossip.Listen + " " + home.Gossip.Advertise + " " + home.Gossip.Inside, "0.0.0.0:" + gossip + " 10.0.0.2:" + gossip + " 10.2.0.2:" + gossip},
		"smtp":             {home.SMTP.Listen, "10.2.0.2:" + port(home.SMTP.Listen)},
		"admin":            {home.Admin.Listen, "10.2.0.2:" + port(home.Admin.Listen)},
		"smtp in lab.json": {l.Node("eu-ireland-1").SMTP, home.SMTP.Listen},
		"IPv6":             {front.RPC.Listen + " " + front.RPC.Inside, "[::]:" + port(front.RPC.Listen) + " [fd02::3]:" + port(front.RPC.Listen)},
		"first seed":       {front.Gossip.Seeds[0], home.Gossip.Inside},
		"seeds elsewhere":  {strings.Join(byName["us-east-1"].Gossip.Seeds, " "), "10.0.0.4:" + port(byName["us-east-1"].Gossip.Seeds[0]) + " " + home.Gossip.Advertise},
	} {
		if is[0] != is[1] {
			t.Errorf("%s is %s, want %s", what, is[0], is[1])
		}
	}
}

// checkLabJSON wants in lab.json what scripts outside the project rely on.
func checkLabJSON(t *testing.T, l *Lab) {
	raw, err := os.ReadFile(filepath.Join(l.Dir, "lab.json"))
	if err != nil {
		t.Fatal(err)
	}
	var generic map[string]any
	if err := json.Unmarshal(raw, &generic); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"domain", "nodes", "operators", "witness", "pins", "ca"} {
		if generic[key] == nil {
			t.Errorf("lab.json lacks %q", key)
		}
	}
	for _, o := range l.Operators {
		if _, err := region.OperatorTLS(read(t, l.Path(o.Identity))); err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
	if l.Who("us-east", "operator").Name != "ops-us" || l.Who("eu-ireland", "legal").Name != "legal-ie" || len(l.Operators) != 10 {
		t.Errorf("operators: %+v", l.Operators)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestBusyPort: a port that another program has is left to it, and the change is told.
func TestBusyPort(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := busy.Addr().(*net.TCPAddr).Port
	o := storyLab(filepath.Join(t.TempDir(), "lab"))
	o.BasePort = port - 1
	l, err := Init(o)
	if err != nil {
		t.Fatal(err)
	}
	if l.Nodes[0].IMAP == busy.Addr().String() || len(l.Moved) == 0 || !strings.Contains(l.Moved[0], strconv.Itoa(port)) {
		t.Errorf("port %d is busy: %+v, told %q", port, l.Nodes[0], l.Moved)
	}
}

func TestInitRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*InitOptions){
		"no region":          func(o *InitOptions) { o.Regions = nil },
		"no folder":          func(o *InitOptions) { o.Dir = "" },
		"folder in use":      func(o *InitOptions) { o.Dir = full },
		"region twice":       func(o *InitOptions) { o.Regions[1].Name = "us-east" },
		"region like a node": func(o *InitOptions) { o.Regions[1].Name = "us-east-1" },
		"reserved name":      func(o *InitOptions) { o.Regions[1].Name = "catalog" },
		"name of a path":     func(o *InitOptions) { o.Regions[1].Name = "../up" },
		"unknown country":    func(o *InitOptions) { o.Regions[1].Serves = []domicile.Country{"XX"} },
		"lower-case country": func(o *InitOptions) { o.Regions[1].Country = "ie" },
		"serves twice":       func(o *InitOptions) { o.Regions[1].Serves = []domicile.Country{"IE", "IE"} },
		"serves nobody":      func(o *InitOptions) { o.Regions[1].Serves = nil },
		"too many nodes":     func(o *InitOptions) { o.Nodes = 99 },
		"negative nodes":     func(o *InitOptions) { o.Nodes = -1 },
		"port":               func(o *InitOptions) { o.BasePort = 80 },
		"cool-down":          func(o *InitOptions) { o.CoolDown = -1 },
		"owner of nothing":   func(o *InitOptions) { o.Owners = map[domicile.Region]OwnerSpec{"mars": {"m", "US"}} },
		"owner in two states": func(o *InitOptions) {
			o.Owners = map[domicile.Region]OwnerSpec{"us-east": {"holding", "US"}, "eu-ireland": {"holding", "IE"}}
		},
		"host name":        func(o *InitOptions) { o.Hosts = map[string]Host{"us-east-1": {IP: "localhost"}} },
		"inside by name":   func(o *InitOptions) { o.Hosts = map[string]Host{"us-east-1": {"10.0.0.1", "localhost"}} },
		"witness inside":   func(o *InitOptions) { o.Hosts = map[string]Host{"witness-1": {"10.0.0.1", "10.1.0.1"}} },
		"nodes of nothing": func(o *InitOptions) { o.NodesOf = map[domicile.Region]int{"mars": 1} },
		"no node":          func(o *InitOptions) { o.NodesOf = map[domicile.Region]int{"us-east": 0} },
		"host of nothing":  func(o *InitOptions) { o.Hosts = map[string]Host{"us-east-9": {IP: "10.0.0.1"}} },
	} {
		o := storyLab(filepath.Join(t.TempDir(), "lab"))
		change(&o)
		_, err := Init(o)
		want := domicile.Invalid
		if name == "folder in use" {
			want = domicile.Exist
		}
		if k := domicile.KindOf(err); k != want && domicile.ReasonOf(err) != domicile.UnknownCountry {
			t.Errorf("%s: %v (%v)", name, err, k)
		}
		if _, err := os.Stat(filepath.Join(o.Dir, labFile)); o.Dir != "" && err == nil {
			t.Errorf("%s: a lab was made all the same", name)
		}
	}
}

func TestIfAbsentAndRemove(t *testing.T) {
	o := storyLab(filepath.Join(t.TempDir(), "lab"))
	if _, err := Init(o); err != nil {
		t.Fatal(err)
	}
	before := read(t, filepath.Join(o.Dir, "us-east/root.key"))
	if _, err := Init(o); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("a second lab in the same folder: %v", err)
	}
	o.IfAbsent = true
	if l, err := Init(o); err != nil || len(l.Nodes) != 2 {
		t.Errorf("IfAbsent: %v", err)
	}
	if string(before) != string(read(t, filepath.Join(o.Dir, "us-east/root.key"))) {
		t.Error("IfAbsent made new keys")
	}
	if err := Remove(filepath.Dir(o.Dir)); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("a folder that is no lab was removed: %v", err)
	}
	release, err := hold(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Remove(o.Dir); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("a lab in use was removed: %v", err)
	}
	release()
	if err := Remove(o.Dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(o.Dir); !os.IsNotExist(err) {
		t.Errorf("the lab is still there: %v", err)
	}
}

func TestSuffixesAreUnique(t *testing.T) {
	got := suffixes([]RegionSpec{{Name: "us-1", Country: "US"}, {Name: "us-2", Country: "US"}, {Name: "us-3", Country: "US"}, {Name: "ie", Country: "IE"}})
	seen := map[string]bool{}
	for r, s := range got {
		for _, n := range []string{s, s + "-2"} {
			if seen[n] {
				t.Errorf("%s: %s is used twice (%v)", r, n, got)
			}
			seen[n] = true
		}
	}
	if got["us-1"] != "us" || len(got) != 4 {
		t.Errorf("%v", got)
	}
}
