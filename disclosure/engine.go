package disclosure

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// Notifier tells the storing region of an order served elsewhere. region.Node fits.
type Notifier interface {
	Ask(ctx context.Context, class domicile.EgressClass, to domicile.Region, method string, in, out any) error
	Handle(method string, class domicile.EgressClass, maxReply int64, h region.Handler)
}

// Config says what an Engine stands on.
type Config struct {
	Region   domicile.Region
	Node     domicile.Node
	Lab      bool // file: status lists allowed
	Catalog  func() *region.Catalog
	Store    store.Store
	Log      *audit.Log
	Guard    *region.Guard
	Notifier Notifier
	Resolve  func(ctx context.Context, a domicile.Address) (placement.Location, error)
	Cosign   func(ctx context.Context) (int, error) // asks the cosigners now
	Box      *keys.Box                              // seals the files of cases at rest
	Dir      string                                 // made if absent; files of cases, and productions sealed to their authority, wait here
	Registry string                                 // authority registry file
	Bundles  []string                               // in force beside house rules
	Now      func() time.Time                       // nil = time.Now

	// Freeze, if set, stops residence and placement of an account from changing while a case is open. It is called at
	// preservation, may be called again for the same case, and a failure of it stops the case there.
	Freeze func(ctx context.Context, account domicile.AccountID, caseID string) error
	// Protected, if set, says whether an account is flagged as a protected person's (press, privilege, public
	// authority, minor): then nothing is executed without two legal officers.
	Protected func(ctx context.Context, account domicile.AccountID) (bool, error)
	// Clock, if set, refuses (ClockUnsure) while Now cannot be relied on: then no order is decided, collected or released. It may
	// take some seconds.
	Clock  func(ctx context.Context) error
	Logger *slog.Logger // nil = slog.Default
}

// ledger is what the engine needs of audit.Log.
type ledger interface {
	Append(ctx context.Context, e audit.Entry) (audit.Leaf, error)
	Spend(ctx context.Context, s audit.Spend, e audit.Entry) (audit.Leaf, error)
	Spent(s audit.Spend) (audit.Leaf, bool, error)
	Receipt(index uint64, reveal bool) ([]byte, error)
	Leaves(first uint64, fn func(index uint64, raw []byte) error) error
	Head() audit.Head
}

// door is what the engine needs of region.Guard.
type door interface {
	Permit(ctx context.Context, r region.Request) (*region.Permit, error)
	Send(p *region.Permit, w io.Writer, body io.ReadSeeker) error
}

// sealer is what the engine needs of keys.Box.
type sealer interface {
	Seal(plaintext, associated []byte) ([]byte, error)
	Open(sealed, associated []byte) ([]byte, error)
}

// parts are the engine's neighbours, as tests may replace them.
type parts struct {
	log    ledger
	guard  door
	box    sealer
	verify func(receipt []byte, pins audit.Pins) error
	retry  time.Duration // between tries of what is to go on by itself
}

// retryAfter is how long what did not succeed behind the scenes rests before it is tried again.
const retryAfter = 10 * time.Second

// Engine runs a region's cases. Safe for concurrent use.
type Engine struct {
	cfg   Config
	parts parts
	law   *law
	reg   *registry
	all   map[string]*bundle
	set   *policySet // in force
	cases store.Table
	log   *slog.Logger

	mu      sync.Mutex               // held while a case changes its state
	stopped map[string]bool          // guarded by mu: cases of which nothing may leave now (stayed or withdrawn)
	busy    map[string]chan struct{} // guarded by mu: cases being collected; closed when that ends
	todo    map[string]bool          // guarded by mu: cases that are to go on by themselves: cut short, or to be told to another region

	quit context.CancelFunc
	done chan struct{}
}

// Open loads registry, bundles and cases, finishes the steps and collections that were under way, and registers the RPC
// by which other regions tell of orders. A bundle that has ended, or that does not exist, is Invalid.
func Open(cfg Config) (*Engine, error) {
	if cfg.Log == nil || cfg.Guard == nil || cfg.Box == nil {
		return nil, domicile.E("open the disclosure engine", domicile.Invalid, "Log, Guard and Box are needed")
	}
	return open(cfg, parts{log: cfg.Log, guard: cfg.Guard, box: cfg.Box, retry: retryAfter,
		verify: func(receipt []byte, pins audit.Pins) error { _, err := audit.VerifyReceipt(receipt, pins); return err }})
}

func open(cfg Config, p parts) (*Engine, error) {
	const op = "open the disclosure engine"
	if cfg.Catalog == nil || cfg.Store == nil || cfg.Notifier == nil || cfg.Resolve == nil || cfg.Cosign == nil || cfg.Dir == "" {
		return nil, domicile.E(op, domicile.Invalid, "Catalog, Store, Notifier, Resolve, Cosign and Dir are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Clock == nil {
		cfg.Clock = func(context.Context) error { return nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	e := &Engine{cfg: cfg, parts: p, log: cfg.Logger, stopped: map[string]bool{}, busy: map[string]chan struct{}{}, todo: map[string]bool{},
		done: make(chan struct{})}
	if err := e.load(); err != nil {
		return nil, domicile.W(op, err)
	}
	ctx, quit := context.WithCancel(context.Background())
	e.quit = quit
	if err := e.resume(ctx); err != nil {
		quit()
		return nil, domicile.W(op, err)
	}
	cfg.Notifier.Handle(methodTold, domicile.OrderNotice, 4096, e.told)
	go e.work(ctx)
	return e, nil
}

// load reads everything that Open needs.
func (e *Engine) load() (err error) {
	if err = errors.Join(os.MkdirAll(e.cfg.Dir, 0o700), syncDir(filepath.Dir(e.cfg.Dir))); err != nil {
		return err
	}
	if e.law, err = loadLaw(); err != nil {
		return err
	}
	if e.reg, err = loadRegistry(e.cfg.Registry); err != nil {
		return err
	}
	if e.all, e.set, err = adopt(e.cfg.Bundles, e.cfg.Now()); err != nil {
		return err
	}
	lists, err := e.cfg.Store.Table("status_lists")
	if err != nil {
		return err
	}
	e.reg.lists = &listMemory{table: lists}
	e.cases, err = e.cfg.Store.Table("cases")
	return err
}

// adopt returns all bundles, and those of these names, none of which may have ended.
func adopt(names []string, now time.Time) (all map[string]*bundle, set *policySet, err error) {
	if all, err = loadBundles(); err != nil {
		return nil, nil, err
	}
	if set, err = choose(all, names); err != nil {
		return nil, nil, err
	}
	if name := set.ended(now); name != "" {
		return nil, nil, domicile.E("adopt bundles", domicile.Invalid, "the bundle "+name+" has ended: it can be asked by explain, but not be in force")
	}
	return all, set, nil
}

// CheckBundles and CheckRegistry say what Open would of the names of bundles, and of the file of authorities.
func CheckBundles(names []string, now time.Time) error {
	_, _, err := adopt(names, now)
	return err
}

func CheckRegistry(path string) error {
	_, err := loadRegistry(path)
	return err
}

// Close stops the work behind the scenes and waits for it. Cases stay as they are and go on at the next Open.
func (e *Engine) Close() error {
	e.quit()
	<-e.done
	return nil
}

// work takes cases on that have something to do by themselves, now and then, and finishes collections that a crash cut.
func (e *Engine) work(ctx context.Context) {
	defer close(e.done)
	e.finishCollections(ctx)
	tick := time.NewTicker(e.parts.retry)
	defer tick.Stop()
	for {
		e.goOnAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// goOnAll takes each of them one try further.
func (e *Engine) goOnAll(ctx context.Context) {
	e.mu.Lock()
	ids := slices.Sorted(maps.Keys(e.todo))
	e.mu.Unlock()
	for _, id := range ids {
		if ctx.Err() != nil {
			return
		}
		if err := e.goOn(ctx, id); err != nil {
			e.log.Info("a case could not go on yet", "case", id, "kind", domicile.KindOf(err).String())
		}
	}
}

// goOn finishes a case's step, takes it to its decision and tells the storing region, as far as each is still to be done.
func (e *Engine) goOn(ctx context.Context, id string) error {
	c, err := e.advanceCase(ctx, id, e.cfg.Clock(ctx))
	if err != nil {
		return err
	}
	if c.Notice != nil && !c.Notice.Told {
		if err := e.tell(ctx, c); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.todo, id)
	return nil
}

func (e *Engine) advanceCase(ctx context.Context, id string, unsure error) (*caseRecord, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.take(ctx, id)
	if err != nil {
		return nil, err
	}
	return c, e.advance(ctx, c, unsure)
}

// Bundles lists the bundles that exist, by name, with hash and whether they are in force.
func (e *Engine) Bundles() []BundleInfo {
	var out []BundleInfo
	for _, name := range slices.Sorted(maps.Keys(e.all)) {
		info := e.all[name].BundleInfo
		info.InForce = slices.Contains(e.set.names, name)
		out = append(out, info)
	}
	return out
}

// Authorities lists the registry, in the order of its file.
func (e *Engine) Authorities() []Authority { return e.reg.list() }

// checker looks at orders as of now.
func (e *Engine) checker() *checker {
	return &checker{law: e.law, reg: e.reg, catalog: e.cfg.Catalog(), region: e.cfg.Region, lab: e.cfg.Lab, now: e.cfg.Now()}
}

// officer admits a legal officer of this region and returns the name under which acts are recorded.
func (e *Engine) officer(who region.Peer) (string, error) { return e.admit(who, "legal") }

// reader admits a legal officer or an auditor of this region.
func (e *Engine) reader(who region.Peer) error {
	_, err := e.admit(who, "legal", "auditor")
	return err
}

func (e *Engine) admit(who region.Peer, roles ...string) (string, error) {
	const op = "act on an order"
	switch {
	case who.Operator == "" || !slices.ContainsFunc(roles, who.HasRole):
		return "", domicile.Refuse(op, domicile.WrongRole, roleOfficer, "this needs an operator with the role "+roles[0])
	case who.Region != e.cfg.Region:
		return "", domicile.Refuse(op, domicile.WrongRegion, roleOfficer, "orders are handled by officers of the region at which they are presented")
	}
	return who.Operator, nil
}
