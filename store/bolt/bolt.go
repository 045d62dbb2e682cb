package bolt

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"domicile"
	"domicile/store"
)

// Config says what Open needs. Dir, Region and Sealer must be set.
type Config struct {
	Dir    string           // the store's folder, made if absent; nothing else may write in it
	Region domicile.Region  // a store made for another region refuses to open
	Sealer store.Sealer     // of this region
	Now    func() time.Time // time.Now if nil
	Log    *slog.Logger     // discarded if nil

	// step lets tests fail each act on disk, before or after it was done.
	step func(name string, do func() error) error
}

// Store is one region's mail in one folder, opened by one process. It
// implements store.Store.
type Store struct {
	cfg    Config
	db     *bbolt.DB
	bodies *bodies
	writer *writer
	hints  hints

	// lifecycle serialises the making and the erasure of accounts, which touch
	// keys as well as the index.
	lifecycle sync.Mutex
}

var _ store.Store = (*Store)(nil)

const (
	format    = 2
	indexFile = "index.db"

	// Address space only. When the file outgrows its map, bbolt stops the world
	// until the oldest reader is done: 16 GiB put that far away.
	mapSize = 1 << (bits.UintSize/2 + 2)
)

// Open opens the store in cfg.Dir or makes one, ends what a crash left half
// done, and removes bytes that no index entry names.
//
// It refuses a store of another region (domicile.WrongRegion), one written by a
// newer release, one sealed under another root key, one that another process
// holds, and a folder with bodies but no index.
func Open(cfg Config) (*Store, error) {
	const op = "open store"
	if cfg.Dir == "" || cfg.Region == "" || cfg.Sealer == nil {
		return nil, domicile.E(op, domicile.Invalid, "a folder, a region and a sealer are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.step == nil {
		cfg.step = func(_ string, do func() error) error { return do() }
	}
	s := &Store{cfg: cfg}
	var err error
	if s.bodies, err = openBodies(cfg.Dir, cfg.Sealer, cfg.step); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := s.openIndex(); err != nil {
		return nil, domicile.W(op, err)
	}
	s.writer = startWriter(s.db, cfg.step, s.hints.push)
	if err := s.recover(); err != nil {
		s.Close()
		return nil, domicile.W(op, err)
	}
	return s, nil
}

// openIndex opens the bbolt file, stamps it if it is new, and checks the stamp.
func (s *Store) openIndex() error {
	path := filepath.Join(s.cfg.Dir, indexFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		empty, err := s.bodies.empty()
		if err != nil {
			return err
		}
		if !empty {
			return domicile.E("index", domicile.Invalid, indexFile+" is missing but there are bodies: restore it from a backup, or use an empty folder")
		}
		if err := freshIndex(path); err != nil {
			return fmt.Errorf("make the index: %w", err)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return domicile.E("index", domicile.Unavailable, "another process holds this store: stop it first")
	}
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	// A killed process may have left a commit that can be read but is not on disk yet. bbolt would take it for durable and
	// write over pages that the one before it still needs.
	if err := errors.Join(db.Sync(), s.stamp(db)); err != nil {
		db.Close()
		return err
	}
	s.db = db
	return syncDir(s.cfg.Dir)
}

// freshIndex makes an empty bbolt file, whole or not at all: bbolt writes its first
// pages into the file itself, and does not open what a power cut may leave of them.
// The caller flushes the folder.
func freshIndex(path string) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// recover ends what a crash cut short, by the code of the live path.
func (s *Store) recover() error {
	if err := s.finishErasures(); err != nil {
		return err
	}
	n, err := s.bodies.sweep(s.knowsBody)
	if n > 0 {
		s.cfg.Log.Info("store: removed bytes of messages that were never acknowledged, or are expunged", "files", n)
	}
	return err
}

// Region returns the region that the store was made for.
func (s *Store) Region() domicile.Region { return s.cfg.Region }

// Close waits for the acts under way and releases the folder. A second Close does nothing.
func (s *Store) Close() error {
	s.writer.stop()
	return s.db.Close()
}

// view runs fn on a snapshot. fn must copy what it keeps, and must not call out
// of this package: an open snapshot keeps pages from being used again.
func (s *Store) view(fn func(tx *bbolt.Tx) error) error {
	err := s.db.View(fn)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return errClosed
	}
	return err
}

var errClosed = domicile.E("store", domicile.Unavailable, "the store is closed")

var _ io.Closer = (*Store)(nil)
