package main

import (
	"context"
	"encoding/json"
	"strconv"

	"domicile"
	"domicile/audit"
	"domicile/placement"
	"domicile/residence"
)

// local answers for this region's own accounts.
func (n *node) local(ctx context.Context, a domicile.Address) (domicile.AccountID, uint64, error) {
	acct, err := n.store.AccountByAddress(ctx, a)
	if err == nil && n.handedOver(acct.ID) {
		err = domicile.E("account", domicile.NotExist, "it was handed over to another region")
	}
	return acct.ID, acct.Epoch, err
}

func (n *node) handedOver(id domicile.AccountID) bool {
	_, _, gone := n.moves.HandedOver(id)
	return gone
}

// quiet ends what a frozen account's move has to wait for: its sessions, and deliveries whose sender waits for an answer.
func (n *node) quiet(_ context.Context, id domicile.AccountID) error {
	if err := n.reading.End(id); err != nil {
		return err
	}
	if !n.home.Settled(id) {
		return domicile.E("quiet an account", domicile.Unavailable, "a sender of mail to it has not been answered yet")
	}
	return nil
}

// recordName makes a leaf of a claim or release at this region's registrar. The name, even as a digest, is for those
// to whom the leaf is opened.
func (n *node) recordName(ctx context.Context, what string, o placement.Ownership) error {
	_, err := n.audit.Append(ctx, audit.Entry{
		Kind:    what,
		Public:  map[string]string{"home": string(o.Home), "epoch": strconv.FormatUint(o.Epoch, 10)},
		Private: map[string]string{"name": o.Name.String(), "domain": o.Domain, "account": string(o.Account)},
	})
	return err
}

// recordResidence makes a leaf of an entry of the ledger. All entries look alike, so that a freeze does not show.
func (n *node) recordResidence(ctx context.Context, e residence.Entry) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return domicile.W("record a residence", err)
	}
	_, err = n.audit.Append(ctx, audit.Entry{
		Kind:    "residence.entry",
		Public:  map[string]string{"region": n.cfg.Region},
		Private: map[string]string{"entry": string(raw)},
	})
	return err
}

// clock refuses what turns on a date while this node's clock disagrees with its cosigners.
func (n *node) clock(ctx context.Context) error { return n.net.ClockSure(ctx, n.audit) }

// preserved says whether a case keeps an account as it is. Before the cases are there all of them are.
func (n *node) preserved(account domicile.AccountID) (bool, error) {
	l := n.preserving.Load()
	if l == nil {
		return true, nil
	}
	return l.Frozen(account)
}

// freeze keeps a residence as it is while a case is open. The machine acts, on no person's word.
func (n *node) freeze(ctx context.Context, account domicile.AccountID, caseID string) error {
	return n.moves.Freeze(ctx, account, func() error {
		return n.residence.Freeze(ctx, account, caseID, residence.Actor{Name: n.cfg.Name, Region: n.region(), Legal: true})
	})
}
