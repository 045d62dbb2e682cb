package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/tests/harness"
)

// TestTreatyByHand goes the treaty path with mailctl alone, as people would: the authorities make the token, Ireland's legal
// officer serves it. The witness is out of reach at first: everything but the release goes on.
func TestTreatyByHand(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.Launch(t, usNode, ieNode)
	c.Met(t, 2)
	c.Account(t, ireland, "aoife@example.com", "IE")
	c.Deliver(t, usNode, "aoife@example.com", letter("one", "1"), letter("two", "2"))

	token := treatyToken(t, c)
	legal := func(args ...string) harness.Result { return c.Ctl(t, ireland, "legal", nil, args...) }
	if r := legal("order", "explain", "--token", token, "--target", "aoife@example.com"); r.Get("decision") != "execute" {
		t.Errorf("explain: %s", r)
	}
	opened := legal("order", "submit", "--token", token, "--target", "aoife@example.com")
	id := opened.Get("case")
	if opened.Code != 0 || opened.Get("decision") != "execute" || id == "" {
		t.Fatalf("submit: %s", opened)
	}
	verified(t, c, opened.Get("receipt"), 0)
	to := filepath.Join(c.Root, "production")
	if r := legal("order", "produce", id, "--to", to); r.Code != 0 {
		t.Fatalf("produce: %s", r)
	}
	if r := legal("order", "release", id); r.Code != 4 || r.Get("code") != "quorum_not_reached" {
		t.Errorf("release without the witness: %s", r)
	}
	if found, _ := filepath.Glob(filepath.Join(to, "*.age")); len(found) > 0 {
		t.Errorf("an archive came out before its release: %v", found)
	}
	c.Launch(t, domicile.Node(c.Witness.Name))
	var released harness.Result
	harness.Eventually(t, 2*time.Minute, "the witness to cosign", func() bool {
		released = legal("order", "release", id)
		return released.Code == 0
	})
	archive := released.Get("archive")
	if raw, err := os.ReadFile(archive); err != nil || !strings.HasPrefix(string(raw), "age-encryption.org/v1") {
		t.Errorf("the archive %s: %v", archive, err)
	}
	verified(t, c, released.Get("receipt"), 0)
	again := legal("order", "submit", "--token", token, "--target", "aoife@example.com")
	if again.Code != 3 || again.Get("refused") != "replayed" {
		t.Errorf("the same token again: %s", again)
	}
	altered(t, c, released.Get("receipt"))
}

// verified runs mailctl receipt verify, which must exit with want.
func verified(t *testing.T, c *harness.Cluster, receipt string, want int) {
	t.Helper()
	if r := c.Run(t, nil, "receipt", "verify", receipt, "--pins", c.Path(c.Pins)); r.Code != want {
		t.Errorf("receipt verify %s: want exit %d, got %s", receipt, want, r)
	}
}

// altered wants a copy of a receipt with one flipped byte to fail, wherever that is.
func altered(t *testing.T, c *harness.Cluster, receipt string) {
	t.Helper()
	raw, err := os.ReadFile(receipt)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, len(raw) / 4, len(raw) / 2, len(raw) * 3 / 4, len(raw) - 1} {
		bad := slices.Clone(raw)
		bad[at] ^= 1
		path := filepath.Join(t.TempDir(), "altered.receipt")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		verified(t, c, path, failed)
	}
}

// TestOwnerDecides asks every bundle about one and the same warrant on the Irish entity, in a lab where a US parent owns it and
// in one where its owner is Irish: control is what the US laws of 2014 and 2018 go by, and no other.
func TestOwnerDecides(t *testing.T) {
	t.Parallel()
	us := answers(t)
	irish := answers(t, "--owner", "eu-ireland=irish-holding,IE")
	want := map[string][2]string{"us-2014": {"execute", "refuse"}, "us-2016": {"refuse", "refuse"}, "us-2018": {"refer", "refuse"},
		"gdpr-48": {"refuse", "refuse"}, "mlat": {"refuse", "refuse"}}
	for bundle, w := range want {
		if us[bundle] != w[0] || irish[bundle] != w[1] {
			t.Errorf("%s: %s under a US parent and %s under an Irish one, want %v", bundle, us[bundle], irish[bundle], w)
		}
	}
}

// answers makes a lab and returns what each bundle answers to a US warrant for content on the Irish entity.
func answers(t *testing.T, more ...string) map[string]string {
	t.Helper()
	c := harness.New(t, append(more, harness.TwoRegions...)...)
	c.Launch(t, usNode, ieNode)
	c.Met(t, 2)
	c.Account(t, ireland, "aoife@example.com", "IE")
	token := warrantToken(t, c)
	out := map[string]string{}
	for _, bundle := range []string{"us-2014", "us-2016", "us-2018", "gdpr-48", "mlat"} {
		r := c.Ctl(t, ireland, "legal", nil, "order", "explain", "--token", token, "--target", "aoife@example.com", "--bundle", bundle)
		if out[bundle] = r.Get("decision"); r.Code != 0 {
			t.Errorf("explain by %s: %s", bundle, r)
		}
	}
	return out
}

// warrantToken is a warrant of the US court on the Irish entity.
func warrantToken(t *testing.T, c *harness.Cluster) string {
	return c.WarrantToken(t, "aoife@example.com")
}

// treatyToken is a request under the treaty, with all its signatures.
func treatyToken(t *testing.T, c *harness.Cluster) string {
	return c.TreatyToken(t, "aoife@example.com")
}

// newToken completes the claims, unless they say otherwise for content of aoife's account until now, and signs them.
func newToken(t *testing.T, c *harness.Cluster, claims map[string]any, deliverTo string, flags ...string) string {
	return c.Token(t, "aoife@example.com", claims, deliverTo, flags...)
}
