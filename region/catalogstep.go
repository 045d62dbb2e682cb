package region

import (
	"maps"
	"slices"

	"domicile"
)

// touches says of each region that a step concerns why it does; each must agree.
type touches map[domicile.Region][]string

func (t touches) add(r domicile.Region, why string) {
	if !slices.Contains(t[r], why) {
		t[r] = append(t[r], why)
	}
}

// touched returns the regions that the step from prev to c concerns.
func (c *Catalog) touched(prev *Catalog) touches {
	t := touches{}
	everyone := prev.Quorum != c.Quorum || prev.Cosigners != c.Cosigners || !sameWitnesses(prev.Witnesses, c.Witnesses)
	for _, r := range append(slices.Clone(prev.Regions), c.Regions...) {
		was, before := prev.Region(r.Name)
		is, after := c.Region(r.Name)
		switch {
		case before != after:
			t.add(r.Name, "it comes or goes")
		case !sameRegion(was, is):
			t.add(r.Name, "its own entry changes")
		case !sameEntities(prev.Controllers(was.Entity), c.Controllers(is.Entity)):
			t.add(r.Name, "an entity that controls it changes")
		}
		if everyone {
			t.add(r.Name, "the quorum, the number of cosigners or a witness changes")
		}
	}
	c.touchedByDomains(prev, t)
	c.touchedByService(prev, t)
	return t
}

// touchedByDomains adds the registrars, old and new, of the domains that change.
func (c *Catalog) touchedByDomains(prev *Catalog, t touches) {
	for _, d := range append(slices.Clone(prev.Domains), c.Domains...) {
		was, before := prev.Registrar(d.Name)
		is, after := c.Registrar(d.Name)
		if was == is && before == after {
			continue
		}
		if before {
			t.add(was, "it was the registrar of "+d.Name)
		}
		if after {
			t.add(is, "it becomes the registrar of "+d.Name)
		}
	}
}

// touchedByService adds the regions that serve a country, before or after, if their list or its order changes: the
// first that serves a residence is where placement puts it.
func (c *Catalog) touchedByService(prev *Catalog, t touches) {
	was, is := prev.service(), c.service()
	for cc := range was {
		is[cc] = append([]domicile.Region{}, is[cc]...)
	}
	for _, cc := range slices.Sorted(maps.Keys(is)) {
		if before, now := was[cc], is[cc]; !slices.Equal(before, now) {
			for _, r := range append(slices.Clone(before), now...) {
				t.add(r, "who serves "+string(cc)+" changes")
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
