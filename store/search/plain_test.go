package search

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// plainClass returns the class of the character at the head of b, and its length, as docs/FORMATS.md tells them.
func plainClass(b []byte) (class, int) {
	r, n := utf8.DecodeRune(b)
	switch {
	case r == utf8.RuneError && n == 1, r <= ' ', r == 0x7f:
		return space, n
	case r < utf8.RuneSelf:
		if strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_@+", r) {
			return letter, n
		}
		return mark, n
	}
	for _, w := range wide {
		if w.from <= r && r <= w.to {
			return w.class, n
		}
	}
	return letter, n
}

// plainWords adds the words of a text, character by character.
func plainWords(text []byte, add func(word []byte)) {
	for at := 0; at < len(text); {
		c, n := plainClass(text[at:])
		to := at + n
		for to < len(text) {
			next, n := plainClass(text[to:])
			if next != c {
				break
			}
			to += n
		}
		if c != space {
			eachWord(c, text[at:to], add)
		}
		at = to
	}
}

// plainBlock is what a Builder makes of documents, each with texts of its header and of its body, from a map and a sort of strings.
func plainBlock(t rapid.TB, docs [][fields][]string) (sections [][]byte) {
	w, err := newWriter(func(s []byte) error {
		sections = append(sections, bytes.Clone(s))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(docs))
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	if err := w.start(names); err != nil {
		t.Fatal(err)
	}
	for f := range fields {
		held := map[string][]uint32{}
		for i, d := range docs {
			for _, text := range d[f] {
				plainWords([]byte(text), func(word []byte) {
					if in := held[string(word)]; len(in) == 0 || in[len(in)-1] != uint32(i) {
						held[string(word)] = append(in, uint32(i))
					}
				})
			}
		}
		for _, word := range slices.Sorted(maps.Keys(held)) {
			if err := w.word([]byte(word), held[word]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.endField(); err != nil {
			t.Fatal(err)
		}
	}
	return append(sections, w.dir)
}

func builtBlock(t rapid.TB, docs [][fields][]string) (sections [][]byte) {
	b := NewBuilder()
	for i, d := range docs {
		if err := b.Doc(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		for f, texts := range d {
			for _, text := range texts {
				b.Text(Field(f), []byte(text))
			}
		}
	}
	dir, err := b.Finish(func(s []byte) error {
		sections = append(sections, bytes.Clone(s))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(sections, dir)
}

func wantPlain(t rapid.TB, docs [][fields][]string) {
	if got, want := builtBlock(t, docs), plainBlock(t, docs); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("of %q: %q, plainly %q", docs, got, want)
	}
}

// FuzzBuild wants the bytes of a block to be those that the plain way makes.
func FuzzBuild(f *testing.F) {
	f.Add("from: anna <anna@example.com>", "we meet at ten-thirty, in room 7.", "明天的会议在东京。 we meet 🎉🎉")
	f.Add("a\xffb\xc3 e\u0301x \xe4\xbc", strings.Repeat("long", 50), "\u00a0 สวัสดี\x00привет,,,мир")
	f.Fuzz(func(t *testing.T, one, two, three string) {
		wantPlain(t, [][fields][]string{{{one}, {two, three}}, {{two, one}, {three}}, {{}, {one + two, three + two}}})
	})
}

// TestManyWords wants the same of so many words that the lexicon grows, many of which begin alike.
func TestManyWords(t *testing.T) {
	heads := []string{"", "z", "eight123", "eight1234", "eight123-"}
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var docs [][fields][]string
		for range rapid.IntRange(1, 4).Draw(t, "docs") {
			var text strings.Builder
			for range rapid.IntRange(0, 3000).Draw(t, "words") {
				fmt.Fprint(&text, heads[rnd.IntN(len(heads))], rnd.IntN(4000), " ")
			}
			docs = append(docs, [fields][]string{{}, {text.String()}})
		}
		wantPlain(t, docs)
	})
}
