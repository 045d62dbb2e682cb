package region

import (
	"slices"

	"domicile"
)

// touched returns the regions that the step from prev to c concerns: each must agree.
func (c *Catalog) touched(prev *Catalog) []domicile.Region {
	names := map[domicile.Region]bool{}
	for _, r := range append(slices.Clone(prev.Regions), c.Regions...) {
		was, before := prev.Region(r.Name)
		is, after := c.Region(r.Name)
		if before != after || !sameRegion(was, is) || !sameEntities(prev.Controllers(was.Entity), c.Controllers(is.Entity)) {
			names[r.Name] = true
		}
	}
	everyone := prev.Quorum != c.Quorum || prev.Cosigners != c.Cosigners || !sameWitnesses(prev.Witnesses, c.Witnesses)
	if everyone {
		for _, r := range append(slices.Clone(prev.Regions), c.Regions...) {
			names[r.Name] = true
		}
	}
	c.touchedByDomains(prev, names)
	c.touchedByService(prev, names)
	var out []domicile.Region
	for n := range names {
		out = append(out, n)
	}
	return sorted(out)
}

// touchedByDomains adds the registrars, old and new, of the domains that change.
func (c *Catalog) touchedByDomains(prev *Catalog, names map[domicile.Region]bool) {
	for _, d := range append(slices.Clone(prev.Domains), c.Domains...) {
		was, before := prev.Registrar(d.Name)
		is, after := c.Registrar(d.Name)
		if was == is && before == after {
			continue
		}
		if before {
			names[was] = true
		}
		if after {
			names[is] = true
		}
	}
}

// touchedByService adds the regions that serve a country, before or after, if their list or its order changes: the
// first that serves a residence is where placement puts it.
func (c *Catalog) touchedByService(prev *Catalog, names map[domicile.Region]bool) {
	was, is := prev.service(), c.service()
	for cc := range was {
		is[cc] = append([]domicile.Region{}, is[cc]...)
	}
	for cc, now := range is {
		if before := was[cc]; !slices.Equal(before, now) {
			for _, r := range append(slices.Clone(before), now...) {
				names[r] = true
			}
		}
	}
}

func (c *Catalog) service() map[domicile.Country][]domicile.Region {
	out := map[domicile.Country][]domicile.Region{}
	for _, r := range c.Regions {
		for _, cc := range r.Serves {
			out[cc] = append(out[cc], r.Name)
		}
	}
	return out
}

func sameRegion(a, b RegionInfo) bool {
	return a.Name == b.Name && a.Country == b.Country && a.Entity == b.Entity && a.Key == b.Key && a.Cosign == b.Cosign &&
		slices.Equal(a.Serves, b.Serves) && slices.Equal(a.CA, b.CA) && slices.Equal(a.Hosts, b.Hosts)
}

func sameEntities(a, b []EntityInfo) bool {
	return slices.EqualFunc(a, b, func(a, b EntityInfo) bool {
		return a.ID == b.ID && a.Name == b.Name && a.Country == b.Country && slices.Equal(a.Owners, b.Owners)
	})
}

func sameWitnesses(a, b []WitnessInfo) bool {
	return slices.EqualFunc(a, b, func(a, b WitnessInfo) bool {
		return a.Name == b.Name && a.Key == b.Key && slices.Equal(a.CA, b.CA) && slices.Equal(a.CompellableBy, b.CompellableBy)
	})
}
