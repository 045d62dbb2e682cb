package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile/audit"
	"domicile/keys"
)

// aLog makes a log with a refusal in it, and the pins for it.
func aLog(t *testing.T) (dir, receipt, pins string) {
	t.Helper()
	dir = t.TempDir()
	signer, err := keys.CreateSigner(filepath.Join(dir, "signing.key"), "example.com/domicile/eu-ireland")
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.CreateRoot(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	secret, err := keys.LoadSecret(filepath.Join(dir, "root.key"), data)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(audit.Config{Dir: filepath.Join(data, "audit"), Origin: signer.Name(), Signer: signer, Sealer: secret.Box("audit")})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	leaf, err := log.Append(t.Context(), audit.Entry{Kind: "order.refused", Reason: "no_token", Public: map[string]string{"order": "none"}, Private: map[string]string{"target": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := log.Receipt(leaf.Index, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := audit.Pins{Quorum: 1, Logs: []audit.Pin{{VKey: signer.VKey(), Region: "eu-ireland", CompellableBy: []string{"IE"}}}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	receipt, pins = filepath.Join(dir, "r.receipt"), filepath.Join(dir, "pins.toml")
	for name, content := range map[string][]byte{receipt: raw, pins: text} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(data, "audit"), receipt, pins
}

func TestReceiptVerify(t *testing.T) {
	_, receipt, pins := aLog(t)
	code, out, errOut := ctl(t, "", "receipt", "verify", receipt, "--pins", pins, "--output", "json")
	if code != exitDone || !strings.Contains(out, `"valid":true`) || !strings.Contains(out, "no_token") {
		t.Fatalf("exit %d: %s%s", code, out, errOut)
	}
	raw, err := os.ReadFile(receipt)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, len(raw) / 3, len(raw) / 2, len(raw) - 1} {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if err := os.WriteFile(receipt, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, _ := ctl(t, "", "receipt", "verify", receipt, "--pins", pins, "--output", "json"); code != exitFailed || !strings.Contains(out, "proves nothing") {
			t.Errorf("byte %d altered: exit %d: %s", i, code, out)
		}
	}
	if err := os.WriteFile(pins, []byte("quorum = 1\nlgos = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := ctl(t, "", "receipt", "verify", receipt, "--pins", pins); code != exitWords {
		t.Errorf("bad pins: exit %d: %s", code, out)
	}
}

func TestAuditVerifyDir(t *testing.T) {
	dir, _, pins := aLog(t)
	code, out, errOut := ctl(t, "", "audit", "verify", "--dir", dir, "--pins", pins, "--output", "json")
	if code != exitDone || !strings.Contains(out, `"valid":true`) {
		t.Fatalf("exit %d: %s%s", code, out, errOut)
	}
	tiles, err := filepath.Glob(filepath.Join(dir, "tile", "entries", "*", "*"))
	if err != nil || len(tiles) == 0 {
		t.Fatalf("no tiles: %v, %v", tiles, err)
	}
	raw, err := os.ReadFile(tiles[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(tiles[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := ctl(t, "", "audit", "verify", "--dir", dir, "--pins", pins, "--output", "json"); code != exitFailed || !strings.Contains(out, "not sound") {
		t.Errorf("altered: exit %d: %s", code, out)
	}
}

func TestLabInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	words := []string{"lab", "init", "--dir", dir, "--region", "us-east=US", "--region", "eu-ireland=IE,DE", "--owner", "eu-ireland=example-holding,IE", "--cool-down", "5s", "--output", "json"}
	code, out, errOut := ctl(t, "", words...)
	if code != exitDone || !strings.Contains(out, `"nodes":2`) {
		t.Fatalf("exit %d: %s%s", code, out, errOut)
	}
	if code, out, _ := ctl(t, "", words...); code != exitFailed || !strings.Contains(out, `"code":"exist"`) {
		t.Errorf("again: exit %d: %s", code, out)
	}
	// Its authorities' keys are those that token new and token status take.
	testTokens(t, dir)
}

func testTokens(t *testing.T, dir string) {
	claims := filepath.Join(t.TempDir(), "claims.json")
	text := `{"iss":"us-district-court","jti":"warrant-1","case":{"court":"D. Example","docket":"13-mj-2814"},"order_type":"us.sca.warrant"}`
	if err := os.WriteFile(claims, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "authorities", "us-district-court", "key.pem")
	code, out, errOut := ctl(t, "", "token", "new", "--claims", claims, "--key", key, "--output", "json")
	if code != exitWords || !strings.Contains(out, `"code":"invalid"`) {
		t.Errorf("claims that nobody would accept: exit %d: %s%s", code, out, errOut)
	}
	list := filepath.Join(dir, "authorities", "us-district-court", "status.jwt")
	before, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	code, out, errOut = ctl(t, "", "token", "status", "--key", key, "--set", "warrant-1=suspended", "--to", list, "--output", "json")
	after, err := os.ReadFile(list)
	if code != exitDone || err != nil || bytes.Equal(before, after) {
		t.Errorf("status: exit %d, %v: %s%s", code, err, out, errOut)
	}
	if published, err := os.ReadFile(filepath.Join(dir, "published", "us-district-court", "status.jwt")); err != nil || !bytes.Equal(published, after) {
		t.Errorf("the list that is published is not the new one: %v", err)
	}
	var v map[string]any
	if json.Unmarshal([]byte(out), &v) != nil || v["file"] != list {
		t.Errorf("printed %s", out)
	}
}
