package search

import "unicode/utf8"

// A class parts a text into runs: a run is a longest sequence of characters of one class other than space. A character's
// class does not depend on its neighbours, so a text and a query that occurs in it are parted at the same places.
//
// The classes are part of the format. They do not follow the Unicode tables, which change: a character that changed its
// class would no longer be found in what was indexed before.
type class uint8

const (
	space  class = iota
	letter       // a run is a word
	gram         // scripts without spaces between words: every two neighbours of a run are a word
	mark         // punctuation and symbols, as gram
	multi        // not a class: the first byte of what is not ASCII
)

const (
	maxWord  = 128 // bytes of a word; of a longer run, overlapping pieces are words
	stepWord = 64  // bytes from one piece to the next
	maxPart  = 60  // bytes of what lies within one piece wherever it stands in its run: maxWord-stepWord, less what rounding to characters takes
)

// ascii is the class of each byte, multi for what is not ASCII. Joined into words are the signs within addresses, host names, numbers and file names.
var ascii = func() (t [256]class) {
	for i := range t {
		switch c := byte(i); {
		case c >= utf8.RuneSelf:
			t[i] = multi
		case c <= ' ' || c == 0x7f:
			t[i] = space
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z',
			c == '.', c == '-', c == '_', c == '@', c == '+':
			t[i] = letter
		default:
			t[i] = mark
		}
	}
	return t
}()

// wide are the classes of characters beyond ASCII, ascending; what is in none of them is a letter.
var wide = []struct {
	from, to rune
	class    class
}{
	{0x80, 0xa0, space}, {0xa1, 0xa9, mark}, {0xab, 0xb4, mark}, {0xb6, 0xb9, mark}, {0xbb, 0xbf, mark}, {0xd7, 0xd7, mark}, {0xf7, 0xf7, mark},
	{0x0e00, 0x0fff, gram}, // Thai, Lao, Tibetan
	{0x1000, 0x109f, gram}, // Myanmar
	{0x1780, 0x17ff, gram}, // Khmer
	{0x1950, 0x1aaf, gram}, // Tai Le, New Tai Lue, Khmer symbols, Buginese, Tai Tham
	{0x2000, 0x200b, space}, {0x2010, 0x2027, mark}, {0x2028, 0x2029, space}, {0x202f, 0x202f, space}, {0x2030, 0x205e, mark}, {0x205f, 0x205f, space},
	{0x20a0, 0x20cf, mark}, {0x2190, 0x2bff, mark},
	{0x2e00, 0x2e7f, mark}, {0x2e80, 0x2fff, gram}, {0x3000, 0x3000, space}, {0x3001, 0x3004, mark}, {0x3005, 0x3007, gram}, {0x3008, 0x3020, mark},
	{0x3021, 0xa4cf, gram},                         // Kana, Bopomofo, Han, Yi
	{0xa9e0, 0xaa7f, gram}, {0xaa80, 0xaadf, gram}, // Myanmar and Khmer extensions, Tai Viet
	{0xf900, 0xfaff, gram}, {0xff01, 0xff0f, mark}, {0xff1a, 0xff20, mark}, {0xff3b, 0xff40, mark}, {0xff5b, 0xff65, mark}, {0xff66, 0xff9f, gram},
	{0xfffd, 0xfffd, mark}, {0x1b000, 0x1b2ff, gram}, {0x1f000, 0x1faff, mark}, {0x20000, 0x3ffff, gram},
}

// classAt returns the class of the character at the head of b, which is not empty, and its length. A byte that is not UTF-8 is a space.
func classAt(b []byte) (class, int) {
	if c := ascii[b[0]]; c != multi {
		return c, 1
	}
	r, n := utf8.DecodeRune(b)
	if n == 1 {
		return space, 1
	}
	lo, hi := 0, len(wide)
	for lo < hi { // the first range that does not end before r
		if mid := (lo + hi) / 2; wide[mid].to < r {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(wide) && wide[lo].from <= r {
		return wide[lo].class, n
	}
	return letter, n
}

// nextRun returns the first run of b at or behind at; class space says that there is none.
func nextRun(b []byte, at int) (c class, from, to int) {
	for at < len(b) {
		n := 1
		if c = ascii[b[at]]; c == multi {
			c, n = classAt(b[at:])
		}
		if c != space {
			return c, at, runEnd(b, at+n, c)
		}
		at += n
	}
	return space, len(b), len(b)
}

// runEnd returns where the run of class c that at lies in ends.
func runEnd(b []byte, at int, c class) int {
	for {
		for at < len(b) && ascii[b[at]] == c {
			at++
		}
		if at == len(b) || ascii[b[at]] != multi {
			return at
		}
		next, n := classAt(b[at:])
		if next != c {
			return at
		}
		at += n
	}
}

// eachWord calls f with the words of a run: itself, its pairs of neighbours, or its pieces.
func eachWord(c class, run []byte, f func(word []byte)) {
	switch {
	case c != letter:
		eachPair(run, f)
	case len(run) <= maxWord:
		f(run)
	default:
		eachPiece(run, maxWord, stepWord, f)
	}
}

// eachPair calls f with every two neighbouring characters of a run, or with the only one.
func eachPair(run []byte, f func(word []byte)) {
	_, a := utf8.DecodeRune(run)
	if a == len(run) {
		f(run)
		return
	}
	for from := 0; from+a < len(run); {
		_, b := utf8.DecodeRune(run[from+a:])
		f(run[from : from+a+b])
		from, a = from+a, b
	}
}

// eachPiece calls f with pieces of a run of at most size bytes, each at most step bytes behind the one before; both are rounded
// down to whole characters. The last ends where the run ends.
func eachPiece(run []byte, size, step int, f func(word []byte)) {
	for from := 0; ; from = wholeRunes(run, from+step) {
		to := wholeRunes(run, from+size)
		f(run[from:to])
		if to == len(run) {
			return
		}
	}
}

// wholeRunes returns the last place at or before at where a character of b begins; len(b) if at is behind its end.
func wholeRunes(b []byte, at int) int {
	if at >= len(b) {
		return len(b)
	}
	for !utf8.RuneStart(b[at]) {
		at--
	}
	return at
}
