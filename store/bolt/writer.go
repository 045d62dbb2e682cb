package bolt

import (
	"context"
	"sync"

	bbolt "go.etcd.io/bbolt"

	"domicile"
)

// writer is the one goroutine that writes the index. It takes whoever is waiting
// as one group, commits the group with one flush, and then takes those who came
// meanwhile: a lone writer never waits, and many share.
type writer struct {
	db   *bbolt.DB
	step func(string, func() error) error
	push func(domicile.AccountID)

	jobs    chan *job
	closing chan struct{}
	once    sync.Once
	done    chan struct{}

	// broken is set once a commit may or may not have reached the disk: which one
	// shows only when the file is opened anew, so nothing more is written. Used by
	// run's goroutine only.
	broken bool
}

// maxGroup bounds how much one commit may hold.
const maxGroup = 128

type job struct {
	account domicile.AccountID // gets a hint; "" = none
	fn      func(tx *bbolt.Tx) error
	err     chan error
}

func startWriter(db *bbolt.DB, step func(string, func() error) error, push func(domicile.AccountID)) *writer {
	w := &writer{db: db, step: step, push: push,
		jobs: make(chan *job), closing: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *writer) stop() {
	w.once.Do(func() { close(w.closing) })
	<-w.done
}

// update runs fn in a transaction and returns when that is durable. fn may run
// several times, so it must set its results anew each time. If fn fails, nothing
// is done and its error is returned; if the commit fails, the outcome is Unknown.
func (s *Store) update(ctx context.Context, account domicile.AccountID, fn func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	j := &job{account: account, fn: fn, err: make(chan error, 1)}
	select {
	case s.writer.jobs <- j:
		return <-j.err
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-s.writer.closing:
		return errClosed
	}
}

func (w *writer) run() {
	defer close(w.done)
	for {
		select {
		case j := <-w.jobs:
			w.commit(w.gather(j))
		case <-w.closing:
			return
		}
	}
}

// gather adds everybody who is waiting now.
func (w *writer) gather(first *job) []*job {
	group := []*job{first}
	for len(group) < maxGroup {
		select {
		case j := <-w.jobs:
			group = append(group, j)
		default:
			return group
		}
	}
	return group
}

// commit commits a group. A member that fails is taken out and the rest start
// over; since its error may rest on what others had not yet committed, it is then
// run by itself.
func (w *writer) commit(group []*job) {
	var alone []*job
	for len(group) > 0 {
		failed, err := w.try(group)
		if failed < 0 {
			w.answer(group, err)
			break
		}
		if failed == 0 {
			group[0].err <- err
		} else {
			alone = append(alone, group[failed])
		}
		group = append(group[:failed:failed], group[failed+1:]...)
	}
	for _, j := range alone {
		failed, err := w.try([]*job{j})
		if failed == 0 {
			j.err <- err
			continue
		}
		w.answer([]*job{j}, err)
	}
}

// try runs and commits a group. failed is the member whose function failed, or
// -1 if err is everybody's.
func (w *writer) try(group []*job) (failed int, err error) {
	if w.broken {
		return -1, domicile.E("store", domicile.Unavailable, "an earlier commit failed and the store takes no more changes: look at the disk, then restart the node")
	}
	tx, err := w.db.Begin(true)
	if err != nil {
		return -1, unavailable(err)
	}
	for i, j := range group {
		if err := j.fn(tx); err != nil {
			tx.Rollback()
			return i, err
		}
	}
	id := tx.ID()
	if err := w.step("commit index", tx.Commit); err != nil {
		tx.Rollback() // no effect if Commit ended the transaction itself
		return -1, w.failed(id, err)
	}
	return -1, nil
}

// failed says what became of a commit that failed. bbolt writes data pages, then
// one meta page that makes them count: if no reader can see that page, as when the
// disk was full, nothing was done and the file is as before.
func (w *writer) failed(id int, err error) error {
	seen := -1
	viewErr := w.db.View(func(tx *bbolt.Tx) error { seen = tx.ID(); return nil })
	if viewErr == nil && seen < id {
		return unavailable(err)
	}
	w.broken = true
	return &domicile.Error{Op: "commit", Kind: domicile.Unknown, Detail: "ask again with the same token after a restart of the node", Err: err}
}

func (w *writer) answer(group []*job, err error) {
	for _, j := range group {
		if err == nil && j.account != "" {
			w.push(j.account)
		}
		j.err <- err
	}
}

func unavailable(err error) error {
	return &domicile.Error{Op: "store", Kind: domicile.Unavailable, Detail: "nothing was done, try again", Err: err}
}
