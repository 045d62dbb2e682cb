package placement

import (
	"context"

	"domicile"
)

// An account passes to its next home by one ownership record of the next epoch. The next home prepares and signs it, the
// present home signs it too, which is the handover, and with both signatures the next home claims the name.

// Digest is what stands for an address between regions.
func (d *Directory) Digest(a domicile.Address) NameDigest { return d.cfg.Digester.Digest(a) }

// Holds asks the registrar, past every cache, whether a region is the home of an account in an epoch. NotExist: the
// registrar knows no such name. Refused NameTaken: it names another account, home or epoch. Refused OwnershipUnverified: what
// it says is not signed as it must be. Refused DomainNotServed. Unavailable: it cannot be known now.
func (d *Directory) Holds(ctx context.Context, name NameDigest, domain string, id domicile.AccountID, home domicile.Region, epoch uint64) error {
	const op = "ask for the home of a name"
	o, err := d.recordOf(ctx, name, domain)
	switch {
	case err != nil:
		return domicile.W(op, err)
	case o.Account != id || o.Home != home || o.Epoch != epoch:
		return domicile.Refuse(op, domicile.NameTaken, "house/one-owner", "the registrar names another account, home or epoch")
	case o.Name != name || o.Domain != domain || o.Verify(d.cfg.Trust, nil) != nil:
		return domicile.Refuse(op, domicile.OwnershipUnverified, "house/ownership-signed", "the registrar's record is not signed as it must be")
	}
	return nil
}

// recordOf asks the registrar of a domain, past every cache.
func (d *Directory) recordOf(ctx context.Context, name NameDigest, domain string) (Ownership, error) {
	registrar, ok := d.cfg.Trust.Registrar(domain)
	if !ok {
		return Ownership{}, domicile.Refuse("", domicile.DomainNotServed, "house/catalog-domains", "the domain is not in the catalog")
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	o, err := d.lookupAt(ctx, registrar, name, domain)
	if err != nil && domicile.KindOf(err) != domicile.NotExist {
		return o, unavailable("the registrar of the domain is out of reach", err)
	}
	return o, err
}

// Prepare makes the record by which this region would be the home of a name in an epoch, with its signature alone: it is worth
// nothing until the home before signs too.
func (d *Directory) Prepare(name NameDigest, domain string, id domicile.AccountID, epoch uint64) (Ownership, error) {
	o := Ownership{Name: name, Domain: domain, Account: id, Home: d.cfg.Region, Epoch: epoch, Issued: d.cfg.Now().UTC()}
	return o, d.sign(&o)
}

// HandOver signs a record that the next home prepared: whoever has the result may prove that the account is no longer here.
// Write it down before anybody sees it. Refused OwnershipUnverified if it is not a record of this name, account, home and epoch,
// signed by that home.
func (d *Directory) HandOver(o Ownership, a domicile.Address, id domicile.AccountID, to domicile.Region, epoch uint64) (Ownership, error) {
	if o.Name != d.Digest(a) || o.Domain != a.Domain() || o.Account != id || o.Home != to || o.Epoch != epoch || len(o.Signatures) != 1 || to == d.cfg.Region {
		return o, unverified("it is not the record that was to be prepared")
	}
	if signed, err := o.signers(d.cfg.Trust); err != nil || !signed[to] {
		return o, unverified("its home did not sign it")
	}
	o.Signatures = append([]OwnershipSignature(nil), o.Signatures...)
	return o, d.sign(&o)
}

// HandedOver reports whether a record is the prepared one with the signature of the home before added. Refused OwnershipUnverified.
func (d *Directory) HandedOver(prepared, o Ownership, before domicile.Region) error {
	signed, err := o.signers(d.cfg.Trust)
	if err != nil {
		return err
	}
	if string(o.Message()) != string(prepared.Message()) || !signed[d.cfg.Region] || !signed[before] || len(o.Signatures) != 2 {
		return unverified("it is not the prepared record, signed by both homes")
	}
	return nil
}

// TakeOver claims a name for this region, its next home, by a record that both homes signed. Idempotent. It fails as
// Registrar.Claim does.
func (d *Directory) TakeOver(ctx context.Context, o Ownership) error {
	const op = "take a name over"
	registrar, ok := d.cfg.Trust.Registrar(o.Domain)
	if !ok {
		return domicile.Refuse(op, domicile.DomainNotServed, "house/catalog-domains", "the domain is not in the catalog")
	}
	defer d.cache.expire(o.Name)
	if d.keeps(registrar) {
		return domicile.W(op, d.cfg.Registrar.Claim(ctx, d.cfg.Region, o))
	}
	return domicile.W(op, d.cfg.Remote.ClaimName(ctx, registrar, o))
}

// Moved has the next question about an address asked anew: its home said that it is not served there.
func (d *Directory) Moved(a domicile.Address) { d.cache.expire(d.Digest(a)) }

func (d *Directory) sign(o *Ownership) error {
	sig, err := d.cfg.Signer.Sign(o.Message())
	if err != nil {
		return unavailable("the ownership record cannot be signed", err)
	}
	o.Signatures = append(o.Signatures, OwnershipSignature{Region: d.cfg.Region, Signature: sig})
	return nil
}
