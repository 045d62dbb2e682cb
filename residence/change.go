package residence

import (
	"context"
	"fmt"
	"strings"
	"time"

	"domicile"
)

// Request is what a customer, through an operator, asks for.
type Request struct {
	Account   domicile.AccountID
	Country   domicile.Country
	ValidFrom time.Time // since when the customer lives there; zero = now
	Evidence  []Evidence
}

// Request enters a change, which then rests. A change that the rules refuse for its evidence is entered too, as
// rejected or contested, and returned with the refusal; the mail stays where it is. See Rules.MayRequest.
func (l *Ledger) Request(ctx context.Context, r Request, who Actor) (Change, error) {
	country, err := domicile.ParseCountry(string(r.Country))
	if err != nil {
		return Change{}, domicile.W("change residence", err)
	}
	var id string
	var refusal error
	err = l.add(ctx, r.Account, who, func(f *file, now time.Time) (Entry, error) {
		s, ok := f.standing(r.Account, now, now)
		if !ok {
			return Entry{}, domicile.E("", domicile.NotExist, "no residence is declared for this account")
		}
		items, err := checkAll(r.Evidence, now)
		if err != nil {
			return Entry{}, err
		}
		valid, err := validFrom(r.ValidFrom, now)
		if err != nil {
			return Entry{}, err
		}
		refusal = l.rules.MayRequest(s, who, country, items, now)
		id = fmt.Sprintf("%s.%d", r.Account, len(f.changes)+1)
		e := Entry{Act: ActRequested, Country: country, ValidFrom: valid, Evidence: items, Change: id}
		switch reason := domicile.ReasonOf(refusal); {
		case reason == domicile.EvidenceInsufficient || reason == domicile.EvidenceContradicts:
			e.Act, e.Reason = ActRefused, reason
		case refusal != nil: // it says nothing about the customer's residence, so it is no entry of the ledger
			return Entry{}, refusal
		}
		return e, nil
	})
	if err != nil {
		return Change{}, domicile.W("change residence", err)
	}
	c, err := l.Change(id)
	if err == nil {
		err = refusal
	}
	return c, domicile.W("change residence", err)
}

// Approve ends the rest of a change, by a second person of this region. See Rules.MayApprove. The change is then
// approved, and waits for the move. Approving an approved change again changes nothing.
func (l *Ledger) Approve(ctx context.Context, id string, who Actor) (Change, error) {
	return l.review(ctx, id, who, ActApproved, func(f *file, c Change, now time.Time) error {
		s, _ := f.standing(c.Account, now, now)
		return l.rules.MayApprove(s, c, who, now)
	})
}

// Reject closes a change; the residence stays as it is.
func (l *Ledger) Reject(ctx context.Context, id string, who Actor) (Change, error) {
	return l.review(ctx, id, who, ActRejected, func(_ *file, c Change, _ time.Time) error {
		return l.rules.MayClose(c, who, Rejected)
	})
}

// Contest marks a change as disputed: it can no longer be approved, and the mail stays where it is.
func (l *Ledger) Contest(ctx context.Context, id string, who Actor) (Change, error) {
	return l.review(ctx, id, who, ActContested, func(_ *file, c Change, _ time.Time) error {
		return l.rules.MayClose(c, who, Contested)
	})
}

func (l *Ledger) review(ctx context.Context, id string, who Actor, act Act, may func(*file, Change, time.Time) error) (Change, error) {
	op := "change of residence: " + string(act)
	account, err := accountOf(id)
	if err != nil {
		return Change{}, domicile.W(op, err)
	}
	err = l.add(ctx, account, who, func(f *file, now time.Time) (Entry, error) {
		c, ok := f.find(id)
		if !ok {
			return Entry{}, noChange()
		}
		if string(c.State) == string(act) && c.Reviewer == who.Name {
			return Entry{}, nil // the same person again: the first answer may have been lost
		}
		return Entry{Act: act, Change: id}, may(f, c, now)
	})
	if err != nil {
		return Change{}, domicile.W(op, err)
	}
	return l.Change(id)
}

// Change returns one change. NotExist if there is none of that id.
func (l *Ledger) Change(id string) (Change, error) {
	account, err := accountOf(id)
	if err != nil {
		return Change{}, err
	}
	entries, _, err := l.entries(context.Background(), account, false)
	if err != nil {
		return Change{}, domicile.W("change of residence", err)
	}
	f := fold(entries, endOfTime)
	if c, ok := f.find(id); ok {
		return c, nil
	}
	return Change{}, noChange()
}

// Changes returns all changes ever asked for in this region, by account and then in their order. A freeze does not
// show in them.
func (l *Ledger) Changes() ([]Change, error) {
	byAccount := map[domicile.AccountID]bool{}
	var accounts []domicile.AccountID
	err := l.cfg.Table.Each(func(key string, _ []byte) error {
		account, _, _ := strings.Cut(key, "/")
		if a := domicile.AccountID(account); !byAccount[a] {
			byAccount[a] = true
			accounts = append(accounts, a)
		}
		return nil
	})
	var out []Change
	for _, a := range accounts {
		entries, _, err2 := l.entries(context.Background(), a, false)
		if err2 != nil {
			return nil, domicile.W("changes of residence", err2)
		}
		f := fold(entries, endOfTime)
		out = append(out, f.changes...)
	}
	return out, domicile.W("changes of residence", err)
}

// accountOf takes an id apart: ACCOUNT.NUMBER, numbered by the account's changes alone, so that the id
// of a change says nothing of a freeze.
func accountOf(id string) (domicile.AccountID, error) {
	account, _, ok := strings.Cut(id, ".")
	if !ok || !validID(account) {
		return "", noChange()
	}
	return domicile.AccountID(account), nil
}

func noChange() error {
	return domicile.E("", domicile.NotExist, "there is no change of that id; residence ls lists them")
}
