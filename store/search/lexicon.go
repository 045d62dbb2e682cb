package search

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// A lexicon numbers words in the order in which they come. It is a hash table with open addressing, and the words stand one behind the
// other. A word of less than eight bytes, as most are, is in its slot too, so that one that is known costs one place in memory. The hash has
// a seed of its own in each lexicon, so that nobody can write words which meet in it.
type lexicon struct {
	seed  maphash.Seed
	slots []slot // a power of two, at least half of them free
	words []word // by number
	text  []byte // of all words
}

type slot struct {
	key
	number uint32 // of the word, plus one; 0 in a free slot
	seen   uint32 // how many documents there were when it came last
}

// A key is what is looked for in slots.
type key struct {
	head uint64 // the first eight bytes; of a shorter word its bytes and its length, which no character of a word is
	hash uint32 // where the search begins
}

type word struct {
	at   int // in text
	size uint32
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
func (l *lexicon) find(text []byte) (*slot, key) {
	k := key{head: headOf(text), hash: uint32(maphash.Bytes(l.seed, text))}
	for i := k.hash; ; i++ {
		s := &l.slots[int(i)&(len(l.slots)-1)]
		if s.number == 0 || s.key == k && (len(text) < 8 || bytes.Equal(l.word(s.number-1), text)) {
			return s, k
		}
	}
}

func headOf(text []byte) uint64 {
	n := len(text)
	switch {
	case n >= 8:
		return binary.LittleEndian.Uint64(text)
	case n >= 4: // both ends, which may overlap
		return uint64(n)<<56 | uint64(binary.LittleEndian.Uint32(text[n-4:]))<<(8*(n-4)) | uint64(binary.LittleEndian.Uint32(text))
	}
	return uint64(n)<<56 | uint64(text[n-1])<<(8*(n-1)) | uint64(text[n/2])<<(8*(n/2)) | uint64(text[0])
}

// put gives a word the next number, and the free slot where it belongs.
func (l *lexicon) put(s *slot, k key, text []byte) {
	l.words = append(l.words, word{at: len(l.text), size: uint32(len(text))})
	l.text = append(l.text, text...)
	*s = slot{key: k, number: uint32(len(l.words))}
}

// makeRoom leaves half of the slots free.
func (l *lexicon) makeRoom() {
	if 2*len(l.words) <= len(l.slots) {
		return
	}
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

// size returns about how many bytes of memory it has taken.
func (l *lexicon) size() int { return 24*len(l.slots) + 16*cap(l.words) + cap(l.text) }

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
