package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"domicile"
)

const (
	accountHeader = "domicile-account-key-v1\n"
	tempPrefix    = ".new-"
	maxCached     = 4096 // account keys held in memory, under 1 KiB each
)

// Ring keeps account keys, wrapped, in files of their own under one folder. It fits store.Sealer. Safe for concurrent
// use by one process. The empty account id stands for the region itself, whose key is derived from the root.
type Ring struct {
	dir    string
	wrap   *Box
	region *accountKey
	digest []byte

	mu     sync.Mutex // guards cached, and the files against a load during a destruction
	cached map[domicile.AccountID]*accountKey
}

// accountKey is one account's key, split by use so that no key serves two algorithms.
type accountKey struct {
	stream []byte // for Tink's streaming AEAD
	record *Box
}

func newAccountKey(key []byte) *accountKey {
	return &accountKey{stream: derive(key, "domicile/v1/stream"), record: newBox(derive(key, "domicile/v1/record"))}
}

// OpenRing opens or makes the key folder dir (mode 0700) and removes what a crash left half written.
func OpenRing(root *Root, dir string) (*Ring, error) {
	const op = "open key ring"
	if err := makeDir(dir); err != nil {
		return nil, domicile.W(op, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), tempPrefix) {
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil {
				return nil, domicile.W(op, err)
			}
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, domicile.W(op, err)
	}
	return &Ring{
		dir:    dir,
		wrap:   newBox(root.derive("wrap")),
		region: newAccountKey(root.derive("region")),
		digest: root.derive("digest"),
		cached: make(map[domicile.AccountID]*accountKey),
	}, nil
}

// CreateAccountKey makes a key for id and returns when it is on disk. If there is one already it is kept, without error.
func (r *Ring) CreateAccountKey(id domicile.AccountID) error {
	const op = "create account key"
	path, err := r.path(op, id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch _, err := r.load(op, id); {
	case err == nil:
		return domicile.W(op, syncDir(r.dir)) // who made it may have been killed before just this
	case domicile.KindOf(err) != domicile.NotExist:
		return err
	}
	key := make([]byte, keySize)
	rand.Read(key)
	sealed, err := r.wrap.Seal(key, wrapFor(id))
	if err != nil {
		return domicile.W(op, err)
	}
	temp := filepath.Join(r.dir, tempPrefix+string(id))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return domicile.W(op, err)
	}
	if err := createSecret(op, temp, append([]byte(accountHeader), sealed...)); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return domicile.W(op, err)
	}
	if err := syncDir(r.dir); err != nil {
		os.Remove(path) // its name may be lost for good though the next sync succeeds: the next call makes another key
		return domicile.W(op, err)
	}
	return nil
}

// DestroyAccountKey overwrites and removes the key of id, on disk when it returns: whatever was sealed under it can no
// longer be read, and every call for id answers domicile.NotExist. No error if there is no such key. Streams that were
// opened before may run to their end.
func (r *Ring) DestroyAccountKey(id domicile.AccountID) error {
	const op = "destroy account key"
	path, err := r.path(op, id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.cached, id)
	return domicile.W(op, destroyFile(path))
}

// destroyFile replaces the bytes of a file by zeros, then unlinks it. A crash in between leaves zeros, which load takes
// for a destroyed key.
func destroyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return syncDir(filepath.Dir(path)) // an earlier unlink may not be durable yet
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, info.Size()), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// SealRecord seals an index record of account id, or of the region if id is "", as Box.Seal does.
func (r *Ring) SealRecord(id domicile.AccountID, plaintext, associated []byte) ([]byte, error) {
	k, err := r.key("seal record", id)
	if err != nil {
		return nil, err
	}
	return k.record.Seal(plaintext, associated)
}

// OpenRecord is the inverse of SealRecord.
func (r *Ring) OpenRecord(id domicile.AccountID, sealed, associated []byte) ([]byte, error) {
	k, err := r.key("open record", id)
	if err != nil {
		return nil, err
	}
	return k.record.Open(sealed, associated)
}

// Digest returns the HMAC-SHA-256 (32 bytes) of the purpose and the parts under the region's digest key: what an index
// uses instead of a name. Each part goes in with its length, so that ("a", "bc") and ("ab", "c") differ.
func (r *Ring) Digest(purpose string, parts ...string) []byte {
	h := hmac.New(sha256.New, r.digest)
	for _, p := range append([]string{purpose}, parts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// key returns the key of an account, or the region's for "".
func (r *Ring) key(op string, id domicile.AccountID) (*accountKey, error) {
	if id == "" {
		return r.region, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.load(op, id)
}

// load returns the key of an account from memory or its file. r.mu is held.
func (r *Ring) load(op string, id domicile.AccountID) (*accountKey, error) {
	if k, ok := r.cached[id]; ok {
		return k, nil
	}
	path, err := r.path(op, id)
	if err != nil {
		return nil, err
	}
	data, err := readSecret(op, path)
	if err != nil {
		if domicile.KindOf(err) == domicile.NotExist {
			return nil, gone(op)
		}
		return nil, err
	}
	if len(bytes.Trim(data, "\x00")) == 0 {
		// A crash came between overwriting and unlinking: finish it.
		if err := destroyFile(path); err != nil {
			return nil, domicile.W(op, err)
		}
		return nil, gone(op)
	}
	sealed, ok := bytes.CutPrefix(data, []byte(accountHeader))
	if !ok {
		return nil, domicile.E(op, domicile.Invalid, "the account's key file is damaged or of a newer version")
	}
	key, err := r.wrap.Open(sealed, wrapFor(id))
	if err != nil || len(key) != keySize {
		return nil, domicile.E(op, domicile.Invalid, "the account's key file does not open under this region's root key")
	}
	if len(r.cached) >= maxCached {
		for old := range r.cached { // any one: a miss costs one small read
			delete(r.cached, old)
			break
		}
	}
	k := newAccountKey(key)
	r.cached[id] = k
	return k, nil
}

func gone(op string) error {
	return domicile.E(op, domicile.NotExist, "the account has no key: never made, or destroyed")
}

func wrapFor(id domicile.AccountID) []byte { return []byte("account-key/" + string(id)) }

// path returns the file of an account's key. Ids become file names, so nothing but lower-case letters, digits and
// inner dashes or underscores passes.
func (r *Ring) path(op string, id domicile.AccountID) (string, error) {
	ok := len(id) >= 1 && len(id) <= 64
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '-' || c == '_')
	}
	if !ok {
		return "", domicile.E(op, domicile.Invalid, "not an account id: 1 to 64 characters of a-z, 0-9, inner - and _")
	}
	return filepath.Join(r.dir, string(id)), nil
}
