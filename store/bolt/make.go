package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store/segment"
)

// makeIndex makes index.db, whole or not at all: empty for a new store, or from the newest base. What the log has behind it follows in replay.
func (s *Store) makeIndex() error {
	bases, err := s.bases()
	if err != nil {
		return err
	}
	if len(bases) == 0 {
		if left, _ := os.ReadDir(s.path(oldBodies)); len(left) > 0 { // of an earlier format, which has no log to make it from
			return domicile.E("index", domicile.Invalid, indexFile+" is lost but there are bodies: restore it from a backup, or use an empty folder")
		}
		return s.loadIndex(0, func(func(k, v []byte) error) error { return nil })
	}
	lsn := bases[len(bases)-1]
	s.cfg.Log.Warn("store: makes a new index from the base and the log", "lsn", lsn)
	p, n := s.pace("reads the base of the index, entries", 0), int64(0)
	return s.loadIndex(lsn, func(put func(k, v []byte) error) error {
		return readBase(s.basePath(lsn), func(k, v []byte) error {
			n++
			p.at(n)
			return put(k, v)
		})
	})
}

// loadIndex writes a bbolt file with the entries that fill gives, in the order of keys, and puts it in place of index.db.
func (s *Store) loadIndex(applied uint64, fill func(put func(k, v []byte) error) error) error {
	path := s.path(indexFile)
	temp := path + ".new"
	db, err := fillIndex(temp, applied, fill)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Sync(), db.Close()); err != nil {
		os.Remove(temp)
		return fmt.Errorf("make the index: %w", err)
	}
	return s.cfg.step("put index", func() error { return errors.Join(os.Rename(temp, path), syncDir(s.cfg.Dir)) })
}

// fillIndex makes a bbolt file that is not flushed yet.
func fillIndex(path string, applied uint64, fill func(put func(k, v []byte) error) error) (*bbolt.DB, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	db, err := openBolt(path)
	if err != nil {
		return nil, fmt.Errorf("make the index: %w", err)
	}
	db.NoSync = true // one flush at the end
	l := &loader{db: db}
	err = l.begin()
	if err == nil {
		err = fill(l.put)
	}
	if err == nil {
		err = l.end(applied)
	}
	l.abandon()
	if err != nil {
		db.Close()
		os.Remove(path)
		return nil, fmt.Errorf("make the index: %w", err)
	}
	return db, nil
}

// loader writes entries in transactions of a bounded size.
type loader struct {
	db *bbolt.DB
	tx *bbolt.Tx
	b  *bbolt.Bucket
	n  int
}

const loadKeys = 20_000

func (l *loader) begin() (err error) {
	if l.tx, err = l.db.Begin(true); err != nil {
		return err
	}
	if l.b, err = l.tx.CreateBucketIfNotExists(bKeys); err != nil {
		return err
	}
	l.b.FillPercent = 0.9
	_, err = l.tx.CreateBucketIfNotExists(bMeta)
	return err
}

func (l *loader) put(k, v []byte) error {
	if err := l.turn(); err != nil {
		return err
	}
	return l.b.Put(k, v)
}

func (l *loader) delete(k []byte) error {
	if err := l.turn(); err != nil {
		return err
	}
	return l.b.Delete(k)
}

// turn commits what is enough for one transaction.
func (l *loader) turn() error {
	if l.n++; l.n%loadKeys > 0 {
		return nil
	}
	return errors.Join(l.tx.Commit(), l.begin())
}

func (l *loader) end(applied uint64) error {
	m := l.tx.Bucket(bMeta)
	return firstError(m.Put(kFormat, number(format)), m.Put(kApplied, number(applied)), l.tx.Commit())
}

// abandon gives up what was not committed: bbolt does not close before.
func (l *loader) abandon() {
	if l.tx != nil {
		l.tx.Rollback()
	}
}

// A base is the index as it was at an LSN, in a log of its own: base/<LSN>. Older changes in the segments are not needed to make the index anew.
// Summaries are not in it, which would be most of it: they are made anew from the messages, when somebody wants them.

func (s *Store) basePath(lsn uint64) string {
	return filepath.Join(s.path(baseDir), fmt.Sprintf("%016x", lsn))
}

// bases returns the LSNs of the bases that are whole, ascending.
func (s *Store) bases() (all []uint64, err error) {
	entries, err := os.ReadDir(s.path(baseDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if lsn, err := strconv.ParseUint(e.Name(), 16, 64); err == nil && len(e.Name()) == 16 {
			all = append(all, lsn)
		}
	}
	slices.Sort(all)
	return all, err
}

const baseFrame = 64 << 10 // bytes of entries in a frame of a base

// writeBase writes what bbolt has now, and removes older bases. It may run beside everything but another writeBase.
func (s *Store) writeBase() (lsn uint64, err error) {
	tx, lsn, err := s.index.whole()
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	return lsn, guarded(func() error { return s.putBase(lsn, tx.Bucket(bKeys)) })
}

// putBase writes the base of an LSN, and removes older ones.
func (s *Store) putBase(lsn uint64, b *bbolt.Bucket) error {
	temp, final := s.path(baseDir)+"/new", s.basePath(lsn)
	old, err := s.bases()
	if err != nil || slices.Contains(old, lsn) {
		return err
	}
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := segment.MakeDir(s.path(baseDir), s.cfg.step); err != nil {
		return err
	}
	log, err := segment.Open(segment.Config{Dir: temp, Step: s.cfg.step})
	if err != nil {
		return err
	}
	err = errors.Join(fillBase(log, b), log.Close())
	if err == nil {
		err = s.cfg.step("put base", func() error { return errors.Join(os.Rename(temp, final), syncDir(s.path(baseDir))) })
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	for _, o := range old {
		err = errors.Join(err, os.RemoveAll(s.basePath(o)))
	}
	return err
}

func fillBase(log *segment.Log, b *bbolt.Bucket) error {
	g, n, before := log.Begin(), uint64(0), ""
	var frame []byte
	flush := func(kind byte) error {
		if g.Add(kind, frame); kind != frameEnd && g.Size() < maxGroupBytes {
			frame, before = frame[:0], ""
			return nil
		}
		err := g.Commit()
		g, frame, before = log.Begin(), frame[:0], ""
		return err
	}
	err := b.ForEach(func(k, v []byte) error {
		if v == nil {
			return errDamaged
		}
		if ofSummary(k) {
			return nil
		}
		n++
		frame = appendEntry(frame, before, string(k), v)
		before = string(k)
		if len(frame) >= baseFrame {
			return flush(frameBase)
		}
		return nil
	})
	if err == nil {
		err = flush(frameBase)
	}
	if err != nil {
		return err
	}
	frame = number(n)
	return flush(frameEnd)
}

// readBase gives the entries of a base, and an error unless they are all there.
func readBase(dir string, put func(k, v []byte) error) error {
	log, err := segment.Open(segment.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer log.Close()
	n, want := uint64(0), ^uint64(0)
	err = log.Scan(0, func(f segment.Frame) error {
		switch f.Kind {
		case frameBase:
			return eachEntry(f.Payload, func(k, v []byte) error {
				if n++; v == nil {
					return errDamaged
				}
				return put(k, v)
			})
		case frameEnd:
			want = readNumber(f.Payload)
		}
		return nil
	})
	if err == nil && (n != want || log.Damaged() > 0) {
		err = domicile.E("base", domicile.Invalid, "the base of the index is damaged: restore the store from a backup")
	}
	return err
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
