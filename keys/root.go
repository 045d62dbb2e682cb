package keys

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"path/filepath"
	"strings"

	"domicile"
)

const (
	keySize    = 32
	rootHeader = "domicile-root-key-v1 "
	wrapsName  = "wraps" // the folder beside the root key
)

// Root is a region's root key. It seals the secret of each data folder (see Secret) and the keys of periods (see Period), and
// nothing else, so that it can be replaced. It lies outside the data folder and outside every backup. Safe for concurrent use.
type Root struct {
	key  []byte
	path string
}

// CreateRoot writes a new root key of 32 random bytes to path, mode 0600, makes the folder "wraps" beside it, and returns when
// both are on disk. A path that exists is refused (domicile.Exist): overwriting a root key loses all that was sealed under it.
func CreateRoot(path string) error {
	const op = "create root key"
	key := make([]byte, keySize)
	rand.Read(key)
	if err := makeDir((&Root{path: path}).wraps()); err != nil {
		return domicile.W(op, err)
	}
	return createSecret(op, path, []byte(rootText(key)))
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
	return &Root{key: key, path: path}, nil
}

// ID tells this root key from another: 16 hex digits, from which nothing of the key can be found.
func (r *Root) ID() string { return hex.EncodeToString(derive(r.key, "id")[:8]) }

// wraps is the folder of the keys that are destroyed in time: it lies beside the root key as that was named, so that a root key
// that is a link into a folder in memory does not take them there.
func (r *Root) wraps() string { return filepath.Join(filepath.Dir(r.path), wrapsName) }

// box is the AEAD of one use of the root key.
func (r *Root) box(purpose string) *Box { return newBox(derive(r.key, purpose)) }

// derive is HKDF-SHA-256 (RFC 5869) for one purpose, without salt: the input is uniformly random already.
func derive(key []byte, purpose string) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, "domicile/v1/"+purpose, keySize)
	if err != nil {
		panic(err) // only for output longer than 255 hashes
	}
	return out
}
