package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile/config"
	"domicile/keys"
	"domicile/lab"
	"domicile/region"
)

// check runs mailnode check and returns what it says.
func check(t *testing.T, conf string, want int) string {
	t.Helper()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"check", "--config", conf}, &out, &errOut); code != want {
		t.Fatalf("exit %d, want %d: %s", code, want, errOut.String())
	}
	return errOut.String()
}

func rewrite(t *testing.T, path string, change func(string) string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	now := change(string(raw))
	if now == string(raw) {
		t.Fatalf("nothing was changed in %s", path)
	}
	if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCheckLooksInside: everything wrong with what a configuration names is told in one run, each with its line and key.
func TestCheckLooksInside(t *testing.T) {
	l := oneRegion(t, 27400)
	conf := l.Path(l.Nodes[0].Config)
	dir := filepath.Dir(conf)
	check(t, conf, exitOK)

	// Another region's signing key, a names key that is none, an identity of another node, another node's data folder, an
	// address of another machine, a bundle that nobody knows, authorities that are no TOML.
	if _, err := keys.CreateSigner(filepath.Join(dir, "other.key"), "example.com/domicile/eu-ireland"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"names.key": "abcd\n", "data/domicile.stamp": `{"format":1,"region":"us-east","node":"us-east-1"}`, "authorities.toml": "= =\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(t, conf, func(s string) string {
		s = strings.Replace(s, "'../eu-ireland/signing.key'", "'other.key'", 1)
		s = strings.Replace(s, "'../names.key'", "'names.key'", 1)
		s = strings.Replace(s, "'../eu-ireland/authorities.toml'", "'authorities.toml'", 1)
		s = strings.Replace(s, "'gdpr-48'", "'gdpr-84'", 1)
		s = strings.Replace(s, "identity = 'identity.pem'", "identity = '../witness-1/identity.pem'", 1)
		return strings.Replace(s, "[admin]\nlisten = '127.0.0.1", "[admin]\nlisten = '192.0.2.77", 1)
	})
	said := check(t, conf, exitInvalid)
	for _, want := range []string{": signing_key: the catalog has another key for eu-ireland", ": names_key: load names key: " + dir + "/names.key must hold 64 hex digits",
		`: identity: it is that of witness/witness-1/node/witness-1, not of node "eu-ireland-1" in region "eu-ireland"`, ": data: look at the data folder: refused (wrong_region)",
		": admin.listen: 192.0.2.77:", "is no address of this machine", ": disclosure.bundles: ", ": disclosure.registry: "} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, conf+":") {
			t.Errorf("no file and line: %s", line)
		}
	}
	if strings.Contains(said, "abcd") {
		t.Error("a secret is printed")
	}
}

// at runs the inspection as it would come out at another time.
func at(t *testing.T, conf string, now time.Time) (problems, warnings string) {
	t.Helper()
	f, err := config.Read(conf)
	if err != nil {
		t.Fatal(err)
	}
	(&inspection{File: f, n: f.Node, now: now}).run()
	if err := f.Err(); err != nil {
		problems = err.Error()
	}
	return problems, f.Warnings().Error()
}

// TestCheckLooksAtTheClock: a certificate is warned of before its end, is a problem after it, and so is a clock that cannot be.
func TestCheckLooksAtTheClock(t *testing.T) {
	l := oneRegion(t, 27450)
	conf := l.Path(l.Nodes[0].Config)
	year := 365 * 24 * time.Hour
	for _, c := range []struct {
		in               time.Duration
		problem, warning string
	}{
		{time.Hour, "", ""},
		{2*year - 20*24*time.Hour, "", "identity: the certificate domicile://eu-ireland/node/eu-ireland-1 ends "},
		{2*year + time.Hour, "identity: the certificate domicile://eu-ireland/node/eu-ireland-1 ended ", ""},
		{-30 * 24 * time.Hour, "this machine's clock says ", ""},
	} {
		problems, warnings := at(t, conf, time.Now().Add(c.in))
		if (problems == "") != (c.problem == "") || !strings.Contains(problems, c.problem) || !strings.Contains(warnings, c.warning) {
			t.Errorf("in %s: %q, %q", c.in, problems, warnings)
		}
	}
}

// TestCheckTheCatalog: a chain that does not hold, and one that was rolled back behind what the node has accepted.
func TestCheckTheCatalog(t *testing.T) {
	l := oneRegion(t, 27500)
	conf, data := l.Path(l.Nodes[0].Config), l.Path(l.Nodes[0].Data)
	if err := region.Stamp(data, "eu-ireland", "eu-ireland-1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "catalog.seen"), []byte(`{"version":7,"hash":"00"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := check(t, conf, exitInvalid); !strings.Contains(said, "catalog.dir: catalog version 1: refused (catalog_unverified): this node has accepted version 7") {
		t.Errorf("rolled back: %s", said)
	}
	rewrite(t, filepath.Join(l.Dir, "catalog", "1.toml"), func(s string) string { return strings.Replace(s, "quorum = 1", "quorum = 2", 1) })
	if said := check(t, conf, exitInvalid); !strings.Contains(said, "catalog.dir: catalog version 1: refused (catalog_unverified)") {
		t.Errorf("altered: %s", said)
	}
}

// TestInit: what it writes is accepted once the files are there, for a node and for a witness.
func TestInit(t *testing.T) {
	l := oneRegion(t, 27550)
	genesis := genesisOf(t, l)
	for _, c := range []struct {
		words, from string
		shared      []string
	}{
		{"--region eu-ireland --name eu-ireland-1 --hostname eu-ireland-1.example.com --bundle gdpr-48 --bundle mlat", "eu-ireland-1/identity.pem", []string{"eu-ireland/root.key", "eu-ireland/signing.key", "names.key"}},
		{"--witness --name witness-1", "witness-1/identity.pem", []string{"witness-1/signing.key"}},
	} {
		dir := filepath.Join(t.TempDir(), "etc")
		conf := filepath.Join(dir, "node.toml")
		words := append([]string{"init", "--address", "127.0.0.1", "--genesis", genesis, "--seed", "127.0.0.2:7946", "--data", filepath.Join(dir, "../data"), "--to", conf}, strings.Fields(c.words)...)
		var out, errOut bytes.Buffer
		if code := run(t.Context(), words, &out, &errOut); code != exitOK {
			t.Fatalf("exit %d: %s", code, errOut.String())
		}
		if said := check(t, conf, exitInvalid); !strings.Contains(said, "identity: no such file") || !strings.Contains(said, "catalog.dir: ") {
			t.Errorf("with no file there: %s", said)
		}
		for _, file := range append(c.shared, c.from, "gossip.key") {
			raw, err := os.ReadFile(l.Path(file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.CopyFS(filepath.Join(dir, "catalog"), os.DirFS(filepath.Join(l.Dir, "catalog"))); err != nil {
			t.Fatal(err)
		}
		if said := check(t, conf, exitOK); strings.Contains(said, "warning") {
			t.Errorf("%s", said)
		}
		if code := run(t.Context(), words, &out, &errOut); code != exitFailed {
			t.Errorf("it was overwritten: exit %d", code)
		}
	}
	for _, words := range []string{"", "--region x --witness --name a1 --address 127.0.0.1 --genesis x", "--region eu-ireland --name a1 --address mx.example.com --genesis x"} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"init", "--to", filepath.Join(t.TempDir(), "n")}, strings.Fields(words)...), &out, &errOut); code != exitInvalid {
			t.Errorf("%q: exit %d", words, code)
		}
	}
}

func genesisOf(t *testing.T, l *lab.Lab) string {
	t.Helper()
	n, err := config.Load(l.Path(l.Nodes[0].Config))
	if err != nil {
		t.Fatal(err)
	}
	return n.Catalog.Genesis
}
