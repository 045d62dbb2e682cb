package placement

import (
	"slices"

	"domicile"
)

// RegionInfo is what placement needs of one region of the catalog. region.Catalog makes them.
type RegionInfo struct {
	Name    domicile.Region
	Country domicile.Country   // where it stands
	Serves  []domicile.Country // residences, in the catalog's order
}

// Place returns the region for a residence: the first that serves it, by the catalog's order. Refused with
// UnknownCountry or ResidenceNotServed; never a default. Where a region stands does not matter: only
// what it says it serves does.
func Place(residence domicile.Country, regions []RegionInfo) (domicile.Region, error) {
	country, err := domicile.ParseCountry(string(residence))
	if err != nil {
		return "", domicile.W("place", err)
	}
	for _, r := range regions {
		if r.Name != "" && slices.Contains(r.Serves, country) {
			return r.Name, nil
		}
	}
	return "", domicile.Refuse("place", domicile.ResidenceNotServed, "house/residence-served",
		"no region of the catalog serves residents of "+string(country)+"; a region must add the country first")
}
