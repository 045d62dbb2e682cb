package search

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// maxParts bounds the words of a query that are looked for; the rest is left to who verifies.
const maxParts = 32

// A part is a word of a query.
type part struct {
	word    []byte
	pattern []byte // word, with a newline where it must begin or end
	docs    *Set   // that hold it
}

func newPart(before, word, after string) part {
	return part{word: []byte(word), pattern: []byte(before + word + after)}
}

// plan parts a query into what its documents must hold, whatever else. It is exact if those documents are the ones that hold the query.
func plan(query []byte) (parts []part, exact bool) {
	if !utf8.Valid(query) {
		return nil, false
	}
	add := func(before, word, after string) {
		p := newPart(before, word, after)
		same := func(q part) bool { return bytes.Equal(q.pattern, p.pattern) }
		if len(parts) < maxParts && !slices.ContainsFunc(parts, same) {
			parts = append(parts, p)
		}
	}
	for at := 0; ; {
		c, from, to := nextRun(query, at)
		if c == space {
			return parts, exact
		}
		before, after := "", ""
		if from > 0 {
			before = "\n"
		}
		if to < len(query) {
			after = "\n"
		}
		run, found := query[from:to], true // found: for sure, if the run is the query
		switch runes := utf8.RuneCount(run); {
		case c == letter && len(run) <= maxPart, c != letter && runes == 1:
			add(before, string(run), after)
		case c == letter:
			eachPiece(run, maxPart, maxPart, func(piece []byte) { add("", string(piece), "") })
			found = false
		default:
			eachPair(run, func(pair []byte) { add("\n", string(pair), "\n") })
			found = runes == 2
		}
		exact = found && len(run) == len(query)
		at = to
	}
}

// mayBeIn reports whether some word from first on, but before next, may fit; without next there is no end.
func (p *part) mayBeIn(first, next []byte) bool {
	if p.docs.full() {
		return false
	}
	if p.pattern[0] != '\n' {
		return true
	}
	if next != nil && bytes.Compare(next, p.word) <= 0 {
		return false
	}
	return bytes.Compare(first, p.word) <= 0 || bytes.HasPrefix(first, p.word)
}

// fitting returns the numbers of the words that the pattern fits, ascending.
func (p *part) fitting(words []byte) (numbers []int) {
	number, at := -1, 0 // of the word before at
	for {
		i := bytes.Index(words[at:], p.pattern)
		if i < 0 {
			return numbers
		}
		if p.pattern[0] == '\n' {
			i++
		}
		number += bytes.Count(words[at:at+i], newline)
		numbers = append(numbers, number)
		at += i
		at += bytes.IndexByte(words[at:], '\n') // there is one: words ends with it
	}
}

var newline = []byte{'\n'}
