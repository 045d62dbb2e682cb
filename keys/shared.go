package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"

	"domicile"
)

// maxGossipKeys bounds a keyring: a rotation needs two.
const maxGossipKeys = 16

// CreateSecret writes a file that must not exist yet (domicile.Exist), for its owner only, and returns when it is on disk.
func CreateSecret(path string, data []byte) error { return createSecret("write a secret", path, data) }

// ReplaceSecret writes a file in the place of the one at path, if there is one, whole and on disk; its owner stays the same.
func ReplaceSecret(path string, data []byte) error {
	return replaceSecret("replace a secret", path, data)
}

// CreateNames writes a new key for digests of names to path: 64 hex digits. All regions of a cluster share it.
func CreateNames(path string) error {
	key := make([]byte, keySize)
	rand.Read(key)
	return createSecret("create names key", path, []byte(hex.EncodeToString(key)+"\n"))
}

// LoadNames reads the 32 bytes that CreateNames wrote.
func LoadNames(path string) ([]byte, error) {
	const op = "load names key"
	raw, err := readSecret(op, path)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(raw)))
	if err != nil || len(key) != keySize {
		return nil, domicile.E(op, domicile.Invalid, path+" must hold 64 hex digits")
	}
	return key, nil
}

// Gossip is a keyring of the nodes' gossip: the first key encrypts, all decrypt. All regions of a cluster share it. It is
// rotated in three rounds over all nodes, so that at no time two nodes do not understand each other: a new key is added
// everywhere, then used everywhere, then the old one removed everywhere.
type Gossip [][]byte

// NewGossip makes a keyring of one new key.
func NewGossip() Gossip {
	key := make([]byte, keySize)
	rand.Read(key)
	return Gossip{key}
}

// LoadGossip reads a file of lines of base64, 32 bytes each.
func LoadGossip(path string) (Gossip, error) {
	const op = "load gossip keys"
	raw, err := readSecret(op, path)
	if err != nil {
		return nil, err
	}
	var ring Gossip
	for _, line := range bytes.Fields(raw) {
		key, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(key) != keySize {
			return nil, domicile.E(op, domicile.Invalid, path+" must hold lines of base64, 32 bytes each")
		}
		ring = append(ring, key)
	}
	if len(ring) == 0 || len(ring) > maxGossipKeys {
		return nil, domicile.E(op, domicile.Invalid, path+" must hold a key, and 16 at most")
	}
	return ring, nil
}

// Text is the content of a keyring's file.
func (g Gossip) Text() []byte {
	var b bytes.Buffer
	for _, key := range g {
		b.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	}
	return b.Bytes()
}

// Create writes the keyring to a new file, and Replace in the place of the one at path, whole and on disk.
func (g Gossip) Create(path string) error { return createSecret("create gossip keys", path, g.Text()) }

func (g Gossip) Replace(path string) error {
	return replaceSecret("replace gossip keys", path, g.Text())
}

// IDs name the keys without telling them: 16 hex digits of SHA-256 over "domicile/gossip key/v1", a zero byte and the key.
func (g Gossip) IDs() []string {
	out := make([]string, len(g))
	for i, key := range g {
		sum := sha256.Sum256(append([]byte("domicile/gossip key/v1\x00"), key...))
		out[i] = hex.EncodeToString(sum[:8])
	}
	return out
}

// Add returns the ring with the keys of other behind its own: they decrypt from then on. Those that it has stay where they are.
func (g Gossip) Add(other Gossip) (Gossip, error) {
	out := slices.Clone(g)
	for _, key := range other {
		if !slices.ContainsFunc(out, func(k []byte) bool { return bytes.Equal(k, key) }) {
			out = append(out, key)
		}
	}
	if len(out) > maxGossipKeys {
		return nil, domicile.E("add gossip keys", domicile.TooLarge, "a keyring has 16 keys at most; remove old ones first")
	}
	return out, nil
}

// Use returns the ring with the key of that id in front: it encrypts from then on.
func (g Gossip) Use(id string) (Gossip, error) {
	i := slices.Index(g.IDs(), id)
	if i < 0 {
		return nil, domicile.E("use a gossip key", domicile.NotExist, "the keyring has no key "+id)
	}
	return slices.Concat(g[i:i+1], g[:i], g[i+1:]), nil
}

// Remove returns the ring without the key of that id. The one in use stays (domicile.Conflict).
func (g Gossip) Remove(id string) (Gossip, error) {
	switch i := slices.Index(g.IDs(), id); i {
	case -1:
		return nil, domicile.E("remove a gossip key", domicile.NotExist, "the keyring has no key "+id)
	case 0:
		return nil, domicile.E("remove a gossip key", domicile.Conflict, id+" is in use; use another one first, on every node")
	default:
		return slices.Concat(g[:i], g[i+1:]), nil
	}
}
