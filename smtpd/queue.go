package smtpd

import (
	"bufio"
	"container/heap"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// Limits of a queue where QueueConfig says nothing else. An entry counts its message and entryCost.
const (
	DefaultQueueExpire       = 5 * 24 * time.Hour
	DefaultQueueBytes        = 16 << 30
	DefaultQueueAccountBytes = 1 << 30
	DefaultQueueRate         = 1000 // recipients an hour

	entryCost = 16 << 10 // what an entry costs beside its message, at least
)

// MaxQueueExpire is the longest time that a message may be tried: homes remember what was delivered for store.TokenLife.
const MaxQueueExpire = store.TokenLife - 24*time.Hour

// QueueConfig says what a Queue stands on.
type QueueConfig struct {
	Dir       string // made if absent; within the region's data folder
	Region    domicile.Region
	Hostname  string // in notices
	MaxSize   int64  // bytes of a message, as of the front
	Directory *placement.Directory
	Guard     *region.Guard
	Node      *region.Node
	Home      *Home // of this region
	Store     store.Store
	Sealer    store.Sealer // seals what rests in the queue, under the sender's key
	Log       *slog.Logger

	Expire       time.Duration    // how long a message is tried; 0 = DefaultQueueExpire
	MaxBytes     int64            // that may rest in the queue; 0 = DefaultQueueBytes
	AccountBytes int64            // of one account; 0 = DefaultQueueAccountBytes
	Rate         int64            // recipients an hour of one account; 0 = DefaultQueueRate
	Now          func() time.Time // nil = time.Now

	// Count, if not nil, is told what became of each recipient, and of each notice. It must be quick and safe for concurrent use.
	Count func(Outcome)
}

// Outcome is what became of one recipient of a queued message, or of a notice to a sender.
type Outcome string

// The outcomes.
const (
	Delivered  Outcome = "delivered"
	Deferred   Outcome = "deferred" // tried, and to be tried again
	Failed     Outcome = "failed"   // for good
	Expired    Outcome = "expired"  // tried for too long
	Dropped    Outcome = "dropped"  // by an operator
	Noticed    Outcome = "noticed"  // a sender was told
	NoticeLost Outcome = "notice_lost"
)

// Queue holds what the region's customers sent until it is delivered, or until the sender has a notice that it is not. It
// rests sealed under the sending account's key, so that whatever erases the account erases it too. Safe for
// concurrent use.
type Queue struct {
	cfg     QueueConfig
	table   store.Table
	deliver func(ctx context.Context, home domicile.Region, d delivery, body io.Reader) (*accepted, error)
	resolve func(context.Context, domicile.Address) (placement.Location, error)
	now     func() time.Time
	pause   func(tries int) time.Duration
	crowded time.Duration                            // crowdedPause
	step    func(name string, do func() error) error // tests fail steps through it

	mu      sync.Mutex
	freed   *sync.Cond // an item is no longer busy, or a worker ended
	items   map[string]*item
	due     dueHeap
	usage   map[domicile.AccountID]int64
	total   int64
	rates   map[domicile.AccountID]*bucket
	homes   map[domicile.Region]int // deliveries under way to each
	working int
	wake    chan struct{}
}

// item is an entry as the scheduler sees it. Guarded by Queue.mu.
type item struct {
	id      string
	account domicile.AccountID
	size    int64 // what it counts against the limits
	queued  time.Time
	next    time.Time
	held    bool
	busy    bool // somebody alone works on its record
	place   int  // in the heap; -1 = not in it
}

// OpenQueue opens the queue, and puts right what a crash left. Nothing is delivered before Run.
func OpenQueue(cfg QueueConfig) (*Queue, error) {
	const op = "open the outbound queue"
	if cfg.Dir == "" || cfg.Region == "" || cfg.Hostname == "" || cfg.Directory == nil || cfg.Home == nil || cfg.Store == nil || cfg.Sealer == nil || cfg.Log == nil {
		return nil, domicile.E(op, domicile.Invalid, "a part is missing in its configuration")
	}
	r := &route{cfg: Config{Region: cfg.Region, MaxSize: cfg.MaxSize, Guard: cfg.Guard, Node: cfg.Node, Home: cfg.Home, Log: cfg.Log}}
	r.other = border{r.cfg}
	return openQueue(cfg, r.deliver, cfg.Directory.Resolve, func(_ string, do func() error) error { return do() })
}

func openQueue(cfg QueueConfig, deliver func(context.Context, domicile.Region, delivery, io.Reader) (*accepted, error),
	resolve func(context.Context, domicile.Address) (placement.Location, error), step func(string, func() error) error) (*Queue, error) {
	const op = "open the outbound queue"
	cfg.defaults()
	table, err := cfg.Store.Table("outbound")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	q := &Queue{cfg: cfg, table: table, deliver: deliver, resolve: resolve, now: cfg.Now, pause: pause, crowded: crowdedPause, step: step,
		items: map[string]*item{}, usage: map[domicile.AccountID]int64{}, rates: map[domicile.AccountID]*bucket{}, homes: map[domicile.Region]int{},
		wake: make(chan struct{}, 1)}
	q.freed = sync.NewCond(&q.mu)
	if err := makeFolder(cfg.Dir); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := q.recover(); err != nil {
		return nil, domicile.W(op, err)
	}
	return q, nil
}

func (c *QueueConfig) defaults() {
	if c.Expire == 0 {
		c.Expire = DefaultQueueExpire
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultQueueBytes
	}
	if c.AccountBytes == 0 {
		c.AccountBytes = DefaultQueueAccountBytes
	}
	if c.Rate == 0 {
		c.Rate = DefaultQueueRate
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Count == nil {
		c.Count = func(Outcome) {}
	}
}

// recover reads the records, forgets those of erased accounts, and removes the files that no record names: of messages that were
// never answered for, or that are done with.
func (q *Queue) recover() error {
	unreadable := map[string]bool{}
	erased := map[string][]byte{}
	err := q.table.Each(func(id string, raw []byte) error {
		account, e, err := q.openEntry(id, raw)
		switch {
		case domicile.KindOf(err) == domicile.NotExist:
			erased[id] = raw
		case err != nil: // kept as it is, for people to look into
			unreadable[id] = true
			q.cfg.Log.Error("an entry of the outbound queue cannot be read", "id", id, "kind", domicile.KindOf(err).String())
		default:
			q.add(&item{id: id, account: account, size: e.Size + entryCost, queued: e.Queued, next: e.Next, held: e.Held, place: -1})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, raw := range erased {
		if _, err := q.table.CompareAndSwap(id, raw, nil); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(q.cfg.Dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if q.items[f.Name()] == nil && !unreadable[f.Name()] {
			if err := os.Remove(filepath.Join(q.cfg.Dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// add takes an item into the accounts, and into the heap unless it is held.
func (q *Queue) add(it *item) {
	q.items[it.id] = it
	q.usage[it.account] += it.size
	q.total += it.size
	if !it.held {
		heap.Push(&q.due, it)
	}
}

// errQueueFull is in the chain of the error of a message for which there is no room now.
var errQueueFull = errors.New("the outbound queue is full")

func (q *Queue) path(id string) string { return filepath.Join(q.cfg.Dir, id) }

// draft is a message on its way into the queue. One goroutine at a time.
type draft struct {
	q       *Queue
	id      string
	account domicile.AccountID
	file    *os.File
	buf     *bufio.Writer
	seal    io.WriteCloser
	taken   int64 // of the limits
	size    int64
	done    bool
}

// draft opens room for a message of an account, which is not Idle from here on. Commit or abort it.
func (q *Queue) draft(account domicile.AccountID) (*draft, error) {
	d := &draft{q: q, id: domicile.NewID("q"), account: account}
	if err := q.take(account, entryCost); err != nil {
		return nil, err
	}
	d.taken = entryCost
	err := q.step("create", func() (err error) {
		d.file, err = os.OpenFile(q.path(d.id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err == nil {
		d.buf = bufio.NewWriterSize(d.file, 32<<10)
		d.seal, err = q.cfg.Sealer.SealTo(account, d.buf, messagePlace(d.id, account))
	}
	if err != nil {
		d.abort()
		return nil, domicile.W("queue a message", err)
	}
	return d, nil
}

// take counts n more bytes of an account, if there is room.
func (q *Queue) take(account domicile.AccountID, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n > q.cfg.MaxBytes-q.total || n > q.cfg.AccountBytes-q.usage[account] {
		return &domicile.Error{Op: "queue a message", Kind: domicile.Unavailable, Detail: "it has no room for this now", Err: errQueueFull}
	}
	q.give(account, -n)
	return nil
}

// give counts n bytes back. q.mu is held.
func (q *Queue) give(account domicile.AccountID, n int64) {
	q.total -= n
	if q.usage[account] -= n; q.usage[account] == 0 {
		delete(q.usage, account)
	}
}

func (d *draft) Write(p []byte) (int, error) {
	if err := d.q.take(d.account, int64(len(p))); err != nil {
		return 0, err
	}
	d.taken += int64(len(p))
	n, err := d.seal.Write(p)
	d.size += int64(n)
	return n, err
}

// commit makes the message and its entry durable. After an error the message is not in the queue, or if that cannot be made
// sure of, may be.
func (d *draft) commit(e *entry) error {
	const op = "queue a message"
	q := d.q
	e.V, e.Size, e.Queued = entryVersion, d.size, q.now().UTC()
	e.Next = e.Queued
	steps := []struct {
		name string
		do   func() error
	}{
		{"write", func() error { return errors.Join(d.seal.Close(), d.buf.Flush()) }},
		{"sync", d.file.Sync},
		{"close", d.file.Close},
		{"sync folder", func() error { return syncFolder(q.cfg.Dir) }},
	}
	for _, s := range steps {
		if err := q.step(s.name, s.do); err != nil {
			d.abort()
			return domicile.W(op, err)
		}
	}
	raw, err := q.sealEntry(d.id, d.account, e)
	if err != nil {
		d.abort()
		return domicile.W(op, err)
	}
	if err := q.step("put", func() error { return q.table.Put(d.id, raw) }); err != nil {
		if q.step("undo", func() error { _, err := q.table.CompareAndSwap(d.id, raw, nil); return err }) == nil {
			d.abort()
		} // else the record may be there, and then its message has to be; the next opening finds out
		d.release()
		return domicile.W(op, err)
	}
	d.done = true
	q.mu.Lock()
	q.give(d.account, d.taken)
	q.add(&item{id: d.id, account: d.account, size: d.size + entryCost, queued: e.Queued, next: e.Next, held: e.Held, place: -1})
	q.mu.Unlock()
	q.nudge()
	return nil
}

// abort forgets the message. No harm after commit.
func (d *draft) abort() {
	if d.done {
		return
	}
	if d.file != nil {
		d.file.Close()
		d.q.unlink(d.id)
	}
	d.release()
}

func (d *draft) release() {
	if d.done {
		return
	}
	d.done = true
	d.q.mu.Lock()
	defer d.q.mu.Unlock()
	d.q.give(d.account, d.taken)
}

// load reads an entry; its item must be busy.
func (q *Queue) load(it *item) (*entry, error) {
	raw, ok, err := q.table.Get(it.id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, domicile.E("outbound queue", domicile.NotExist, "there is no such message")
	}
	_, e, err := q.openEntry(it.id, raw)
	return e, err
}

// save writes an entry; its item must be busy.
func (q *Queue) save(it *item, e *entry) error {
	raw, err := q.sealEntry(it.id, it.account, e)
	if err != nil {
		return err
	}
	return q.step("save", func() error { return q.table.Put(it.id, raw) })
}

// forget removes an entry and then its message; its item must be busy. The message of an entry that is gone is removed at the next
// opening at the latest.
func (q *Queue) forget(it *item) error {
	raw, ok, err := q.table.Get(it.id)
	if err == nil && ok {
		err = q.step("remove", func() error {
			_, err := q.table.CompareAndSwap(it.id, raw, nil)
			return err
		})
	}
	if err != nil {
		return err
	}
	q.mu.Lock()
	if q.items[it.id] == it {
		delete(q.items, it.id)
		q.give(it.account, it.size)
	}
	q.mu.Unlock()
	q.unlink(it.id)
	return nil
}

// unlink removes the file of a message that no record names any more. One that stays is removed at the next opening.
func (q *Queue) unlink(id string) {
	if err := q.step("unlink", func() error { return os.Remove(q.path(id)) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.cfg.Log.Warn("a file of the outbound queue stays until the node is restarted", "id", id)
	}
}

// message opens the bytes of a message. NotExist: the account was erased. fs.ErrNotExist: the file is gone, which only damage can
// bring about.
func (q *Queue) message(it *item) (*message, error) {
	f, err := os.Open(q.path(it.id))
	if err != nil {
		return nil, err
	}
	r, err := q.cfg.Sealer.OpenFrom(it.account, bufio.NewReaderSize(f, 32<<10), messagePlace(it.id, it.account))
	if err != nil {
		f.Close()
		return nil, err
	}
	return &message{Reader: r, Closer: f}, nil
}

// makeFolder makes dir, durably.
func makeFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(syncFolder(dir), syncFolder(filepath.Dir(dir)))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// dueHeap orders items by when they are due.
type dueHeap []*item

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].place, h[j].place = i, j }
func (h *dueHeap) Push(x any)        { it := x.(*item); it.place = len(*h); *h = append(*h, it) }
func (h *dueHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	*h = old[:len(old)-1]
	it.place = -1
	return it
}
