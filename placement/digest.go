package placement

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"domicile"
)

// NameDigest stands for an address between regions: HMAC-SHA-256 of the canonical form under the key that all
// regions of the cluster share (file names.key), domain-separated. As text it is 64 lower-case hex digits.
type NameDigest [32]byte

// String returns the digest in hex.
func (n NameDigest) String() string { return hex.EncodeToString(n[:]) }

// MarshalText makes JSON carry the digest in hex.
func (n NameDigest) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText accepts exactly what MarshalText writes.
func (n *NameDigest) UnmarshalText(text []byte) error {
	var d NameDigest
	if len(text) != hex.EncodedLen(len(d)) {
		return domicile.E("name digest", domicile.Invalid, "not 64 hex digits")
	}
	if _, err := hex.Decode(d[:], text); err != nil || d.String() != string(text) {
		return domicile.E("name digest", domicile.Invalid, "not 64 lower-case hex digits")
	}
	*n = d
	return nil
}

// Digester makes name digests. Safe for concurrent use.
type Digester struct{ key []byte }

// NewDigester wants the cluster's names key, of 32 bytes.
func NewDigester(key []byte) (*Digester, error) {
	if len(key) != 32 {
		return nil, domicile.E("name digests", domicile.Invalid, "the names key must have 32 bytes; all regions share one")
	}
	return &Digester{key: append([]byte(nil), key...)}, nil
}

// Digest returns the digest of a canonical address. One that did not come from ParseAddress gets a digest that
// nobody else will ask for.
func (d *Digester) Digest(a domicile.Address) NameDigest {
	h := hmac.New(sha256.New, d.key)
	h.Write([]byte("domicile/name/v1\x00"))
	h.Write([]byte(a))
	return NameDigest(h.Sum(nil))
}
