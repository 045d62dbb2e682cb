package bolt

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// writer is the one goroutine that changes the store. It takes whoever is waiting as one group, writes what the group changes to the
// log with one flush, and then takes those who came meanwhile: a lone writer never waits, and many share.
//
// Where a flush takes long, those who were answered come back just behind those who waited, and each would wait for the other's flush before his own:
// two groups that take turns. So the next group waits a little for both.
type writer struct {
	s       *Store
	jobs    chan *job
	waiting atomic.Int64  // who has a job that was not taken yet
	nudge   chan struct{} // hands what is pending to bbolt now
	closing chan struct{}
	once    sync.Once
	done    chan struct{}

	took     time.Duration // by the last flush
	expects  int           // how many the next group waits for: those who were answered last, and those who waited then; 0 = it waits for nobody,
	patience time.Duration // nor longer than this

	// broken is set once nobody knows what reached the log: that shows only when it is opened anew, so nothing more is written.
	broken error
}

// What one group may hold, and when what is pending is handed to bbolt.
const (
	maxGroup      = 256
	maxGroupBytes = 8 << 20

	slowFlush  = 2 * time.Millisecond // from then on a group waits for those whom it expects,
	gatherPart = 4                    // a fourth of a flush at most,
	maxGather  = 2 * time.Millisecond // and no longer than this

	probeBytes = 1 << 20

	applyKeys  = 8 << 10
	applyAfter = time.Second
	maxPending = 8 * applyKeys // keys that wait while bbolt does not take them; then nothing more is accepted
)

type job struct {
	account domicile.AccountID // gets a hint; "" = none
	fn      func(tx *txn) error
	hint    store.Hint
	err     chan error
	failed  error // of fn
}

func startWriter(s *Store) *writer {
	w := &writer{s: s, jobs: make(chan *job), nudge: make(chan struct{}), closing: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *writer) stop() {
	w.once.Do(func() { close(w.closing) })
	<-w.done
}

// update runs fn in a transaction and returns when that is durable. fn may run several times, so it must set its results anew each
// time. If fn fails, nothing is done and its error is returned; if the flush fails, the outcome is Unknown.
func (s *Store) update(ctx context.Context, account domicile.AccountID, fn func(tx *txn) error) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	j := &job{account: account, fn: fn, err: make(chan error, 1)}
	if err := s.writer.hand(ctx, j); err != nil {
		return err
	}
	return <-j.err
}

// hand waits until a job is taken.
func (w *writer) hand(ctx context.Context, j *job) error {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	select {
	case w.jobs <- j:
		return nil
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-w.closing:
		return errClosed
	}
}

func (w *writer) run() {
	defer close(w.done)
	tick := time.NewTicker(applyAfter)
	defer tick.Stop()
	for {
		select {
		case j := <-w.jobs:
			w.commit(j)
		case <-w.nudge:
			w.s.index.freeze(1)
		case <-tick.C:
			w.s.index.freeze(1)
			w.probe()
		case <-w.closing:
			return
		}
	}
}

// commit takes everybody who is waiting now into one group and answers them. Whoever fails leaves nothing. If the group does not reach the
// disk, those who failed in it are tried alone: their error may rest on what the others had not committed. So are those whose act is too large to share.
func (w *writer) commit(first *job) {
	if err := w.ready(); err != nil {
		first.err <- err
		return
	}
	group, err := w.try(first)
	var again []*job
	for _, j := range group {
		switch {
		case j.failed == errAlone, j.failed != nil && err != nil && w.broken == nil:
			again = append(again, j)
		default:
			w.answer(j, err)
		}
	}
	for _, j := range again {
		w.answer(j, w.alone(j))
	}
}

// answer tells a job how it ended, after those who watch.
func (w *writer) answer(j *job, err error) {
	if j.failed != nil {
		err = j.failed
	} else if err == nil && j.account != "" {
		w.s.hints.push(j.account, j.hint)
	}
	j.err <- err
}

// ready waits until bbolt has taken enough of what is pending.
func (w *writer) ready() error {
	if w.broken == nil {
		w.broken = w.s.index.failure()
	}
	if w.broken != nil {
		return domicile.E("store", domicile.Unavailable, "an earlier write failed and the store takes no more changes: look at the disk, then restart the node")
	}
	w.s.index.freeze(applyKeys)
	return w.s.index.room()
}

// try runs a group and commits it.
func (w *writer) try(j *job) (group []*job, err error) {
	g := w.s.log.Begin()
	next, tx, done, err := w.s.index.begin(g)
	if err != nil {
		return []*job{j}, unavailable(err)
	}
	var late <-chan time.Time
	if w.expects > 1 {
		late = time.After(w.patience)
	}
	for j != nil {
		w.do(j, tx, &changes{group: g})
		group = append(group, j)
		j = w.more(len(group), g.Size(), late)
	}
	done()
	return group, w.end(g, group, next)
}

// more is who comes next into a group that has so many and so many bytes; nil if nobody does. One that needs no flush waits for nobody.
func (w *writer) more(have, size int, late <-chan time.Time) *job {
	if have == maxGroup || size >= maxGroupBytes {
		return nil
	}
	select {
	case j := <-w.jobs:
		return j
	default:
	}
	if size == 0 || have >= w.expects {
		return nil
	}
	select {
	case j := <-w.jobs:
		return j
	case <-late:
		w.expects = 0
		return nil
	}
}

// flushed notes, behind a flush and before those are answered who shared it, how many the next one may have and how long it is worth to wait for them.
func (w *writer) flushed(group int, took time.Duration) {
	usual := min(took, w.took) // of one alone that was slow nothing follows
	w.took, w.expects, w.patience = took, 0, min(usual/gatherPart, maxGather)
	if usual >= slowFlush {
		w.expects = group + int(w.waiting.Load())
	}
}

// alone runs a job that may write its act in parts. If it fails, nobody has seen anything of it.
func (w *writer) alone(j *job) error {
	if j.failed == errAlone { // it is held in memory until bbolt has it: not beside another
		w.s.index.freeze(1)
		if err := w.s.index.settled(); err != nil {
			j.failed = nil
			return unavailable(err)
		}
	}
	j.failed = nil
	g := w.s.log.Begin()
	next, tx, done, err := w.s.index.begin(g)
	if err != nil {
		return unavailable(err)
	}
	c := &changes{group: g, parts: &parts{log: w.s.log, size: int(w.s.scaled(partBytes))}}
	w.do(j, tx, c)
	done()
	if j.failed == nil {
		return w.end(c.group, []*job{j}, next)
	}
	if err := c.parts.err; err != nil { // what ends the act was not written: nothing was done, whatever is on disk of it
		j.failed = unavailable(err)
		w.failed([]*job{j}, err)
	}
	return nil
}

// end commits a group and makes it visible.
func (w *writer) end(g *segment.Group, group []*job, next *pending) error {
	wrote, began := g.Size() > 0, time.Now()
	err := g.Commit()
	switch {
	case err != nil:
		w.failed(group, err)
	case wrote:
		w.s.tally.committed(group, nil, w.broken)
		w.flushed(len(group), time.Since(began))
	}
	if err != nil {
		if errors.Is(err, segment.ErrNotDone) {
			return unavailable(err)
		}
		return &domicile.Error{Op: "commit", Kind: domicile.Unknown, Detail: "ask again with the same token after a restart of the node", Err: err}
	}
	w.s.index.publish(next, w.s.log.Next()-1)
	return nil
}

// failed notes that the log did not take a group.
func (w *writer) failed(group []*job, err error) {
	if w.s.log.Broken() != nil {
		w.broken = err
	}
	w.s.tally.committed(group, err, w.broken)
}

// do runs one job within a group.
func (w *writer) do(j *job, tx *txn, c *changes) {
	c.value = map[string][]byte{}
	c.size, c.lsn = c.group.Mark()
	tx.w = c
	if j.failed = guarded(func() error { return j.fn(tx) }); j.failed == nil {
		j.failed = c.finish(w.s.cfg.Now())
	}
	j.hint = c.hint()
	if j.failed != nil {
		tx.rollback()
		c.group.Reset(c.size, c.lsn)
	}
}

// probe finds out, after the log refused a group, whether it would take one again: who asks whether the store is ready may be keeping
// everybody away until it is.
func (w *writer) probe() {
	if _, refused := w.s.tally.errors(); refused == nil || w.broken != nil {
		return
	}
	w.s.tally.probed(w.s.log.Probe(probeBytes), nil)
}

// commitFailed says what became of a bbolt commit that failed. bbolt writes data pages, then one meta page that makes them count: if no
// reader can see that page, as when the disk was full, nothing was done and the file is as before.
func commitFailed(db *bbolt.DB, id int) (done bool) {
	seen := -1
	err := db.View(func(tx *bbolt.Tx) error { seen = tx.ID(); return nil })
	return err != nil || seen >= id
}

func unavailable(err error) error {
	return &domicile.Error{Op: "store", Kind: domicile.Unavailable, Detail: "nothing was done, try again", Err: err}
}
