package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"sync"

	"domicile"
)

// Ring keeps the account keys of a data folder, in one file under a wrapping key that lies beside the root key and is replaced, the old
// one destroyed, whenever a key is destroyed. It fits store.Sealer. Safe for concurrent use by one process. The empty
// account id stands for the region itself, whose key hangs from the data folder's secret.
type Ring struct {
	dir    string
	secret *Secret
	wraps  *wraps
	region *accountKey
	digest sync.Pool                                 // of *digester
	step   func(name string, act func() error) error // does act; tests have it fail

	change sync.Mutex // one change of the file at a time; guards doubt and stale
	doubt  bool       // a change failed: what the disk holds is not known, and only writing the file anew says it
	stale  bool       // wrapping keys of before may be on disk

	mu     sync.Mutex // guards what follows
	book   *book
	wrap   *Box
	opened cache
}

// accountKey is one account's key, split by use so that no key serves two algorithms.
type accountKey struct {
	stream []byte // for Tink's streaming AEAD
	record *Box
}

func newAccountKey(key []byte) *accountKey {
	return &accountKey{stream: derive(key, "stream"), record: newBox(derive(key, "record"))}
}

// OpenRing opens or makes the key folder dir (mode 0700) of the data folder that the secret is of, finishes what a crash
// left half done, and checks each account key. One that is damaged answers domicile.Invalid from then on, as does each account
// without a key as long as there is such a one, and the others are served. Keys that a first release kept, a file for each, are
// taken over, and their files destroyed.
func OpenRing(s *Secret, dir string) (*Ring, error) {
	const op = "open key ring"
	r := &Ring{dir: dir, secret: s, wraps: s.wrapping(), region: newAccountKey(s.derive("region")), step: do}
	r.digest.New = func() any { return &digester{mac: hmac.New(sha256.New, s.derive("digest"))} }
	if err := errors.Join(makeDir(dir), makeDir(s.wraps)); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := errors.Join(removeTemps(dir, os.Remove), syncDir(dir)); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := r.ensure(); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := r.read(); err != nil {
		return nil, domicile.W(op, err)
	}
	return r, domicile.W(op, r.destroyFirst())
}

// do is the step of all but tests.
func do(_ string, act func() error) error { return act() }

func (r *Ring) path() string { return filepath.Join(r.dir, bookName) }

// ensure makes an empty book, or one of a first release's keys, where there is none.
func (r *Ring) ensure() error {
	if _, err := os.Stat(r.path()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	first, err := r.firstKeys()
	if err != nil {
		return err
	}
	known, err := r.wraps.numbers()
	if err != nil {
		return err
	}
	if len(first) == 0 {
		if len(known) > 0 {
			return domicile.E("make the account keys", domicile.Invalid, r.path()+" is missing, and was there: restore a backup")
		}
		return r.put(func(f *os.File) error { _, err := f.Write(header(0, false)); return err })
	}
	return r.putFirst(first)
}

// read opens the book and destroys the wrapping keys of before.
func (r *Ring) read() error {
	b, err := openBook(r.path())
	if err != nil {
		return err
	}
	var wrap *Box
	if b.number > 0 {
		if wrap, err = r.wraps.open(b.number); err != nil {
			return errors.Join(err, b.file.Close())
		}
	}
	if err := b.read(wrap); err != nil {
		return errors.Join(err, b.file.Close())
	}
	r.book, r.wrap = b, wrap
	if !b.sole {
		return nil // restored: the folder that it is a copy of may be wanted still
	}
	// One of a higher number may be that of the folder that this one is an old copy of: it stays until a key is destroyed here.
	r.stale = true
	return r.wraps.destroy(func(number uint64) bool { return number < b.number })
}

// Close releases the file. The ring is not used any more.
func (r *Ring) Close() error {
	r.change.Lock()
	defer r.change.Unlock()
	return r.book.file.Close()
}

// Check says what is damaged (domicile.Invalid), nil if each record of the file opened.
func (r *Ring) Check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.book.damaged); n > 0 {
		return domicile.E("check the account keys", domicile.Invalid, fmt.Sprintf("%s: %d of %d records are damaged, the first is number %d: restore a backup",
			r.path(), n, r.book.slots-1, r.book.damaged[0]))
	}
	return nil
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
	d := r.digest.Get().(*digester)
	defer r.digest.Put(d)
	d.mac.Reset()
	d.add(purpose)
	for _, p := range parts {
		d.add(p)
	}
	return d.mac.Sum(make([]byte, 0, sha256.Size))
}

// digester makes digests one after the other without making anything else.
type digester struct {
	mac hash.Hash
	buf []byte
}

func (d *digester) add(part string) {
	d.buf = append(binary.BigEndian.AppendUint64(d.buf[:0], uint64(len(part))), part...)
	d.mac.Write(d.buf)
}

// key returns the key of an account, from memory or the book, or the region's for "".
func (r *Ring) key(op string, id domicile.AccountID) (*accountKey, error) {
	if id == "" {
		return r.region, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.book.places[id]
	switch {
	case !ok && !validID(id):
		return nil, badID(op)
	case !ok && len(r.book.damaged) > 0:
		return nil, domicile.E(op, domicile.Invalid, "the account has no key, and a record of the account keys is damaged, which may be its")
	case !ok:
		return nil, gone(op)
	}
	if k, ok := r.opened.get(id); ok {
		return k, nil
	}
	key, ok, err := r.book.key(r.wrap, at)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if !ok {
		return nil, domicile.E(op, domicile.Invalid, "the account's key has been damaged on disk since the node started")
	}
	k := newAccountKey(key)
	r.opened.put(id, k)
	return k, nil
}

// alive returns the error of a stream of an account of which the key was destroyed since.
func (r *Ring) alive(op string, id domicile.AccountID) func() error {
	return func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, ok := r.book.places[id]; ok || id == "" {
			return nil
		}
		return gone(op)
	}
}

func gone(op string) error {
	return domicile.E(op, domicile.NotExist, "the account has no key: never made, or destroyed")
}

func badID(op string) error {
	return domicile.E(op, domicile.Invalid, "not an account id: 1 to 64 characters of a-z, 0-9, inner - and _")
}

// validID lets pass nothing but lower-case letters, digits and inner dashes or underscores: a first release named files so.
func validID(id domicile.AccountID) bool {
	ok := len(id) >= 1 && len(id) <= maxID
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '-' || c == '_')
	}
	return ok
}
