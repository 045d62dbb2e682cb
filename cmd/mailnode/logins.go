package main

import (
	"context"

	"domicile"
	"domicile/keys"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
)

// buildLogins makes the one check of names and passwords behind all fronts of the node. Its accounts are those of the store, once that is
// open.
func (n *node) buildLogins() error {
	names, err := keys.LoadNames(n.cfg.NamesKey)
	if err != nil {
		return err
	}
	n.passwords = keys.NewPasswords(names)
	n.logins = &login.Checker{Address: placement.ParseAddress, Kept: n.passwords, Tries: login.NewGuesses(login.FirstDelay, placement.ParseAddress),
		Failed: n.loginFailed, Count: n.counts.check}
	return nil
}

// loginFailed has a failed login in the region's journal before it is answered; one that cannot be written down is answered all the
// same, as it lets nobody in.
func (n *node) loginFailed(ctx context.Context, id domicile.AccountID) {
	c := placement.Crossing{Class: domicile.ClientSession, Kind: placement.Stream, Party: placement.ToClient, Account: id, Ceiling: placement.Ceiling(domicile.ClientSession, placement.Stream)}
	if id != "" {
		c.Home = n.region()
	}
	if err := n.guard.Refuse(ctx, region.Request{Crossing: c}, domicile.LoginFailed, "house/password", "unknown name or wrong password"); domicile.KindOf(err) != domicile.Refused {
		n.log.Error("a failed login is not on record", "error", err)
	}
}
