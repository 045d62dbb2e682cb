package imapd

import (
	"cmp"
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// ranges are closed intervals of numbers, ascending and apart.
type ranges []numRange

type numRange struct{ from, to uint32 }

// members are the numbers of a set: of messages for a SeqSet, otherwise UIDs. ok is false if a message of that number does not exist
// (RFC 9051 9, seq-number). UIDs need not exist.
func (s *session) members(set imap.NumSet) (all ranges, ok bool) {
	if imap.IsSearchRes(set) {
		set = s.saved
	}
	uids := s.view.uids
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			from, to := order(r.Start, r.Stop, uint32(len(uids)))
			if from == 0 || int(to) > len(uids) {
				return nil, false
			}
			all = append(all, numRange{from, to})
		}
	case imap.UIDSet:
		last := store.UID(0)
		if len(uids) > 0 {
			last = uids[len(uids)-1]
		}
		for _, r := range set {
			from, to := order(uint32(r.Start), uint32(r.Stop), uint32(last))
			all = append(all, numRange{from, to})
		}
	}
	return all.tidy(), true
}

// tidy sorts, and joins what overlaps.
func (all ranges) tidy() ranges {
	slices.SortFunc(all, func(a, b numRange) int { return cmp.Compare(a.from, b.from) })
	out := all[:0]
	for _, r := range all {
		if n := len(out); n > 0 && r.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, r.to)
		} else {
			out = append(out, r)
		}
	}
	return out
}

func (all ranges) has(n uint32) bool {
	_, ok := slices.BinarySearchFunc(all, n, func(r numRange, n uint32) int {
		switch {
		case r.to < n:
			return -1
		case r.from > n:
			return 1
		}
		return 0
	})
	return ok
}

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
