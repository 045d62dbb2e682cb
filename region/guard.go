package region

import (
	"context"
	"sync"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/placement"
)

// Guard is the one door. Safe for concurrent use.
type Guard struct {
	region   domicile.Region
	log      leafLog
	journal  *Journal
	now      func() time.Time
	interval time.Duration
	count    func(domicile.EgressClass, error)
	stop     chan struct{}
	ended    chan struct{}

	mu       sync.Mutex
	closed   bool                    // guarded by mu
	live     map[*permit]struct{}    // guarded by mu: given and not closed
	standing map[standingKey]*permit // guarded by mu
	refused  map[standingKey]refusal // guarded by mu: what standing permits were refused lately
	burst    refusals                // guarded by mu
	opening  sync.Mutex              // one standing permit is opened at a time, so that none is opened twice
}

// leafLog is what the guard needs of audit.Log. Append returns when the leaf is on disk.
type leafLog interface {
	Append(ctx context.Context, e audit.Entry) (audit.Leaf, error)
}

// GuardConfig says what a Guard stands on.
type GuardConfig struct {
	Region   domicile.Region
	Log      *audit.Log
	Journal  *Journal
	Now      func() time.Time // nil = time.Now
	Interval time.Duration    // between commitments of the journal to the log; 0 = 15 minutes

	// Count, if not nil, is told of every permit that was asked for: its class, and nil or why there was none. It must be
	// quick and safe for concurrent use. The class is the asker's word.
	Count func(class domicile.EgressClass, err error)
}

const (
	permitLife      = 5 * time.Minute // an unused permit dies
	maxLivePermits  = 1 << 16
	refusalMemory   = time.Minute // how long a refused standing permit is not asked for again
	refusalsASecond = 50          // written one by one; more are counted
)

// NewGuard returns a guard that commits its journal to its log every interval until Close.
func NewGuard(cfg GuardConfig) (*Guard, error) {
	if cfg.Log == nil {
		return nil, domicile.E("guard", domicile.Invalid, "a log is needed")
	}
	return newGuard(cfg, cfg.Log)
}

func newGuard(cfg GuardConfig, log leafLog) (*Guard, error) {
	if _, err := domicile.ParseRegion(string(cfg.Region)); err != nil || cfg.Journal == nil {
		return nil, domicile.E("guard", domicile.Invalid, "a region and a journal are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 15 * time.Minute
	}
	if cfg.Count == nil {
		cfg.Count = func(domicile.EgressClass, error) {}
	}
	g := &Guard{region: cfg.Region, count: cfg.Count, log: log, journal: cfg.Journal, now: cfg.Now, interval: cfg.Interval,
		stop: make(chan struct{}), ended: make(chan struct{}), live: map[*permit]struct{}{},
		standing: map[standingKey]*permit{}, refused: map[standingKey]refusal{}}
	go g.run()
	return g, nil
}

// Request is a Crossing, and for a sealed permit the digest of the bytes (Ceiling is then their exact size).
// From may be left empty: it is the guard's region, and nothing else is accepted.
type Request struct {
	placement.Crossing
	Digest [32]byte
}

// Permit asks placement.Decide, writes the answer down durably (a record of the journal and, where the table says so, a
// leaf of the log), and only then returns. A refusal is an error of Kind Refused and is written down too. If writing
// fails the answer is no: Kind Unavailable, reason JournalUnavailable.
//
// Close the permit when it is not needed any more; one that is unused for five minutes dies.
func (g *Guard) Permit(ctx context.Context, r Request) (given *Permit, err error) {
	const op = "ask for a permit"
	defer func() { g.count(r.Class, err) }()
	if err := ctx.Err(); err != nil {
		return nil, domicile.E(op, domicile.Unavailable, err.Error())
	}
	if r.From == "" {
		r.From = g.region
	}
	d := placement.Decide(r.Crossing)
	if r.From != g.region {
		d = placement.Decision{Reason: domicile.WrongRegion, Rule: "egress: a guard lets out the bytes of its own region only"}
	}
	p := &permit{guard: g, id: domicile.NewID("p"), req: r, rule: d.Rule, made: g.now()}
	if !d.Allow {
		if d.Reason == "" {
			d.Reason = domicile.EgressNotAllowed
		}
		if err := g.writeRefusal(ctx, p, d); err != nil {
			return nil, unwritten(op, err)
		}
		return nil, domicile.Refuse(op, d.Reason, d.Rule, "bytes of class "+string(r.Class)+" may not go there")
	}
	if err := g.admit(p); err != nil {
		return nil, err
	}
	if err := g.writeOpen(ctx, p, d); err != nil {
		g.forget(p)
		return nil, unwritten(op, err)
	}
	return &Permit{p}, nil
}

// Refuse writes down, as it does its own refusals, that the bytes of r may not leave for a reason of the layer above, which only that
// one can know, and returns the refusal. If it cannot be written down: Unavailable, reason JournalUnavailable.
func (g *Guard) Refuse(ctx context.Context, r Request, reason domicile.Reason, rule, detail string) (err error) {
	const op = "refuse a crossing"
	defer func() { g.count(r.Class, err) }()
	if r.From == "" {
		r.From = g.region
	}
	p := &permit{guard: g, id: domicile.NewID("p"), req: r, rule: rule, made: g.now()}
	if err := g.writeRefusal(ctx, p, placement.Decision{Reason: reason, Rule: rule}); err != nil {
		return unwritten(op, err)
	}
	return domicile.Refuse(op, reason, rule, detail)
}

// admit counts p in.
func (g *Guard) admit(p *permit) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || len(g.live) >= maxLivePermits {
		return domicile.E("ask for a permit", domicile.Unavailable, "the guard is closed, or too many permits are open")
	}
	g.live[p] = struct{}{}
	return nil
}

func (g *Guard) forget(p *permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.live, p)
}

func (g *Guard) writeOpen(ctx context.Context, p *permit, d placement.Decision) error {
	if d.Leaf {
		if err := g.leaf(ctx, "crossing.allowed", p, d); err != nil {
			return err
		}
	}
	return g.journal.write(p.record(recOpen))
}

func (g *Guard) writeRefusal(ctx context.Context, p *permit, d placement.Decision) error {
	if d.Leaf {
		if err := g.leaf(ctx, "crossing.refused", p, d); err != nil {
			return err
		}
	}
	if !g.burst.one(g) {
		return nil // counted; the total is written with the interval
	}
	r := p.record(recRefused)
	r.Reason = d.Reason
	return g.journal.write(r)
}

func (g *Guard) leaf(ctx context.Context, kind string, p *permit, d placement.Decision) error {
	c := p.req.Crossing
	e := audit.Entry{Kind: kind, Reason: d.Reason, Case: c.Case, Public: map[string]string{
		"class": string(c.Class), "kind": c.Kind.String(), "party": string(c.Party), "to": string(c.To), "rule": d.Rule,
	}, Private: map[string]string{"permit": p.id}}
	if c.Account != "" {
		e.Private["account"] = string(c.Account)
	}
	_, err := g.log.Append(ctx, e)
	return err
}

// refusals bounds what strangers can make the guard write.
type refusals struct {
	second  int64
	written int
	counted int64
}

// one reports whether one more refusal may have a record of its own.
func (b *refusals) one(g *Guard) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.now().Unix(); s != b.second {
		b.second, b.written = s, 0
	}
	if b.written < refusalsASecond {
		b.written++
		return true
	}
	b.counted++
	return false
}

// run does the work of each interval, and buries permits that nobody used.
func (g *Guard) run() {
	defer close(g.ended)
	every := time.NewTicker(g.interval)
	defer every.Stop()
	bury := time.NewTicker(permitLife / 5)
	defer bury.Stop()
	for {
		select {
		case <-g.stop:
			return
		case <-every.C:
			// A failure here is not lost: the journal is then broken, and every permit is refused until it is whole again; or the log
			// failed, and the next interval's commitment covers this one too.
			g.totals()
			g.journal.Commit(context.Background(), g.log)
		case <-bury.C:
			g.bury()
		}
	}
}

// bury closes permits that died unused.
func (g *Guard) bury() {
	now := g.now()
	g.mu.Lock()
	var dead []*permit
	for p := range g.live {
		if p.req.Kind != placement.Standing && p.state.Load() == permitFresh && now.Sub(p.made) > permitLife {
			dead = append(dead, p)
		}
	}
	g.mu.Unlock()
	for _, p := range dead {
		p.close()
	}
}

// totals writes what the standing permits carried, and the refusals that had no record of their own.
func (g *Guard) totals() {
	g.mu.Lock()
	var list []*permit
	for p := range g.live {
		if p.req.Kind == placement.Standing {
			list = append(list, p)
		}
	}
	n := g.burst.counted
	g.burst.counted = 0
	g.mu.Unlock()
	for _, p := range list {
		if r, changed := p.total(); changed || g.journal.pinsOldFile(p.id) {
			g.journal.enqueue(r, nil)
		}
	}
	if n > 0 {
		g.journal.enqueue(Record{Type: recRefused, Count: n}, nil)
	}
}

// Close ends every permit, writes the last totals and commits the journal to the log. Close the journal after it, then the log.
func (g *Guard) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.mu.Unlock()
	close(g.stop)
	<-g.ended
	g.totals()
	g.mu.Lock()
	var left []*permit
	for p := range g.live {
		left = append(left, p)
	}
	g.mu.Unlock()
	for _, p := range left {
		p.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return g.journal.Commit(ctx, g.log)
}

func unwritten(op string, cause error) error {
	return &domicile.Error{Op: op, Kind: domicile.Unavailable, Reason: domicile.JournalUnavailable, Rule: "egress: written down first",
		Detail: "the decision could not be written down, so the answer is no; free space or repair the disk; permits are given again as soon as it can be written", Err: cause}
}
