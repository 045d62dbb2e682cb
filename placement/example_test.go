package placement_test

import (
	"fmt"

	"domicile"
	"domicile/placement"
)

var regions = []placement.RegionInfo{
	{Name: "us-east", Country: "US", Serves: []domicile.Country{"US"}},
	{Name: "eu-ireland", Country: "IE", Serves: []domicile.Country{"IE", "DE", "FR"}},
}

func ExamplePlace() {
	for _, residence := range []domicile.Country{"DE", "BR", "XX"} {
		region, err := placement.Place(residence, regions)
		fmt.Printf("%s: %q %q\n", residence, region, domicile.ReasonOf(err))
	}
	// Output:
	// DE: "eu-ireland" ""
	// BR: "" "residence_not_served"
	// XX: "" "unknown_country"
}

func ExampleParseAddress() {
	a, err := placement.ParseAddress("Anna+lists@Bücher.example")
	fmt.Println(a, err)
	// Output: anna@xn--bcher-kva.example <nil>
}

// Mail for an account in Ireland arrives in us-east: it may cross toward its home. Nothing lets it cross back.
func ExampleDecide() {
	in := placement.Crossing{
		Class: domicile.Delivery, Kind: placement.Stream, Ceiling: 10 << 20,
		From: "us-east", Party: placement.ToRegion, To: "eu-ireland",
		Account: "a2f5", Home: "eu-ireland",
	}
	back := in
	back.From, back.To = "eu-ireland", "us-east"
	for _, c := range []placement.Crossing{in, back} {
		d := placement.Decide(c)
		fmt.Printf("%v %q\n", d.Allow, d.Reason)
	}
	// Output:
	// true ""
	// false "egress_not_allowed"
}
