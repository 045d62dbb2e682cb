package placement

import (
	"testing"

	"domicile"
)

var lab = []RegionInfo{
	{Name: us, Country: "US", Serves: []domicile.Country{"US"}},
	{Name: ie, Country: "IE", Serves: []domicile.Country{"IE", "DE", "FR"}},
	{Name: de, Country: "DE", Serves: []domicile.Country{"DE", "AT"}},
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		residence domicile.Country
		regions   []RegionInfo
		want      domicile.Region
		reason    domicile.Reason
	}{
		{"IE", lab, ie, ""},
		{"US", lab, us, ""},
		{"AT", lab, de, ""},
		{"DE", lab, ie, ""}, // two serve it: the catalog's order decides, not where a region stands
		{"ie", lab, ie, ""},
		{"XX", lab, "", domicile.UnknownCountry},
		{"ZZ", lab, "", domicile.UnknownCountry},
		{"UK", lab, "", domicile.UnknownCountry},
		{"EU", lab, "", domicile.UnknownCountry},
		{"", lab, "", domicile.UnknownCountry},
		{"IRL", lab, "", domicile.UnknownCountry},
		{"BR", lab, "", domicile.ResidenceNotServed},
		{"GB", lab, "", domicile.ResidenceNotServed},
		{"IE", nil, "", domicile.ResidenceNotServed},
		{"IE", []RegionInfo{{Name: ie, Country: "IE"}}, "", domicile.ResidenceNotServed}, // standing there is not serving
		{"IE", []RegionInfo{{Serves: []domicile.Country{"IE"}}}, "", domicile.ResidenceNotServed},
		{"XX", []RegionInfo{{Name: us, Serves: []domicile.Country{"XX"}}}, "", domicile.UnknownCountry}, // whatever a catalog says
	} {
		got, err := Place(c.residence, c.regions)
		if got != c.want || domicile.ReasonOf(err) != c.reason || (err == nil) != (c.reason == "") {
			t.Errorf("Place(%q) = %q, %v; want %q, %q", c.residence, got, err, c.want, c.reason)
		}
	}
}
