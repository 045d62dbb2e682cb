package region

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/mod/sumdb/note"

	"domicile"
	"domicile/audit"
)

// Marshal returns the text of c, as SignCatalog wants it. It refuses, as Invalid, content that LoadCatalog would refuse.
func (c *Catalog) Marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	text, err := toml.Marshal(c)
	if err != nil {
		return nil, domicile.W("catalog", err)
	}
	return text, nil
}

// SignCatalog returns text as a note signed by each signer.
func SignCatalog(text []byte, signers ...audit.Signer) ([]byte, error) {
	adapted := make([]note.Signer, len(signers))
	for i, s := range signers {
		adapted[i] = noteSigner{s}
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, adapted...)
	return signed, domicile.W("sign the catalog", err)
}

// noteSigner is an audit.Signer as package note wants one.
type noteSigner struct{ audit.Signer }

// KeyHash is the id of an Ed25519 key (c2sp.org/signed-note).
func (s noteSigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(s.Name()+"\n\x01"), s.Public()...))
	return binary.BigEndian.Uint32(sum[:])
}

// WriteCatalogVersion writes a signed version into dir under its number, durably. A version that exists is never replaced.
func WriteCatalogVersion(dir string, version uint64, signed []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return domicile.W("write the catalog", err)
	}
	return writeOnce(filepath.Join(dir, strconv.FormatUint(version, 10)+".toml"), signed, 0o644)
}
