package audit

import (
	"errors"
	"time"

	"domicile"

	bolt "go.etcd.io/bbolt"
)

// mendEvery is how often a disk that failed is tried again.
const mendEvery = time.Second

// update runs one transaction of log.db. If its commit failed and nobody can know what of it is on disk, the log is broken, and the
// error Unknown; after any other error nothing was done.
func (l *Log) update(name string, fn func(tx *bolt.Tx) error) error {
	l.updating.Lock()
	defer l.updating.Unlock()
	doubt, err := tryUpdate(l.db, func(do func() error) error { return l.disk.step(name, do) }, fn)
	if doubt {
		l.fail(err)
		return &domicile.Error{Op: name, Kind: domicile.Unknown, Detail: "the disk failed; what became of it shows when the log is opened again", Err: err}
	}
	return err
}

// tryUpdate runs a transaction. doubt: its commit failed, and yet it can be read. bbolt writes data pages, and then one meta
// page that makes them count: as long as no reader sees that page, nothing was done, and the file is as before. No other
// transaction may be begun meanwhile.
func tryUpdate(db *bolt.DB, step func(func() error) error, fn func(tx *bolt.Tx) error) (doubt bool, err error) {
	id := 0
	err = step(func() error {
		return db.Update(func(tx *bolt.Tx) error { id = tx.ID(); return fn(tx) })
	})
	if err == nil || id == 0 {
		return false, err
	}
	seen := id
	if e := db.View(func(tx *bolt.Tx) error { seen = tx.ID(); return nil }); e != nil {
		return true, err
	}
	return seen >= id, err
}

// halt notes that pending leaves could not be put into the tree. Where a folder could not be flushed that is for good: what was
// written cannot be trusted to be there, nor be written again.
func (l *Log) halt(err error) {
	if errors.Is(err, errNames) {
		l.fail(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck = err
}

// mend puts pending leaves into the tree that a failing disk has kept out, as at open. The turn is held. It is nil if the log
// takes entries.
func (l *Log) mend() error {
	if err := l.usable(); err != nil {
		return err
	}
	l.mu.Lock()
	stuck, now := l.stuck, time.Now()
	try := stuck != nil && (l.tried.IsZero() || now.Sub(l.tried) >= mendEvery)
	if try {
		l.tried = now
	}
	l.mu.Unlock()
	if try {
		stuck = l.recover()
		l.halt(stuck)
	}
	if err := l.usable(); err != nil {
		return err
	}
	if stuck == nil {
		return nil
	}
	return &domicile.Error{Op: "audit log", Kind: domicile.Unavailable, Detail: "nothing is recorded until the disk takes writes again", Err: stuck}
}
