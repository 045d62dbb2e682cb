package placement

import (
	"context"

	"domicile"
)

// Confirm asks the registrar, past every cache, whether a name of this region's own account is still recorded as its own.
// NotExist: the registrar says that there is no such name. Refused NameTaken: it names another account or home.
// Refused MovePastHandover: its record is of a later epoch, another home's, and signed by this region too, which has handed the name over
// and forgotten it. Refused OwnershipUnverified: what it says was not signed by this region. Unavailable: it cannot be known now.
func (d *Directory) Confirm(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64) error {
	const op = "confirm a name"
	name := d.Digest(a)
	o, err := d.recordOf(ctx, name, a.Domain())
	switch {
	case err != nil:
		return domicile.W(op, err)
	case o.Name == name && o.Domain == a.Domain() && o.Account == id && o.Home != d.cfg.Region && o.Epoch > epoch && d.handedOver(o):
		return domicile.Refuse(op, domicile.MovePastHandover, "house/one-writer", "this region signed the handover of the name to "+string(o.Home))
	case o.Account != id || o.Home != d.cfg.Region:
		return domicile.Refuse(op, domicile.NameTaken, "house/one-owner", "the registrar names another account or home for a name of this region")
	case o.Name != name || o.Domain != a.Domain() || o.Epoch != epoch || o.Verify(d.cfg.Trust, nil) != nil:
		return domicile.Refuse(op, domicile.OwnershipUnverified, "house/ownership-signed", "the registrar's record of a name of this region is not the one that it signed")
	}
	return nil
}

// handedOver reports whether a record has the signatures of its home and of this region. Nobody else can make the latter.
func (d *Directory) handedOver(o Ownership) bool {
	if o.Verify(d.cfg.Trust, nil) != nil {
		return false
	}
	signed, err := o.signers(d.cfg.Trust)
	return err == nil && signed[d.cfg.Region]
}
