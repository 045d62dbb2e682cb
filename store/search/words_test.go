package search

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// wordsOf returns the words of a text, parted by a bar.
func wordsOf(text string) string {
	var all []string
	for at := 0; ; {
		c, from, to := nextRun([]byte(text), at)
		if c == space {
			return strings.Join(all, "|")
		}
		eachWord(c, []byte(text)[from:to], func(w []byte) { all = append(all, string(w)) })
		at = to
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		" \t\r\n\x00\x7f\u00a0":   "",
		"to be, or not":           "to|be|,|or|not",
		"anna+lists@example.com>": "anna+lists@example.com|>",
		"https://example.com/a_b": "https|:/|//|example.com|/|a_b",
		"don't":                   "don|'|t",
		"straße größe":            "straße|größe",
		"привет, мир":             "привет|,|мир",
		"안녕하세요 세계":                "안녕하세요|세계",
		"नमस्ते":                  "नमस्ते",
		"会议":                      "会议",
		"会":                       "会",
		"明天的会议在东京。":               "明天|天的|的会|会议|议在|在东|东京|。",
		"go言語で":                   "go|言語|語で",
		"สวัสดี":                  "สว|วั|ัส|สด|ดี",
		"🎉🎉🎊":                     "🎉🎉|🎉🎊",
		"a\xffb\xc3":              "a|b",
		"e\u0301x":                "e\u0301x",
	} {
		if got := wordsOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestClassesAscend wants the table that classAt searches in order.
func TestClassesAscend(t *testing.T) {
	last := rune(utf8.RuneSelf - 1)
	for _, r := range wide {
		if r.from <= last || r.to < r.from || r.class == multi {
			t.Errorf("range %x to %x of class %d, behind %x", r.from, r.to, r.class, last)
		}
		last = r.to
	}
}

// TestPieces wants all that has at most maxPart bytes in one piece of a long run, and each piece to be of whole characters.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run := []byte(rapid.StringOfN(rapid.SampledFrom([]rune("ab0éж한𐌰")), maxWord/4, 600, -1).Draw(t, "run"))
		var pieces [][]byte
		eachWord(letter, run, func(w []byte) { pieces = append(pieces, w) })
		for _, p := range pieces {
			if len(p) > maxWord || !utf8.Valid(p) {
				t.Fatalf("piece of %d bytes", len(p))
			}
		}
		if !bytes.HasPrefix(run, pieces[0]) || !bytes.HasSuffix(run, pieces[len(pieces)-1]) {
			t.Fatal("the pieces do not begin and end as the run does")
		}
		for from := 0; from < len(run); from = wholeRunes(run, from+4) {
			part := run[from:wholeRunes(run, from+maxPart)]
			found := false
			for _, p := range pieces {
				found = found || bytes.Contains(p, part)
			}
			if !found {
				t.Fatalf("%d bytes at %d are in no piece", len(part), from)
			}
			if from+4 > len(run) {
				break
			}
		}
	})
}
