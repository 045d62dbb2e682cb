package disclosure

import (
	"bytes"
	"embed"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"domicile"
)

//go:embed bundles
var embedded embed.FS

// orderType is one row of bundles/orders.toml, where the fields are explained.
type orderType struct {
	Type       string   `toml:"type"`
	Regime     string   `toml:"regime"`
	Country    string   `toml:"country"`
	Signers    []string `toml:"signers"`
	Categories []string `toml:"categories"`
	MaxItems   int64    `toml:"max_items"`
	MaxBytes   int64    `toml:"max_bytes"`
}

// agreement is one row of bundles/treaties.toml.
type agreement struct {
	ID      string             `toml:"id"`
	Title   string             `toml:"title"`
	Kind    string             `toml:"kind"` // mlat, executive, protocol
	Parties []domicile.Country `toml:"parties"`
	From    time.Time          `toml:"from"`
	To      time.Time          `toml:"to"` // zero: still in force
	Enabled bool               `toml:"enabled"`
}

// law is the data that the facts are computed from, beside the policies.
type law struct {
	orders     []orderType
	agreements []agreement
}

// loadLaw reads the embedded tables.
func loadLaw() (*law, error) {
	var orders struct {
		Order []orderType `toml:"order"`
	}
	var treaties struct {
		Agreement []agreement `toml:"agreement"`
	}
	if err := embeddedTOML("bundles/orders.toml", &orders); err != nil {
		return nil, err
	}
	if err := embeddedTOML("bundles/treaties.toml", &treaties); err != nil {
		return nil, err
	}
	return &law{orders: orders.Order, agreements: treaties.Agreement}, nil
}

func embeddedTOML(name string, v any) error {
	text, err := embedded.ReadFile(name)
	if err != nil {
		return domicile.W("read embedded "+name, err)
	}
	d := toml.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return domicile.W("read embedded "+name, d.Decode(v))
}

func (l *law) order(name string) (orderType, bool) {
	for _, o := range l.orders {
		if o.Type == name {
			return o, true
		}
	}
	return orderType{}, false
}

// discloses reports whether an order of the type hands anything over.
func (o orderType) discloses() bool { return len(o.Categories) > 0 }

// mayIssue reports whether an authority of country c can issue the type at all.
func (o orderType) mayIssue(c domicile.Country) bool {
	return o.Country == "" || fitsCountry(o.Country, c, c, c)
}

// needs splits a signer requirement.
func needs(signer string) (role, country string) {
	role, country, _ = strings.Cut(signer, ":")
	return role, country
}

// fitsCountry holds a country of the table against c.
func fitsCountry(rule string, c, requesting, requested domicile.Country) bool {
	switch rule {
	case "EEA":
		return c.EEA()
	case "requesting":
		return c == requesting && requesting != requested
	case "requested":
		return c == requested
	}
	return rule == string(c)
}

// inForce finds an agreement that is enabled and in force on a date.
func (l *law) inForce(id string, on time.Time) (agreement, bool) {
	for _, a := range l.agreements {
		if a.ID == id && a.on(on) {
			return a, true
		}
	}
	return agreement{}, false
}

func (a agreement) on(t time.Time) bool {
	return a.Enabled && !t.Before(a.From) && (a.To.IsZero() || t.Before(a.To))
}

// links reports whether both states are parties, and two.
func (a agreement) links(x, y domicile.Country) bool {
	return x != y && slices.Contains(a.Parties, x) && slices.Contains(a.Parties, y)
}

// qualifying reports whether a government is a qualifying foreign government of another one on a date: 18 U.S.C. 2523.
func (l *law) qualifying(foreign, of domicile.Country, on time.Time) bool {
	for _, a := range l.agreements {
		if a.Kind == "executive" && a.on(on) && a.links(foreign, of) {
			return true
		}
	}
	return false
}

// OrderTypes are the types of order that this release knows, in the table's order.
func OrderTypes() []string {
	l, err := loadLaw()
	if err != nil {
		return nil
	}
	var out []string
	for _, o := range l.orders {
		out = append(out, o.Type)
	}
	return out
}
