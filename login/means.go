package login

import (
	"slices"

	"domicile"
	"domicile/store"
)

// Means is by what an account has logged in, without being it. A session keeps it, to end when what it began with lets nobody in any more.
type Means struct {
	Account domicile.AccountID
	app     string // the id of an app password; "" = the account's own
	kept    string // of which this is kept

	Abroad bool // through a front of another region, of which the owner may think better
}

// Own are those of an account's own password.
func Own(a store.Account) Means { return Means{Account: a.ID, kept: a.Password} }

// Stand says whether they would let the account in, by its record as it is now. A password that was set anew is another.
func (m Means) Stand(now store.Account) bool {
	switch {
	case now.ID != m.Account || MayServe(now) != nil:
		return false
	case m.Abroad && refusedAbroad(now):
		return false
	case m.app == "":
		return now.Password == m.kept
	}
	return slices.ContainsFunc(now.AppPasswords, func(p store.AppPassword) bool { return p.ID == m.app })
}

func refusedAbroad(a store.Account) bool {
	reason, _ := Abroad(a)
	return reason != ""
}
