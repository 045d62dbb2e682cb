package imapd

import (
	"iter"
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// span is a run of numbers, both ends in it.
type span struct{ from, to uint32 }

// spans are runs of numbers: ascending, apart from one another, and so as small as they can be.
type spans []span

// merged puts spans into that form. It may reorder the argument.
func merged(list spans) spans {
	slices.SortFunc(list, func(a, b span) int { return int(int64(a.from) - int64(b.from)) })
	out := list[:0]
	for _, r := range list {
		if n := len(out); n > 0 && uint64(r.from) <= uint64(out[n-1].to)+1 {
			out[n-1].to = max(out[n-1].to, r.to)
			continue
		}
		out = append(out, r)
	}
	return out
}

// has reports whether n is in one of them.
func (s spans) has(n uint32) bool {
	_, found := slices.BinarySearchFunc(s, n, func(r span, n uint32) int {
		switch {
		case r.to < n:
			return -1
		case r.from > n:
			return 1
		}
		return 0
	})
	return found
}

// both are the numbers that are in a and in b.
func both(a, b spans) (out spans) {
	for len(a) > 0 && len(b) > 0 {
		if from, to := max(a[0].from, b[0].from), min(a[0].to, b[0].to); from <= to {
			out = append(out, span{from, to})
		}
		if a[0].to < b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// add adds a number that is greater than all before.
func (s spans) add(n uint32) spans {
	if i := len(s) - 1; i >= 0 && s[i].to == n-1 {
		s[i].to = n
		return s
	}
	return append(s, span{n, n})
}

// count is how many numbers they are.
func (s spans) count() (n int) {
	for _, r := range s {
		n += int(r.to-r.from) + 1
	}
	return n
}

// cut are those of the numbers whose place among them is in [from,to).
func (s spans) cut(from, to int) (out spans) {
	at := 0
	for _, r := range s {
		n := int(r.to-r.from) + 1
		if i, j := max(from-at, 0), min(to-at, n); i < j {
			out = append(out, span{r.from + uint32(i), r.from + uint32(j-1)})
		}
		at += n
	}
	return out
}

// uidSpans are UIDs, ascending, as spans.
func uidSpans(uids []store.UID) (s spans) {
	for _, uid := range uids {
		s = s.add(uint32(uid))
	}
	return s
}

// addAll adds the UIDs of messages.
func (s spans) addAll(messages []store.Message) spans {
	for _, m := range messages {
		s = s.add(uint32(m.UID))
	}
	return s
}

// uidSet is how spans of UIDs are written.
func (s spans) uidSet() imap.UIDSet {
	set := make(imap.UIDSet, len(s))
	for i, r := range s {
		set[i] = imap.UIDRange{Start: imap.UID(r.from), Stop: imap.UID(r.to)}
	}
	return set
}

// members are the numbers of a set: of messages for a SeqSet, otherwise UIDs. ok is false if a message of that number does not exist
// (RFC 9051 9, seq-number). UIDs need not exist.
func (s *session) members(set imap.NumSet) (all spans, ok bool) {
	if imap.IsSearchRes(set) {
		set = s.saved
	}
	if set, isUID := set.(imap.UIDSet); isUID {
		return uidRanges(set, s.view.last()), true
	}
	n := uint32(len(s.view.uids))
	seqs, _ := set.(imap.SeqSet)
	for _, r := range seqs {
		from, to := order(r.Start, r.Stop, n)
		if from == 0 || to > n {
			return nil, false
		}
		all = append(all, span{from, to})
	}
	return merged(all), true
}

// ranges returns which messages of the view a set names, as spans of indexes; those that are gone are still in. UIDs that do not exist are passed over.
func (s *session) ranges(set imap.NumSet) (spans, error) {
	all, ok := s.members(set)
	if !ok {
		return nil, bad("A message number that does not exist")
	}
	if _, byNumber := set.(imap.SeqSet); !byNumber {
		return s.view.indexesOf(all), nil
	}
	for i := range all {
		all[i].from, all[i].to = all[i].from-1, all[i].to-1
	}
	return all, nil
}

// indexesOf are the indexes of the messages that have these UIDs.
func (v *view) indexesOf(uids spans) (found spans) {
	for _, r := range uids {
		if from, to := v.between(store.UID(r.from), store.UID(r.to)); from < to {
			found = append(found, span{uint32(from), uint32(to - 1)})
		}
	}
	return merged(found)
}

// uidRanges are the ranges of a set of UIDs with "*" as last.
func uidRanges(set imap.UIDSet, last store.UID) spans {
	list := make(spans, len(set))
	for i, r := range set {
		list[i].from, list[i].to = order(uint32(r.Start), uint32(r.Stop), uint32(last))
	}
	return merged(list)
}

// order puts "*" (0) and the ends of a range in order.
func order(a, b, last uint32) (from, to uint32) {
	if a == 0 {
		a = last
	}
	if b == 0 {
		b = last
	}
	return min(a, b), max(a, b)
}

// picked yields the indexes of a set, ascending, without those of messages that are gone.
func (v *view) picked(r spans) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, r := range r {
			for i := int(r.from); i <= int(r.to); i++ {
				if !v.isGone(v.uids[i]) && !yield(i) {
					return
				}
			}
		}
	}
}

// present are the indexes of a set without those of messages that are gone.
func (v *view) present(r spans) (found spans) {
	if len(v.gone) == 0 {
		return r
	}
	for i := range v.picked(r) {
		found = found.add(uint32(i))
	}
	return found
}

// uidsOf are the UIDs of a set, ascending.
func (s *session) uidsOf(set imap.NumSet) ([]store.UID, error) {
	r, err := s.ranges(set)
	if err != nil {
		return nil, err
	}
	var uids []store.UID
	for i := range s.view.picked(r) {
		uids = append(uids, s.view.uids[i])
	}
	return uids, nil
}
