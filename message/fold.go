package message

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold brings text into the form in which SEARCH, SORT and THREAD compare it: text holds what a client looks for if
// strings.Contains(Fold(text), Fold(wanted)). It is RFC 5051's i;unicode-casemap (which RFC 5255 asks of servers), wider in
// what Unicode has learned since:
//
//   - full case folding of compatibility decompositions: "Straße" and "STRASSE", "ﬁ" and "fi", "１" and "1" are the same;
//   - accents stay, behind their letters: "café" holds "cafe", but "resume" is not in "résumé". Hangul syllables stay whole;
//   - the four letters i of Turkish are one, with dots and without, small and capital;
//   - what nobody sees is left out: soft hyphens, zero-width spaces and joiners, byte order marks, variation selectors;
//   - white space of any kind and length, line ends included, is one space. So words are found across a folded header
//     line or a soft line break, and the number of spaces does not count. None is trimmed;
//   - of more than 16 accents on one letter the first ones count, in canonical order;
//   - bytes that are not UTF-8 are U+FFFD, one for each run of them.
//
// The result is valid UTF-8, has no white space but single spaces, and Fold does not change it. Time is linear in the length.
func Fold(s string) string { return string(FoldInto(make([]byte, 0, len(s)+len(s)/8), s)) }

// FoldInto is Fold into a buffer, which it overwrites, and which is another one if there was no room.
func FoldInto(buf []byte, s string) []byte {
	f := folder{out: buf[:0], known: known()}
	odd := 0 // s[odd:i] are characters that must be folded together
	for i := 0; i < len(s); {
		if n := asciiLen(s[i:]); n > 0 {
			f.odd(s[odd:i])
			f.ascii(s[i : i+n])
			i += n
			odd = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if l := f.letterOf(r); l.alone || ideograph(r) {
			f.odd(s[odd:i])
			f.accents = 0
			odd = i + n
			switch {
			case !l.alone:
				f.out = append(f.out, s[i:odd]...)
			case l.plain:
				f.out = append(f.out, l.folded...)
			default:
				f.add(l.folded)
			}
		}
		i += n
	}
	f.odd(s[odd:])
	return f.out
}

// folder collects what Fold returns.
type folder struct {
	out     []byte
	accents int // since the last letter
	known   *[256]*page
}

const maxAccents = 16

// asciiFold has the lower-case letters, and spaces for white space.
var asciiFold = func() (t [utf8.RuneSelf]byte) {
	for i := range t {
		t[i] = byte(unicode.ToLower(rune(i)))
		if unicode.IsSpace(rune(i)) {
			t[i] = ' '
		}
	}
	return t
}()

// Eight bytes are looked at as one number, the first of them lowest.
const (
	ones = 0x0101010101010101
	tops = 0x80 * ones // the bit that ASCII does not have
)

// eight returns the first eight bytes of s.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// asciiLen is the number of ASCII characters that s begins with.
func asciiLen(s string) (n int) {
	for len(s)-n >= 8 && eight(s[n:])&tops == 0 {
		n += 8
	}
	for n < len(s) && s[n] < utf8.RuneSelf {
		n++
	}
	return n
}

// ascii adds ASCII characters, eight at once where they hold no white space but single spaces, as most do.
func (f *folder) ascii(s string) {
	n, last := len(f.out), byte(0)
	if n > 0 {
		last = f.out[n-1]
	}
	out := slices.Grow(f.out, len(s))[:n+len(s)]
	for len(s) > 0 {
		some := min(len(s), 8)
		if some == 8 {
			if w, ok := foldEight(eight(s), last); ok {
				binary.LittleEndian.PutUint64(out[n:], w)
				n, last, s = n+8, byte(w>>56), s[8:]
				continue
			}
		}
		for i := range some {
			if c := asciiFold[s[i]]; c != ' ' || last != ' ' {
				out[n] = c
				n++
				last = c
			}
		}
		s = s[some:]
	}
	f.out, f.accents = out[:n], 0
}

// foldEight makes eight ASCII characters small. ok is false if white space among them, last before them, is more than single spaces. No
// sum below carries from one byte into the next, as ASCII has no top bit: it is set in the sum where the byte is at least so much.
func foldEight(w uint64, last byte) (folded uint64, ok bool) {
	controls := (w + (0x80-'\t')*ones) &^ (w + (0x80-'\r'-1)*ones)
	spaces := (tops - (w ^ ' '*ones)) & tops
	before := spaces << 8
	if last == ' ' {
		before |= 0x80
	}
	if controls&tops|spaces&before != 0 {
		return 0, false
	}
	capitals := (w + (0x80-'A')*ones) &^ (w + (0x80-'Z'-1)*ones) & tops
	return w | capitals>>2, true // 0x20 is what a small letter has more
}

func (f *folder) space() {
	if n := len(f.out); n == 0 || f.out[n-1] != ' ' {
		f.out = append(f.out, ' ')
	}
}

// odd adds characters that may change with their neighbours: accents are put in order. No accent is out of order where each but
// the first character is a letter.
func (f *folder) odd(s string) {
	for i, r := range s {
		if l := f.letterOf(r); !l.known || i > 0 && !l.starts {
			f.add(fold(strings.ToValidUTF8(s, "\ufffd")))
			return
		}
	}
	for _, r := range s {
		f.add(f.letterOf(r).folded)
	}
}

// add adds folded text.
func (f *folder) add(s string) {
	for i, r := range s {
		switch {
		case unicode.IsSpace(r):
			f.accents = 0
			f.space()
		case r < 0x300 || f.letterOf(r).plain:
			f.accents = 0
			f.out = utf8.AppendRune(f.out, r)
		case r == 0x34f: // the normalizer parts a long row of accents by it
		case norm.NFKD.PropertiesString(s[i:]).CCC() > 0:
			f.accent(r)
		default:
			f.accents = 0
			f.syllable(r)
		}
	}
}

func (f *folder) accent(r rune) {
	const dotAbove = 0x307
	if n := len(f.out); r == dotAbove && n > 0 && f.out[n-1] == 'i' {
		return
	}
	if f.accents++; f.accents <= maxAccents {
		f.out = utf8.AppendRune(f.out, r)
	}
}

// syllable adds a letter; one of a Hangul syllable joins the syllable before it (Unicode 3.12).
func (f *folder) syllable(r rune) {
	const (
		syllables, leads, vowels, trails = 0xac00, 0x1100, 0x1161, 0x11a7
		leadN, vowelN, trailN            = 19, 21, 28
	)
	if r > vowels-1 && r < trails+trailN {
		last, n := utf8.DecodeLastRune(f.out)
		switch l, v, t := last-leads, r-vowels, r-trails; {
		case l >= 0 && l < leadN && v >= 0 && v < vowelN:
			r = syllables + (l*vowelN+v)*trailN
			f.out = f.out[:len(f.out)-n]
		case last >= syllables && last < syllables+leadN*vowelN*trailN && (last-syllables)%trailN == 0 && t > 0 && t < trailN:
			r = last + t
			f.out = f.out[:len(f.out)-n]
		}
	}
	f.out = utf8.AppendRune(f.out, r)
}
