package region

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"domicile"
	"domicile/audit"
)

// Journal is the region's sealed journal: one record per session, delivery and standing permit, opened before and
// closed after. Safe for concurrent use; one process holds it open. The files are described in the package comment.
type Journal struct {
	dir    string
	sealer audit.Sealer
	keep   time.Duration
	now    func() time.Time
	lock   *os.File
	done   chan struct{} // closed when the writing goroutine has ended
	kick   chan struct{} // capacity 1: something is queued
	broken atomic.Bool   // a write failed: nothing is accepted until mend

	mu        sync.Mutex
	queue     []queued               // guarded by mu
	closing   bool                   // guarded by mu
	open      map[string]*openRecord // guarded by mu: by permit id
	files     []*journalFile         // guarded by mu: oldest first; the last is being written
	seq       uint64                 // guarded by mu: of the newest durable record
	head      [32]byte               // guarded by mu: chain hash of that record
	news      uint64                 // guarded by mu: newest record that is no commitment
	committed uint64                 // guarded by mu: covered by a leaf of the log
	commitMu  sync.Mutex             // one Commit at a time
	out       *os.File               // the writing goroutine's
	late      []queued               // the writing goroutine's: ends of permits that could not be written, for mend
	mendEvery time.Duration          // how often a broken journal is tried
	unwaited  time.Duration          // how long a record that nobody waits for may wait for others
	fsync     func(f *os.File) error // a test makes it fail
}

// Record is the plain text of one journal record: JSON, sealed before it is written.
type Record struct {
	Seq     uint64               `json:"seq"`
	Time    time.Time            `json:"time"`
	Type    string               `json:"type"`            // one of the constants below
	ID      string               `json:"id,omitempty"`    // of the permit
	Class   domicile.EgressClass `json:"class,omitempty"` // from here to Rule: as in the crossing and its decision
	Kind    string               `json:"kind,omitempty"`
	Party   string               `json:"party,omitempty"`
	To      domicile.Region      `json:"to,omitempty"`
	Account domicile.AccountID   `json:"account,omitempty"`
	Home    domicile.Region      `json:"home,omitempty"`
	Case    string               `json:"case,omitempty"`
	Ceiling int64                `json:"ceiling,omitempty"`
	Rule    string               `json:"rule,omitempty"`
	Reason  domicile.Reason      `json:"reason,omitempty"`  // of a refusal
	Count   int64                `json:"count,omitempty"`   // messages of a standing permit, refusals not written one by one, bytes cut
	Bytes   int64                `json:"bytes,omitempty"`   // that left
	Digest  string               `json:"sha256,omitempty"`  // of them, in hex, where one permit carries one message
	Unknown bool                 `json:"unknown,omitempty"` // a crash came between: at most Ceiling bytes left (standing: at least Bytes)
	Last    uint64               `json:"last,omitempty"`    // of a commitment: newest record that it covers

	Chain [32]byte `json:"-"` // the chain hash behind this record; set by ReadJournal
}

const (
	recOpen       = "open"       // a permit was given
	recClose      = "close"      // its use has ended
	recTotal      = "total"      // a standing permit so far; restates its open record
	recRefused    = "refused"    // a permit was refused
	recCommitment = "commitment" // a leaf of the log now covers the records up to Last
	recCut        = "cut"        // a torn tail of Count bytes was cut off, at open or after a write that failed
)

type openRecord struct {
	rec  Record
	file uint64 // first sequence number of the file that holds its newest open or total record
}

// queued is a record on its way to disk; done gets its fate, nil if nobody waits.
type queued struct {
	rec  Record
	done chan error
}

// Limits: of waiting records, of those that nobody waits for, in number and in time, of one group's bytes, of one file, and of its age.
const (
	maxQueued    = 4096
	maxUnwritten = 256
	maxUnwaited  = 50 * time.Millisecond
	maxGroup     = 512 << 10
	maxFileBytes = 16 << 20
	maxFileAge   = 24 * time.Hour
)

// OpenJournal opens the journal in dir, which is made if absent. Records are sealed by s (keys.Box fits). Records left
// open by a crash are closed as "unknown, at most N". Whole files older than keep are removed, once a commitment covers
// them and none of their records is open. A damaged journal, other than by a torn tail, is refused as an error.
func OpenJournal(dir string, s audit.Sealer, keep time.Duration, now func() time.Time) (*Journal, error) {
	const op = "open the journal"
	if s == nil || keep <= 0 {
		return nil, domicile.E(op, domicile.Invalid, "a sealer and a retention are needed")
	}
	if now == nil {
		now = time.Now
	}
	j := &Journal{dir: dir, sealer: s, keep: keep, now: now, done: make(chan struct{}), kick: make(chan struct{}, 1),
		open: map[string]*openRecord{}, mendEvery: time.Second, unwaited: maxUnwaited, fsync: (*os.File).Sync}
	if err := j.recover(); err != nil {
		j.release()
		return nil, domicile.W(op, err)
	}
	go j.run()
	if err := j.closeLeftOpen(); err != nil {
		j.Close()
		return nil, domicile.W(op, err)
	}
	return j, nil
}

// recover takes the lock, reads every file, and makes the newest ready to be written.
func (j *Journal) recover() error {
	if err := makeDir(j.dir); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(j.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	j.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return domicile.E("lock", domicile.Unavailable, "another process has this journal open")
	}
	cut, err := j.readAll(nil)
	if err != nil {
		return err
	}
	if len(j.files) == 0 {
		return j.newFile()
	}
	f := j.files[len(j.files)-1]
	if j.out, err = os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	if cut == 0 {
		return nil
	}
	if err := errors.Join(j.out.Truncate(f.size), j.out.Sync()); err != nil {
		return err
	}
	j.queue = append(j.queue, queued{rec: Record{Type: recCut, Count: cut}})
	j.kick <- struct{}{}
	return nil
}

// closeLeftOpen ends what a crash left open.
func (j *Journal) closeLeftOpen() error {
	j.mu.Lock()
	var left []Record
	for _, o := range j.open {
		r := o.rec
		r.Type, r.Unknown = recClose, true
		left = append(left, r)
	}
	j.mu.Unlock()
	for i, r := range left {
		if i < len(left)-1 && i%1024 != 1023 {
			j.enqueue(r, nil)
		} else if err := j.write(r); err != nil {
			return err
		}
	}
	return nil
}

// write queues r and returns when it is on disk. Many callers share one fsync.
func (j *Journal) write(r Record) error {
	done := make(chan error, 1)
	if err := j.enqueue(r, done); err != nil {
		return err
	}
	return <-done
}

// enqueue queues r; done, if not nil, gets its fate. Without done the record goes out with the next group, for which it waits a little: as a rule somebody
// who waits for his own comes by then, and it costs no fsync.
func (j *Journal) enqueue(r Record, done chan error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closing {
		return errors.New("the journal is closed")
	}
	if done != nil && len(j.queue) >= maxQueued {
		return errors.New("the journal is overloaded")
	}
	j.queue = append(j.queue, queued{r, done})
	switch n := len(j.queue); {
	case done != nil || n >= maxUnwritten:
		j.wake()
	case n == 1:
		time.AfterFunc(j.unwaited, j.wake)
	}
	return nil
}

// wake has the writing goroutine look at the queue.
func (j *Journal) wake() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// run writes groups of records until Close, and tries now and then to mend what a failed write broke.
func (j *Journal) run() {
	defer close(j.done)
	tick := time.NewTicker(j.mendEvery)
	defer tick.Stop()
	for {
		select {
		case <-j.kick:
			if j.writeQueued() {
				return
			}
		case <-tick.C:
			if j.broken.Load() {
				j.mend()
			}
		}
	}
}

// writeQueued writes until the queue is empty; ended is true if nothing may come any more.
func (j *Journal) writeQueued() (ended bool) {
	for {
		j.mu.Lock()
		all, closing := j.queue, j.closing
		j.queue = nil
		j.mu.Unlock()
		if len(all) == 0 {
			return closing
		}
		j.writeGroups(all)
	}
}

// writeGroups writes the records, with one fsync for each half a megabyte, and tells their writers.
func (j *Journal) writeGroups(all []queued) {
	for len(all) > 0 {
		if j.broken.Load() {
			j.putOff(all, errBroken)
			return
		}
		n, err := j.writeGroup(all)
		if err != nil { // nobody knows what of it is on disk
			j.broken.Store(true)
			j.putOff(all, err)
			return
		}
		for _, q := range all[:n] {
			if q.done != nil {
				q.done <- nil
			}
		}
		all = all[n:]
	}
}

// writeGroup writes a first part of all, makes it durable, and returns how many records that were.
func (j *Journal) writeGroup(all []queued) (n int, err error) {
	if err := j.rotate(); err != nil {
		return 0, err
	}
	var buf []byte
	seq, head := j.seq, j.head // only this goroutine changes them, so reading needs no lock
	for n < len(all) && len(buf) < maxGroup {
		seq++
		r := &all[n].rec
		r.Seq, r.Time = seq, j.now().UTC()
		plain, err := json.Marshal(r)
		if err != nil {
			return 0, err
		}
		sealed, err := j.sealer.Seal(plain, associated(seq))
		if err != nil {
			return 0, err
		}
		if len(sealed) > maxSealed {
			return 0, fmt.Errorf("a record of %d bytes is over the limit", len(sealed))
		}
		buf, head = appendFrame(buf, head, sealed)
		n++
	}
	if _, err := j.out.Write(buf); err != nil {
		return 0, err
	}
	if err := j.fsync(j.out); err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.files[len(j.files)-1]
	f.size += int64(len(buf))
	for _, q := range all[:n] {
		j.apply(q.rec, f)
	}
	j.head = head
	return n, nil
}

// apply takes a durable record into what is known. The caller holds mu, or is alone (at open).
func (j *Journal) apply(r Record, f *journalFile) {
	j.seq, f.last, f.newest = r.Seq, r.Seq, r.Time
	switch r.Type {
	case recOpen, recTotal:
		j.open[r.ID] = &openRecord{r, f.first}
	case recClose:
		delete(j.open, r.ID)
	case recCommitment:
		j.committed = max(j.committed, r.Last)
		return
	}
	j.news = r.Seq
}

// pinsOldFile reports whether the open record of a permit lies in a file that is complete, and so keeps it from removal.
func (j *Journal) pinsOldFile(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	o := j.open[id]
	return o != nil && o.file != j.files[len(j.files)-1].first
}

// Commit appends one leaf to log over the records that are new since the last one, if there are any: their numbers,
// and the hash that chains them. Leaf kind "journal.commitment".
func (j *Journal) Commit(ctx context.Context, log interface {
	Append(context.Context, audit.Entry) (audit.Leaf, error)
}) error {
	j.commitMu.Lock()
	defer j.commitMu.Unlock()
	j.mu.Lock()
	first, last, head, news := j.committed+1, j.seq, j.head, j.news
	j.mu.Unlock()
	if news < first {
		return nil
	}
	_, err := log.Append(ctx, audit.Entry{Kind: "journal.commitment", Public: map[string]string{
		"first": strconv.FormatUint(first, 10), "last": strconv.FormatUint(last, 10),
		"count": strconv.FormatUint(last-first+1, 10), "sha256": hex.EncodeToString(head[:]),
	}})
	if err == nil {
		err = j.write(Record{Type: recCommitment, Last: last})
	}
	return domicile.W("commit the journal to the log", err)
}

// Close writes what is queued and releases the files.
func (j *Journal) Close() error {
	j.mu.Lock()
	again := j.closing
	j.closing = true
	j.mu.Unlock()
	if !again {
		j.wake()
	}
	<-j.done
	if again {
		return nil
	}
	return domicile.W("close the journal", j.release())
}

func (j *Journal) release() error {
	var errs []error
	for _, f := range []*os.File{j.out, j.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// associated binds a sealed record to its place.
func associated(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte("domicile/journal/1/"), seq)
}
