package placement

import (
	"encoding/binary"
	"time"

	"domicile"
)

// Ownership is the record of who owns a name: signed by its home region's key, and for epoch 2 and later also by the
// home before it. A registrar that lies about a known name is caught by it. It names nobody: the name is a digest,
// the account a random id.
type Ownership struct {
	Name       NameDigest           `json:"name"`
	Domain     string               `json:"domain"`
	Account    domicile.AccountID   `json:"account"`
	Home       domicile.Region      `json:"home"`
	Epoch      uint64               `json:"epoch"` // from 1, one more with every move
	Issued     time.Time            `json:"issued"`
	Signatures []OwnershipSignature `json:"signatures"`
}

// OwnershipSignature is one region's signature.
type OwnershipSignature struct {
	Region    domicile.Region `json:"region"`
	Signature []byte          `json:"signature"` // Ed25519 by that region's signing key in the catalog, over Ownership.Message
}

// Message is what the signatures cover: the line "domicile/ownership/v1\n", then name, domain, account and home, each
// behind its length as 32 bits, then epoch, and the issue time as seconds and nanoseconds since 1970, 64 bits each.
// Numbers are big-endian. No two records share a message, and none is a signed note or a checkpoint.
func (o *Ownership) Message() []byte {
	msg := []byte("domicile/ownership/v1\n")
	for _, field := range []string{string(o.Name[:]), o.Domain, string(o.Account), string(o.Home)} {
		msg = binary.BigEndian.AppendUint32(msg, uint32(len(field)))
		msg = append(msg, field...)
	}
	msg = binary.BigEndian.AppendUint64(msg, o.Epoch)
	msg = binary.BigEndian.AppendUint64(msg, uint64(o.Issued.Unix()))
	return binary.BigEndian.AppendUint64(msg, uint64(o.Issued.Nanosecond()))
}

// Trust answers from the catalog. region.Catalog fits, wrapped by cmd/mailnode.
type Trust interface {
	// Registrar of a mail domain; ok false if the cluster does not serve it.
	Registrar(domain string) (r domicile.Region, ok bool)
	// VerifyRegion checks an Ed25519 signature by a region's signing key.
	VerifyRegion(r domicile.Region, msg, sig []byte) error
}

// Signer signs for this region. keys.Signer fits.
type Signer interface {
	Sign(msg []byte) ([]byte, error)
}

// maxSignatures bounds the work that a stranger's record can cause.
const maxSignatures = 4

// Verify checks the record against what is known of the name before. Refused OwnershipUnverified.
//
// The home must have signed it. If before is nil and the epoch is above 1, some other region must have signed too:
// who the home before was is not known. With before, the account must be the same and the epoch not lower; at the same
// epoch nothing may differ, and one epoch later the home before must be among the signers.
func (o *Ownership) Verify(trust Trust, before *Ownership) error {
	if o.Epoch == 0 || o.Domain == "" || len(o.Domain) > maxAddress || !isID(string(o.Account)) || !isRegion(o.Home) ||
		len(o.Signatures) == 0 || len(o.Signatures) > maxSignatures {
		return unverified("the record is not complete")
	}
	signed, err := o.signers(trust)
	if err != nil {
		return err
	}
	if !signed[o.Home] {
		return unverified("its home did not sign it")
	}
	if before == nil {
		if o.Epoch > 1 && len(signed) < 2 {
			return unverified("it is of a later epoch, and no home before it signed")
		}
		return nil
	}
	return o.follows(before, signed)
}

// signers returns the regions whose signature holds. One bad signature spoils the record: nobody honest sends one.
func (o *Ownership) signers(trust Trust) (map[domicile.Region]bool, error) {
	msg := o.Message()
	signed := make(map[domicile.Region]bool, len(o.Signatures))
	for _, s := range o.Signatures {
		if err := trust.VerifyRegion(s.Region, msg, s.Signature); err != nil {
			return nil, unverified("a signature on it does not hold")
		}
		signed[s.Region] = true
	}
	return signed, nil
}

func (o *Ownership) follows(before *Ownership, signed map[domicile.Region]bool) error {
	switch {
	case o.Name != before.Name || o.Account != before.Account:
		return unverified("it gives a known name to another account")
	case o.Epoch < before.Epoch:
		return unverified("it is of an epoch that has passed")
	case o.Epoch == before.Epoch && o.Home != before.Home:
		return unverified("it names another home in the same epoch")
	case o.Epoch == before.Epoch+1 && !signed[before.Home]:
		return unverified("the home before it did not sign the handover")
	case o.Epoch > before.Epoch && len(signed) < 2:
		return unverified("it is of a later epoch, and no home before it signed")
	}
	return nil
}

func unverified(detail string) error {
	return domicile.Refuse("ownership record", domicile.OwnershipUnverified, "house/signed-ownership", detail)
}
