package residence

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"domicile"
)

// Moving says that the account of an approved change is frozen for its move. Idempotent. Refused ResidenceFrozen if a case
// freezes the residence; Conflict if the change is not approved.
func (l *Ledger) Moving(ctx context.Context, id string, who Actor) (Change, error) {
	return l.advance(ctx, id, who, ActMoving, Moving)
}

// Returned says that a move ended before its handover: the change rests anew. Idempotent.
func (l *Ledger) Returned(ctx context.Context, id string, who Actor) (Change, error) {
	return l.advance(ctx, id, who, ActReturned, Cooling)
}

// Moved makes a change the residence in force. Idempotent.
func (l *Ledger) Moved(ctx context.Context, id string, who Actor) (Change, error) {
	return l.advance(ctx, id, who, ActMoved, Effective)
}

func (l *Ledger) advance(ctx context.Context, id string, who Actor, act Act, to State) (Change, error) {
	op := "change of residence: " + string(act)
	account, err := accountOf(id)
	if err != nil {
		return Change{}, domicile.W(op, err)
	}
	err = l.add(ctx, account, who, func(f *file, _ time.Time) (Entry, error) {
		c, ok := f.find(id)
		switch {
		case !ok:
			return Entry{}, noChange()
		case c.State == to:
			return Entry{}, nil
		case !c.State.mayBecome(to):
			return Entry{}, domicile.E("residence", domicile.Conflict, "the change is "+string(c.State)+" and cannot become "+string(to))
		case to == Moving && len(f.cases) > 0:
			return Entry{}, frozen()
		}
		return Entry{Act: act, Change: id}, nil
	})
	if err != nil {
		return Change{}, domicile.W(op, err)
	}
	return l.Change(id)
}

// Carry returns the entries of an account that go with it to another region: all but freezes and their cases, which are this
// region's own.
func (l *Ledger) Carry(account domicile.AccountID) ([]Entry, error) {
	entries, _, err := l.entries(context.Background(), account, false)
	return slices.DeleteFunc(entries, Entry.secret), domicile.W("carry a residence", err)
}

// Approval finds a change in entries that another region sent, and says whether it is approved as its law wants: asked for
// and approved there, by two persons, and on its way. Refused MoveNotApproved.
func Approval(entries []Entry, id string, losing domicile.Region) (Change, error) {
	f := fold(entries, endOfTime)
	c, ok := f.find(id)
	approver, found := Actor{}, false
	for _, e := range entries {
		if e.Act == ActApproved && e.Change == id {
			approver, found = e.By, true
		}
	}
	switch {
	case !ok || !found || c.State != Approved && c.State != Moving:
		return c, notApproved("the ledger that came with it does not have the change approved")
	case c.By.Region != losing || approver.Region != losing || approver.Name == "" || approver.Name == c.By.Name:
		return c, notApproved("two persons of the losing region ask for and approve a change")
	}
	return c, nil
}

func notApproved(detail string) error {
	return domicile.Refuse("move", domicile.MoveNotApproved, "residence/approved-move", detail)
}

// CheckCarried holds entries that another region sent against the form of a ledger: of one account, of this version, in the order in
// which they became known, none from the future or a freeze. Invalid or TooLarge.
func CheckCarried(account domicile.AccountID, entries []Entry, now time.Time) error {
	bad := func(detail string) error { return domicile.E("ledger of another region", domicile.Invalid, detail) }
	if len(entries) > maxEntries-forFreezes {
		return domicile.E("ledger of another region", domicile.TooLarge, "more entries than a ledger holds")
	}
	last := time.Time{}
	for _, e := range entries {
		switch {
		case e.Version != entryVersion || e.Account != account || e.secret():
			return bad("an entry is of another account or version, or a freeze")
		case !e.KnownAt.After(last) || e.KnownAt.After(now.Add(clockRoom)):
			return bad("entries are not in the order in which they became known, or of the future")
		case len(e.By.Name) > maxText || len(e.Change) > maxText+16 || len(e.Evidence) > maxItems:
			return bad("an entry is larger than this region's may be")
		}
		last = e.KnownAt
	}
	return nil
}

// clockRoom is how far the clocks of two regions may be apart.
const clockRoom = 10 * time.Minute

// Receive enters what an account's last home knew, with its times, behind what this region knows of the account from before.
// Idempotent. Each entry is recorded in this region's log.
func (l *Ledger) Receive(ctx context.Context, account domicile.AccountID, entries []Entry) error {
	const op = "receive a residence"
	if err := CheckCarried(account, entries, l.cfg.Now()); err != nil {
		return domicile.W(op, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	have, n, err := l.entries(ctx, account, true)
	if err != nil {
		return domicile.W(op, err)
	}
	for _, e := range entries {
		if len(have) > 0 && !e.KnownAt.After(have[len(have)-1].KnownAt) {
			continue
		}
		if n > maxEntries-forFreezes {
			return domicile.E(op, domicile.TooLarge, "the ledger of this account is full")
		}
		if err := l.write(ctx, entryKey(account, n), e); err != nil {
			return domicile.W(op, err)
		}
		n++
	}
	return nil
}

// Minimise takes from the evidence of an account that has left what nobody here decides on any more: who observed it, when, in which
// session. The kinds and countries on which was decided stay. Idempotent.
func (l *Ledger) Minimise(account domicile.AccountID) error {
	const op = "minimise a residence"
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := 1; n <= maxEntries; n++ {
		raw, ok, err := l.cfg.Table.Get(entryKey(account, n))
		if err != nil || !ok {
			return domicile.W(op, err)
		}
		e, err := decodeEntry(raw)
		if err != nil {
			return domicile.W(op, err)
		}
		for i, item := range e.Evidence {
			e.Evidence[i] = Evidence{Kind: item.Kind, Country: item.Country, Strength: item.Strength}
		}
		less, err := json.Marshal(e)
		if err == nil && !bytes.Equal(raw, less) {
			_, err = l.cfg.Table.CompareAndSwap(entryKey(account, n), raw, less)
		}
		if err != nil {
			return domicile.W(op, err)
		}
	}
	return nil
}
