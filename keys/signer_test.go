package keys

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile"

	"golang.org/x/mod/sumdb/note"
)

// TestSigner makes a key, and lets package note sign and verify with it.
func TestSigner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	s, err := CreateSigner(path, "example.com/domicile/eu-ireland")
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadSigner(path)
	if err != nil || again.VKey() != s.VKey() || again.Name() != s.Name() {
		t.Fatalf("%v, %v", again, err)
	}
	v, err := note.NewVerifier(s.VKey())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := again.Sign([]byte("hello\n"))
	if err != nil || !v.Verify([]byte("hello\n"), sig) || !ed25519.Verify(s.Public(), []byte("hello\n"), sig) {
		t.Errorf("signature %x, %v", sig, err)
	}
	text, _ := os.ReadFile(path)
	theirs, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil || theirs.KeyHash() != v.KeyHash() {
		t.Errorf("package note reads the file as %v, %v", theirs, err)
	}
	if _, err := CreateSigner(path, "other"); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("twice: %v", err)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", "a\x00b", strings.Repeat("x", 201)} {
		if _, err := CreateSigner(filepath.Join(t.TempDir(), "k"), name); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("name %q: %v", name, err)
		}
	}
	os.Chmod(path, 0o644)
	if _, err := LoadSigner(path); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("readable by others: %v", err)
	}
	os.Remove(path)
	os.WriteFile(path, []byte("PRIVATE+KEY+a+00000000+AAAA\n"), 0o600)
	if _, err := LoadSigner(path); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("damaged: %v", err)
	}
}

// TestCosignVKey computes the key id as C2SP tlog-cosignature words it.
func TestCosignVKey(t *testing.T) {
	s, err := CreateSigner(filepath.Join(t.TempDir(), "k"), "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	name, rest, _ := strings.Cut(s.CosignVKey(), "+")
	id, b64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(key) != 33 || key[0] != 4 || string(key[1:]) != string(s.Public()) || name != s.Name() {
		t.Fatalf("%s: %v", s.CosignVKey(), err)
	}
	sum := sha256.Sum256([]byte("witness.example/w1\n\x04" + string(s.Public())))
	if want := fmt.Sprintf("%x", sum[:4]); id != want {
		t.Errorf("id %s, want %s", id, want)
	}
}
