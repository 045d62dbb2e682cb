package bolt

import (
	"errors"
	"os"

	bbolt "go.etcd.io/bbolt"

	"domicile/store/segment"
)

// shrinkLeast is how much of bbolt's file is free, and more than half of it, before a new one takes its place: bbolt never gives a page back.
const shrinkLeast = 8 << 20

const shrunk = ".shrunk"

// bloated says whether so much of the index's file is free that a new one is worth while.
func (s *Store) bloated() bool {
	db := s.index.file()
	free := int64(db.Stats().FreePageN) * int64(db.Info().PageSize)
	return free > s.scaled(shrinkLeast) && free > fileSize(s.path(indexFile))/2
}

// shrink makes a new index file from a snapshot of the old one, brings it up to the log, and puts it in its place. Acts of callers go on beside
// it; only the last part, what came while the rest was done, has bbolt wait. A crash leaves the old one.
func (s *Store) shrink() error {
	db, lsn, err := s.copyIndex()
	if err != nil {
		return err
	}
	return s.replaceIndex(db, lsn)
}

// replaceIndex puts a copy of the index as it was at an LSN in its place.
func (s *Store) replaceIndex(db *bbolt.DB, lsn uint64) error {
	temp := s.path(indexFile) + shrunk
	at, err := s.catchUp(db, lsn, s.index.has())
	if err == nil {
		err = s.index.swap(func(applied uint64) (*bbolt.DB, error) {
			_, err := s.catchUp(db, at, applied)
			db.NoSync = false
			return db, firstError(err, db.Sync())
		}, func() error {
			return s.cfg.step("put index", func() error { return errors.Join(os.Rename(temp, s.path(indexFile)), syncDir(s.cfg.Dir)) })
		})
	}
	if err != nil {
		db.Close()
		os.Remove(temp)
		return err
	}
	s.cfg.Log.Info("store: the index has a new file, without what was free in the old one", "bytes", fileSize(s.path(indexFile)))
	return nil
}

// copyIndex makes a bbolt file of what bbolt has now.
func (s *Store) copyIndex() (db *bbolt.DB, lsn uint64, err error) {
	tx, lsn, err := s.index.whole()
	if err != nil {
		return nil, 0, err
	}
	defer tx.Rollback()
	db, err = fillIndex(s.path(indexFile)+shrunk, lsn, func(put func(k, v []byte) error) error {
		return guarded(func() error { return tx.Bucket(bKeys).ForEach(put) })
	})
	return db, lsn, err
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// catchUp puts the changes of the log behind an LSN, up to another, into a bbolt file that is not flushed yet. It fails if a frame is damaged: the old
// file may have what that said.
func (s *Store) catchUp(db *bbolt.DB, after, upTo uint64) (uint64, error) {
	l, damaged, read := &loader{db: db}, s.log.Damaged(), &acts{log: s.log}
	defer l.abandon()
	if err := l.begin(); err != nil {
		return after, err
	}
	err := s.log.Scan(after, func(f segment.Frame) error {
		if f.LSN > upTo {
			return errStop
		}
		_, err := read.frame(f, func(key, value []byte) error {
			if value == nil {
				return l.delete(key)
			}
			return l.put(key, append([]byte{}, value...))
		})
		return err
	})
	if s.log.Damaged() > damaged {
		err = errDamaged
	}
	if err != nil && err != errStop {
		return after, err
	}
	return upTo, l.end(upTo)
}

// file is bbolt's file as it is now.
func (x *index) file() *bbolt.DB {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.db
}

// has is the LSN that bbolt has come to.
func (x *index) has() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.applied
}

// swap has fill make a bbolt file with all up to an LSN, while nothing is applied, has put give it its name, and uses it from then on. An error of fill
// leaves the old one. After one of put nobody knows which of the two has the name, and bbolt takes no more.
func (x *index) swap(fill func(applied uint64) (*bbolt.DB, error), put func() error) error {
	result := make(chan error, 1)
	act := func() {
		db, err := fill(x.has())
		if err != nil {
			result <- err
			return
		}
		err = put()
		x.mu.Lock()
		var old *bbolt.DB
		if err != nil {
			x.broken = err
			x.change.Broadcast()
		} else {
			old, x.db = x.db, db
		}
		x.mu.Unlock()
		if old != nil {
			go old.Close() // when the last reader of it is done, which nobody else waits for: a look at a whole account takes long
		}
		result <- err
	}
	x.mu.RLock()
	closing := x.closing
	if !closing {
		x.work <- work{act: act}
	}
	x.mu.RUnlock()
	if closing {
		return errClosed
	}
	return <-result
}
