package keys

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"domicile"
)

const (
	keySize    = 32
	rootHeader = "domicile-root-key-v1 "
)

// Root is a region's root key, from which every other key of the region is derived or under which it is wrapped.
// It lies outside the data folder and outside every backup. Safe for concurrent use.
type Root struct{ key []byte }

// CreateRoot writes a new root key of 32 random bytes to path, mode 0600, and returns when it is on disk. A path
// that exists is refused (domicile.Exist): overwriting a root key loses all that was sealed under it.
func CreateRoot(path string) error {
	key := make([]byte, keySize)
	rand.Read(key)
	return createSecret("create root key", path, []byte(rootText(key)))
}

// rootText is the whole content of a root key file.
func rootText(key []byte) string { return rootHeader + base64.StdEncoding.EncodeToString(key) + "\n" }

// LoadRoot reads a root key. A file that group or others may read, that is of another version, or that is not
// exactly as CreateRoot wrote it is refused (domicile.Invalid).
func LoadRoot(path string) (*Root, error) {
	const op = "load root key"
	data, err := readSecret(op, path)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(string(data), rootHeader)
	if !ok {
		return nil, domicile.E(op, domicile.Invalid, path+" is not a root key file of version 1")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(text, "\n"))
	if err != nil || len(key) != keySize || rootText(key) != string(data) {
		return nil, domicile.E(op, domicile.Invalid, path+" is damaged: not one line with the base64 of 32 bytes")
	}
	return &Root{key: key}, nil
}

// derive returns the key for one purpose (RFC 5869).
func (r *Root) derive(purpose string) []byte { return derive(r.key, "domicile/v1/"+purpose) }

// derive is HKDF-SHA-256 without salt: the input is uniformly random already.
func derive(key []byte, info string) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, info, keySize)
	if err != nil {
		panic(err) // only for output longer than 255 hashes
	}
	return out
}

// Box returns the AEAD of one purpose ("audit", "journal", "cases"). Boxes of different purposes, and of different
// roots, cannot open each other's records. It fits audit.Sealer.
func (r *Root) Box(purpose string) *Box { return newBox(r.derive("box/" + purpose)) }
