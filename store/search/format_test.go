package search_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"domicile/store/search"
)

var update = flag.Bool("update", false, "write the sample of the present version in testdata anew")

var sampleDocs = append([]doc{
	{name: "one", texts: [2][]string{{"from: anna <anna@example.com>"}, {"we meet at ten-thirty, in room 7.", "明天的会议在东京。"}}},
	{name: "two", texts: [2][]string{{"from: боб"}, {strings.Repeat("long", 100), "🎉"}}},
	{name: "three", texts: [2][]string{{}, {"สวัสดี anna"}}},
}, slices.Repeat([]doc{{name: ".", texts: [2][]string{{"filler"}, {"and more"}}}}, 30)...)

// TestSamples opens blocks as earlier releases wrote them. A sample is the directory and then the sections, each behind its length.
func TestSamples(t *testing.T) {
	const sample = "testdata/block-1"
	if *update {
		_, s := build(t, sampleDocs...)
		var raw []byte
		for _, b := range append([][]byte{s.dir}, s.sections...) {
			raw = binary.AppendUvarint(raw, uint64(len(b)))
			raw = append(raw, b...)
		}
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(sample, raw, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	var s shelf
	for len(raw) > 0 {
		n, w := binary.Uvarint(raw)
		s.sections = append(s.sections, raw[w:w+int(n)])
		raw = raw[w+int(n):]
	}
	dir := s.sections[0]
	s.sections = s.sections[1:]
	b, err := search.Open(dir, s.read)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{"anna": "onethree", "example.com": "one", "боб": "two", "会议": "one", "会议在": "+one", "longlong": "two",
		"at ten": "+one", "🎉": "two", "วัสดี": "+three", "nobody": "", "filler": strings.Repeat(".", 30)} {
		sure, maybe := answers(t, b, sampleDocs, query, both...)
		if got := strings.TrimSuffix(named(sampleDocs, sure)+"+"+named(sampleDocs, maybe), "+"); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

// TestClassesAreDocumented holds docs/FORMATS.md against the code, for every character.
func TestClassesAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/FORMATS.md")
	if err != nil {
		t.Fatal(err)
	}
	class := map[rune]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (spaces|marks|grams) \| ([0-9A-F–, ]+) \|$`).FindAllStringSubmatch(string(raw), -1) {
		for _, r := range strings.Split(m[2], ", ") {
			from, to, two := strings.Cut(r, "–")
			if !two {
				to = from
			}
			a, err1 := strconv.ParseUint(from, 16, 32)
			b, err2 := strconv.ParseUint(to, 16, 32)
			if err1 != nil || err2 != nil || a > b {
				t.Fatal(r, err1, err2)
			}
			for c := rune(a); c <= rune(b); c++ {
				class[c] = m[1]
			}
		}
	}
	for r := rune(0); r < 0x80; r++ {
		switch {
		case r <= ' ' || r == 0x7f:
			class[r] = "spaces"
		case r < '0' && !strings.ContainsRune(".-+", r), '9' < r && r < '@', 'Z' < r && r < 'a' && r != '_', 'z' < r:
			class[r] = "marks"
		}
	}
	for r := rune(0); r <= 0x10ffff; r++ {
		if want, got := class[r], search.ClassOf(r); got != want && (r < 0xd800 || r > 0xdfff) {
			t.Fatalf("%U: the code says %q, the document %q", r, got, want)
		}
	}
}
