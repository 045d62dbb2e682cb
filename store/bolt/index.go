package bolt

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"domicile"
	"domicile/store/segment"
)

// index is an ordered map of keys to values: bbolt, and over it what is durable in the log alone. A goroutine of its own brings that into bbolt.
type index struct {
	db    *bbolt.DB
	step  func(string, func() error) error
	log   *slog.Logger
	tally *tally

	mu      sync.RWMutex
	top     *pending // guarded by mu
	lsn     uint64   // guarded by mu; the last one in top, or before it
	frozen  *pending // guarded by mu; being applied; nil = nothing
	applied uint64   // guarded by mu; the last LSN that bbolt has
	broken  error    // guarded by mu; a commit of bbolt may or may not be on disk
	waiting error    // guarded by mu; why bbolt did not take frozen the last time
	closing bool     // guarded by mu

	work   chan work
	change *sync.Cond    // of frozen, waiting, broken; its lock is mu
	ending chan struct{} // closed with closing: nobody waits for another try
	done   chan struct{}
}

type work struct {
	keys *pending
	lsn  uint64
	act  func() // instead: something that must have bbolt for itself
}

var (
	bKeys     = []byte("index") // the bbolt bucket of the index
	bMeta     = []byte("meta")  // and the one of what is about the file
	kFormat   = []byte("format")
	kApplied  = []byte("applied")
	kPartly   = []byte("partly") // there while a part of what is behind that LSN is in the file
	kRegion   = []byte("region")
	kProof    = []byte("proof")
	errClosed = domicile.E("store", domicile.Unavailable, "the store is closed")
)

func startIndex(db *bbolt.DB, applied uint64, cfg Config, t *tally) *index {
	x := &index{db: db, step: cfg.step, log: cfg.Log, tally: t, top: newPending(), applied: applied, lsn: applied, work: make(chan work, 2), ending: make(chan struct{}), done: make(chan struct{})}
	x.change = sync.NewCond(&x.mu)
	go x.run()
	return x
}

// view runs fn on a snapshot. fn must copy what it keeps, and must not call out of this package: an open snapshot keeps pages from being used again.
func (x *index) view(fn func(tx *txn) error) error {
	x.mu.RLock()
	top, frozen := x.top, x.frozen
	db, err := x.db.Begin(false) // under the lock: bbolt has at least what is no longer pending
	x.mu.RUnlock()
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return errClosed
	}
	if err != nil {
		return err
	}
	defer db.Rollback()
	return guarded(func() error { return fn(&txn{top: top, frozen: frozen, db: db.Bucket(bKeys)}) })
}

// begin gives the writer a copy to work on; done ends its use of bbolt.
func (x *index) begin(g *segment.Group) (next *pending, tx *txn, done func(), err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	db, err := x.db.Begin(false)
	if err != nil {
		return nil, nil, nil, err
	}
	next = x.top.Copy()
	return next, &txn{top: next, frozen: x.frozen, db: db.Bucket(bKeys)}, func() { db.Rollback() }, nil
}

// rehearse runs fn on a copy that nobody sees, beside the writer. What it writes is lost.
func (x *index) rehearse(fn func(tx *txn) error) error {
	x.mu.Lock() // nobody else copies top meanwhile
	top, frozen := x.top.Copy(), x.frozen
	db, err := x.db.Begin(false)
	x.mu.Unlock()
	if err != nil {
		return unavailable(err)
	}
	defer db.Rollback()
	return guarded(func() error {
		return fn(&txn{top: top, frozen: frozen, db: db.Bucket(bKeys), w: &changes{value: map[string][]byte{}}})
	})
}

// publish makes what is durable visible.
func (x *index) publish(next *pending, lsn uint64) {
	x.mu.Lock()
	x.top, x.lsn = next, lsn
	x.mu.Unlock()
}

// freeze hands what is pending to bbolt, if that is at least so many keys and bbolt is not busy. Only the writer calls it, and Close after it.
func (x *index) freeze(least int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.frozen != nil || x.top.Len() < least {
		return
	}
	x.frozen, x.top = x.top, newPending()
	x.work <- work{keys: x.frozen, lsn: x.lsn}
}

// room waits while too much is pending, and fails if bbolt does not take it.
func (x *index) room() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.top.Len() >= maxPending && x.frozen != nil && x.broken == nil {
		if x.waiting != nil {
			return unavailable(x.waiting)
		}
		x.change.Wait()
	}
	return nil
}

// newest is the last LSN that readers see.
func (x *index) newest() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.lsn
}

// lacks waits until bbolt is not busy, and says whether it has not all up to an LSN and would take it.
func (x *index) lacks(lsn uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.frozen != nil && x.waiting == nil && x.broken == nil {
		x.change.Wait()
	}
	return x.applied < lsn && x.top.Len() > 0 && x.waiting == nil && x.broken == nil && !x.closing
}

// tries has bbolt take what is pending once, and fails if its file is damaged where that goes. Open calls it, before there is a writer.
func (x *index) tries() error {
	x.freeze(1)
	x.lacks(0)
	if err := x.failure(); errors.Is(err, errPages) {
		return err
	}
	return nil
}

func (x *index) failure() error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.broken
}

// state tells how many keys wait for bbolt, and why they wait: for ever, or until it takes them.
func (x *index) state() (pending int, broken, waiting error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	pending = x.top.Len()
	if x.frozen != nil {
		pending += x.frozen.Len()
	}
	return pending, x.broken, x.waiting
}

// applyRetry is how long a commit of bbolt that was not done waits before it is tried again, as on a full disk.
const applyRetry = time.Second

func (x *index) run() {
	defer close(x.done)
	for w := range x.work {
		if w.act != nil {
			w.act()
			continue
		}
		for try := 0; ; try++ {
			done, err := x.apply(w)
			if err != nil {
				x.tally.applyErrors.Add(1)
			}
			if err != nil && (done || try == 0) {
				x.log.Error("store: the index cannot be written; the log has what it lacks", "error", err)
			}
			x.mu.Lock()
			if x.waiting = err; err == nil {
				x.frozen, x.applied = nil, w.lsn
			} else if done {
				x.broken = err
			}
			x.change.Broadcast()
			x.mu.Unlock()
			if err == nil || done || !x.pause() {
				break
			}
		}
	}
}

// pause waits for the next try, or says that there is none.
func (x *index) pause() bool {
	select {
	case <-time.After(applyRetry):
		return true
	case <-x.ending:
		return false
	}
}

// applyMost is how many keys one commit of bbolt takes: it holds what it changes in memory.
const applyMost = maxPending

// apply commits keys to bbolt with the LSN that they reach, the most of a large act in commits before that. done says, of an error, that the commit may be on disk.
func (x *index) apply(w work) (done bool, err error) {
	it := w.keys.Iter()
	for more, rest := it.First(), true; rest && err == nil; rest = more {
		done, err = x.applySome(func(tx *bbolt.Tx) error {
			keys := tx.Bucket(bKeys)
			keys.FillPercent = 0.9 // most keys come in order: of a mailbox, by UID and ModSeq. At half, bbolt's own measure, they would leave half-full pages behind
			for n := 0; more && n < applyMost; n++ {
				if err := putItem(keys, item{it.Key(), it.Value()}); err != nil {
					return err
				}
				more = it.Next()
			}
			meta := tx.Bucket(bMeta)
			if more {
				return meta.Put(kPartly, []byte{1})
			}
			return firstError(meta.Delete(kPartly), meta.Put(kApplied, number(w.lsn)))
		})
	}
	return done, err
}

func putItem(b *bbolt.Bucket, it item) error {
	if it.value == nil {
		return b.Delete([]byte(it.key))
	}
	return b.Put([]byte(it.key), it.value)
}

// applySome is one commit.
func (x *index) applySome(put func(*bbolt.Tx) error) (done bool, err error) {
	tx, err := x.db.Begin(true)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() // no effect if Commit ended the transaction itself
	id := tx.ID()
	err = guarded(func() error { return put(tx) })
	if err != nil {
		return errors.Is(err, errPages), err
	}
	if err := guarded(func() error { return x.step("commit index", tx.Commit) }); err != nil {
		tx.Rollback()
		return errors.Is(err, errPages) || commitFailed(x.db, id), fmt.Errorf("commit the index: %w", err)
	}
	return false, nil
}

// close brings all that is pending into bbolt. What does not get there is in the log.
func (x *index) close() error {
	x.mu.Lock()
	for x.frozen != nil && x.waiting == nil && x.broken == nil {
		x.change.Wait()
	}
	if x.frozen == nil && x.broken == nil && x.top.Len() > 0 {
		x.frozen, x.top = x.top, newPending()
		x.work <- work{keys: x.frozen, lsn: x.lsn}
		for x.frozen != nil && x.waiting == nil && x.broken == nil {
			x.change.Wait()
		}
	}
	x.closing = true
	close(x.ending)
	x.mu.Unlock()
	close(x.work)
	<-x.done
	return x.db.Close()
}

// whole gives a snapshot of bbolt that has all up to an LSN and nothing of what is behind it. It waits while a large act is being applied.
func (x *index) whole() (tx *bbolt.Tx, lsn uint64, err error) {
	for {
		if tx, err = x.file().Begin(false); err != nil {
			return nil, 0, err
		}
		var partly bool
		if lsn, partly, err = appliedOf(tx); err == nil && !partly {
			return tx, lsn, nil
		}
		tx.Rollback()
		if err == nil {
			err = x.settled()
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// settled waits until bbolt is not busy, and fails if it does not take what it should.
func (x *index) settled() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.frozen != nil && x.waiting == nil && x.broken == nil && !x.closing {
		x.change.Wait()
	}
	if x.closing {
		return errClosed
	}
	return firstError(x.broken, x.waiting)
}
