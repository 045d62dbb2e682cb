package disclosure

import (
	"fmt"
	"slices"
	"time"

	"domicile"
	"domicile/region"
)

// finding is a refusal by one of the checks below: reason, rule and words.
type finding struct {
	Code   domicile.Reason
	Rule   string
	Detail string
}

func found(code domicile.Reason, rule, format string, args ...any) *finding {
	return &finding{Code: code, Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// signed is a signature that verified, and by whose key.
type signed struct {
	by   *member
	role string
}

// order is a token that was parsed and, as far as the checks got, verified.
type order struct {
	*token
	kind    orderType
	issuer  *member
	signers []signed
}

// checker holds what the checks look at. They run in a fixed order, each with a reason of its own: form and
// signatures, authorities, roles, missing signatures, audience, dates, status, window, scope. Replay comes last, in
// Submit, since only a good order can be spent.
type checker struct {
	law     *law
	reg     *registry
	catalog *region.Catalog
	region  domicile.Region
	lab     bool
	now     time.Time
	date    time.Time // not zero: the date at which agreements are looked up, when only asking
}

// lawOn is the date at which an agreement must be in force: that of the order, unless another one is asked about.
func (k *checker) lawOn(issued int64) time.Time {
	if !k.date.IsZero() {
		return k.date
	}
	return time.Unix(issued, 0)
}

// authenticate parses and verifies a token: everything about it that does not depend on where it was presented.
func (k *checker) authenticate(text []byte) (*order, *finding) {
	if len(text) == 0 {
		return nil, found(domicile.NoToken, ruleNoToken, "no legal-basis token was given: submit the order with its token")
	}
	t, err := parseToken(text)
	if err != nil {
		return nil, found(domicile.BadSignature, ruleToken, "malformed token: %v", err)
	}
	o := &order{token: t}
	if f := k.signatures(o); f != nil {
		return o, f
	}
	if f := k.roles(o); f != nil {
		return o, f
	}
	return o, k.complete(o)
}

// signatures verifies every signature. One by a registered key that does not verify is worse than an unknown signer.
func (k *checker) signatures(o *order) *finding {
	unknown := 0
	for i, s := range o.token.signatures {
		m := k.reg.byThumb[s.Thumb]
		if m == nil {
			unknown = i + 1
			continue
		}
		if err := o.verify(s, m.key); err != nil {
			return found(domicile.BadSignature, ruleToken, "signature %d does not verify by the key of %s", i+1, m.ID)
		}
		o.signers = append(o.signers, signed{by: m, role: s.Role})
	}
	if unknown > 0 {
		return found(domicile.UnknownAuthority, ruleAuthority, "the certificate of signature %d is not in this region's registry", unknown)
	}
	for _, s := range o.signers {
		if !s.by.validOn(k.now) {
			return found(domicile.UnknownAuthority, ruleAuthority, "the registration or certificate of %s is not in force today", s.by.ID)
		}
	}
	if o.issuer = k.reg.byID[o.claims.Issuer]; o.issuer == nil {
		return found(domicile.UnknownAuthority, ruleAuthority, "iss is not in this region's registry")
	}
	return nil
}

// roles holds each signer against the registry: what it may sign as, which types, which categories.
func (k *checker) roles(o *order) *finding {
	kind, ok := k.law.order(o.claims.OrderType)
	if !ok {
		return found(domicile.WrongRole, ruleRole, "no authority may make an order of this type here")
	}
	o.kind = kind
	if o.claims.Regime != kind.Regime {
		return found(domicile.WrongRole, ruleRole, "an order of type %s is made under the regime %s", kind.Type, kind.Regime)
	}
	if !kind.mayIssue(o.issuer.Country) {
		return found(domicile.WrongRole, ruleRole, "%s may not issue %s: it is an authority of %s", o.issuer.ID, kind.Type, o.issuer.Country)
	}
	for _, s := range o.signers {
		if !slices.Contains(signsAs[s.by.Role], s.role) {
			return found(domicile.WrongRole, ruleRole, "%s, registered as %s, may not sign as %.32q", s.by.ID, s.by.Role, s.role)
		}
		if !slices.Contains(s.by.OrderTypes, kind.Type) {
			return found(domicile.WrongRole, ruleRole, "%s may not sign orders of type %s", s.by.ID, kind.Type)
		}
		for _, c := range o.claims.Scope.Categories {
			if !slices.Contains(s.by.Categories, c) {
				return found(domicile.WrongRole, ruleRole, "%s may not order %s data", s.by.ID, c)
			}
		}
	}
	return nil
}

// complete asks whether each signature that the type needs is there, the first of them by the issuer itself.
func (k *checker) complete(o *order) *finding {
	for i, want := range o.kind.Signers {
		role, country := needs(want)
		ok := slices.ContainsFunc(o.signers, func(s signed) bool {
			return s.role == role && fitsCountry(country, s.by.Country, o.issuer.Country, k.country()) && (i > 0 || s.by == o.issuer)
		})
		if !ok {
			return found(domicile.MissingSignature, ruleSigners, "%s needs a signature in the role %s (%s)", o.kind.Type, role, country)
		}
	}
	return nil
}

// country is where this region stands.
func (k *checker) country() domicile.Country {
	info, _ := k.catalog.Region(k.region)
	return info.Country
}

// admit checks what depends on where and when the order is presented. signature, registry and roles come before it.
func (k *checker) admit(o *order, target domicile.Address) *finding {
	if f := k.audience(o); f != nil {
		return f
	}
	if f := k.dates(o); f != nil {
		return f
	}
	if f := k.status(o); f != nil {
		return f
	}
	return k.scope(o, target)
}

// admitTold checks, of an order that another region was served with and told us of, what it can be held to here: that it
// was addressed there, is in force, and names the target. Only then is anything preserved for it.
func (k *checker) admitTold(o *order, from domicile.Region, target domicile.Address) *finding {
	if o.claims.Audience.Region != from {
		return found(domicile.WrongAudience, ruleAudience, "the order is not addressed to the region that told of it")
	}
	if f := k.dates(o); f != nil {
		return f
	}
	if f := k.status(o); f != nil {
		return f
	}
	return k.scope(o, target)
}

// audience accepts the region's own entity, and whoever controls it: an order served on the parent is another case
// than one served on the subsidiary, but both may be presented here.
func (k *checker) audience(o *order) *finding {
	aud := o.claims.Audience
	if aud.Region != k.region {
		return found(domicile.WrongAudience, ruleAudience, "the order is addressed to another region: present it there")
	}
	info, _ := k.catalog.Region(k.region)
	for _, e := range k.catalog.Controllers(info.Entity) {
		if e.ID == aud.Entity {
			return nil
		}
	}
	return found(domicile.WrongAudience, ruleAudience, "the entity served neither runs this region nor controls who does")
}

func (k *checker) dates(o *order) *finding {
	c, now := o.claims, k.now.Unix()
	switch {
	case now < c.NotBefore || c.IssuedAt > now+int64(clockSlack/time.Second):
		return found(domicile.NotYetValid, ruleDates, "the order is valid from %s", stamp(max(c.NotBefore, c.IssuedAt)))
	case now >= c.Expires:
		return found(domicile.Expired, ruleDates, "the order expired at %s: ask its issuer for a new one", stamp(c.Expires))
	}
	return nil
}

func (k *checker) status(o *order) *finding {
	if code, why := k.reg.status(o.claims, o.signers, k.lab, k.now); code != "" {
		return found(code, ruleStatus, "%s", why)
	}
	return nil
}

// scope checks the window first, since a tap has a reason of its own, then what the type can carry.
func (k *checker) scope(o *order, target domicile.Address) *finding {
	s := o.claims.Scope
	if s.Window.To > o.claims.IssuedAt || s.Window.To > k.now.Unix() {
		return found(domicile.ProspectiveNot, ruleWindow, "the window ends after the order was issued: there is no tap, stored mail only")
	}
	for _, c := range s.Categories {
		if !slices.Contains(o.kind.Categories, c) {
			return found(domicile.ScopeExceedsBasis, ruleScope, "%s does not reach %s data", o.kind.Type, c)
		}
	}
	if !slices.Contains(s.Targets, string(target)) {
		return found(domicile.ScopeExceedsBasis, ruleTarget, "the target is not among those that the order names")
	}
	if !o.kind.discloses() {
		return nil
	}
	return k.ceilings(o)
}

func (k *checker) ceilings(o *order) *finding {
	s := o.claims.Scope
	switch {
	case len(s.Categories) == 0:
		return found(domicile.ScopeExceedsBasis, ruleScope, "the order names no category of data")
	case s.Window.To == 0 || s.Window.From > s.Window.To:
		return found(domicile.ScopeExceedsBasis, ruleScope, "the order has no window of dates, from before to")
	case s.MaxItems <= 0 || s.MaxItems > o.kind.MaxItems:
		return found(domicile.ScopeExceedsBasis, ruleScope, "max_items must lie between 1 and %d for %s", o.kind.MaxItems, o.kind.Type)
	case s.MaxBytes <= 0 || s.MaxBytes > o.kind.MaxBytes:
		return found(domicile.ScopeExceedsBasis, ruleScope, "max_bytes must lie between 1 and %d for %s", o.kind.MaxBytes, o.kind.Type)
	case o.claims.DeliveryTo == "":
		return found(domicile.ScopeExceedsBasis, ruleScope, "the order does not say to whom it is delivered (delivery_to)")
	}
	m := k.reg.recipientOwner(o.claims.DeliveryTo)
	switch {
	case m == nil:
		return found(domicile.UnknownAuthority, ruleAuthority, "delivery_to is the key of no registered authority")
	case o.kind.Regime != "mlat" && m.Country != o.issuer.Country: // whom a treaty delivers to is for its bundle to say
		return found(domicile.ScopeExceedsBasis, ruleDelivery, "delivery_to is the key of %s, an authority of another state than the issuer's", m.ID)
	}
	return nil
}

// inForce refuses to go on with what was decided while the registry is frozen. The house rules say so to a new decision.
func (k *checker) inForce() *finding {
	if k.reg.frozen {
		return found(domicile.UnknownAuthority, ruleFrozen, "the authority registry is frozen: nothing is collected or leaves until its two keepers thaw it")
	}
	return nil
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
