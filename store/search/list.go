package search

import "encoding/binary"

// A list says which documents hold a word: either a bit for each document of the block, least significant first, or the first
// ordinal and then each distance to the next less one, as varints. The shorter of the two is written, the bits if
// they are the same: so its length alone says which it is.

// bitmapLen returns the bytes of a list with a bit for each document.
func bitmapLen(docs int) int { return (docs + 7) / 8 }

// appendList appends the list of the ordinals, which ascend strictly, behind its length.
func appendList(b []byte, ordinals []uint32, docs int) []byte {
	gaps, next := 0, uint32(0)
	for _, d := range ordinals {
		gaps += uvarintLen(d - next)
		next = d + 1
	}
	if n := bitmapLen(docs); gaps >= n {
		b = binary.AppendUvarint(b, uint64(n))
		b = append(b, make([]byte, n)...)
		bits := b[len(b)-n:]
		for _, d := range ordinals {
			bits[d/8] |= 1 << (d % 8)
		}
		return b
	}
	b = binary.AppendUvarint(b, uint64(gaps))
	next = 0
	for _, d := range ordinals {
		b = binary.AppendUvarint(b, uint64(d-next))
		next = d + 1
	}
	return b
}

func uvarintLen(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// nextList parts the first list of b from what is behind it.
func nextList(b []byte) (list, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, damaged("a list of documents is cut short")
	}
	return b[w : w+int(n)], b[w+int(n):], nil
}

// addList puts the documents of a list into s.
func (s *Set) addList(list []byte) error {
	if len(list) != bitmapLen(s.docs) {
		return eachGap(list, s.docs, s.add)
	}
	if odd := s.docs % 8; odd != 0 && list[len(list)-1]>>odd != 0 {
		return damaged("a list names a document that the block does not have")
	}
	i := 0
	for ; len(list) >= 8; i, list = i+1, list[8:] {
		s.bits[i] |= binary.LittleEndian.Uint64(list)
	}
	for j, b := range list {
		s.bits[i] |= uint64(b) << (8 * j)
	}
	return nil
}

// eachGap calls f with each ordinal of a list of distances.
func eachGap(list []byte, docs int, f func(doc int)) error {
	for next := uint64(0); len(list) > 0; {
		v, w := binary.Uvarint(list)
		if w <= 0 || v >= uint64(docs) || next+v >= uint64(docs) {
			return damaged("a list names a document that the block does not have")
		}
		f(int(next + v))
		next += v + 1
		list = list[w:]
	}
	return nil
}

// addLists puts the documents of some lists of a section into s. The section's first list is of the word base; numbers ascend.
func (s *Set) addLists(lists []byte, base int, numbers []int) error {
	var list []byte
	var err error
	for _, n := range numbers {
		for ; base <= n; base++ {
			if list, lists, err = nextList(lists); err != nil {
				return err
			}
		}
		if err := s.addList(list); err != nil {
			return err
		}
	}
	return nil
}
