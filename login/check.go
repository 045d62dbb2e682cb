package login

import (
	"context"

	"domicile"
	"domicile/store"
)

// Accounts finds accounts; store.Store fits. NotExist if there is none.
type Accounts interface {
	AccountByAddress(ctx context.Context, a domicile.Address) (store.Account, error)
}

// Checker holds names and passwords against a store, and has failures written down. Safe for concurrent use if its parts are.
type Checker struct {
	Accounts Accounts                                     // nil where no account rests: every name is then unknown
	Address  func(login string) (domicile.Address, error) // placement.ParseAddress
	Password func(phc, password string) (bool, error)     // keys.CheckPassword: for an empty phc false, in the same time

	// Failed writes a failed login down, with the account whose password was wrong, "" if the name is nobody's; nil = nobody does.
	Failed func(ctx context.Context, id domicile.AccountID)
}

// Account finds who logs in. NotExist for whatever is wrong with name or password; Unavailable if it cannot be known now.
func (c *Checker) Account(ctx context.Context, name, password string) (store.Account, error) {
	var a store.Account
	addr, err := c.Address(name)
	if err == nil {
		a, err = c.find(ctx, addr)
	}
	if err != nil && domicile.KindOf(err) != domicile.NotExist && domicile.KindOf(err) != domicile.Invalid {
		return store.Account{}, domicile.E("login", domicile.Unavailable, "the account cannot be read now")
	}
	ok, checkErr := c.Password(a.Password, password) // for a name that does not exist too: it takes as long
	if err != nil || checkErr != nil || !ok || a.Password == "" {
		if c.Failed != nil {
			c.Failed(ctx, a.ID)
		}
		return store.Account{}, Wrong()
	}
	return a, nil
}

func (c *Checker) find(ctx context.Context, a domicile.Address) (store.Account, error) {
	if c.Accounts == nil {
		return store.Account{}, Wrong()
	}
	return c.Accounts.AccountByAddress(ctx, a)
}

// Wrong is the one error of a failed login.
func Wrong() error {
	return domicile.E("login", domicile.NotExist, "unknown name or wrong password")
}
