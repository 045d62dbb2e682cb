package residence

import (
	"context"
	"slices"
	"time"

	"domicile"
)

// Freeze keeps an account's residence and place as they are while a case is open ("no flight"). It may be called
// before anything was declared. Idempotent for one case; several cases freeze it until the last is over.
func (l *Ledger) Freeze(ctx context.Context, account domicile.AccountID, caseID string, who Actor) error {
	return l.setFreeze(ctx, account, caseID, who, ActFrozen)
}

// Unfreeze ends one case's freeze. Idempotent.
func (l *Ledger) Unfreeze(ctx context.Context, account domicile.AccountID, caseID string, who Actor) error {
	return l.setFreeze(ctx, account, caseID, who, ActUnfrozen)
}

func (l *Ledger) setFreeze(ctx context.Context, account domicile.AccountID, caseID string, who Actor, act Act) error {
	if caseID == "" || len(caseID) > maxText {
		return domicile.E("residence "+string(act), domicile.Invalid, "needs the case")
	}
	err := l.add(ctx, account, who, func(f *file, _ time.Time) (Entry, error) {
		if slices.Contains(f.cases, caseID) == (act == ActFrozen) {
			return Entry{}, nil
		}
		return Entry{Act: act, Case: caseID}, nil
	})
	return domicile.W("residence "+string(act), err)
}

// Frozen reports whether a case freezes the account. For decisions, not for show.
func (l *Ledger) Frozen(account domicile.AccountID) (bool, error) {
	entries, _, err := l.entries(context.Background(), account, false)
	f := fold(entries, endOfTime)
	return len(f.cases) > 0, domicile.W("residence", err)
}
