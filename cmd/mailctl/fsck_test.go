package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile/keys"
	"domicile/region"
	"domicile/store"
	"domicile/store/bolt"
)

// TestFsck checks a folder, makes its index anew, finds nothing to mend in it, and tells a folder in use from one that is not sound.
func TestFsck(t *testing.T) {
	dir := t.TempDir()
	data, root := filepath.Join(dir, "data"), filepath.Join(dir, "root.key")
	if err := keys.CreateRoot(root); err != nil {
		t.Fatal(err)
	}
	if err := region.Stamp(data, "eu-ireland", "eu-ireland-1"); err != nil {
		t.Fatal(err)
	}
	secret, err := keys.LoadSecret(root, data)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(bolt.Config{Dir: filepath.Join(data, "store"), Region: "eu-ireland", Sealer: ring})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateAccount(t.Context(), "", store.Account{ID: "a1", Address: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	ring.Close()

	for _, flags := range [][]string{nil, {"--repair"}, {"--rebuild-index"}, {"--rebuild-index", "--repair"}} {
		code, out, errOut := ctl(t, "", append([]string{"fsck", data, "--root-key", root, "--output", "json"}, flags...)...)
		if code != exitDone || !strings.Contains(out, `"valid":true`) || strings.Contains(out, "mended") || errOut != "" {
			t.Errorf("%q: exit %d: %s%s", flags, code, out, errOut)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "store", "index.db.old")); err != nil {
		t.Error(err)
	}
	release, err := region.Lock(data)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := ctl(t, "", "fsck", data, "--root-key", root); code != exitUnavailable {
		t.Errorf("in use: exit %d: %s%s", code, out, errOut)
	}
	release()
	if err := os.WriteFile(filepath.Join(data, "store", "segments", "00000001.seg"), []byte("no log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := ctl(t, "", "fsck", data, "--root-key", root, "--output", "json"); code != exitFailed || !strings.Contains(out, "store of ") {
		t.Errorf("damaged: exit %d: %s%s", code, out, errOut)
	}
}
