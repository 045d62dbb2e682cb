package imapd

import (
	"slices"

	"domicile/store"
)

// bits are a set of indexes of the view.
type bits []uint64

func (b bits) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bits) add(i int) { b[i/64] |= 1 << (i % 64) }

// indexes are those of uids, ascending, that the view has.
func (v *view) indexes(uids []store.UID) bits {
	b := make(bits, len(v.uids)/64+1)
	i := 0
	for _, uid := range uids {
		n, ok := slices.BinarySearch(v.uids[i:], uid)
		if i += n; ok {
			b.add(i)
		}
	}
	return b
}
