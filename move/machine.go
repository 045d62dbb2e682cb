package move

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/placement"
	"domicile/region"
	"domicile/residence"
	"domicile/store"
)

// Network is the way to other nodes; region.Node fits. See there for the errors.
type Network interface {
	Ask(ctx context.Context, class domicile.EgressClass, to domicile.Region, method string, in, out any) error
	Send(ctx context.Context, p *region.Permit, method string, in any, body []byte, out any) error
}

// Guard gives permits; region.Guard fits.
type Guard interface {
	Permit(ctx context.Context, r region.Request) (*region.Permit, error)
}

// Log is this region's log; audit.Log fits. Append is durable on return.
type Log interface {
	Append(ctx context.Context, e audit.Entry) (audit.Leaf, error)
}

// Config says what a Machine stands on. All of it is needed but what is marked.
type Config struct {
	Region    domicile.Region
	Node      domicile.Node
	Store     store.Store
	Residence *residence.Ledger
	Directory *placement.Directory
	Place     func(domicile.Country) (domicile.Region, error) // by the catalog in force; see placement.Place
	Network   Network
	Guard     Guard
	Log       Log

	// TokenKey returns what makes the tokens of an account's deliveries, which goes with it.
	TokenKey func(a store.Account) ([]byte, error)
	// Quiet ends the sessions of a frozen account, and returns when none is left and no delivery is between its commit and its
	// answer. Safe to repeat.
	Quiet func(ctx context.Context, id domicile.AccountID) error
	// Cosign has another region cosign this region's log as it is, or fails.
	Cosign func(ctx context.Context, by domicile.Region) error
	// Pending reports whether mail from the account waits to be sent: its home does that before it freezes the account, and before it
	// erases it. nil = none ever does.
	Pending func(ctx context.Context, id domicile.AccountID) (bool, error)

	Logger *slog.Logger     // discarded if nil
	Now    func() time.Time // time.Now if nil
}

// Limits.
const (
	firstPause  = 200 * time.Millisecond // before a step is tried again; each time twice as long
	longPause   = 15 * time.Second
	planEvery   = 5 * time.Second // how often the ledger is asked for approved changes, if nobody says that there is one
	atOnce      = 4               // moves out of this region that are driven at a time
	maxIncoming = 256             // accounts that come in at a time

	maxIncomingEach = maxIncoming / 4 // of them from one region, so that none takes the room of the others
	maxEnded        = 256             // moves that one region may offer and cancel within an hour
)

// Machine runs the moves of one region, out and in. Safe for concurrent use; one Machine at a time may write the table.
type Machine struct {
	cfg   Config
	rows  rows
	locks locks // by account: one step at a time that changes who may do what
	order inOrder
	wake  chan struct{}
	slots chan struct{}
	moved atomic.Int64
	pause func(try int) time.Duration

	mu      sync.Mutex
	gone    map[domicile.AccountID]row // guarded by mu: handed over and not erased yet: never served here again
	running map[string]bool            // guarded by mu: rows that somebody works on
}

// Open reads the table. Nothing is served of an account that was handed over from here on.
func Open(cfg Config) (*Machine, error) {
	const op = "open moves"
	if cfg.Region == "" || cfg.Store == nil || cfg.Residence == nil || cfg.Directory == nil || cfg.Place == nil || cfg.Network == nil ||
		cfg.Guard == nil || cfg.Log == nil || cfg.TokenKey == nil || cfg.Quiet == nil || cfg.Cosign == nil {
		return nil, domicile.E(op, domicile.Invalid, "a part is missing in its configuration")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	table, err := cfg.Store.Table("moves")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	m := &Machine{cfg: cfg, rows: rows{table}, wake: make(chan struct{}, 1), slots: make(chan struct{}, atOnce), pause: pause,
		gone: map[domicile.AccountID]row{}, running: map[string]bool{}}
	all, err := m.list()
	for _, r := range all {
		if r.Side == Source && (r.State == HandedOver || r.State == Serving) {
			m.gone[r.Account] = r
		}
	}
	return m, domicile.W(op, err)
}

func pause(try int) time.Duration { return min(firstPause<<min(try, 10), longPause) }

// list returns the rows of moves. The entries of ledgers that rest beside them have keys of their own.
func (m *Machine) list() (out []row, err error) {
	err = m.rows.table.Each(func(key string, raw []byte) error {
		if isHistory(key) {
			return nil
		}
		r, err := decodeRow(raw)
		out = append(out, r)
		return err
	})
	return out, err
}

// Wake has Run look for approved changes at once.
func (m *Machine) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run drives all moves until ctx ends, and returns when nothing of it runs any more.
func (m *Machine) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	tick := time.NewTicker(planEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := m.plan(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Logger.Error("approved changes of residence could not be planned", "error", err)
		}
		all, err := m.list()
		if err != nil && ctx.Err() == nil {
			m.cfg.Logger.Error("the table of moves could not be read", "error", err)
		}
		for _, r := range all {
			if !r.done() && (r.Side == Source || r.State == HandedOver) && m.begin(r.key()) {
				work.Go(func() {
					defer m.end(r.key())
					m.drive(ctx, r.key())
				})
			}
		}
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-tick.C:
		}
	}
}

func (m *Machine) begin(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running[key] {
		return false
	}
	m.running[key] = true
	return true
}

func (m *Machine) end(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.running, key)
}

// drive brings one row to its end, step by step, for as long as that takes.
func (m *Machine) drive(ctx context.Context, key string) {
	for try := 0; ctx.Err() == nil; {
		r, ok, err := m.rows.get(key)
		if err == nil && (!ok || r.done()) {
			return
		}
		if err == nil {
			err = m.step(ctx, r)
		}
		if err == nil {
			try = 0
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errStale) {
			continue
		}
		m.failed(ctx, r, err)
		wait(ctx, m.pause(try))
		try++
	}
}

// step does what a row's state asks for.
func (m *Machine) step(ctx context.Context, r row) error {
	if r.Side == Target {
		_, err := m.serve(ctx, r.ID)
		return err
	}
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return m.stepOut(ctx, r)
}

// failed notes what a try came to. Before the handover a refusal of the target ends the move: trying again would not help.
func (m *Machine) failed(ctx context.Context, r row, err error) {
	code := domicile.KindOf(err).String()
	if reason := domicile.ReasonOf(err); reason != "" {
		code = string(reason)
	}
	m.cfg.Logger.Warn("a step of a move did not succeed", "move", r.ID, "state", string(r.State), "code", code, "error", err)
	unlock, lockErr := m.locks.take(ctx, r.Account)
	if lockErr != nil {
		return
	}
	defer unlock()
	now, ok, getErr := m.rows.get(r.key())
	if getErr != nil || !ok || now.State != r.State {
		return
	}
	if now.Side == Source && now.State.before() && final(err) {
		if err := m.cancel(ctx, now, string(m.cfg.Node)); err != nil {
			m.cfg.Logger.Error("a move could not be cancelled", "move", r.ID, "error", err)
		}
		return
	}
	if now.Tried != code {
		now.Tried = code
		if err := m.rows.put(now); err != nil {
			m.cfg.Logger.Error("a move could not be written down", "move", r.ID, "error", err)
		}
	}
}

// errStale says that a row has left the state that a step was for; the next look finds what to do.
var errStale = errors.New("the move went on meanwhile")

// final says whether an error is an answer and not a failure. That the handover has been is none before the handover: this region has
// then forgotten it, since its folder is an older copy, and must not serve the account again.
func final(err error) bool {
	if domicile.ReasonOf(err) == domicile.MovePastHandover {
		return false
	}
	switch domicile.KindOf(err) {
	case domicile.Refused, domicile.Invalid, domicile.Exist, domicile.TooLarge:
		return true
	}
	return false
}

// actor is the machine, in the ledger's words. It acts on what persons approved.
func (m *Machine) actor() residence.Actor {
	return residence.Actor{Name: string(m.cfg.Node), Region: m.cfg.Region}
}

// HandedOver reports whether an account that still lies in this region's store was handed over, and to whom: nothing of it may be served here.
func (m *Machine) HandedOver(id domicile.AccountID) (to domicile.Region, epoch uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.gone[id]
	return r.To, r.Epoch, ok
}

// Moved is how many bytes of bodies the next homes of accounts have taken since this process began.
func (m *Machine) Moved() int64 { return m.moved.Load() }

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// locks are taken by account.
type locks struct {
	mu   sync.Mutex
	held map[domicile.AccountID]chan struct{} // guarded by mu; closed when let go
}

// take waits for the account's lock or for ctx to end.
func (l *locks) take(ctx context.Context, id domicile.AccountID) (unlock func(), err error) {
	for {
		l.mu.Lock()
		other, taken := l.held[id]
		if !taken {
			if l.held == nil {
				l.held = map[domicile.AccountID]chan struct{}{}
			}
			mine := make(chan struct{})
			l.held[id] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, id)
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, domicile.E("move", domicile.Unavailable, "another step of the account's move is under way")
		}
	}
}
