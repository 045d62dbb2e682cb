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
	"sync/atomic"
	"syscall"
	"time"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// Config says what Open needs. Dir, Region and Sealer must be set.
type Config struct {
	Dir    string           // the store's folder, made if absent; nothing else may write in it
	Region domicile.Region  // a store made for another region refuses to open
	Sealer store.Sealer     // of this region
	Now    func() time.Time // time.Now if nil
	Log    *slog.Logger     // discarded if nil

	// Undelete is how long a message stays that was expunged from its last mailbox, for Undelete; 0 = not at all.
	Undelete time.Duration
	// Preserved says whether an account is to be kept as it is, as by a case: what was expunged from it then stays beyond its time. It is asked before such
	// messages go, and may use the store. nil = nobody knows, as with a tool that opens the store to check or to read it: all of it stays, and what large
	// acts left waits for a store that knows.
	Preserved func(domicile.AccountID) (bool, error)

	// SegmentSize is how long a file of the log gets before a new one is begun, 0 = 64 MiB. Bases and compaction come as much oftener
	// as it is less, down to every second: a test of them needs no gigabytes.
	SegmentSize int64
	// NewIndex makes index.db anew from base and log even if there is one, which is kept as index.db.old. If that cannot be done
	// without loss, it is put back and Open fails.
	NewIndex bool
	// Progress, if not nil, is told how far long work of Open and Check is, some times a second, in units that work has of its own. It
	// is called from one goroutine at a time. Without it the log is told, every 5 s.
	Progress func(work string, done, of int64)

	// step lets tests fail each act on disk, before or after it was done.
	step func(name string, do func() error) error
}

// Store is one region's mail in one folder, opened by one process. It
// implements store.Store.
type Store struct {
	cfg      Config
	log      *segment.Log
	index    *index
	writer   *writer
	hints    hints
	pins     pins
	indexer  *indexer
	sections sections
	accounts openedAccounts
	boxes    opened[boxKey, mailboxRecord]
	sweeper  *sweeper

	// large holds one while a large copy is under way, or what one left is removed.
	large chan struct{}

	// lifecycle serialises the making and the erasure of accounts, which touch
	// keys as well as the index.
	lifecycle sync.Mutex

	closed sync.Once

	memory memory // of messages that are read whole

	// upkeep serialises what runs beside the acts of callers: bases, compaction, checks.
	upkeep  sync.Mutex
	stuck   map[uint32]bool // guarded by upkeep; segments that were compacted as far as damage lets them
	cleaner *cleaner
	retain  atomic.Uint64 // one more than the first segment that must stay; 0 = none must

	tally tally
	aside bool // the old index is, while Open makes a new one

	remade error // why Open made the index anew
}

var _ store.Store = (*Store)(nil)

const (
	format      = 5
	logFormat   = 3 // the first that has a log: its index is this one's, with nothing in it that it lacks
	indexFile   = "index.db"
	segmentsDir = "segments"
	baseDir     = "base"

	// Address space only. When the file outgrows its map, bbolt stops the world
	// until the oldest reader is done: 16 GiB put that far away.
	mapSize = 1 << (bits.UintSize/2 + 2)

	allocSize = 4 << 20 // by how much bbolt's file grows
)

// Open opens the store in cfg.Dir or makes one, and ends what a crash left half done: bbolt is brought up to the log, or made
// anew from base and log if it is lost.
//
// It refuses a store of another region (domicile.WrongRegion), one written by a
// newer release, one sealed under another root key, and one that another process holds.
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
	s, began := &Store{cfg: cfg, stuck: map[uint32]bool{}, memory: newMemory(wholeRoom), large: make(chan struct{}, 1)}, time.Now()
	if err := s.open(); err != nil {
		return nil, domicile.W(op, errors.Join(err, s.putBack()))
	}
	if err := s.recover(); err != nil {
		s.Close()
		return nil, domicile.W(op, err)
	}
	s.startCleaner()
	s.startIndexer()
	s.startSweeper()
	st := s.Stats()
	cfg.Log.Info("store: open", "segments", st.Segments, "bytes", st.SegmentBytes, "damaged", st.Damaged, "took", time.Since(began))
	return s, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

func (s *Store) open() error {
	if _, err := os.Stat(s.cfg.Dir); errors.Is(err, os.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(s.cfg.Dir, 0o700), syncDir(filepath.Dir(s.cfg.Dir))); err != nil {
			return err
		}
	}
	db, err := s.openIndex()
	if err != nil {
		return err
	}
	err = s.openLog(db)
	if errors.Is(err, errPages) || err == errHalf {
		if db, err = s.remakeIndex(err); err == nil {
			err = s.openLog(db)
		}
	}
	if err != nil {
		if db != nil {
			db.Close()
		}
		return err
	}
	if err := s.stamp(); err != nil {
		s.Close()
		return err
	}
	return nil
}

// openIndex opens the bbolt file, after it was made anew or brought to this format where that is needed.
func (s *Store) openIndex() (*bbolt.DB, error) {
	path := s.path(indexFile)
	if s.cfg.NewIndex {
		if err := s.setAside(); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := s.makeIndex(); err != nil {
			return nil, err
		}
	}
	db, err := openBolt(path)
	if err == nil {
		if _, err = formatOf(db); err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	if errors.Is(err, errDamaged) {
		db, err = s.remakeIndex(err)
	}
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, domicile.E("index", domicile.Unavailable, "another process holds this store: stop it first")
	}
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if err := errors.Join(s.renewMeta(db), syncDir(s.cfg.Dir)); err != nil {
		db.Close()
		return nil, err
	}
	f, err := formatOf(db)
	switch {
	case err != nil:
		db.Close()
		return nil, err
	case f == 0:
		db.Close()
		return nil, domicile.E("index", domicile.Invalid, indexFile+" is not the index of a store: move it away")
	case f > format:
		db.Close()
		return nil, domicile.E("index", domicile.Invalid, fmt.Sprintf("its format is %d and this release reads up to %d: use a newer release", f, format))
	case f < logFormat:
		if db, err = s.upgrade(db); err != nil {
			return nil, err
		}
	case f < format:
		if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bMeta).Put(kFormat, number(format)) }); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, s.removeOld()
}

// openBolt opens a bbolt file, or makes one. If it was cut short or written over, so that it cannot be used, the error is errDamaged.
func openBolt(path string) (db *bbolt.DB, err error) {
	err = guarded(func() error {
		db, err = tryBolt(path)
		return err
	})
	if err == nil {
		db.AllocSize = allocSize
	}
	return db, err
}

func tryBolt(path string) (*bbolt.DB, error) {
	before, _ := os.Stat(path)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize,
	})
	var errno syscall.Errno
	if before == nil || errors.Is(err, berrors.ErrTimeout) || errors.As(err, &errno) {
		return db, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	used := int64(0)
	err = db.View(func(tx *bbolt.Tx) error { used = tx.Size(); return nil })
	if err == nil && before.Size() < used { // also one of no bytes, which bbolt takes for a new file
		err = fmt.Errorf("%w: %d bytes are left of %d", errDamaged, before.Size(), used)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func formatOf(db *bbolt.DB) (f uint64, err error) {
	err = guarded(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if m := tx.Bucket(bMeta); m != nil {
				f = readNumber(m.Get(kFormat))
			}
			return nil
		})
	})
	return f, err
}

// appliedOf is the LSN that a bbolt file has come to, and whether it has a part of what is behind that.
func appliedOf(tx *bbolt.Tx) (lsn uint64, partly bool, err error) {
	err = guarded(func() error {
		lsn, partly = readNumber(tx.Bucket(bMeta).Get(kApplied)), tx.Bucket(bMeta).Get(kPartly) != nil
		return nil
	})
	return lsn, partly, err
}

// openLog opens the log and brings bbolt up to it.
func (s *Store) openLog(db *bbolt.DB) error {
	var applied uint64
	var partly bool
	err := db.View(func(tx *bbolt.Tx) (err error) {
		applied, partly, err = appliedOf(tx)
		return err
	})
	if files, _ := filepath.Glob(filepath.Join(s.path(segmentsDir), "*.seg")); err == nil && applied > 0 && len(files) == 0 {
		err = errApart
	}
	if err == nil {
		s.log, err = segment.Open(segment.Config{Dir: s.path(segmentsDir), Size: s.cfg.SegmentSize, Durable: applied, Log: s.cfg.Log, Step: s.cfg.step})
	}
	if err != nil {
		return err
	}
	if s.apart(applied) {
		s.log.Close()
		return errApart
	}
	x := startIndex(db, applied, s.cfg, &s.tally)
	if err = s.replay(x, applied); err == nil {
		err = x.tries()
	}
	if err == nil && partly && s.log.Damaged() > 0 {
		err = errHalf
	}
	if n := s.log.Damaged(); err == nil && n > 0 && s.cfg.NewIndex {
		err = domicile.E("new index", domicile.Invalid, fmt.Sprintf("%d frames of the log are damaged, and a new index could lack what they say: the old one stays", n))
	}
	if err == nil {
		err = x.view(func(tx *txn) error {
			tx.root(bStamp).Get(kRegion) // what opening reads later shows here whether it can be read
			tx.root(bErasing).Empty()
			return s.haveSegments(tx)
		})
	}
	if err != nil {
		s.log.Close()
		x.close()
		return err
	}
	s.index = x
	s.writer = startWriter(s)
	return nil
}

// errHalf is of an index that has a part of an act of which the log does not give the rest.
var errHalf = fmt.Errorf("it has a part of an act whose record in the log is %w", errDamaged)

var errApart = domicile.E("segments", domicile.Invalid, "log and index do not belong together, or segments are missing: restore both from one backup")

// apart says whether the log lacks files that bbolt does not make up for.
func (s *Store) apart(applied uint64) bool {
	list := s.log.List()
	for i, info := range list[1:] {
		if info.First > applied+1 && info.Number != list[i].Number+1 {
			return true
		}
	}
	return s.log.Next() <= applied || list[0].First > applied+1
}

// haveSegments wants the files that bodies are in.
func (s *Store) haveSegments(tx *txn) error {
	have := map[uint64]bool{}
	for _, info := range s.log.List() {
		have[uint64(info.Number)] = true
	}
	return tx.root(bSegments).ForEach(func(k, _ []byte) error {
		if !have[readNumber(k)] {
			return errApart
		}
		return nil
	})
}

// replay brings bbolt what the log has behind applied, by the code of the live path.
func (s *Store) replay(x *index, applied uint64) error {
	began, acted, read, p := time.Now(), 0, &acts{log: s.log}, s.pace("reads the log", int64(s.log.Next()-1-applied))
	err := s.log.Scan(applied, func(f segment.Frame) error {
		p.at(int64(f.LSN - applied))
		between, err := read.frame(f, func(key, value []byte) error {
			if value != nil {
				value = append([]byte{}, value...)
			}
			x.top.Set(string(key), value) // of this goroutine alone until Open returns
			return nil
		})
		if err != nil || !between {
			return err
		}
		if f.Kind == frameChange || f.Kind == frameLast {
			acted++
		}
		x.publish(x.top, f.LSN)
		x.freeze(applyKeys)
		return x.room()
	})
	if acted > 0 {
		s.cfg.Log.Info("store: brought the index up to the log", "acts", acted, "took", time.Since(began))
	}
	return err
}

// recover ends what a crash cut short, by the code of the live path.
func (s *Store) recover() error { return s.finishErasures() }

// Region returns the region that the store was made for.
func (s *Store) Region() domicile.Region { return s.cfg.Region }

// Close waits for the acts under way and releases the folder. A second Close does nothing.
func (s *Store) Close() (err error) {
	s.closed.Do(func() {
		s.stopSweeper()
		s.stopIndexer()
		s.stopCleaner()
		s.writer.stop()
		err = errors.Join(s.index.close(), s.log.Close())
	})
	return err
}

// view runs fn on a snapshot. fn must copy what it keeps, and must not call out
// of this package: an open snapshot keeps pages from being used again.
func (s *Store) view(fn func(tx *txn) error) error { return s.index.view(fn) }

var _ io.Closer = (*Store)(nil)
