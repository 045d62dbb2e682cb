package placement

import (
	"context"

	"domicile"
)

// Confirm asks the registrar, past every cache, whether a name of this region's own account is still recorded as its own.
// NotExist: the registrar says that there is no such name. Refused NameTaken: it names another account or home.
// Refused OwnershipUnverified: what it says was not signed by this region. Unavailable: it cannot be known now.
func (d *Directory) Confirm(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64) error {
	const op = "confirm a name"
	name := d.Digest(a)
	o, err := d.recordOf(ctx, name, a.Domain())
	switch {
	case err != nil:
		return domicile.W(op, err)
	case o.Account != id || o.Home != d.cfg.Region:
		return domicile.Refuse(op, domicile.NameTaken, "house/one-owner", "the registrar names another account or home for a name of this region")
	case o.Name != name || o.Domain != a.Domain() || o.Epoch != epoch || o.Verify(d.cfg.Trust, nil) != nil:
		return domicile.Refuse(op, domicile.OwnershipUnverified, "house/ownership-signed", "the registrar's record of a name of this region is not the one that it signed")
	}
	return nil
}
