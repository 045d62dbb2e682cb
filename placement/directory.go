package placement

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"

	"domicile"
)

// Location is where an address lives.
type Location struct {
	Account domicile.AccountID
	Home    domicile.Region
	Epoch   uint64
	Stale   bool // from the cache, past its life, because the registrar is out of reach
}

// Remote asks another region's registrar. region.Node fits. Errors: NotExist on the registrar's word, Unavailable.
type Remote interface {
	LookupName(ctx context.Context, registrar domicile.Region, name NameDigest, domain string) (Ownership, error)
	ClaimName(ctx context.Context, registrar domicile.Region, o Ownership) error
	ReleaseName(ctx context.Context, registrar domicile.Region, o Ownership) error
}

// DirectoryConfig says what a Directory stands on.
type DirectoryConfig struct {
	Region    domicile.Region
	Digester  *Digester
	Trust     Trust
	Remote    Remote
	Registrar *Registrar // this region's own, for domains whose registrar it is; nil on a node that does not keep it
	Signer    Signer
	// Local finds this region's own accounts; NotExist if there is none. It is nil on a node without the region's store.
	Local func(ctx context.Context, a domicile.Address) (id domicile.AccountID, epoch uint64, err error)
	// Nearby does so where Local is nil, by asking the node that has the store. While that is out of reach, the registrar's
	// word counts for them too.
	Nearby             func(ctx context.Context, a domicile.Address) (id domicile.AccountID, epoch uint64, err error)
	Now                func() time.Time
	Fresh, UsableStale time.Duration // 0 = 1 minute, 24 hours
	CacheSize          int           // names remembered; 0 = 65536
}

// Directory finds accounts. Safe for concurrent use.
type Directory struct {
	cfg    DirectoryConfig
	cache  *cache
	flight singleflight.Group // one question at a time for each name
}

// askTime bounds one question to a registrar, whoever waits for it.
const askTime = 10 * time.Second

// NewDirectory checks cfg and sets its defaults.
func NewDirectory(cfg DirectoryConfig) (*Directory, error) {
	if !isRegion(cfg.Region) || cfg.Digester == nil || cfg.Trust == nil || cfg.Remote == nil || cfg.Signer == nil {
		return nil, domicile.E("directory", domicile.Invalid, "needs a region, digester, trust, remote and signer")
	}
	if cfg.Fresh < 0 || cfg.UsableStale < 0 || cfg.CacheSize < 0 {
		return nil, domicile.E("directory", domicile.Invalid, "lives and sizes must not be negative")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Fresh == 0 {
		cfg.Fresh = time.Minute
	}
	if cfg.UsableStale == 0 {
		cfg.UsableStale = 24 * time.Hour
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = 65536
	}
	return &Directory{cfg: cfg, cache: newCache(cfg.CacheSize)}, nil
}

// Resolve finds the home of an address. A home region answers for its own accounts without asking anyone.
// Refused DomainNotServed for a domain outside the catalog; NotExist only on the registrar's word (or the home's own);
// Unavailable when it cannot be known now; Refused OwnershipUnverified for a record whose signatures fail.
func (d *Directory) Resolve(ctx context.Context, a domicile.Address) (Location, error) {
	registrar, err := d.registrarOf(a)
	if err != nil {
		return Location{}, err
	}
	id, epoch, err := d.own(ctx, a)
	if err == nil {
		return Location{Account: id, Home: d.cfg.Region, Epoch: epoch}, nil
	}
	missing := domicile.KindOf(err) == domicile.NotExist
	if !missing && d.cfg.Local != nil {
		return Location{}, unavailable("this region's own accounts cannot be read now", err)
	}
	loc, err := d.lookup(ctx, registrar, d.cfg.Digester.Digest(a), a.Domain())
	if err == nil && missing && loc.Home == d.cfg.Region {
		// The name is claimed for this region but there is no account yet, or no more: two that must
		// know disagree, and mail is not bounced on that.
		return Location{}, unavailable("the registrar names this region, which has no such account now", nil)
	}
	return loc, domicile.W("resolve", err)
}

// own finds an account of this region, here or at the node that has the store; NotExist only on that node's word.
func (d *Directory) own(ctx context.Context, a domicile.Address) (domicile.AccountID, uint64, error) {
	switch {
	case d.cfg.Local != nil:
		return d.cfg.Local(ctx, a)
	case d.cfg.Nearby != nil:
		return d.cfg.Nearby(ctx, a)
	}
	return "", 0, domicile.E("resolve", domicile.Unavailable, "this node knows no account of its region")
}

// keeps reports whether this node is the registrar's own, and so needs neither to ask nor to remember.
func (d *Directory) keeps(registrar domicile.Region) bool {
	return registrar == d.cfg.Region && d.cfg.Registrar != nil
}

func (d *Directory) registrarOf(a domicile.Address) (domicile.Region, error) {
	registrar, ok := d.cfg.Trust.Registrar(a.Domain())
	if !ok {
		return "", domicile.Refuse("resolve", domicile.DomainNotServed, "house/catalog-domains", "the domain is not in the catalog")
	}
	return registrar, nil
}

func (d *Directory) lookup(ctx context.Context, registrar domicile.Region, name NameDigest, domain string) (Location, error) {
	if !d.keeps(registrar) {
		if loc, known, err := d.cache.fresh(name, d.cfg.Now(), d.cfg.Fresh); known {
			return loc, err
		}
	}
	// The question outlives whoever asked first: others may wait for the same answer.
	answer := d.flight.DoChan(name.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		return d.ask(ctx, registrar, name, domain)
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			return Location{}, r.Err
		}
		return r.Val.(Location), nil
	case <-ctx.Done():
		return Location{}, unavailable("the registrar has not answered in time", ctx.Err())
	}
}

// ask asks the registrar, checks what it says against what is known, and remembers it.
func (d *Directory) ask(ctx context.Context, registrar domicile.Region, name NameDigest, domain string) (Location, error) {
	asked := d.cfg.Now() // a life counts from the question: the answer may be older than its arrival
	o, err := d.lookupAt(ctx, registrar, name, domain)
	if domicile.KindOf(err) == domicile.NotExist {
		d.cache.gone(name, asked)
		return Location{}, err
	}
	if err != nil { // a refusal too: it says something of the way there, nothing of the name
		if loc, ok := d.cache.stale(name, d.cfg.Now(), d.cfg.UsableStale); ok {
			return loc, nil
		}
		return Location{}, unavailable("the registrar of the domain is out of reach", err)
	}
	if o.Name != name || o.Domain != domain {
		return Location{}, unverified("it is of another name than was asked for")
	}
	if err := o.Verify(d.cfg.Trust, d.cache.seen(name, asked)); err != nil {
		return Location{}, err
	}
	d.cache.put(o, asked)
	return location(o), nil
}

func (d *Directory) lookupAt(ctx context.Context, registrar domicile.Region, name NameDigest, domain string) (Ownership, error) {
	if d.keeps(registrar) {
		return d.cfg.Registrar.Lookup(ctx, name, domain)
	}
	return d.cfg.Remote.LookupName(ctx, registrar, name, domain)
}

// Claim takes a name for an account of this region at the domain's registrar: idempotent for the same account.
// Refused NameTaken, DomainNotServed; Unavailable.
func (d *Directory) Claim(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64) error {
	return domicile.W("claim", d.tell(ctx, a, id, epoch, (*Registrar).Claim, d.cfg.Remote.ClaimName))
}

// Release gives a name up; it rests in quarantine at the registrar. Idempotent.
func (d *Directory) Release(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64) error {
	return domicile.W("release", d.tell(ctx, a, id, epoch, (*Registrar).Release, d.cfg.Remote.ReleaseName))
}

// tell signs an ownership record of this region and hands it to the registrar, own or remote.
func (d *Directory) tell(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64,
	own func(*Registrar, context.Context, domicile.Region, Ownership) error,
	remote func(context.Context, domicile.Region, Ownership) error) error {
	registrar, err := d.registrarOf(a)
	if err != nil {
		return err
	}
	o := Ownership{Name: d.cfg.Digester.Digest(a), Domain: a.Domain(), Account: id, Home: d.cfg.Region, Epoch: epoch, Issued: d.cfg.Now().UTC()}
	sig, err := d.cfg.Signer.Sign(o.Message())
	if err != nil {
		return unavailable("the ownership record cannot be signed", err)
	}
	o.Signatures = []OwnershipSignature{{Region: d.cfg.Region, Signature: sig}}
	defer d.cache.expire(o.Name) // whatever came of it, the next question is asked anew
	if d.keeps(registrar) {
		return own(d.cfg.Registrar, ctx, d.cfg.Region, o)
	}
	return remote(ctx, registrar, o)
}

func location(o Ownership) Location {
	return Location{Account: o.Account, Home: o.Home, Epoch: o.Epoch}
}

// unavailable says that nothing is known now. A reason inside the cause is kept as text only: a refused question is no
// answer about the name, and callers branch on reasons.
func unavailable(detail string, cause error) error {
	if domicile.ReasonOf(cause) != "" {
		cause = errors.New(cause.Error())
	}
	return &domicile.Error{Op: "resolve", Kind: domicile.Unavailable, Detail: detail, Err: cause}
}
