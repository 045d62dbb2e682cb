package message

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// fold is Unicode's NFKC_Casefold (chapter 3.13), decomposed.
func fold(s string) string {
	s = cases.Fold().String(norm.NFKD.String(s))
	return norm.NFKD.String(strings.Map(func(r rune) rune {
		switch {
		case r == 'ı':
			return 'i'
		case unicode.Is(unicode.Cherokee, r): // cases.Fold exchanges its capitals and small letters
			return unicode.ToUpper(r)
		case unseen(r):
			return -1
		}
		return r
	}, s))
}

// unseen: Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt.
func unseen(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r >= 0xfff9 && r <= 0xfffb, r >= 0x13430 && r <= 0x1345f: // they are seen
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) &&
		!unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

// letterOf returns the folding of a character that is known, else nothing.
func (f *folder) letterOf(r rune) letter {
	if r>>8 < 256 {
		if p := f.known[r>>8]; p != nil {
			return p[r&255]
		}
	}
	return letter{}
}

// A letter is the folding of one character.
type letter struct {
	folded string
	known  bool
	starts bool // the character is no accent, and is seen
	alone  bool // it is the same whatever stands before and behind the character
	plain  bool // alone, and has no space
}

type page [256]letter

// known has the foldings of alphabets that are much used, and of what folds to many letters, made once: asking the tables of
// Unicode for each is slow.
var known = sync.OnceValue(func() *[256]*page {
	var pages [256]*page
	for _, n := range []rune{0, 1, 2, 3, 4, 5, 6, 9, 0xe, 0x10, 0x1e, 0x20, 0x30, 0xfb, 0xfc, 0xfd, 0xfe, 0xff} {
		pages[n] = &page{}
		for i := range pages[n] {
			if r := n<<8 + rune(i); r != utf8.RuneError { // what is not UTF-8 looks like it, and is one for each run
				pages[n][i] = newLetter(r)
			}
		}
	}
	return &pages
})

func newLetter(r rune) letter {
	l := letter{folded: fold(string(r)), known: true}
	l.starts = l.folded != "" && norm.NFKD.PropertiesString(string(r)).LeadCCC() == 0
	l.alone = l.starts
	l.plain = l.alone
	parts := norm.NFKD.String(string(r)) + l.folded
	for i, r := range parts {
		moves := norm.NFKD.PropertiesString(parts[i:]).CCC() > 0 // an accent
		joins := r >= 0x1100 && r < 0x1200                       // a part of a Hangul syllable
		l.alone = l.alone && !moves && !joins
		l.plain = l.alone && !unicode.IsSpace(r) && l.plain
	}
	return l
}

// ideograph: Han ideographs and Hangul syllables, which are their own folding.
func ideograph(r rune) bool {
	return r >= 0x3400 && r < 0x4dc0 || r >= 0x4e00 && r < 0xa000 || r >= 0xac00 && r < 0xd7a4
}
