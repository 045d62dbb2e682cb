package region

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pelletier/go-toml/v2"

	"domicile"
	"domicile/audit"
)

// Marshal returns the text of c, to be proposed and signed. It refuses, as Invalid, content that LoadCatalog would refuse.
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

// noteSigner is an audit.Signer as package note wants one.
type noteSigner struct{ audit.Signer }

// KeyHash is the id of an Ed25519 key (c2sp.org/signed-note).
func (s noteSigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(s.Name()+"\n\x01"), s.Public()...))
	return binary.BigEndian.Uint32(sum[:])
}

// writeVersion writes a signed version into dir under its number, durably. A version that exists is never replaced.
func writeVersion(dir string, version uint64, signed []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return domicile.W("write the catalog", err)
	}
	return writeOnce(filepath.Join(dir, strconv.FormatUint(version, 10)+".toml"), signed, 0o644)
}
