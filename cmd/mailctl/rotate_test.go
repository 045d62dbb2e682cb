package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/keys"
	"domicile/region"
)

// TestKeysRotate: the folder of a stopped node gets another root key, by hand; what was sealed opens under it, and under the old one no more.
func TestKeysRotate(t *testing.T) {
	etc, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	if err := region.Stamp(data, "eu-ireland", "eu-ireland-1"); err != nil {
		t.Fatal(err)
	}
	old, next := filepath.Join(etc, "root.key"), filepath.Join(etc, "next.key")
	for _, f := range []string{old, next} {
		if code, out, errOut := ctl(t, "", "keys", "root", "--to", f); code != exitDone {
			t.Fatalf("exit %d: %s%s", code, out, errOut)
		}
	}
	secret, err := keys.LoadSecret(old, data)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := secret.Box("audit").Seal([]byte("detail"), nil)
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"keys", "rotate", data, "--root-key", old, "--new-root-key", next, "--output", "json"}
	release, err := region.Lock(data)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := ctl(t, "", words...); code != exitUnavailable {
		t.Errorf("while the node runs: exit %d: %s", code, out)
	}
	release()
	for range 2 {
		if code, out, errOut := ctl(t, "", words...); code != exitDone || !strings.Contains(out, `"region":"eu-ireland"`) {
			t.Fatalf("exit %d: %s%s", code, out, errOut)
		}
	}
	if _, err := keys.LoadSecret(old, data); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("the old key: %v", err)
	}
	if err := os.Rename(next, old); err != nil {
		t.Fatal(err)
	}
	if secret, err = keys.LoadSecret(old, data); err != nil {
		t.Fatal(err)
	}
	if open, err := secret.Box("audit").Open(sealed, nil); err != nil || string(open) != "detail" {
		t.Errorf("%q, %v", open, err)
	}
	for _, bad := range [][]string{{"keys", "rotate"}, {"keys", "rotate", data, "--root-key", old}, {"keys", "period", "destroy", "--root-key", old}, {"keys", "period", "ls"}} {
		if code, _, _ := ctl(t, "", bad...); code != exitWords {
			t.Errorf("%v: exit %d", bad, code)
		}
	}
}

func TestKeysPeriod(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root.key")
	if err := keys.CreateRoot(root); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := ctl(t, "", "keys", "period", "ls", "--root-key", root, "--output", "json"); code != exitDone || strings.TrimSpace(out) != "[]" {
		t.Errorf("exit %d: %s", code, out)
	}
	key, err := keys.LoadRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	p, err := key.PeriodFor(time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := ctl(t, "", "keys", "period", "ls", "--root-key", root); code != exitDone || !strings.Contains(out, p.Name) {
		t.Errorf("exit %d: %s", code, out)
	}
	destroy := []string{"keys", "period", "destroy", p.Name, "--root-key", root, "--output", "json"}
	if code, out, _ := ctl(t, "", destroy...); code != exitDone || strings.Contains(out, p.Name) {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out, _ := ctl(t, "", destroy...); code != exitFailed {
		t.Errorf("a second time: exit %d: %s", code, out)
	}
}
