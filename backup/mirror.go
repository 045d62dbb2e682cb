package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
)

// Segment is a file of the store's log: what of it is durable.
type Segment struct {
	Number uint32
	Size   int64
	Path   string
}

// Store is what a mirror needs of a store in use; store/bolt has it.
type Store interface {
	// Segments returns the files of the log, the oldest first. They grow at the end and never change otherwise.
	Segments() []Segment
	// Retain keeps the files from this number on from being removed.
	Retain(from uint32)
	// WithBase calls fn with a folder that, with the segments, is the whole store; it stays until fn returns.
	WithBase(fn func(lsn uint64, dir string, segments []Segment) error) error
}

// MirrorConfig says whose data folder is mirrored, and with what it is in use.
type MirrorConfig struct {
	Node
	Dir       string                  // the repository, made if absent; outside of the data folder
	Retention                         // of its sets
	Box       *keys.Box               // of the folder's secret, for "backup"
	Ring      *keys.Ring              // its account keys
	Log       *audit.Log              // its log
	Store     Store                   // its store
	Others    func(w io.Writer) error // writes what the node knows of others' logs, othersFile, which cannot be copied in use
	Now       func() time.Time
	Errs      *slog.Logger
}

// Mirror copies a running node's data folder into a repository as it changes. Safe for concurrent use; one for a repository.
type Mirror struct {
	cfg   MirrorConfig
	vault *vault // of this line
	line  string

	setting sync.Mutex  // one set, or one pruning, at a time
	caught  atomic.Bool // the last round copied all that was new
	count   *counters
	size    atomic.Int64 // of the repository, without count.sealed
	total   atomic.Int64 // bytes that the set that is being made copies

	mu      sync.Mutex // one round at a time; guards what follows
	copied  map[uint32]int64
	leaves  uint64 // that are copied
	logFile string // the newest, with its size
	logSize int64
	keysAre keysHead
	others  [32]byte // SHA-256 of what Others wrote last
	files   map[string]fileState
	behind  time.Time // since when rounds fail; zero: they do not

	status   sync.Mutex // guards what follows; held for a moment only
	gap      bool       // segments may be missing: a restore needs a new set
	failed   error      // of the last round
	failures uint64
	last     time.Time // all of before is copied
	newest   Set
	making   bool
	from     int64 // count.plain when it began
}

const (
	lineFile = "backup.line" // in a data folder: the line of the repository that mirrors it
	lineDir  = "lines"
	logMost  = 4 << 20 // bytes of a file of leaves after which the next is begun
)

// OpenMirror opens the repository, or makes one. The folder's line goes on; a folder that was restored begins a new one. WrongRegion if the repository
// is another region's or node's.
func OpenMirror(cfg MirrorConfig) (*Mirror, error) {
	const op = "open the backup repository"
	if err := openRepository(cfg.Node, cfg.Dir, cfg.Now()); err != nil {
		return nil, domicile.W(op, err)
	}
	m := &Mirror{cfg: cfg, count: &counters{}}
	cfg.Store.Retain(0)
	line, err := os.ReadFile(filepath.Join(cfg.Data, lineFile))
	if err == nil {
		err = m.begin(string(line))
		if domicile.KindOf(err) == domicile.Conflict {
			cfg.Errs.Warn("backup: the repository is of another history than this data folder: a new line is begun", "error", err)
		}
	}
	if errors.Is(err, os.ErrNotExist) || domicile.KindOf(err) == domicile.Conflict {
		err = m.newLine()
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	sets, err := Sets(cfg.Dir)
	for _, s := range sets {
		if s.Line == m.line {
			m.newest = s
		}
	}
	return m, domicile.W(op, errors.Join(err, m.findGap(), m.weigh()))
}

// newLine begins a line: its name is in the data folder before anything is in it.
func (m *Mirror) newLine() error {
	line := m.cfg.Now().UTC().Format(stampLayout)
	f, err := os.CreateTemp(m.cfg.Data, tempMark+"*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = errors.Join(os.Rename(f.Name(), filepath.Join(m.cfg.Data, lineFile)), syncDir(m.cfg.Data))
	}
	if err != nil {
		return err
	}
	return m.begin(line)
}

// begin takes up a line where it was left. Conflict if the log in it is not this folder's.
func (m *Mirror) begin(line string) error {
	m.line, m.copied, m.files = line, map[uint32]int64{}, nil
	m.leaves, m.logFile, m.logSize = 0, "", 0
	m.vault = newVault(m.cfg.Dir, line, m.cfg.Node, m.cfg.Box)
	m.vault.own, m.vault.count = true, m.count
	names, err := m.vault.list("log")
	if err != nil || len(names) == 0 {
		return err
	}
	m.logFile = names[len(names)-1]
	e, err := m.vault.end(m.logFile)
	if err != nil {
		return err
	}
	r, err := m.vault.open(m.logFile)
	if err != nil {
		return err
	}
	defer r.Close()
	first, in := logFirst(m.logFile), &leafReader{in: r}
	m.leaves, m.logSize = first, e.plain
	var last []byte
	for {
		raw, _, err := in.next()
		if err != nil {
			return err
		}
		if raw == nil {
			break
		}
		last, m.leaves = raw, m.leaves+1
	}
	return m.sameLog(last)
}

var errHistory = domicile.E("backup", domicile.Conflict, "the audit log is not the continuation of what was copied")

// sameLog wants the last leaf that was copied in the log.
func (m *Mirror) sameLog(last []byte) error {
	if m.leaves > m.cfg.Log.Head().Size {
		return errHistory
	}
	if last == nil {
		return nil
	}
	stop := errors.New("seen")
	err := m.cfg.Log.Leaves(m.leaves-1, func(_ uint64, raw []byte) error {
		if !bytes.Equal(raw, last) {
			return errHistory
		}
		return stop
	})
	if err == stop {
		err = nil
	}
	return err
}

// CaughtUp says whether the last round copied all that was new, so that the next one is short.
func (m *Mirror) CaughtUp() bool { return m.caught.Load() }

// Round copies all that is new, and returns when it is durable, or soon after ctx ends. What it leaves, at whatever step it ends, is a state of the node that a crash
// could have left. Unavailable while a set is needed first, since segments are missing: what is there is left as it is until then.
func (m *Mirror) Round(ctx context.Context) error { return m.copyNew(ctx, false) }

func (m *Mirror) copyNew(ctx context.Context, set bool) error {
	const op = "copy into the backup repository"
	m.mu.Lock()
	defer m.mu.Unlock()
	gap := false
	m.tell(func() { gap = m.gap })
	if gap && !set {
		return domicile.E(op, domicile.Unavailable, "it was out of reach for so long that a new set is needed first")
	}
	began := m.cfg.Now()
	err := error(nil)
	if gap {
		err = m.markGap()
	}
	if err == nil {
		err = m.round(ctx)
	}
	if ctx.Err() == nil { // else it is as far behind as it was
		m.caught.Store(err == nil)
		m.ended(began, err)
	}
	return domicile.W(op, err)
}

// patience is how long the store keeps what a repository out of reach has not got. After that a new set is made as soon as it is back.
const patience = time.Hour

// ended notes how a round ended that began then.
func (m *Mirror) ended(began time.Time, err error) {
	m.tell(func() {
		if m.failed = err; err == nil {
			m.last = began
		} else {
			m.failures++
		}
	})
	switch {
	case err == nil:
		m.behind = time.Time{}
	case m.behind.IsZero():
		m.behind = began
	case m.cfg.Now().Sub(m.behind) > patience: // the store's disk must not fill because this one is gone
		m.cfg.Store.Retain(math.MaxUint32)
		m.tell(func() { m.gap = m.newest.Name != "" })
	}
}

// round keeps an order. Leaves come before what they are about, as in the node, for which the store's sizes are taken first; keys after the store, whose
// accounts they must open; files of the queue before the store, which names them.
func (m *Mirror) round(ctx context.Context) error {
	for _, step := range []func() error{m.copyOthers, m.copyFiles} {
		if err := step(); err != nil {
			return err
		}
	}
	segments := m.cfg.Store.Segments()
	if err := m.copyLeaves(); err != nil {
		return err
	}
	for _, s := range segments {
		if err := m.copySegment(s); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	m.cfg.Store.Retain(segments[len(segments)-1].Number)
	return m.copyKeys()
}
