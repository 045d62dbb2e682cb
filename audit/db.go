package audit

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"domicile"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/mod/sumdb/tlog"
)

// Buckets of log.db. Indexes and sizes are 8 bytes, big-endian.
var (
	bucketMeta      = []byte("meta")      // "format", "origin", and "covered": the size and root that "spent" has taken in
	bucketPending   = []byte("pending")   // index: leaf, of leaves that may not be in the tree yet
	bucketSpent     = []byte("spent")     // token key: the indexes of its uses, in order
	bucketPrivate   = []byte("private")   // index: sealed openings of its private fields
	bucketCosigned  = []byte("cosigned")  // size: signed checkpoint
	bucketCosigners = []byte("cosigners") // size, cosigner's name: signature line
)

var (
	keyFormat  = []byte("format")
	keyOrigin  = []byte("origin")
	keyCovered = []byte("covered")
)

const dbFormat = "1"

// openDB opens or makes log.db and checks that it is of this version and this log.
func openDB(dir, origin string) (*bolt.DB, error) {
	if err := freshDB(filepath.Join(dir, "log.db")); err != nil {
		return nil, domicile.W("make log.db", err)
	}
	db, err := bolt.Open(filepath.Join(dir, "log.db"), 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, domicile.E("open log.db", domicile.Unavailable, "another process holds the log open")
	}
	if err != nil {
		return nil, domicile.W("open log.db", err)
	}
	if err := settleDB(db); err != nil {
		return nil, domicile.W("open log.db", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketPending, bucketSpent, bucketPrivate, bucketCosigned, bucketCosigners} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		if meta.Get(keyFormat) == nil {
			if err := meta.Put(keyFormat, []byte(dbFormat)); err != nil {
				return err
			}
			return meta.Put(keyOrigin, []byte(origin))
		}
		if string(meta.Get(keyFormat)) != dbFormat {
			return domicile.E("open log.db", domicile.Invalid, "it has a format that this release does not know; use a newer release")
		}
		if string(meta.Get(keyOrigin)) != origin {
			return domicile.E("open log.db", domicile.Invalid, "it belongs to another log than "+origin)
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, domicile.W("open log.db", err)
	}
	return db, nil
}

// freshDB makes an empty bbolt file if there is none, whole or not at all: bbolt writes its first pages into the file
// itself, and does not open what a power cut may leave of them. The caller flushes the folder.
func freshDB(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(temp, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// settleDB writes the meta pages of a file that was just opened anew where they are, and flushes it; or closes it. A killed process may
// have left a commit that can be read but is not on disk yet, and so may one whose flush of the meta page failed: the system then holds that page
// for written. bbolt would take the commit for durable and write over pages that the one before it still needs.
func settleDB(db *bolt.DB) error {
	err := renewMeta(db)
	if err != nil {
		db.Close()
	}
	return err
}

func renewMeta(db *bolt.DB) error {
	f, err := os.OpenFile(db.Path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	pages := make([]byte, 2*db.Info().PageSize)
	if _, err := f.ReadAt(pages, 0); err != nil {
		return err
	}
	_, err = f.WriteAt(pages, 0)
	return errors.Join(err, f.Sync(), db.Sync())
}

func itob(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// covered returns the size and root of the tree whose spends are all in the index.
func covered(tx *bolt.Tx) (size uint64, root tlog.Hash) {
	if v := tx.Bucket(bucketMeta).Get(keyCovered); len(v) == 8+tlog.HashSize {
		return binary.BigEndian.Uint64(v), tlog.Hash(v[8:])
	}
	return 0, tlog.RecordHash(nil)
}

// settle notes that the tree is on disk up to h: its pending leaves are done.
func settle(tx *bolt.Tx, h Head) error {
	c := tx.Bucket(bucketPending).Cursor()
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) < h.Size; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketMeta).Put(keyCovered, append(itob(h.Size), h.Root[:]...))
}

// uses returns the leaves that used a token.
func uses(tx *bolt.Tx, key []byte) []uint64 {
	v := tx.Bucket(bucketSpent).Get(key)
	out := make([]uint64, 0, len(v)/8)
	for ; len(v) >= 8; v = v[8:] {
		out = append(out, binary.BigEndian.Uint64(v))
	}
	return out
}

// use notes that a leaf used a token. Noting it again changes nothing.
func use(tx *bolt.Tx, key []byte, index uint64) error {
	var v []byte
	for _, i := range uses(tx, key) {
		if i == index {
			return nil
		}
		v = append(v, itob(i)...)
	}
	return tx.Bucket(bucketSpent).Put(key, append(v, itob(index)...))
}

// privateFor binds sealed openings to their log and leaf.
func privateFor(origin string, index uint64) []byte {
	return append([]byte("domicile audit private\x00"+origin+"\x00"), itob(index)...)
}

// sealPrivate seals the openings of a leaf, nil if it has none.
func (l *Log) sealPrivate(index uint64, openings map[string]opening) ([]byte, error) {
	if len(openings) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(openings)
	if err != nil {
		return nil, err
	}
	sealed, err := l.cfg.Sealer.Seal(plain, privateFor(l.cfg.Origin, index))
	return sealed, domicile.W("seal private fields", err)
}

// private returns the openings of a leaf, nil if none are held.
func (l *Log) private(index uint64) (map[string]opening, error) {
	var sealed []byte
	err := l.db.View(func(tx *bolt.Tx) error {
		sealed = append(sealed, tx.Bucket(bucketPrivate).Get(itob(index))...)
		return nil
	})
	if err != nil || sealed == nil {
		return nil, domicile.W("read private fields", err)
	}
	plain, err := l.cfg.Sealer.Open(sealed, privateFor(l.cfg.Origin, index))
	if err != nil {
		return nil, domicile.W("open private fields", err)
	}
	var openings map[string]opening
	return openings, domicile.W("read private fields", json.Unmarshal(plain, &openings))
}
