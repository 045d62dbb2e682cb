package audit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"testing"
	"time"
)

// testSigner is an Ed25519 key made from its name.
type testSigner struct {
	name string
	key  ed25519.PrivateKey
}

func newTestSigner(name string) testSigner {
	seed := sha256.Sum256([]byte("seed of " + name))
	return testSigner{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (s testSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }
func (s testSigner) Public() []byte                  { return s.key.Public().(ed25519.PublicKey) }
func (s testSigner) Name() string                    { return s.name }

func (s testSigner) vkey(alg byte) string {
	v := newVerifier(s.name, alg, s.Public())
	return fmt.Sprintf("%s+%08x+%s", v.name, v.id, base64.StdEncoding.EncodeToString(append([]byte{alg}, v.key...)))
}

// testSealer is AES-GCM under a fixed key.
type testSealer struct{ cipher.AEAD }

func newTestSealer() testSealer {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return testSealer{aead}
}

func (s testSealer) Seal(p, ad []byte) ([]byte, error) { return s.AEAD.Seal(nil, nil, p, ad), nil }
func (s testSealer) Open(c, ad []byte) ([]byte, error) { return s.AEAD.Open(nil, nil, c, ad) }

const testOrigin = "example.com/domicile/eu-ireland"

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func testConfig(dir string) Config {
	now := testTime
	return Config{Dir: dir, Origin: testOrigin, Signer: newTestSigner(testOrigin), Sealer: newTestSealer(),
		Now: func() time.Time { now = now.Add(time.Millisecond); return now }}
}

// openTest opens a log and checks its whole folder when the test is over.
func openTest(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(testConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		if err := VerifyDir(dir, testPins(), io.Discard); err != nil && !t.Failed() {
			t.Errorf("folder at the end: %v", err)
		}
	})
	return l
}

func testPins() Pins {
	return Pins{
		Logs: []Pin{{VKey: newTestSigner(testOrigin).vkey(1), Region: "eu-ireland", CompellableBy: []string{"IE", "US"}}},
		Cosigners: []Pin{
			{VKey: newTestSigner(testOrigin).vkey(4), Region: "eu-ireland", CompellableBy: []string{"IE", "US"}},
			{VKey: newTestSigner("us-east").vkey(4), Region: "us-east", CompellableBy: []string{"US"}},
			{VKey: newTestSigner("witness-1").vkey(4), CompellableBy: []string{"CH"}},
		},
		Quorum: 1,
	}
}

// cosignWith adds a cosignature of each named signer to the newest checkpoint.
func cosignWith(t testing.TB, l *Log, names ...string) {
	t.Helper()
	cp, err := l.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		s := newTestSigner(name)
		sig, err := cosign(l.Head().text(), testTime, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.AddCosignature(cp, []byte(sig.line()), s.vkey(4)); err != nil {
			t.Fatal(err)
		}
	}
}
