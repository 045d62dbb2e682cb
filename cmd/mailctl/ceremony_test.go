package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hands are people with folders of their own, who give each other files.
type hands struct {
	t   *testing.T
	dir string
}

// do runs mailctl with the words of a line, in which @ stands for the folder; it must exit with want.
func (h *hands) do(want int, line string, more ...string) (out string) {
	h.t.Helper()
	words := append(strings.Fields(strings.ReplaceAll(line, "@", h.dir)), more...)
	code, out, errOut := ctl(h.t, "", append(words, "--output", "json")...)
	if code != want {
		h.t.Fatalf("%s: exit %d, want %d: %s%s", line, code, want, out, errOut)
	}
	return out + errOut
}

// field is one of the JSON object that was printed.
func field(t *testing.T, out, key string) string {
	t.Helper()
	var v map[string]any
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return fmt.Sprint(v[key])
}

// TestCeremonyByHand makes a cluster's trust from nothing, with words alone: authorities, keys, entries, the first version
// signed by all, a second one with a region that comes and an authority that is rotated.
func TestCeremonyByHand(t *testing.T) {
	h := &hands{t, t.TempDir()}
	for _, r := range []string{"us-east", "eu-ireland", "fr-south", "witness/witness-1"} {
		folder := "@/" + filepath.Base(r)
		h.do(0, "ca init "+r+" --dir "+folder+"/ca")
		h.do(0, "keys signing --name example.com/domicile/"+filepath.Base(r)+" --to "+folder+"/signing.key")
	}
	h.do(1, "ca init us-east --dir @/us-east/ca") // never over one that is there
	h.do(0, "catalog entry us-east --country US --serves US --signing-key @/us-east/signing.key --root @/us-east/ca/root.pem --to @/us.toml", "--entity", "example-inc,US,Example Inc.")
	ireland := "catalog entry eu-ireland --country IE --serves IE,DE --host imap.eu.example.com --signing-key @/eu-ireland/signing.key --root @/eu-ireland/ca/root.pem"
	irish := []string{"--entity", "example-ie,IE,Example Ireland Ltd", "--owner", "example-inc,US,Example Inc."}
	h.do(0, ireland+" --to @/ie.toml", irish...)
	h.do(0, "catalog entry witness/witness-1 --signing-key @/witness-1/signing.key --root @/witness-1/ca/root.pem --to @/w.toml", "--compellable-by", "IS")
	h.do(2, "catalog entry eu-ireland --signing-key @/eu-ireland/signing.key --root @/us-east/ca/root.pem --to @/x.toml") // another's root
	for _, file := range []string{"us.toml", "ie.toml", "w.toml"} {
		raw, err := os.ReadFile(filepath.Join(h.dir, file))
		if err != nil || strings.Contains(string(raw), "PRIVATE") {
			t.Fatalf("%s: %v\n%s", file, err, raw)
		}
	}

	out := h.do(0, "catalog propose --add @/us.toml --add @/ie.toml --add @/w.toml --domain example.com=us-east --quorum 2 --cosigners 1 --to @/1.draft")
	genesis := field(t, out, "genesis")
	at := " --dir @/catalog --genesis " + genesis
	h.do(3, "catalog install @/1.draft"+at)
	h.do(3, "catalog sign @/1.draft --key @/fr-south/signing.key") // nobody knows that key
	if out = h.do(0, "catalog sign @/1.draft --key @/us-east/signing.key"); field(t, out, "complete") != "false" || !strings.Contains(out, `"lacks":"its new key"`) {
		t.Errorf("after one signature: %s", out)
	}
	h.do(3, "catalog install @/1.draft"+at)
	if out = h.do(0, "catalog sign @/1.draft --key @/eu-ireland/signing.key"); field(t, out, "complete") != "true" {
		t.Errorf("after both: %s", out)
	}
	h.do(0, "catalog install @/1.draft"+at)
	h.do(3, "catalog install @/1.draft"+at) // it follows from nothing any more
	h.do(3, "catalog check --dir @/catalog --genesis sha256:"+strings.Repeat("0", 64))

	// Ireland rotates its authority: for a while two fingerprints speak for it. France comes.
	h.do(0, "ca init eu-ireland --dir @/eu-ireland/ca-2")
	h.do(0, ireland+" --root @/eu-ireland/ca-2/root.pem --to @/ie-2.toml", irish...)
	h.do(0, "catalog entry fr-south --country FR --serves FR --signing-key @/fr-south/signing.key --root @/fr-south/ca/root.pem --to @/fr.toml", "--entity", "example-fr,FR,Example SA")
	h.do(2, "catalog propose"+at+" --to @/2.draft")                   // nothing changes
	h.do(2, "catalog propose"+at+" --remove-region nowhere --to @/x") // no such region
	h.do(2, "catalog propose"+at+" --domain example.org=x --to @/x")  // no such registrar
	h.do(2, "catalog propose --dir @/catalog --quorum 1 --to @/x")    // the pin is needed
	h.do(2, "catalog propose"+at+" --domain example.org --to @/x")    // no registrar
	h.do(0, "catalog propose"+at+" --add @/ie-2.toml --add @/fr.toml --domain example.fr=fr-south --to @/2.draft")
	out = h.do(0, "catalog show @/2.draft"+at)
	for _, want := range []string{"region eu-ireland: changed: ca [", "region fr-south: new:", "domain example.fr: new: registrar fr-south", `"quorum":2,"counted":0`, "it becomes the registrar of example.fr"} {
		if !strings.Contains(out, want) {
			t.Errorf("the draft does not say %q: %s", want, out)
		}
	}
	for _, r := range []string{"fr-south", "eu-ireland"} {
		h.do(0, "catalog sign @/2.draft --key @/"+r+"/signing.key"+at)
		h.do(3, "catalog install @/2.draft"+at)
	}
	h.do(0, "catalog sign @/2.draft --key @/us-east/signing.key"+at)
	h.do(0, "catalog install @/2.draft"+at)
	if out = h.do(0, "catalog check"+at); !strings.Contains(out, `"version":2`) || !strings.Contains(out, `"signed":["eu-ireland","fr-south","us-east"]`) {
		t.Errorf("check: %s", out)
	}
	if out = h.do(0, "catalog show --pins"+at); !strings.Contains(out, "fr-south") {
		t.Errorf("pins: %s", out)
	}
	if code, out, _ := ctl(t, "", strings.Fields(strings.ReplaceAll("catalog show @/2.draft"+at, "@", h.dir))...); code == 0 {
		t.Errorf("an installed version is shown as a draft: %s", out)
	}
}

// TestCertificatesByHand: request, issue, install, show, renew; and what is refused on the way.
func TestCertificatesByHand(t *testing.T) {
	h := &hands{t, t.TempDir()}
	h.do(0, "ca init eu-ireland --dir @/ca")
	h.do(0, "ca init witness/witness-1 --dir @/wca")
	if err := os.Rename(filepath.Join(h.dir, "ca", caRootKey), filepath.Join(h.dir, "offline.pem")); err != nil { // not needed from here on
		t.Fatal(err)
	}
	h.do(0, "ca request eu-ireland/node/ie-1 --host mx.example.com --key @/node.key --to @/node.csr")
	h.do(1, "ca request eu-ireland/node/ie-1 --key @/node.key --to @/node2.csr") // a key is never overwritten
	if out := h.do(0, "ca show @/node.csr"); !strings.Contains(out, `"who":"eu-ireland/node/ie-1"`) || !strings.Contains(out, "mx.example.com") {
		t.Errorf("the request: %s", out)
	}
	h.do(0, "ca request eu-ireland/operator/anna --role operator --role legal --key @/anna.key --to @/anna.csr")
	h.do(2, "ca issue eu-ireland/node/ie-2 --dir @/ca --request @/node.csr --to @/x.pem")                     // not who it is
	h.do(2, "ca issue eu-ireland/operator/anna --role operator --dir @/ca --request @/anna.csr --to @/x.pem") // asks for more
	h.do(3, "ca issue eu-ireland/node/ie-1 --dir @/wca --request @/node.csr --to @/x.pem")                    // another's authority
	h.do(2, "ca issue eu-ireland/node/ie-1 --dir @/nowhere --request @/node.csr --to @/x.pem")
	h.do(2, "ca request witness/witness-1/operator/eve --role legal --key @/eve.key --to @/eve.csr")
	if _, err := os.Stat(filepath.Join(h.dir, "x.pem")); err == nil {
		t.Fatal("something was issued")
	}
	h.do(0, "ca issue eu-ireland/node/ie-1 --dir @/ca --request @/node.csr --to @/node.pem")
	h.do(0, "ca issue eu-ireland/operator/anna --role legal --role operator --dir @/ca --request @/anna.csr --to @/anna.pem")
	h.do(2, "ca install --key @/anna.key --chain @/node.pem --to @/identity.pem") // not its key
	h.do(0, "ca install --key @/node.key --chain @/node.pem --to @/identity.pem")
	if info, err := os.Stat(filepath.Join(h.dir, "identity.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	h.do(0, "ca show @/identity.pem --within 720h")
	h.do(1, "ca show @/identity.pem --within 26280h") // ends within three years
	h.do(0, "ca request eu-ireland/node/ie-1 --host mx.example.com --key @/node-2.key --to @/node.csr")
	h.do(0, "ca issue eu-ireland/node/ie-1 --dir @/ca --request @/node.csr --to @/node.pem")
	h.do(0, "ca install --key @/node-2.key --chain @/node.pem --to @/identity.pem")
	if _, err := os.Stat(filepath.Join(h.dir, "wca", caOperators)); err == nil {
		t.Error("a witness has operators")
	}
}

// TestKeysByHand: each key file is made once, and gossip keys are rotated.
func TestKeysByHand(t *testing.T) {
	h := &hands{t, t.TempDir()}
	for _, line := range []string{"keys root --to @/root.key", "keys names --to @/names.key", "keys gossip new --to @/gossip.key",
		"keys signing --name example.com/domicile/eu-ireland --to @/signing.key"} {
		h.do(0, line)
		h.do(1, line)
	}
	if a, b := h.do(0, "keys show @/signing.key"), field(t, h.do(0, "keys show @/signing.key"), "key"); !strings.Contains(a, `"cosign":"example.com/domicile/eu-ireland+`) || !strings.HasPrefix(b, "example.com/domicile/eu-ireland+") {
		t.Errorf("%s %s", a, b)
	}
	id := func(out string) string {
		var all []struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) == 0 {
			t.Fatalf("%v: %s", err, out)
		}
		return all[0].ID
	}
	old := id(h.do(0, "keys gossip ls --file @/gossip.key"))
	h.do(0, "keys gossip new --to @/next.key")
	next := id(h.do(0, "keys gossip ls --file @/next.key"))
	if got := id(h.do(0, "keys gossip add --file @/gossip.key --from @/next.key")); got != old {
		t.Errorf("the added key encrypts at once: %s", got)
	}
	h.do(1, "keys gossip remove "+old+" --file @/gossip.key")
	if got := id(h.do(0, "keys gossip use "+next+" --file @/gossip.key")); got != next {
		t.Errorf("%s encrypts", got)
	}
	h.do(0, "keys gossip remove "+old+" --file @/gossip.key")
	h.do(1, "keys gossip use "+old+" --file @/gossip.key")
	if out := h.do(0, "keys gossip ls --file @/gossip.key"); strings.Count(out, `"id"`) != 1 {
		t.Errorf("left: %s", out)
	}
	h.do(2, "keys gossip spin --file @/gossip.key")
}

// An expired certificate fails the daily job whatever the span.
func TestShowExpired(t *testing.T) {
	h := &hands{t, t.TempDir()}
	h.do(0, "ca init eu-ireland --dir @/ca")
	raw, err := os.ReadFile(filepath.Join(h.dir, "ca", caRoot))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	a := &app{out: &out, errOut: &out, output: "text", now: func() time.Time { return time.Now().AddDate(30, 0, 0) }}
	if err := a.showCertificates(raw, time.Nanosecond); err == nil || !strings.Contains(out.String(), "renew it") {
		t.Errorf("%v: %s", err, out.String())
	}
}
