package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/placement"
	"domicile/region"
)

// aJournal makes a journal with a delivery and a refusal in it, committed to a log; and the pins of that log.
func aJournal(t *testing.T) (dir, pins string) {
	t.Helper()
	log, _, pins := aLog(t)
	data := filepath.Dir(log)
	dir = filepath.Dir(data)
	secret, err := keys.LoadSecret(filepath.Join(dir, "root.key"), data)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := keys.LoadSigner(filepath.Join(dir, "signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(audit.Config{Dir: log, Origin: signer.Name(), Signer: signer, Sealer: secret.Box("audit")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	j, err := region.OpenJournal(filepath.Join(data, "journal"), secret.Box("journal"), time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	g, err := region.NewGuard(region.GuardConfig{Region: "eu-ireland", Log: l, Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	mail := placement.Crossing{Class: domicile.Delivery, Kind: placement.Stream, Party: placement.ToRegion, To: "us-east", Account: "a1", Home: "us-east", Ceiling: 1000}
	p, err := g.Permit(t.Context(), region.Request{Crossing: mail})
	if err != nil {
		t.Fatal(err)
	}
	var sent strings.Builder
	w, err := g.Writer(p, &sent)
	if err == nil {
		_, err = w.Write([]byte("twelve bytes"))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	mail.Home = "eu-ireland" // away from home
	if _, err := g.Permit(t.Context(), region.Request{Crossing: mail}); domicile.KindOf(err) != domicile.Refused {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, pins
}

func TestAuditJournal(t *testing.T) {
	dir, pins := aJournal(t)
	journal, root, log := filepath.Join(dir, "data", "journal"), filepath.Join(dir, "root.key"), filepath.Join(dir, "data", "audit")
	words := []string{"audit", "journal", "--dir", journal, "--root-key", root, "--log", log, "--pins", pins, "--output", "json"}
	code, out, errOut := ctl(t, "", words...)
	var v journalView
	if err := json.Unmarshal([]byte(out), &v); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errOut)
	}
	want := journalLine{Class: domicile.Delivery, To: "us-east", Kind: "stream", Permits: 1, Refused: 1, Bytes: 12}
	if !v.Valid || v.Commitments != 1 || len(v.Lines) != 1 || v.Lines[0] != want || v.First != 1 || v.Last < 3 {
		t.Errorf("%+v", v)
	}
	if code, out, _ := ctl(t, "", words[:6]...); code != exitDone || !strings.Contains(out, "us-east") {
		t.Errorf("as text: exit %d: %s", code, out)
	}

	files, err := filepath.Glob(filepath.Join(journal, "*.journal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"one altered byte":      append(append([]byte{}, whole[:100]...), append([]byte{whole[100] ^ 1}, whole[101:]...)...),
		"its end is cut off":    whole[:len(whole)-400],
		"all but the beginning": whole[:80],
	} {
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, _ := ctl(t, "", words...); code == exitDone {
			t.Errorf("%s: exit %d: %s", name, code, out)
		}
	}
	if err := os.WriteFile(files[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.key")
	if err := keys.CreateRoot(other); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := ctl(t, "", "audit", "journal", "--dir", journal, "--root-key", other); code != exitFailed {
		t.Errorf("another region's key: exit %d", code)
	}
	if code, _, _ := ctl(t, "", "audit", "journal", "--dir", t.TempDir(), "--root-key", root); code != exitFailed {
		t.Errorf("no journal: exit %d", code)
	}
	if code, _, _ := ctl(t, "", "audit", "journal", "--dir", journal, "--root-key", root, "--log", log); code != exitWords {
		t.Errorf("a log without pins: exit %d", code)
	}
}
