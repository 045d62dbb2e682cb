package residence

import (
	"slices"
	"strings"
	"time"

	"domicile"
)

// Kind is what an item of evidence is. Two items of one kind are never independent.
type Kind string

const (
	Billing   Kind = "billing"  // billing address
	Bank      Kind = "bank"     // country of a bank account
	SIM       Kind = "sim"      // home network of the telephone number
	IP        Kind = "ip"       // where the customer connects from; easily borrowed
	Tax       Kind = "tax"      // tax number
	Wallet    Kind = "wallet"   // credential of a digital identity wallet
	Document  Kind = "document" // a document that somebody looked at
	Statement Kind = "operator" // an operator's own statement
)

// Kinds is the closed list.
var Kinds = []Kind{Billing, Bank, SIM, IP, Tax, Wallet, Document, Statement}

// Strength says how hard an item is to forge.
type Strength string

const (
	Weak     Strength = "weak" // never carries a change with another weak one
	Ordinary Strength = "ordinary"
	Strong   Strength = "strong"
)

// Evidence is one item. The raw value (a bank account, a telephone number) stays with whoever observed it; the ledger
// keeps the country it speaks for.
type Evidence struct {
	Kind       Kind             `json:"kind"`
	Country    domicile.Country `json:"country"`
	ObservedAt time.Time        `json:"observed_at,omitzero"`
	Source     string           `json:"source,omitempty"` // who or what observed it
	Strength   Strength         `json:"strength"`
	Session    string           `json:"session,omitempty"` // the customer's login session it came from; "" if an operator entered it
	Expires    time.Time        `json:"expires,omitzero"`  // zero = does not
}

// ParseEvidence reads "KIND=CC", as operators write it: an item without session, of the strength of its kind. The
// ledger sets ObservedAt. Invalid for an unknown kind, refused with UnknownCountry for an unknown country.
func ParseEvidence(s string) (Evidence, error) {
	kind, code, ok := strings.Cut(s, "=")
	if !ok || !slices.Contains(Kinds, Kind(kind)) {
		return Evidence{}, domicile.E("evidence", domicile.Invalid, "write KIND=CC with KIND one of "+kindList())
	}
	country, err := domicile.ParseCountry(code)
	if err != nil {
		return Evidence{}, domicile.W("evidence", err)
	}
	return Evidence{Kind: Kind(kind), Country: country, Strength: Kind(kind).strength()}, nil
}

// strength of an item of which nothing more is known.
func (k Kind) strength() Strength {
	switch k {
	case IP:
		return Weak
	case Bank, Tax, Document, Wallet:
		return Strong
	}
	return Ordinary
}

func kindList() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// check completes an item by its defaults and refuses what cannot be one.
func (e Evidence) check(now time.Time) (Evidence, error) {
	country, err := domicile.ParseCountry(string(e.Country))
	if err != nil {
		return Evidence{}, domicile.W("evidence", err)
	}
	e.Country = country
	if e.ObservedAt.IsZero() {
		e.ObservedAt = now
	}
	if e.Strength == "" {
		e.Strength = e.Kind.strength()
	}
	switch {
	case !slices.Contains(Kinds, e.Kind):
		return Evidence{}, domicile.E("evidence", domicile.Invalid, "unknown kind; known are "+kindList())
	case !slices.Contains([]Strength{Weak, Ordinary, Strong}, e.Strength):
		return Evidence{}, domicile.E("evidence", domicile.Invalid, "strength is weak, ordinary or strong")
	case e.Kind == IP && e.Strength != Weak:
		return Evidence{}, domicile.E("evidence", domicile.Invalid, "an IP address is weak evidence")
	case e.ObservedAt.After(now):
		return Evidence{}, domicile.E("evidence", domicile.Invalid, "observed in the future")
	case len(e.Source) > maxText || len(e.Session) > maxText:
		return Evidence{}, domicile.E("evidence", domicile.Invalid, "source and session have at most 128 bytes")
	}
	return e, nil
}

// Bounds on what an operator may enter.
const (
	maxItems = 16
	maxText  = 128
)

func checkAll(items []Evidence, now time.Time) ([]Evidence, error) {
	if len(items) > maxItems {
		return nil, domicile.E("evidence", domicile.TooLarge, "at most 16 items")
	}
	out := make([]Evidence, 0, len(items))
	for _, e := range items {
		e, err := e.check(now)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}
