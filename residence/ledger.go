package residence

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"domicile"
)

// Table is a durable map of small records; store.Table fits. See there for the contract.
type Table interface {
	Get(key string) (value []byte, ok bool, err error)
	Put(key string, value []byte) error
	CompareAndSwap(key string, old, new []byte) (swapped bool, err error)
	Each(fn func(key string, value []byte) error) error
}

// Config says what a Ledger stands on.
type Config struct {
	Region domicile.Region
	Table  Table
	// Record writes a leaf of the audit log, durable on return. It is called for every entry before the entry becomes
	// true; if it fails, nothing is done. After a crash it may be called again for the same entry. The entry holds
	// personal data: a leaf commits to it and shows none of it.
	Record   func(ctx context.Context, e Entry) error
	CoolDown time.Duration    // 0 = DefaultCoolDown
	Between  time.Duration    // 0 = DefaultBetween
	Now      func() time.Time // nil = time.Now
}

// Ledger is a region's residence ledger. Safe for concurrent use; one Ledger at a time may write a table.
type Ledger struct {
	cfg   Config
	rules Rules
	mu    sync.Mutex // one entry at a time
}

// Open finishes what a crash left under way. It fails if that cannot be recorded.
func Open(cfg Config) (*Ledger, error) {
	if _, err := domicile.ParseRegion(string(cfg.Region)); err != nil || cfg.Table == nil || cfg.Record == nil || cfg.CoolDown < 0 || cfg.Between < 0 {
		return nil, domicile.E("residence ledger", domicile.Invalid, "needs a region, a table and a record function, and no negative times")
	}
	if cfg.CoolDown == 0 {
		cfg.CoolDown = DefaultCoolDown
	}
	if cfg.Between == 0 {
		cfg.Between = DefaultBetween
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Ledger{cfg: cfg, rules: Rules{Region: cfg.Region, CoolDown: cfg.CoolDown, Between: cfg.Between}}
	return l, domicile.W("residence ledger: finish what was under way", l.recover())
}

func (l *Ledger) recover() error {
	open := map[string]Entry{}
	err := l.cfg.Table.Each(func(key string, value []byte) error {
		if of, isFate := strings.CutSuffix(key, fateSuffix); isFate {
			delete(open, of)
			return nil
		}
		e, err := decodeEntry(value)
		if err == nil {
			open[key] = e // a fate sorts behind its entry
		}
		return err
	})
	for key, e := range open {
		if err == nil {
			err = l.settle(context.Background(), key, e)
		}
	}
	return err
}

// settle records an entry that is in the table and lets it count.
func (l *Ledger) settle(ctx context.Context, key string, e Entry) error {
	if err := l.record(ctx, e); err != nil {
		return err
	}
	return l.decide(key, recorded)
}

func (l *Ledger) record(ctx context.Context, e Entry) error {
	if err := l.cfg.Record(ctx, e); err != nil {
		return &domicile.Error{Op: "record residence." + string(e.Act), Kind: domicile.Unavailable, Detail: "it could not be written down, so it was not done; try again", Err: err}
	}
	return nil
}

func (l *Ledger) decide(key string, fate []byte) error {
	swapped, err := l.cfg.Table.CompareAndSwap(key+fateSuffix, nil, fate)
	if err == nil && !swapped {
		err = domicile.E("residence ledger", domicile.Conflict, "another writer was here; is a second ledger running?")
	}
	return err
}

// entries returns the entries of an account that count, in order, and the number of the next. With mend, an
// entry that was left under way is settled; l.mu is then held.
func (l *Ledger) entries(ctx context.Context, account domicile.AccountID, mend bool) (out []Entry, next int, err error) {
	for n := 1; n <= maxEntries; n++ {
		key := entryKey(account, n)
		raw, ok, err := l.cfg.Table.Get(key)
		if err != nil || !ok {
			return out, n, err
		}
		e, err := decodeEntry(raw)
		if err != nil {
			return nil, 0, err
		}
		fate, ok, err := l.cfg.Table.Get(key + fateSuffix)
		if err == nil && !ok && mend {
			err = l.settle(ctx, key, e)
			fate = recorded
		}
		if err != nil {
			return nil, 0, err
		}
		if string(fate) == string(recorded) {
			out = append(out, e)
		}
	}
	return out, maxEntries + 1, nil
}

// add appends an entry made from the account's file as it is now: written down, then recorded, then true.
// make returns a zero Entry if there is nothing to do.
func (l *Ledger) add(ctx context.Context, account domicile.AccountID, who Actor, make func(f *file, now time.Time) (Entry, error)) error {
	if !validID(string(account)) || len(who.Name) > maxText || who.Name == "" {
		return domicile.E("residence", domicile.Invalid, "needs an account id and who acts")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	entries, n, err := l.entries(ctx, account, true)
	if err != nil {
		return err
	}
	if n > maxEntries {
		return domicile.E("residence", domicile.TooLarge, "the ledger of this account is full")
	}
	now := l.cfg.Now().UTC()
	if len(entries) > 0 { // known time never goes back, whatever the clock does
		if last := entries[len(entries)-1].KnownAt; !now.After(last) {
			now = last.Add(1)
		}
	}
	f := fold(entries, now)
	e, err := make(&f, now)
	if err != nil || e.Act == "" {
		return err
	}
	if !e.secret() && n > maxEntries-forFreezes {
		return domicile.E("residence", domicile.TooLarge, "the ledger of this account is full")
	}
	e.Version, e.Account, e.KnownAt, e.By = entryVersion, account, now, who
	return l.write(ctx, entryKey(account, n), e)
}

func (l *Ledger) write(ctx context.Context, key string, e Entry) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	swapped, err := l.cfg.Table.CompareAndSwap(key, nil, raw)
	if err != nil {
		return err
	}
	if !swapped {
		return domicile.E("residence ledger", domicile.Conflict, "another writer was here; is a second ledger running?")
	}
	if err := l.record(ctx, e); err != nil {
		if err := l.decide(key, void); err != nil {
			return unsure(err)
		}
		return err
	}
	if err := l.decide(key, recorded); err != nil {
		return unsure(err)
	}
	return nil
}

// unsure is the answer when an entry stays without a fate: it is settled at the next touch of the account, or at the
// next start. Asking again is safe.
func unsure(err error) error {
	return &domicile.Error{Op: "residence ledger", Kind: domicile.Unknown, Detail: "it may or may not be done; ask again", Err: err}
}

// Declare enters an account's first residence. It needs one item of evidence that agrees; KnownAt and By are set here.
// Idempotent: declaring the same country again changes nothing, another one is Exist. Refused UnknownCountry,
// EvidenceInsufficient, EvidenceContradicts.
func (l *Ledger) Declare(ctx context.Context, d Declaration, who Actor) error {
	country, err := domicile.ParseCountry(string(d.Country))
	if err != nil {
		return domicile.W("declare residence", err)
	}
	err = l.add(ctx, d.Account, who, func(f *file, now time.Time) (Entry, error) {
		if n := len(f.declarations); n > 0 {
			if f.declarations[n-1].Country == country {
				return Entry{}, nil
			}
			return Entry{}, domicile.E("", domicile.Exist, "a residence is declared already; ask for a change")
		}
		items, err := checkAll(d.Evidence, now)
		if err == nil {
			err = Initial(country, items, now)
		}
		valid, err2 := validFrom(d.ValidFrom, now)
		return Entry{Act: ActDeclared, Country: country, ValidFrom: valid, Evidence: items}, errors.Join(err, err2)
	})
	return domicile.W("declare residence", err)
}

func validFrom(t, now time.Time) (time.Time, error) {
	switch {
	case t.IsZero():
		return now, nil
	case t.After(now):
		return t, domicile.E("", domicile.Invalid, "a residence that begins in the future cannot be declared yet")
	}
	return t.UTC(), nil
}

// At returns what the ledger says of an account: its residence at valid, as far as the region knew at known. NotExist
// if nothing was declared by then. Pass the result through Standing.For before showing it.
func (l *Ledger) At(account domicile.AccountID, valid, known time.Time) (Standing, error) {
	entries, _, err := l.entries(context.Background(), account, false)
	if err != nil {
		return Standing{}, domicile.W("residence", err)
	}
	f := fold(entries, known)
	s, ok := f.standing(account, valid, known)
	if !ok {
		return Standing{}, domicile.E("residence", domicile.NotExist, "no residence was declared by then")
	}
	return s, nil
}

// Now returns what the ledger says now.
func (l *Ledger) Now(account domicile.AccountID) (Standing, error) {
	// The known time of the newest entry may be ahead of a clock that went back.
	return l.At(account, endOfTime, endOfTime)
}

var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// History returns the account's entries that who may see, in the order in which they became known.
func (l *Ledger) History(account domicile.AccountID, who Actor) ([]Entry, error) {
	entries, _, err := l.entries(context.Background(), account, false)
	if err != nil {
		return nil, domicile.W("residence history", err)
	}
	var out []Entry
	for _, e := range entries {
		if who.Legal || !e.secret() {
			out = append(out, e)
		}
	}
	return out, nil
}

// validID accepts opaque ids: no separator of our keys, no address.
func validID(s string) bool {
	return s != "" && len(s) <= maxText && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == '@' || r == '.' }) < 0
}
