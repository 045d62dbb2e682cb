package search_test

import (
	"bytes"
	"fmt"

	"domicile/store/search"
)

func Example() {
	var sections [][]byte // a store seals each, and writes it to a file
	b := search.NewBuilder()
	for _, m := range []struct{ id, header, body string }{
		{"m1", "from: anna@example.com", "shall we meet on thursday?"},
		{"m2", "from: bob@example.com", "the meeting is on thursday"},
	} {
		if err := b.Doc(m.id); err != nil {
			panic(err)
		}
		b.Text(search.Header, []byte(m.header))
		b.Text(search.Body, []byte(m.body))
	}
	directory, err := b.Finish(func(section []byte) error {
		sections = append(sections, bytes.Clone(section))
		return nil
	})
	if err != nil {
		panic(err)
	}

	block, err := search.Open(directory, func(i int) ([]byte, error) { return sections[i], nil })
	if err != nil {
		panic(err)
	}
	ids, err := block.Docs()
	if err != nil {
		panic(err)
	}
	for _, query := range []string{"meet", "anna@example.com", "meet on"} {
		sure, maybe, err := block.Find(query, search.Header, search.Body)
		if err != nil {
			panic(err)
		}
		for i := range sure.All() {
			fmt.Printf("%q is in %s\n", query, ids[i])
		}
		for i := range maybe.All() {
			fmt.Printf("%q may be in %s\n", query, ids[i])
		}
	}
	// Output:
	// "meet" is in m1
	// "meet" is in m2
	// "anna@example.com" is in m1
	// "meet on" may be in m1
}
