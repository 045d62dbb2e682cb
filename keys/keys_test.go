package keys

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"domicile"
)

func newRoot(t *testing.T) *Root {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.key")
	if err := CreateRoot(path); err != nil {
		t.Fatal(err)
	}
	root, err := LoadRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// newSecret opens the secret of a data folder.
func newSecret(t *testing.T, root *Root, data string) *Secret {
	t.Helper()
	s, err := root.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newRing opens the ring of a data folder.
func newRing(t *testing.T, root *Root, data string) *Ring {
	t.Helper()
	ring, err := OpenRing(newSecret(t, root, data), filepath.Join(data, ringName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	return ring
}

func TestRootFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.key")
	if _, err := LoadRoot(path); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("absent: %v", err)
	}
	if err := CreateRoot(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateRoot(path); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("twice: %v", err)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(again, good) {
		t.Error("a second CreateRoot changed the key")
	}
	for name, text := range map[string]string{
		"empty":         "",
		"other version": strings.Replace(string(good), "-v1", "-v2", 1),
		"no newline":    strings.TrimSpace(string(good)),
		"more":          string(good) + "x",
		"short":         rootHeader + "AAAA\n",
		"long":          rootHeader + strings.Repeat("A", 5000) + "\n",
		"line break":    string(good[:40]) + "\n" + string(good[40:]),
	} {
		os.WriteFile(path, []byte(text), 0o600)
		if _, err := LoadRoot(path); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.WriteFile(path, good, 0o600)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o610, 0o660} {
		os.Chmod(path, mode)
		if _, err := LoadRoot(path); domicile.KindOf(err) != domicile.Invalid || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	os.Chmod(path, 0o600)
	if _, err := LoadRoot(path); err != nil {
		t.Error(err)
	}
	if _, err := LoadRoot(filepath.Dir(path)); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("a folder: %v", err)
	}
}

func TestBox(t *testing.T) {
	secret := newSecret(t, newRoot(t), t.TempDir())
	box := secret.Box("audit")
	sealed, err := box.Seal([]byte("secret"), []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) != len("secret")+29 || bytes.Contains(sealed, []byte("secret")) {
		t.Errorf("sealed as %x", sealed)
	}
	if open, err := secret.Box("audit").Open(sealed, []byte("place")); err != nil || string(open) != "secret" {
		t.Errorf("%q, %v", open, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"other purpose": func() ([]byte, error) { return secret.Box("journal").Open(sealed, []byte("place")) },
		"other secret": func() ([]byte, error) {
			return newSecret(t, newRoot(t), t.TempDir()).Box("audit").Open(sealed, []byte("place"))
		},
		"other place": func() ([]byte, error) { return box.Open(sealed, []byte("elsewhere")) },
		"empty":       func() ([]byte, error) { return box.Open(nil, nil) },
	} {
		if _, err := open(); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := box.Open(bad, []byte("place")); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("byte %d altered: %v", i, err)
		}
		if _, err := box.Open(sealed[:i], []byte("place")); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := box.Seal(make([]byte, maxRecord+1), nil); domicile.KindOf(err) != domicile.TooLarge {
		t.Errorf("too large: %v", err)
	}
	if again, _ := box.Seal([]byte("secret"), []byte("place")); bytes.Equal(again, sealed) {
		t.Error("two seals are equal: the nonce is not fresh")
	}
}

func TestAccountIDs(t *testing.T) {
	ring := newRing(t, newRoot(t), t.TempDir())
	for _, id := range []domicile.AccountID{"", ".", "..", "a/b", "../x", "-a", "A", ".new-a", "a\x00", "ä", domicile.AccountID(strings.Repeat("a", 65))} {
		if err := ring.CreateAccountKey(id); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("create %q: %v", id, err)
		}
		if err := ring.DestroyAccountKey(id); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("destroy %q: %v", id, err)
		}
	}
}

func TestDigest(t *testing.T) {
	root, data := newRoot(t), t.TempDir()
	ring := newRing(t, root, data)
	seen := make(map[string]int)
	for i, d := range [][]byte{
		ring.Digest("name", "a", "bc"), ring.Digest("name", "ab", "c"), ring.Digest("name", "abc"), ring.Digest("namea", "bc"),
		ring.Digest("name"), ring.Digest("name", ""), newRing(t, newRoot(t), t.TempDir()).Digest("name", "a", "bc"),
	} {
		if j, ok := seen[string(d)]; ok || len(d) != 32 {
			t.Errorf("digests %d and %d are the same, or not of 32 bytes", i, j)
		}
		seen[string(d)] = i
	}
	if !bytes.Equal(ring.Digest("name", "x"), newRing(t, root, data).Digest("name", "x")) {
		t.Error("the digest of one root changes")
	}
}

func TestStream(t *testing.T) {
	ring := newRing(t, newRoot(t), t.TempDir())
	if err := ring.CreateAccountKey("a"); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, segmentSize - 100, segmentSize, 3*segmentSize + 17} {
		plain := bytes.Repeat([]byte("0123456789abcdef\n"), size/17+1)[:size]
		var sealed bytes.Buffer
		w, err := ring.SealTo("a", &sealed, []byte("body"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(plain))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		read := func(sealed []byte, associated string) ([]byte, error) {
			r, err := ring.OpenFrom("a", iotest.OneByteReader(bytes.NewReader(sealed)), []byte(associated))
			if err != nil {
				return nil, err
			}
			out, err := io.ReadAll(r)
			if n, again := r.Read(make([]byte, 1)); err != nil && (n != 0 || again == nil || again == io.EOF) {
				t.Errorf("size %d: after an error the next read gives %d, %v", size, n, again)
			}
			return out, err
		}
		if open, err := read(sealed.Bytes(), "body"); err != nil || !bytes.Equal(open, plain) {
			t.Errorf("size %d: %d bytes, %v", size, len(open), err)
		}
		if _, err := read(sealed.Bytes(), "other"); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("size %d: other place: %v", size, err)
		}
		for _, cut := range []int{0, 1, 20, 41, sealed.Len() / 2, segmentSize, 2 * segmentSize, sealed.Len() - 1} {
			if cut < sealed.Len() {
				if _, err := read(sealed.Bytes()[:cut], "body"); domicile.KindOf(err) != domicile.Invalid {
					t.Errorf("size %d cut at %d: %v", size, cut, err)
				}
			}
		}
		for _, at := range []int{0, 1, 5, 40, sealed.Len() / 2, sealed.Len() - 1} {
			bad := bytes.Clone(sealed.Bytes())
			bad[at] ^= 1
			if _, err := read(bad, "body"); domicile.KindOf(err) != domicile.Invalid {
				t.Errorf("size %d altered at %d: %v", size, at, err)
			}
		}
	}
}

// failWriter takes left bytes, then fails once, then would take more.
type failWriter struct{ left int }

func (f *failWriter) Write(p []byte) (int, error) {
	if f.left >= 0 && f.left < len(p) {
		f.left = -1
		return 0, errors.New("disk full")
	}
	f.left -= len(p)
	return len(p), nil
}

func TestStreamKeepsItsError(t *testing.T) {
	ring := newRing(t, newRoot(t), t.TempDir())
	w, err := ring.SealTo("", &failWriter{left: 100}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 2*segmentSize)); err == nil {
		t.Fatal("the failed write was not reported")
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a write after a failed one passes")
	}
	if err := w.Close(); err == nil {
		t.Error("Close after a failed write passes: the stream has a hole")
	}
}

func TestPassword(t *testing.T) {
	s, err := HashPassword("correct horse")
	if err != nil || !strings.HasPrefix(s, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%q, %v", s, err)
	}
	var wg sync.WaitGroup
	for password, want := range map[string]bool{"correct horse": true, "correct horsf": false, "": false, strings.Repeat("x", 5000): false} {
		wg.Go(func() {
			if ok, err := CheckPassword(s, password); ok != want || err != nil {
				t.Errorf("%.20q: %v, %v", password, ok, err)
			}
		})
	}
	wg.Wait()
	if ok, err := CheckPassword("", "correct horse"); ok || err != nil {
		t.Errorf("unknown user: %v, %v", ok, err)
	}
	for _, bad := range []string{"", strings.Repeat("x", maxPassword+1)} {
		if _, err := HashPassword(bad); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%d bytes hashed: %v", len(bad), err)
		}
	}
	if again, _ := HashPassword("correct horse"); again == s {
		t.Error("two hashes are equal: the salt is not fresh")
	}
}

// A vector made by the reference implementation: argon2 of the RFC 9106 authors, "password" and "somesalt".
func TestPHC(t *testing.T) {
	const salt, hash = "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := CheckPassword("$argon2id$v=19$m=65536,t=2,p=1$"+salt+"$"+hash, "password"); !ok || err != nil {
		t.Errorf("reference vector: %v, %v", ok, err)
	}
	for _, bad := range []string{
		"x", "$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + hash, "$argon2id$v=16$m=19456,t=2,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + hash, "$argon2id$v=19$m=19456,t=9,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + hash, "$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=5$" + salt + "$" + hash, "$argon2id$v=19$m=7,t=2,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=1 $" + salt + "$" + hash, "$argon2id$v=19$m=+19456,t=2,p=1$" + salt + "$" + hash,
		"$argon2id$v=19$m=19456,t=2,p=1$c29tZQ$" + hash, "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$AAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + hash + "=", "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$" + strings.Repeat("A", 200),
	} {
		if _, err := parsePHC(bad); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if ok, err := CheckPassword("$argon2id$damaged", "x"); ok || domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("damaged: %v, %v", ok, err)
	}
}
