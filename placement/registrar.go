package placement

import (
	"context"
	"errors"
	"sync"
	"time"

	"domicile"
)

// DefaultQuarantine is how long a name that was given up rests before another account may have it. Readers
// remember what they saw of a name for as long.
const DefaultQuarantine = 180 * 24 * time.Hour

// What Record is told.
const (
	NameClaimed  = "name.claimed"
	NameReleased = "name.released"
)

// RegistrarConfig says what a Registrar stands on. Record is called, before an answer, for every claim and release that
// changes something (a leaf of the audit log); if it fails, nothing is done. After a crash it may be called again for
// the same change.
type RegistrarConfig struct {
	Region     domicile.Region
	Trust      Trust
	Table      Table
	Record     func(ctx context.Context, what string, o Ownership) error
	Quarantine time.Duration // 0 = DefaultQuarantine
	Now        func() time.Time
}

// Registrar keeps the names of the domains whose registrar this region is. Safe for concurrent use; one Registrar
// at a time may change a table.
type Registrar struct {
	cfg RegistrarConfig
	mu  sync.Mutex // one change at a time, so that a leaf's order is that of the changes
}

// NewRegistrar finishes what a crash left under way and is then ready. It fails if that cannot be recorded.
func NewRegistrar(cfg RegistrarConfig) (*Registrar, error) {
	if !isRegion(cfg.Region) || cfg.Trust == nil || cfg.Table == nil || cfg.Record == nil || cfg.Quarantine < 0 {
		return nil, domicile.E("registrar", domicile.Invalid, "needs a region, trust, a table and a record function")
	}
	if cfg.Quarantine == 0 {
		cfg.Quarantine = DefaultQuarantine
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Registrar{cfg: cfg}
	return r, r.recover()
}

func (r *Registrar) recover() error {
	var pending []NameDigest
	err := r.cfg.Table.Each(func(key string, value []byte) error {
		row, err := decodeRow(value)
		if err != nil {
			return err
		}
		if row.Next != nil {
			pending = append(pending, row.Next.Record.Name)
		}
		return nil
	})
	for _, name := range pending {
		err = errors.Join(err, r.settle(context.Background(), name))
	}
	return domicile.W("registrar: finish what was under way", err)
}

// settle finishes a change of one name that is under way.
func (r *Registrar) settle(ctx context.Context, name NameDigest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.settled(ctx, name)
	return err
}

// Lookup answers for a name. NotExist is this registrar's word. Refused DomainNotServed, or WrongRegion if another
// region is the domain's registrar.
func (r *Registrar) Lookup(ctx context.Context, name NameDigest, domain string) (Ownership, error) {
	if err := r.responsible(domain); err != nil {
		return Ownership{}, err
	}
	row, err := r.read(name)
	if err == nil && row.Next != nil { // wait for whoever is at it, or finish it
		if err = r.settle(ctx, name); err == nil {
			row, err = r.read(name)
		}
	}
	if err != nil {
		return Ownership{}, domicile.W("lookup", err)
	}
	if row.State != stateClaimed || row.Record.Domain != domain {
		return Ownership{}, domicile.E("lookup", domicile.NotExist, "the registrar knows no such name")
	}
	return row.Record, nil
}

// Claim records o, asked by region from (of its certificate), which must be o.Home. It is durable and recorded when
// nil is returned, and idempotent: a second claim by the same account at the same home and epoch changes nothing.
// A later epoch of the same account replaces the record if the home before signed it.
//
// Refused: WrongRegion, DomainNotServed, OwnershipUnverified, and NameTaken if the name belongs to another account or
// rests in quarantine. Unavailable: it could not be recorded, nothing was done. Unknown: the table failed half-way, and
// the claim is finished at the next touch of the name or the next start.
func (r *Registrar) Claim(ctx context.Context, from domicile.Region, o Ownership) error {
	if err := r.check(from, &o); err != nil {
		return domicile.W("claim", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	row, err := r.settled(ctx, o.Name)
	if err != nil {
		return domicile.W("claim", err)
	}
	if row.State == stateNone || row.Record.Account != o.Account {
		if row.State == stateClaimed || row.State == stateReleased && r.cfg.Now().Before(row.Since.Add(r.cfg.Quarantine)) {
			return domicile.Refuse("claim", domicile.NameTaken, "house/one-owner-a-name",
				"the name is claimed by another account, or rests in quarantine since it was given up")
		}
		err = o.Verify(r.cfg.Trust, nil)
	} else {
		err = o.Verify(r.cfg.Trust, &row.Record)
		if err == nil && o.Epoch > row.Record.Epoch+1 {
			err = unverified("an epoch is missing between it and the one on record")
		}
	}
	if err != nil {
		return domicile.W("claim", err)
	}
	if row.State == stateClaimed && row.Record.Epoch == o.Epoch {
		return nil
	}
	return domicile.W("claim", r.change(ctx, row, nameRow{State: stateClaimed, Record: o, Since: r.cfg.Now()}))
}

// Release ends a claim; the name then rests in quarantine. Only the home of the account that has it may, in the
// epoch on record. Idempotent. NotExist if the name was never claimed; otherwise it fails as Claim does.
func (r *Registrar) Release(ctx context.Context, from domicile.Region, o Ownership) error {
	if err := r.check(from, &o); err != nil {
		return domicile.W("release", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	row, err := r.settled(ctx, o.Name)
	switch {
	case err != nil:
	case row.State == stateNone:
		err = domicile.E("", domicile.NotExist, "the registrar knows no such name")
	case row.Record.Account != o.Account:
		err = domicile.Refuse("", domicile.NameTaken, "house/one-owner-a-name", "the name belongs to another account")
	case row.Record.Epoch != o.Epoch:
		err = unverified("it is not of the epoch on record")
	default:
		err = o.Verify(r.cfg.Trust, &row.Record)
	}
	if err != nil || row.State == stateReleased {
		return domicile.W("release", err)
	}
	return domicile.W("release", r.change(ctx, row, nameRow{State: stateReleased, Record: row.Record, Since: r.cfg.Now()}))
}

// check is what can be said of a request without the table.
func (r *Registrar) check(from domicile.Region, o *Ownership) error {
	if from == "" || from != o.Home {
		return domicile.Refuse("", domicile.WrongRegion, "house/own-names-only", "a region claims and releases names for itself only")
	}
	return r.responsible(o.Domain)
}

func (r *Registrar) responsible(domain string) error {
	registrar, ok := r.cfg.Trust.Registrar(domain)
	if !ok {
		return domicile.Refuse("", domicile.DomainNotServed, "house/catalog-domains", "the domain is not in the catalog")
	}
	if registrar != r.cfg.Region {
		return domicile.Refuse("", domicile.WrongRegion, "house/one-registrar", "the registrar of this domain is "+string(registrar))
	}
	return nil
}
