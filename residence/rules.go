package residence

import (
	"time"

	"domicile"
)

// current returns the items that count at a time: not expired, and of each kind the one observed last (of two
// observed together the one named last).
func current(items []Evidence, now time.Time) []Evidence {
	var out []Evidence
next:
	for _, e := range items {
		if !e.Expires.IsZero() && !now.Before(e.Expires) {
			continue
		}
		for i := range out {
			if out[i].Kind == e.Kind {
				if !e.ObservedAt.Before(out[i].ObservedAt) {
					out[i] = e
				}
				continue next
			}
		}
		out = append(out, e)
	}
	return out
}

// Initial is the rule for a first declaration: at least one item, and none for another country. An operator's own
// statement is an item. Returns nil, or a refusal with EvidenceInsufficient or EvidenceContradicts.
func Initial(country domicile.Country, items []Evidence, now time.Time) error {
	items = current(items, now)
	if err := agree(country, items); err != nil {
		return err
	}
	if len(items) == 0 {
		return domicile.Refuse("residence", domicile.EvidenceInsufficient, "residence/one-item",
			"a first declaration needs one item of evidence; an operator's statement is one")
	}
	return nil
}

// Sufficient is the rule for a change: two items of different kinds that agree, not both weak, and not both from one
// login session of the customer. Returns nil, or a refusal with EvidenceInsufficient or EvidenceContradicts.
func Sufficient(country domicile.Country, items []Evidence, now time.Time) error {
	items = current(items, now)
	if err := agree(country, items); err != nil {
		return err
	}
	for i, a := range items {
		for _, b := range items[i+1:] {
			if independent(a, b) {
				return nil
			}
		}
	}
	return domicile.Refuse("residence", domicile.EvidenceInsufficient, "residence/two-independent-items",
		"a change needs two items of different kinds, not both weak and not both from one login session")
}

func agree(country domicile.Country, items []Evidence) error {
	for _, e := range items {
		if e.Country != country {
			return domicile.Refuse("residence", domicile.EvidenceContradicts, "residence/items-agree",
				"the item "+string(e.Kind)+" speaks for another country; the mail stays where it is")
		}
	}
	return nil
}

func independent(a, b Evidence) bool {
	sameSession := a.Session != "" && a.Session == b.Session
	return a.Kind != b.Kind && !sameSession && (a.Strength != Weak || b.Strength != Weak)
}

// Actor is who acts, on the word of a client certificate.
type Actor struct {
	Name   string          `json:"name"`
	Region domicile.Region `json:"region"`
	Legal  bool            `json:"legal,omitempty"` // has the role legal
}

// Defaults, where node.toml says nothing else.
const (
	DefaultCoolDown = 14 * 24 * time.Hour
	DefaultBetween  = 180 * 24 * time.Hour
)

// Rules says who may change a residence when. Its methods are pure.
type Rules struct {
	Region   domicile.Region // whose ledger it is: the losing region of every change
	CoolDown time.Duration   // how long a change rests before its review
	Between  time.Duration   // at most one approved change in this time
}

// MayRequest reports whether who may ask for a change of s to country on items. Refusals: WrongRegion, ResidenceFrozen
// (to legal roles only: see the package comment), CoolingDown, EvidenceInsufficient, EvidenceContradicts.
func (r Rules) MayRequest(s Standing, who Actor, country domicile.Country, items []Evidence, now time.Time) error {
	switch {
	case who.Region != r.Region:
		return foreign()
	case country == s.Country:
		return domicile.E("residence", domicile.Invalid, "this is the declared residence already")
	case s.frozen() && who.Legal:
		return frozen()
	case s.Change != nil && (s.Change.State == Cooling || s.Change.State == Approved || s.Change.State == Moving):
		return cooling()
	case !s.LastApproved.IsZero() && now.Before(s.LastApproved.Add(r.Between)):
		return cooling()
	}
	return Sufficient(country, items, now)
}

// MayApprove reports whether who may approve the open change of s. Refusals: WrongRegion, SelfApproval,
// ResidenceFrozen (to legal roles only), CoolingDown, EvidenceContradicts for a contested change.
func (r Rules) MayApprove(s Standing, c Change, who Actor, now time.Time) error {
	switch {
	case who.Region != r.Region:
		return foreign()
	case who.Name == "" || who.Name == c.By.Name:
		return domicile.Refuse("residence", domicile.SelfApproval, "residence/two-persons", "another operator of the losing region must approve it")
	case c.State == Contested:
		return domicile.Refuse("residence", domicile.EvidenceContradicts, "residence/contested", "the change is contested; clear it up, reject it, and ask anew")
	case !c.State.mayBecome(Approved):
		return domicile.E("residence", domicile.Conflict, "the change is "+string(c.State)+" and cannot be approved")
	case s.frozen() && who.Legal:
		return frozen()
	case s.frozen() || now.Before(c.Rests.Add(r.CoolDown)):
		return cooling()
	}
	return nil
}

// MayClose reports whether who may reject or contest a change: any operator of the region, the requester too, for
// both leave the mail where it is.
func (r Rules) MayClose(c Change, who Actor, to State) error {
	switch {
	case who.Region != r.Region || who.Name == "":
		return foreign()
	case !c.State.mayBecome(to):
		return domicile.E("residence", domicile.Conflict, "the change is "+string(c.State)+" and cannot become "+string(to))
	}
	return nil
}

func foreign() error {
	return domicile.Refuse("residence", domicile.WrongRegion, "residence/losing-region", "operators of the account's home region decide this")
}

func frozen() error {
	return domicile.Refuse("residence", domicile.ResidenceFrozen, "residence/no-flight", "a hold or an open order freezes the residence")
}

// cooling is also what a frozen account answers to everyone but legal roles, so it must never say more: no date, and
// no difference between the two.
func cooling() error {
	return domicile.Refuse("residence", domicile.CoolingDown, "residence/cool-down", "a change rests until its review; no date is promised")
}
