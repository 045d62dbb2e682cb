package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/config"
	"domicile/lab"
	"domicile/tests/harness"
)

// TestRegionSignsItselfIn: a region that the cluster was made without comes to the catalog by the ceremony, while all others run
// on. From their reload on it is one like any other: mail reaches it, and they and the witness cosign its log.
func TestRegionSignsItselfIn(t *testing.T) {
	t.Parallel()
	manyLoopbacks(t)
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	const name, lisbon = domicile.Node("pt-lisbon-1"), domicile.Region("pt-lisbon")
	do := func(line string, more ...string) {
		t.Helper()
		if got := c.Run(t, nil, append(strings.Fields(line), more...)...); got.Code != 0 {
			t.Fatalf("%s: %s", line, got)
		}
	}
	etc := c.Path(string(name))
	if err := os.MkdirAll(etc, 0o700); err != nil {
		t.Fatal(err)
	}
	genesis := genesisOf(t, c)
	at := " --dir " + c.Path("catalog") + " --genesis " + genesis
	address := fmt.Sprintf("127.%d.%d.9", 1+os.Getpid()/250%250, 1+os.Getpid()%250)

	do("ca init pt-lisbon --dir " + etc + "/ca")
	do("ca request pt-lisbon/node/pt-lisbon-1 --host " + address + " --key " + etc + "/identity.key --to " + etc + "/node.csr")
	do("ca issue pt-lisbon/node/pt-lisbon-1 --dir " + etc + "/ca --request " + etc + "/node.csr --to " + etc + "/node.pem")
	do("ca install --key " + etc + "/identity.key --chain " + etc + "/node.pem --to " + etc + "/identity.pem")
	do("ca request pt-lisbon/operator/ops-pt --role operator --role auditor --key " + etc + "/ops.key --to " + etc + "/ops.csr")
	do("ca issue pt-lisbon/operator/ops-pt --role operator --role auditor --dir " + etc + "/ca --request " + etc + "/ops.csr --to " + etc + "/ops.pem")
	do("ca install --key " + etc + "/ops.key --chain " + etc + "/ops.pem --to " + c.Path("operators/ops-pt.pem"))
	do("keys root --to " + etc + "/root.key")
	do("keys signing --name example.com/domicile/pt-lisbon --to " + etc + "/signing.key")
	for _, shared := range []string{"names.key", "gossip.key"} {
		raw, err := os.ReadFile(c.Path(shared))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(etc, shared), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	do("catalog entry pt-lisbon --country PT --serves PT --signing-key "+etc+"/signing.key --root "+etc+"/ca/root.pem --to "+etc+"/entry.toml", "--entity", "example-pt,PT,Example SA")
	draft := filepath.Join(etc, "2.draft")
	do("catalog propose" + at + " --add " + etc + "/entry.toml --to " + draft)
	for _, key := range []string{c.Path("us-east/signing.key"), c.Path("eu-ireland/signing.key")} {
		do("catalog sign " + draft + " --key " + key + at)
		if got := c.Run(t, nil, strings.Fields("catalog install "+draft+at)...); got.Code != 3 {
			t.Fatalf("installed without the new region's own word: %s", got)
		}
	}
	do("catalog sign " + draft + " --key " + etc + "/signing.key" + at)
	do("catalog install " + draft + at)
	for _, n := range []domicile.Node{usNode, ieNode, "witness-1"} {
		c.Reload(t, n)
	}

	node := nodeOf(t, c, name, address, genesis)
	node.Region = lisbon
	c.Nodes = append(c.Nodes, node)
	c.Operators = append(c.Operators, lab.Operator{Name: "ops-pt", Region: lisbon, Roles: []string{"operator", "auditor"}, Identity: "operators/ops-pt.pem"})
	c.Launch(t, name)
	c.Met(t, 4)
	c.Account(t, lisbon, "joao@example.com", "PT")
	c.Deliver(t, usNode, "joao@example.com", []byte("Subject: to a new region\r\n\r\nhello\r\n"))
	if got := c.Ctl(t, lisbon, "operator", nil, "account", "show", "joao@example.com"); got.Code != 0 || got.Get("messages") != "1" {
		t.Errorf("the new region's mail: %s", got)
	}
	harness.Eventually(t, time.Minute, "the new log to be cosigned by both regions and the witness", func() bool {
		proof := c.Ctl(t, lisbon, "auditor", nil, "audit", "prove", "0")
		return proof.Code == 0 && strings.Count(proof.Get("cosigners"), "example.com/domicile/") == 3
	})
	pins := c.Run(t, nil, strings.Fields("catalog show --pins"+at)...) // the end of the lab checks all logs by them
	if err := os.WriteFile(c.Path(c.Pins), pins.Out, 0o644); err != nil || pins.Code != 0 {
		t.Fatalf("pins: %v, %s", err, pins)
	}
}

func genesisOf(t *testing.T, c *harness.Cluster) string {
	t.Helper()
	n, err := config.Load(c.Path(c.Node(usNode).Config))
	if err != nil {
		t.Fatal(err)
	}
	return n.Catalog.Genesis
}

// nodeOf writes the configuration of a node that is no lab's, with free ports for mail.
func nodeOf(t *testing.T, c *harness.Cluster, name domicile.Node, address, genesis string) lab.Node {
	t.Helper()
	us, err := config.Load(c.Path(c.Node(usNode).Config))
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(string(name), "node.toml")
	out, _ := command(t, "mailnode", "init", "--region", "pt-lisbon", "--name", string(name), "--address", address, "--genesis", genesis,
		"--seed", us.Gossip.Listen, "--monitor", address+":7949", "--data", "data", "--to", c.Path(conf))
	if out.Code != 0 {
		t.Fatalf("init: %s", out)
	}
	raw, err := os.ReadFile(c.Path(conf))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^(listen = '[0-9.]+):(25|465|587|993)'`).ReplaceAllString(string(raw), "$1:0'")
	text = strings.Replace(text, "dir = 'catalog'", "dir = '../catalog'", 1)
	if err := os.WriteFile(c.Path(conf), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := command(t, "mailnode", "check", "--config", c.Path(conf)); out.Code != 0 {
		t.Fatalf("check: %s", out)
	}
	return lab.Node{Name: name, Config: conf, Data: filepath.Join(string(name), "data"), Admin: address + ":7948", HTTP: address + ":7949"}
}
