package residence_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"domicile"
	"domicile/residence"
)

// A customer in Ireland moves to the United States: declared with one item of evidence, changed with two, rested,
// approved by a second operator.
func ExampleLedger() {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ctx := context.Background()
	ledger, err := residence.Open(residence.Config{
		Region: "eu-ireland",
		Table:  table{},
		Record: func(_ context.Context, e residence.Entry) error { fmt.Println("leaf:", e.Act); return nil },
		Now:    func() time.Time { return now },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	anne := residence.Actor{Name: "anne", Region: "eu-ireland"}
	brian := residence.Actor{Name: "brian", Region: "eu-ireland"}

	bill, _ := residence.ParseEvidence("billing=IE")
	err = ledger.Declare(ctx, residence.Declaration{Account: "a2f5", Country: "IE", Evidence: []residence.Evidence{bill}}, anne)
	fmt.Println(err)

	bank, _ := residence.ParseEvidence("bank=US")
	sim, _ := residence.ParseEvidence("sim=US")
	change, err := ledger.Request(ctx, residence.Request{Account: "a2f5", Country: "US", Evidence: []residence.Evidence{bank, sim}}, anne)
	fmt.Println(change.ID, change.State, err)

	_, err = ledger.Approve(ctx, change.ID, brian)
	fmt.Println(domicile.ReasonOf(err))

	now = now.Add(15 * 24 * time.Hour)
	_, err = ledger.Approve(ctx, change.ID, anne)
	fmt.Println(domicile.ReasonOf(err))
	change, err = ledger.Approve(ctx, change.ID, brian)
	fmt.Println(change.State, err)
	// Output:
	// leaf: declared
	// <nil>
	// leaf: requested
	// a2f5.1 cooling <nil>
	// cooling_down
	// self_approval
	// leaf: approved
	// approved <nil>
}

func ExampleSufficient() {
	ip, _ := residence.ParseEvidence("ip=US")
	bank, _ := residence.ParseEvidence("bank=US")
	sim, _ := residence.ParseEvidence("sim=IE")
	for _, items := range [][]residence.Evidence{{ip}, {ip, bank}, {ip, bank, sim}} {
		fmt.Printf("%q\n", domicile.ReasonOf(residence.Sufficient("US", items, time.Now())))
	}
	// Output:
	// "evidence_insufficient"
	// ""
	// "evidence_contradicts"
}

// table is a Table in memory; a node passes one of its store.
type table map[string]string

func (t table) Get(key string) ([]byte, bool, error) {
	v, ok := t[key]
	return []byte(v), ok, nil
}

func (t table) Put(key string, value []byte) error { t[key] = string(value); return nil }

func (t table) CompareAndSwap(key string, old, new []byte) (bool, error) {
	if now, ok := t[key]; ok != (old != nil) || now != string(old) {
		return false, nil
	}
	t[key] = string(new)
	return true, nil
}

func (t table) Each(fn func(key string, value []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(t)) {
		if err := fn(k, []byte(t[k])); err != nil {
			return err
		}
	}
	return nil
}
