package search

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// A lexicon numbers words in the order in which they come. It is a hash table with open addressing, and the words stand one behind the
// other: a word that is known costs a few places in memory, and no pointer is kept. The hash has a seed of its own in each lexicon, so that
// nobody can write words which meet in it.
type lexicon struct {
	seed  maphash.Seed
	slots []slot // a power of two, at least half of them free
	words []word // by number
	text  []byte // of all words
}

type slot struct {
	hash   uint32 // of the word; where the search for it begins
	number uint32 // of the word, plus one; 0 in a free slot
}

type word struct {
	at   int // in text
	size uint32
	seen uint32 // how many documents there were when it came last
}

func newLexicon() lexicon {
	return lexicon{seed: maphash.MakeSeed(), slots: make([]slot, 1<<10)}
}

// word returns the word of a number.
func (l *lexicon) word(n uint32) []byte {
	w := &l.words[n]
	return l.text[w.at : w.at+int(w.size)]
}

// find returns the slot of a word, or the free one where it belongs.
func (l *lexicon) find(text []byte) (s *slot, hash uint32) {
	hash = uint32(maphash.Bytes(l.seed, text))
	for i := hash; ; i++ {
		s = &l.slots[int(i)&(len(l.slots)-1)]
		if s.number == 0 || s.hash == hash && bytes.Equal(l.word(s.number-1), text) {
			return s, hash
		}
	}
}

// put puts a word into the free slot where it belongs.
func (l *lexicon) put(s *slot, hash uint32, text []byte) (n uint32) {
	n = uint32(len(l.words))
	*s = slot{hash: hash, number: n + 1}
	l.words = append(l.words, word{at: len(l.text), size: uint32(len(text))})
	l.text = append(l.text, text...)
	if 2*len(l.words) > len(l.slots) {
		l.grow()
	}
	return n
}

func (l *lexicon) grow() {
	slots := make([]slot, 2*len(l.slots))
	for _, s := range l.slots {
		if s.number == 0 {
			continue
		}
		i := int(s.hash) & (len(slots) - 1)
		for slots[i].number != 0 {
			i = (i + 1) & (len(slots) - 1)
		}
		slots[i] = s
	}
	l.slots = slots
}

// sorted returns the numbers of all words, in the order of their bytes.
func (l *lexicon) sorted() []uint32 {
	type entry struct {
		head   uint64 // the first eight bytes, which tell most words apart
		number uint32
	}
	all := make([]entry, len(l.words))
	for n := range all {
		var head [8]byte
		copy(head[:], l.word(uint32(n)))
		all[n] = entry{binary.BigEndian.Uint64(head[:]), uint32(n)}
	}
	slices.SortFunc(all, func(a, b entry) int {
		switch {
		case a.head < b.head:
			return -1
		case a.head > b.head:
			return 1
		}
		return bytes.Compare(l.word(a.number), l.word(b.number))
	})
	numbers := make([]uint32, len(all))
	for i, e := range all {
		numbers[i] = e.number
	}
	return numbers
}
