package harness

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
)

// WarrantToken is a warrant of the US court on the Irish entity, for content of target until now: a token's file.
func (c *Cluster) WarrantToken(t testing.TB, target string) string {
	t.Helper()
	return c.Token(t, target, map[string]any{"iss": "us-district-court", "order_type": "us.sca.warrant", "regime": "us.sca",
		"issued_under": "18 U.S.C. 2703(a)"}, "us-district-court", "--key", c.AuthorityFile("us-district-court", "key.pem"))
}

// ParentWarrantToken is a warrant of the same court on the US parent of all regions, served at us-east, for the same.
func (c *Cluster) ParentWarrantToken(t testing.TB, target string) string {
	t.Helper()
	return c.Token(t, target, map[string]any{"iss": "us-district-court", "order_type": "us.sca.warrant", "regime": "us.sca",
		"issued_under": "18 U.S.C. 2703(a)", "aud": map[string]string{"entity": "example-inc", "region": "us-east"}},
		"us-district-court", "--key", c.AuthorityFile("us-district-court", "key.pem"))
}

// TreatyToken has the three authorities of the lab sign a request for the same: a token's file.
func (c *Cluster) TreatyToken(t testing.TB, target string) string {
	t.Helper()
	return c.Token(t, target, map[string]any{"iss": "us-central-authority", "order_type": "mlat.request", "regime": "mlat",
		"issued_under": "treaty:us-ie-mlat", "agreement": "us-ie-mlat",
		"domestic_order": map[string]string{"sha256": strings.Repeat("ab", 32), "court": "Example District", "docket": "2026/1"}},
		"ie-central-authority", "--key", c.AuthorityFile("us-central-authority", "key.pem"), "--role", "central",
		"--add-signature", c.AuthorityFile("ie-central-authority", "key.pem")+"=validating",
		"--add-signature", c.AuthorityFile("ie-court", "key.pem")+"=executing")
}

// Token completes the claims, unless they say otherwise for content of target on the Irish entity until now, and signs them
// with mailctl token new and these flags: a token's file.
func (c *Cluster) Token(t testing.TB, target string, claims map[string]any, deliverTo string, flags ...string) string {
	t.Helper()
	recipient, err := os.ReadFile(c.AuthorityFile(deliverTo, "age.pub"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	all := map[string]any{"jti": domicile.NewID("jti-"), "case": map[string]string{"court": "D. Example", "docket": "1"},
		"aud": map[string]string{"entity": "example-eu-ireland", "region": "eu-ireland"},
		"scope": map[string]any{"targets": []string{target}, "categories": []string{"content"},
			"window": map[string]int64{"from": now - 86400, "to": now}, "max_items": 100, "max_bytes": 1 << 20},
		"iat": now, "nbf": now - 1, "exp": now + 86400, "delivery_to": strings.TrimSpace(string(recipient)),
		"order_document_sha256": strings.Repeat("cd", 32)}
	maps.Copy(all, claims)
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, token := filepath.Join(dir, "claims.json"), filepath.Join(dir, "order.token")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := c.Run(t, nil, append([]string{"token", "new", "--claims", file, "--to", token}, flags...)...); r.Code != 0 {
		t.Fatalf("token new: %s", r)
	}
	return token
}
