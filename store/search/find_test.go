package search_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"domicile/store/search"
)

// A shelf keeps a block, and counts how often each section is read.
type shelf struct {
	dir      []byte
	sections [][]byte
	reads    map[int]int
}

func (s *shelf) emit(b []byte) error {
	s.sections = append(s.sections, bytes.Clone(b))
	clear(b) // it is promised to nobody
	return nil
}

func (s *shelf) read(i int) ([]byte, error) {
	if s.reads == nil {
		s.reads = map[int]int{}
	}
	s.reads[i]++
	return s.sections[i], nil
}

// doc is a document: its name, and the texts of both fields.
type doc struct {
	name  string
	texts [2][]string
}

func (d doc) holds(query string, in ...search.Field) bool {
	return slices.ContainsFunc(in, func(f search.Field) bool {
		return query == "" || slices.ContainsFunc(d.texts[f], func(text string) bool { return strings.Contains(text, query) })
	})
}

// build makes a block of documents.
func build(t rapid.TB, docs ...doc) (*search.Block, *shelf) {
	b := search.NewBuilder()
	for _, d := range docs {
		if err := b.Doc(d.name); err != nil {
			t.Fatal(err)
		}
		for f, texts := range d.texts {
			for _, text := range texts {
				b.Text(search.Field(f), []byte(text))
			}
		}
	}
	s := new(shelf)
	dir, err := b.Finish(s.emit)
	return open(t, s, dir, err), s
}

func merge(t rapid.TB, drop func(string) bool, blocks ...*search.Block) (*search.Block, *shelf) {
	s := new(shelf)
	dir, err := search.Merge(s.emit, blocks, drop)
	return open(t, s, dir, err), s
}

func open(t rapid.TB, s *shelf, dir []byte, err error) *search.Block {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	b, err := search.Open(dir, s.read)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answers wants a block's answer to be right: what is sure holds the query, and what holds it is sure or in maybe.
func answers(t rapid.TB, b *search.Block, docs []doc, query string, in ...search.Field) (sure, maybe *search.Set) {
	sure, maybe, err := b.Find(query, in...)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range docs {
		switch holds := d.holds(query, in...); {
		case sure.Has(i) && maybe.Has(i):
			t.Fatalf("%q in %v: document %d is sure and maybe", query, in, i)
		case sure.Has(i) && !holds:
			t.Fatalf("%q in %v: document %d does not hold it: %q", query, in, i, d.texts)
		case holds && !sure.Has(i) && !maybe.Has(i):
			t.Fatalf("%q in %v: document %d was not found: %q", query, in, i, d.texts)
		}
	}
	return sure, maybe
}

// Texts are made of these, so that queries have hits.
var scraps = []string{"a", "an", "anna", "ann", "@", "example.com", " ", " ", " ", "\r\n", ".", ",", ", ", "-", "://", "мир", "ми", "straße", "한국", "한", "नमस्ते",
	"会", "会议", "議会", "東京", "京都", "。", "カタ", "สวัส", "ดี", "🎉", "e\u0301", "\xff", "\xe4", strings.Repeat("long", 30), strings.Repeat("é", 70), "\x00"}

func drawText(t *rapid.T, max int) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(scraps), 0, max).Draw(t, "text"), "")
}

func drawDocs(t *rapid.T, name string) []doc {
	var docs []doc
	for i := range rapid.IntRange(0, 20).Draw(t, "documents") {
		d := doc{name: fmt.Sprint(name, i)}
		for f := range d.texts {
			for range rapid.IntRange(0, 2).Draw(t, "texts") {
				d.texts[f] = append(d.texts[f], drawText(t, 12))
			}
		}
		docs = append(docs, d)
	}
	return docs
}

// drawQuery draws a piece of a text, whole characters mostly, or something else.
func drawQuery(t *rapid.T, docs []doc) string {
	if len(docs) > 0 && rapid.Bool().Draw(t, "hit") {
		d := rapid.SampledFrom(docs).Draw(t, "document")
		text := strings.Join(append(d.texts[0], d.texts[1]...), "")
		if n := len(text); n > 0 {
			from := rapid.IntRange(0, n-1).Draw(t, "from")
			to := rapid.IntRange(from, min(n, from+rapid.SampledFrom([]int{4, 20, 200}).Draw(t, "most"))).Draw(t, "to")
			if rapid.Bool().Draw(t, "whole") {
				return strings.ToValidUTF8(text[from:to], "")
			}
			return text[from:to]
		}
	}
	return drawText(t, 4)
}

var both = []search.Field{search.Header, search.Body}

// TestFind holds answers of blocks against texts that are read, after merges of merges too, and merged blocks against those made of the same documents at once.
func TestFind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var blocks []*search.Block
		var shelves []*shelf
		var all [][]doc
		for i := range rapid.IntRange(1, 4).Draw(t, "blocks") {
			docs := drawDocs(t, fmt.Sprint(i, "/"))
			b, s := build(t, docs...)
			blocks, shelves, all = append(blocks, b), append(shelves, s), append(all, docs)
		}
		for range rapid.IntRange(0, 3).Draw(t, "merges") {
			from := rapid.IntRange(0, len(blocks)-1).Draw(t, "from")
			to := rapid.IntRange(from+1, len(blocks)).Draw(t, "to")
			gone := map[string]bool{}
			var left []doc
			for _, d := range slices.Concat(all[from:to]...) {
				if gone[d.name] = rapid.IntRange(0, 3).Draw(t, "gone") == 0; !gone[d.name] {
					left = append(left, d)
				}
			}
			b, s := merge(t, func(name string) bool { return gone[name] }, blocks[from:to]...)
			blocks, shelves = slices.Replace(blocks, from, to, b), slices.Replace(shelves, from, to, s)
			all = slices.Replace(all, from, to, left)
		}
		for i, b := range blocks {
			names, err := b.Docs()
			if err != nil || b.Len() != len(all[i]) || len(names) != b.Len() {
				t.Fatal(err, b.Len(), len(names), len(all[i]))
			}
			for j, d := range all[i] {
				if names[j] != d.name {
					t.Fatalf("document %d is %q, want %q", j, names[j], d.name)
				}
			}
			if _, s := build(t, all[i]...); !bytes.Equal(shelves[i].dir, s.dir) || !bytes.Equal(pack(t, shelves[i].sections), pack(t, s.sections)) {
				t.Fatal("the merged block is not the one that is made of what is left")
			}
			for range 6 {
				q := drawQuery(t, all[i])
				for _, in := range [][]search.Field{both[:1], both[1:], both} {
					answers(t, b, all[i], q, in...)
				}
			}
		}
	})
}

// TestSure holds the promise of which queries need nobody to verify, and that others find what they should.
func TestSure(t *testing.T) {
	docs := []doc{
		{name: "a", texts: [2][]string{{"from: anna <anna@example.com>"}, {"we meet at ten-thirty, in room 7."}}},
		{name: "b", texts: [2][]string{{"from: bob"}, {"anna was here; 明天的会议在东京。 c:\\temp 100% 🎉"}}},
		{name: "c", texts: [2][]string{{"from: carl"}, {"meeting down town", "room", "seven"}}},
		{name: "d", texts: [2][]string{{"from: dora"}, {strings.Repeat("x", 500) + "needle" + strings.Repeat("y", 500)}}},
	}
	b, _ := build(t, docs...)
	for _, c := range []struct {
		query       string
		sure, maybe string
	}{
		{"", "abcd", ""},
		{"anna", "ab", ""},
		{"anna@example.com", "a", ""},
		{"@ex", "a", ""},
		{"n", "abcd", ""},
		{"zz", "", ""},
		{"ten-thirty", "a", ""},
		{"7.", "a", ""},
		{"会", "b", ""},
		{"会议", "b", ""},
		{"議", "", ""},
		{"会议在", "", "b"},
		{"会議在", "", ""},
		{"🎉", "b", ""},
		{"%", "b", ""},
		{":\\", "b", ""},
		{"c:\\t", "", "b"},
		{"100%", "", "b"},
		{"ing down", "", "c"},
		{"in down", "", ""},
		{"room seven", "", "c"},
		{"meet ", "", "a"},
		{" meet", "", "ac"},
		{"xneedley", "d", ""},
		{strings.Repeat("x", 60), "d", ""},
		{strings.Repeat("x", 61), "", "d"},
		{strings.Repeat("x", 499) + "needle", "", "d"},
		{strings.Repeat("x", 499) + "noodle", "", ""},
		{" ", "", "abcd"},
		{"\xff", "", "abcd"},
	} {
		sure, maybe := answers(t, b, docs, c.query, both...)
		if named(docs, sure) != c.sure || named(docs, maybe) != c.maybe {
			t.Errorf("%.80q: sure %q and maybe %q, want %q and %q", c.query, named(docs, sure), named(docs, maybe), c.sure, c.maybe)
		}
	}
}

// named returns the names of a set's documents.
func named(docs []doc, s *search.Set) (names string) {
	for i := range s.All() {
		names += docs[i].name
	}
	return names
}

// TestManyWords wants a document with more words than are indexed to be a candidate of every query, and only that one.
func TestManyWords(t *testing.T) {
	var text strings.Builder
	for i := range search.MaxWords + 10 {
		fmt.Fprintln(&text, "w", i)
	}
	docs := []doc{{name: "small", texts: [2][]string{{}, {"w here"}}}, {name: "big", texts: [2][]string{{"head"}, {text.String()}}}}
	b, _ := build(t, docs...)
	merged, _ := merge(t, func(string) bool { return false }, b)
	for _, b := range []*search.Block{b, merged} {
		for query, want := range map[string]string{"w": "smallbig+", "here": "small+big", "nowhere": "+big", "131080": "+big"} {
			sure, maybe := answers(t, b, docs, query, search.Body)
			if got := named(docs, sure) + "+" + named(docs, maybe); got != want {
				t.Errorf("%q: %s, want %s", query, got, want)
			}
		}
		if sure, maybe := answers(t, b, docs, "nowhere", search.Header); sure.Len()+maybe.Len() != 0 {
			t.Error("the body's words count for the header")
		}
	}
}

// manyDocs returns documents with so many words that a block of them has many chunks, and chunks have several sections of lists.
func manyDocs(prefix string) (docs []doc) {
	rnd := rand.New(rand.NewPCG(1, uint64(len(prefix))))
	for i := range 300 {
		var text strings.Builder
		for j := range 400 {
			fmt.Fprintf(&text, "w%d %s%d", j, prefix, i*400+j)
			text.WriteString([]string{" ", ", ", "-x\r\n"}[rnd.IntN(3)])
			if rnd.IntN(4) == 0 {
				fmt.Fprintf(&text, "r%dr%d ", rnd.IntN(40), rnd.IntN(4000))
			}
		}
		docs = append(docs, doc{name: fmt.Sprint(prefix, i), texts: [2][]string{{"h"}, {text.String()}}})
	}
	return docs
}

// TestManyChunks holds answers of large blocks against texts that are read.
func TestManyChunks(t *testing.T) {
	docs, more := manyDocs("x"), manyDocs("yy")
	one, s := build(t, docs...)
	two, _ := build(t, more...)
	merged, _ := merge(t, func(name string) bool { return strings.HasSuffix(name, "7") }, two, one)
	left := slices.DeleteFunc(slices.Concat(more, docs), func(d doc) bool { return strings.HasSuffix(d.name, "7") })
	if len(s.sections) < 20 {
		t.Fatalf("only %d sections", len(s.sections))
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 150 {
		text := left[rnd.IntN(len(left))].texts[search.Body][0]
		from := rnd.IntN(len(text) - 20)
		query := text[from : from+1+rnd.IntN(20)]
		answers(t, one, docs, query, search.Body)
		answers(t, merged, left, query, search.Body)
	}
}

// TestConcurrent asks one block from several sides, while it is merged.
func TestConcurrent(t *testing.T) {
	docs := manyDocs("x")
	_, s := build(t, docs...)
	b, err := search.Open(s.dir, func(i int) ([]byte, error) { return s.sections[i], nil })
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if sure, _, err := b.Find(fmt.Sprint("x", i*400), search.Body); err != nil || !sure.Has(i) {
				t.Error(i, err)
			}
			if _, err := search.Merge(new(shelf).emit, []*search.Block{b}, func(string) bool { return false }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestOpensWhatItNeeds counts the sections that queries and merges read.
func TestOpensWhatItNeeds(t *testing.T) {
	b, s := build(t, manyDocs("x")...)
	for query, most := range map[string]int{"x77777": len(s.sections) / 2, " x77777 ": 4, "": 0, " ": 0} {
		s.reads = nil
		sure, maybe, err := b.Find(query, search.Body)
		if err != nil || len(s.reads) > most {
			t.Errorf("%q: %v, %d of %d sections were opened, want at most %d", query, err, len(s.reads), len(s.sections), most)
		}
		t.Logf("%q: %d of %d sections, %d sure, %d maybe", query, len(s.reads), len(s.sections), sure.Len(), maybe.Len())
	}
	s.reads = nil
	merge(t, func(string) bool { return false }, b)
	for i := range s.sections {
		if s.reads[i] != 1 {
			t.Errorf("a merge opened section %d %d times", i, s.reads[i])
		}
	}
}

func TestLimits(t *testing.T) {
	b := search.NewBuilder()
	if b.Doc("") == nil || b.Doc(strings.Repeat("x", search.MaxID+1)) == nil {
		t.Error("a name without bytes, or with too many, was taken")
	}
	for i := range search.MaxDocs {
		if err := b.Doc(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Doc("one more"); !errors.Is(err, search.ErrFull) {
		t.Error(err)
	}
	b.Text(search.Body, []byte("last"))
	s := new(shelf)
	dir, err := b.Finish(s.emit)
	full := open(t, s, dir, err)
	if sure, _, err := full.Find("last", search.Body); err != nil || !slices.Equal(slices.Collect(sure.All()), []int{search.MaxDocs - 1}) {
		t.Error(err)
	}
	for i, b := range s.sections {
		if len(b) > 72<<10 {
			t.Errorf("section %d has %d bytes", i, len(b))
		}
	}
	one, _ := build(t, doc{name: "one more"})
	if _, err := search.Merge(s.emit, []*search.Block{full, one}, func(string) bool { return false }); !errors.Is(err, search.ErrFull) {
		t.Error(err)
	}
	if b, _ := merge(t, func(name string) bool { return name == "0" }, full, one); b.Len() != search.MaxDocs {
		t.Error(b.Len())
	}
}
