package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"domicile"

	"golang.org/x/mod/sumdb/note"
)

// Signature types of C2SP signed-note.
const (
	algEd25519  = 1 // notes: checkpoints, catalogs, ownership records
	algCosigner = 4 // timestamped cosignatures (C2SP tlog-cosignature)
)

// Signer is an Ed25519 key with a name, kept as a signed-note private key file ("PRIVATE+KEY+name+hash+base64",
// golang.org/x/mod/sumdb/note). Safe for concurrent use. It fits audit.Signer and placement.Signer.
type Signer struct {
	name string
	key  ed25519.PrivateKey
}

// CreateSigner makes a key of that name and writes it to path, mode 0600, on disk when it returns. A path that exists is
// refused (domicile.Exist). The name, such as "example.com/domicile/eu-ireland", has no space, control or "+".
func CreateSigner(path, name string) (*Signer, error) {
	const op = "create signing key"
	if len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, domicile.E(op, domicile.Invalid, "a key name has at most 200 bytes and no control characters")
	}
	text, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	s, err := parseSigner(op, text)
	if err != nil {
		return nil, err
	}
	return s, createSecret(op, path, []byte(text+"\n"))
}

// LoadSigner reads a key file that CreateSigner wrote, or any Ed25519 key of the note format. A file that others may read
// is refused (domicile.Invalid).
func LoadSigner(path string) (*Signer, error) {
	const op = "load signing key"
	data, err := readSecret(op, path)
	if err != nil {
		return nil, err
	}
	s, err := parseSigner(op, strings.TrimSuffix(string(data), "\n"))
	return s, domicile.W(path, err)
}

// parseSigner lets package note check the line, then takes the seed from its last field.
func parseSigner(op, text string) (*Signer, error) {
	bad := domicile.E(op, domicile.Invalid, "not an Ed25519 private key of the signed note format, or an impossible key name")
	if _, err := note.NewSigner(text); err != nil {
		return nil, bad
	}
	fields := strings.SplitN(text, "+", 5)
	raw, err := base64.StdEncoding.DecodeString(fields[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != algEd25519 {
		return nil, bad
	}
	return &Signer{name: fields[2], key: ed25519.NewKeyFromSeed(raw[1:])}, nil
}

// Sign returns the Ed25519 signature of msg, 64 bytes (RFC 8032). It never fails; the error is there for keys that live in
// a service.
func (s *Signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// Public returns the 32-byte Ed25519 public key.
func (s *Signer) Public() []byte { return append([]byte(nil), s.key[ed25519.SeedSize:]...) }

// Name is the key's name.
func (s *Signer) Name() string { return s.name }

// VKey returns the key as a verifier of notes: "name+hash+base64", signature type 1 of C2SP signed-note.
func (s *Signer) VKey() string { return s.vkey(algEd25519) }

// CosignVKey returns the same key as a cosigner: signature type 4, as C2SP tlog-cosignature says. The two types sign
// texts that cannot be mistaken for each other.
func (s *Signer) CosignVKey() string { return s.vkey(algCosigner) }

func (s *Signer) vkey(alg byte) string {
	key := append([]byte{alg}, s.Public()...)
	sum := sha256.Sum256(append([]byte(s.name+"\n"), key...))
	return fmt.Sprintf("%s+%08x+%s", s.name, sum[:4], base64.StdEncoding.EncodeToString(key))
}
