package search

import (
	"iter"
	"math/bits"
)

// A Set holds ordinals of a block's documents. It is not safe for concurrent changes.
type Set struct {
	bits []uint64
	docs int // ordinals are below it
}

func newSet(docs int) *Set { return &Set{bits: make([]uint64, (docs+63)/64), docs: docs} }

// Has reports whether the document is in the set; an ordinal that the block does not have is in none.
func (s *Set) Has(doc int) bool {
	return doc >= 0 && doc < s.docs && s.bits[doc/64]>>(doc%64)&1 != 0
}

// Len returns how many documents are in the set.
func (s *Set) Len() int {
	n := 0
	for _, w := range s.bits {
		n += bits.OnesCount64(w)
	}
	return n
}

// All gives the documents in ascending order.
func (s *Set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s.bits {
			for ; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

func (s *Set) add(doc int) { s.bits[doc/64] |= 1 << (doc % 64) }

// fill puts all documents into the set.
func (s *Set) fill() {
	for i := range s.bits {
		s.bits[i] = ^uint64(0)
	}
	if odd := s.docs % 64; odd != 0 {
		s.bits[len(s.bits)-1] = 1<<odd - 1
	}
}

// full reports whether all documents are in the set.
func (s *Set) full() bool { return s.Len() == s.docs }

// join, cut and take put in what is in t, leave only what is in t, and take out what is in t, a set of the same block.
func (s *Set) join(t *Set) {
	for i, w := range t.bits {
		s.bits[i] |= w
	}
}

func (s *Set) cut(t *Set) {
	for i, w := range t.bits {
		s.bits[i] &= w
	}
}

func (s *Set) take(t *Set) {
	for i, w := range t.bits {
		s.bits[i] &^= w
	}
}
