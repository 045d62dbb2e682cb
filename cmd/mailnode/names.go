package main

import (
	"context"
	"iter"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/store"
)

// namesEvery is how often a region asks the registrars whether its names are still its own.
const namesEvery = time.Hour

// namesAgain is how long it waits where a registrar did not answer, as at a start.
const namesAgain = 10 * time.Second

// How many names it asks for between two rests, and how long it rests: of a hundred thousand names, as at each start, the signatures would keep
// a processor from the mail for ten seconds.
const (
	namesAtOnce = 64
	namesRest   = 20 * time.Millisecond
)

// nameWatch finds names of this region's accounts that their registrar has lost or given away. It reports and changes
// nothing: what a registrar says against a home region's own records is for people to look into. But an account whose handover this
// region itself has signed is frozen: its folder is an older copy, and another region serves the account.
type nameWatch struct {
	accounts func(ctx context.Context) iter.Seq2[store.Account, error]
	confirm  func(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64) error
	report   func(ctx context.Context, id domicile.AccountID, err error) error
	freeze   func(ctx context.Context, a store.Account) error
	reported map[domicile.AccountID]string // what is in the log already: the finding
}

func (w *nameWatch) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := namesEvery
		if !w.round(ctx) {
			wait = namesAgain
		}
		rest(ctx, wait)
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// round asks once for every account, and says whether all is known. What is not is asked again in the next round.
func (w *nameWatch) round(ctx context.Context) (known bool) {
	known = true
	n := 0
	for a, err := range w.accounts(ctx) {
		if err != nil {
			return false
		}
		if n++; n%namesAtOnce == 0 {
			rest(ctx, namesRest)
		}
		if a.State == store.Moving { // its name is about to be another region's
			continue
		}
		err := w.confirm(ctx, a.Address, a.ID, a.Epoch)
		if domicile.ReasonOf(err) == domicile.MovePastHandover && w.freeze(ctx, a) != nil {
			known = false
			continue
		}
		switch found := finding(err); {
		case ctx.Err() != nil:
			return false
		case err == nil:
			delete(w.reported, a.ID)
		case domicile.KindOf(err) == domicile.Unavailable:
			known = false
		case w.reported[a.ID] == found:
		case w.report(ctx, a.ID, err) == nil:
			w.reported[a.ID] = found
		}
	}
	return known
}

// finding is the reason, or else the kind, of what is wrong with a name.
func finding(err error) string {
	if r := domicile.ReasonOf(err); r != "" {
		return string(r)
	}
	return domicile.KindOf(err).String()
}

// nameWatch joins the watch to this node's store, directory and log.
func (n *node) nameWatch() *nameWatch {
	return &nameWatch{
		accounts: func(ctx context.Context) iter.Seq2[store.Account, error] { return store.AllAccounts(ctx, n.store) }, confirm: n.directory.Confirm, report: n.recordUnconfirmed, freeze: n.freezeForgotten, reported: map[domicile.AccountID]string{},
	}
}

// freezeForgotten keeps an account from being served here that another region has.
func (n *node) freezeForgotten(ctx context.Context, a store.Account) error {
	err := n.store.UpdateAccount(ctx, a.ID, func(now *store.Account) error {
		if now.Epoch == a.Epoch {
			now.State = store.Moving
		}
		a = *now
		return nil
	})
	if err == nil && n.reading != nil {
		n.reading.Changed(a)
	}
	return err
}

func (n *node) recordUnconfirmed(ctx context.Context, id domicile.AccountID, found error) error {
	n.log.Warn("a registrar does not confirm a name of this region; the audit log says more", "finding", finding(found))
	_, err := n.audit.Append(ctx, audit.Entry{Kind: "name.unconfirmed", Reason: domicile.ReasonOf(found),
		Public: map[string]string{"finding": finding(found)}, Private: map[string]string{"account": string(id)}})
	return err
}
