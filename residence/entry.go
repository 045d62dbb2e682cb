package residence

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"domicile"
)

// Act is what an entry says was done.
type Act string

const (
	ActDeclared  Act = "declared"
	ActRequested Act = "requested"
	ActRefused   Act = "refused" // a change that the rules refused at once
	ActApproved  Act = "approved"
	ActRejected  Act = "rejected"
	ActContested Act = "contested"
	ActMoving    Act = "moving"   // the account is frozen for its move
	ActReturned  Act = "returned" // the move ended before its handover: the change rests anew
	ActMoved     Act = "moved"    // the change is the residence in force
	ActFrozen    Act = "frozen"
	ActUnfrozen  Act = "unfrozen"
)

// Entry is one line of an account's ledger, as it is kept.
type Entry struct {
	Version   int                `json:"v"`
	Act       Act                `json:"act"`
	Account   domicile.AccountID `json:"account"`
	KnownAt   time.Time          `json:"known_at"`
	By        Actor              `json:"by"`
	Country   domicile.Country   `json:"country,omitempty"`   // declared, requested, refused
	ValidFrom time.Time          `json:"valid_from,omitzero"` // declared, requested, refused
	Evidence  []Evidence         `json:"evidence,omitempty"`  // declared, requested, refused
	Reason    domicile.Reason    `json:"reason,omitempty"`    // refused
	Change    string             `json:"change,omitempty"`    // id, of all that is about a change
	Case      string             `json:"case,omitempty"`      // frozen, unfrozen
}

const (
	entryVersion = 1
	maxEntries   = 10000 // of one account: keys have six digits, and nobody honest comes near
	forFreezes   = 1000  // of them are kept for freezes, so that no flood of requests keeps a case from being preserved
)

func entryKey(account domicile.AccountID, n int) string { return fmt.Sprintf("%s/%06d", account, n) }

const fateSuffix = ".fate"

// The fates of an entry.
var (
	recorded = []byte("recorded")
	void     = []byte("void")
)

func decodeEntry(raw []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(raw, &e); err != nil {
		return Entry{}, domicile.E("residence ledger", domicile.Other, "an entry is not readable; restore the region's store")
	}
	if e.Version != entryVersion {
		return Entry{}, domicile.E("residence ledger", domicile.Other, "an entry has a version that this release does not know; use the release that wrote it")
	}
	return e, nil
}

// secret reports whether only legal roles may see the entry.
func (e Entry) secret() bool { return e.Act == ActFrozen || e.Act == ActUnfrozen }

// file is what an account's entries, taken in their order, add up to.
type file struct {
	declarations []Declaration
	changes      []Change
	cases        []string
}

// fold reads entries known until known. It trusts them: they were checked before they were written.
func fold(entries []Entry, known time.Time) file {
	var f file
	for _, e := range entries {
		if e.KnownAt.After(known) {
			break // entries are in the order of KnownAt
		}
		f.add(e)
	}
	return f
}

func (f *file) add(e Entry) {
	switch e.Act {
	case ActDeclared:
		f.declarations = append(f.declarations, Declaration{Account: e.Account, Country: e.Country, ValidFrom: e.ValidFrom, KnownAt: e.KnownAt, Evidence: e.Evidence, By: e.By})
	case ActRequested:
		f.changes = append(f.changes, f.change(e, Cooling))
	case ActRefused:
		state := Rejected
		if e.Reason == domicile.EvidenceContradicts {
			state = Contested
		}
		f.changes = append(f.changes, f.change(e, state))
	case ActApproved:
		f.review(e, Approved)
	case ActRejected:
		f.review(e, Rejected)
	case ActContested:
		f.review(e, Contested)
	case ActMoving:
		f.state(e, Moving)
	case ActReturned:
		f.state(e, Cooling)
	case ActMoved:
		f.state(e, Effective)
		if c, ok := f.find(e.Change); ok {
			f.declarations = append(f.declarations, Declaration{Account: e.Account, Country: c.To, ValidFrom: c.ValidFrom, KnownAt: e.KnownAt, Evidence: c.Evidence, By: c.By})
		}
	case ActFrozen:
		f.cases = append(f.cases, e.Case)
	case ActUnfrozen:
		f.cases = slices.DeleteFunc(f.cases, func(c string) bool { return c == e.Case })
	}
}

func (f *file) change(e Entry, state State) Change {
	c := Change{ID: e.Change, Account: e.Account, To: e.Country, ValidFrom: e.ValidFrom, Evidence: e.Evidence, Requested: e.KnownAt, Rests: e.KnownAt, By: e.By, State: state, Reason: e.Reason}
	if d, ok := AsOf(f.declarations, e.KnownAt, e.KnownAt); ok {
		c.From = d.Country
	}
	return c
}

func (f *file) review(e Entry, state State) {
	for i := range f.changes {
		if c := &f.changes[i]; c.ID == e.Change {
			c.State, c.Reviewed, c.Reviewer = state, e.KnownAt, e.By.Name
		}
	}
}

// state is a step of the machine, which is no review.
func (f *file) state(e Entry, state State) {
	for i := range f.changes {
		if c := &f.changes[i]; c.ID == e.Change {
			c.State = state
			if state == Cooling {
				c.Rests, c.Reviewed, c.Reviewer = e.KnownAt, time.Time{}, ""
			}
		}
	}
}

func (f *file) find(id string) (Change, bool) {
	for _, c := range f.changes {
		if c.ID == id {
			return c, true
		}
	}
	return Change{}, false
}

// standing returns what the file says of an account at a valid time. ok is false if nothing was declared by then.
func (f *file) standing(account domicile.AccountID, valid, known time.Time) (s Standing, ok bool) {
	d, ok := AsOf(f.declarations, valid, known)
	if !ok {
		return Standing{Account: account, Cases: f.cases}, false
	}
	s = Standing{Account: account, Country: d.Country, Since: d.ValidFrom, Declaration: d, Cases: f.cases}
	if n := len(f.changes); n > 0 && f.changes[n-1].State != Rejected && f.changes[n-1].State != Effective {
		last := f.changes[n-1]
		s.Change = &last
	}
	for _, c := range f.changes {
		if (c.State == Approved || c.State == Moving || c.State == Effective) && c.Reviewed.After(s.LastApproved) {
			s.LastApproved = c.Reviewed
		}
	}
	s.State = s.state()
	return s, true
}
