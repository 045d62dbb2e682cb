package region

import (
	"context"
	"encoding/json"

	"domicile"
	"domicile/placement"
)

// The registrar's methods. Names cross as keyed digests.
const (
	methodLookup  = "registrar/lookup"
	methodClaim   = "registrar/claim"
	methodRelease = "registrar/release"
)

// methodOwn asks the node with the store for an account of its region. Nodes of that region alone may, so that the address
// stays in it.
const methodOwn = "directory/own"

type ownCall struct {
	Address domicile.Address `json:"address"`
}

type ownReply struct {
	Account domicile.AccountID `json:"account"`
	Epoch   uint64             `json:"epoch"`
}

// OwnAccount finds an account of this node's region at the node that has the store; it fits
// placement.DirectoryConfig.Nearby. NotExist is that node's word; Unavailable.
func (n *Node) OwnAccount(ctx context.Context, a domicile.Address) (domicile.AccountID, uint64, error) {
	var r ownReply
	err := n.Ask(ctx, domicile.Lookup, n.cfg.Region, methodOwn, ownCall{a}, &r)
	return r.Account, r.Epoch, err
}

// ServeOwn registers the other side, before Start.
func (n *Node) ServeOwn(find func(context.Context, domicile.Address) (domicile.AccountID, uint64, error)) {
	n.Handle(methodOwn, domicile.Lookup, maxSmall, func(ctx context.Context, c *Call) (any, error) {
		if c.From.Region != n.cfg.Region {
			return nil, domicile.Refuse("answer for own accounts", domicile.WrongRegion, "house/own-accounts",
				"a region's accounts are told to its own nodes; others ask the domain's registrar")
		}
		var in ownCall
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		a, err := placement.ParseAddress(string(in.Address))
		if err != nil || a != in.Address {
			return nil, domicile.E("answer for own accounts", domicile.Invalid, "it is no address in its canonical form")
		}
		id, epoch, err := find(ctx, a)
		return ownReply{id, epoch}, err
	})
}

type lookupCall struct {
	Name   placement.NameDigest `json:"name"`
	Domain string               `json:"domain"`
}

// LookupName asks a region's registrar for a name; it fits placement.Remote. NotExist is the registrar's word; Unavailable.
func (n *Node) LookupName(ctx context.Context, registrar domicile.Region, name placement.NameDigest, domain string) (placement.Ownership, error) {
	var o placement.Ownership
	err := n.Ask(ctx, domicile.Lookup, registrar, methodLookup, lookupCall{name, domain}, &o)
	return o, err
}

// ClaimName and ReleaseName tell a region's registrar of a name taken or given up; they fit placement.Remote.
func (n *Node) ClaimName(ctx context.Context, registrar domicile.Region, o placement.Ownership) error {
	return n.Ask(ctx, domicile.Claim, registrar, methodClaim, o, nil)
}

// ReleaseName: see ClaimName.
func (n *Node) ReleaseName(ctx context.Context, registrar domicile.Region, o placement.Ownership) error {
	return n.Ask(ctx, domicile.Claim, registrar, methodRelease, o, nil)
}

// ServeRegistrar registers the other side, before Start. Who claims is who its certificate says.
func (n *Node) ServeRegistrar(r *placement.Registrar) {
	n.Handle(methodLookup, domicile.Lookup, maxSmall, func(ctx context.Context, c *Call) (any, error) {
		var in lookupCall
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		return r.Lookup(ctx, in.Name, in.Domain)
	})
	change := func(do func(context.Context, domicile.Region, placement.Ownership) error) Handler {
		return func(ctx context.Context, c *Call) (any, error) {
			var o placement.Ownership
			if err := c.decode(&o); err != nil {
				return nil, err
			}
			return struct{}{}, do(ctx, c.From.Region, o)
		}
	}
	n.Handle(methodClaim, domicile.Claim, maxSmall, change(r.Claim))
	n.Handle(methodRelease, domicile.Claim, maxSmall, change(r.Release))
}

// decode reads the caller's header.
func (c *Call) decode(in any) error {
	if err := json.Unmarshal(c.Header, in); err != nil {
		return domicile.E("read a call", domicile.Invalid, "its header is malformed")
	}
	return nil
}
