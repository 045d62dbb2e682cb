package imapd

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// view is the selected mailbox as the client knows it: which UID each sequence number stands for. What is known of the messages besides rests in
// the store, and is read when it is asked for: a mailbox of a million messages costs 4 MB here. It follows the store by what changed since a
// modification sequence, and tells the client only when the client may be told.
type view struct {
	mailbox  store.Mailbox
	readOnly bool
	uids     []store.UID                // ascending; those in gone too, until the client is told
	gone     map[store.UID]bool         // expunged, and the client does not know
	seq      store.ModSeq               // all changes up to here are in
	told     map[store.UID]store.ModSeq // own changes after seq, of which the client knows already
	keywords []string                   // those of the mailbox that the client was told of
	removed  bool                       // the mailbox was deleted
}

// find returns the index of uid, or -1.
func (v *view) find(uid store.UID) int {
	i, ok := slices.BinarySearch(v.uids, uid)
	if !ok {
		return -1
	}
	return i
}

// pick returns the indexes of the messages of a set, ascending, without those that are gone. A sequence number that does not exist is
// BAD (RFC 9051 9, seq-number); UIDs that do not are passed over.
func (s *session) pick(set imap.NumSet) ([]int, error) {
	v := s.view
	if imap.IsSearchRes(set) {
		set = s.saved
	}
	picked := make([]bool, len(v.uids))
	n := uint32(len(v.uids))
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			from, to := order(r.Start, r.Stop, n)
			if to > n || from == 0 {
				return nil, bad("A message number that does not exist")
			}
			for i := from; i <= to; i++ {
				picked[i-1] = true
			}
		}
	case imap.UIDSet:
		last := uint32(0)
		if n > 0 {
			last = uint32(v.uids[n-1])
		}
		for _, r := range set {
			from, to := order(uint32(r.Start), uint32(r.Stop), last)
			i, _ := slices.BinarySearch(v.uids, store.UID(from))
			for ; i < len(v.uids) && uint32(v.uids[i]) <= to; i++ {
				picked[i] = true
			}
		}
	}
	var idx []int
	for i, p := range picked {
		if p && !v.gone[v.uids[i]] {
			idx = append(idx, i)
		}
	}
	return idx, nil
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

// tellUpdates brings the view up to what the store has, and tells the client: expunged messages only if gone.
func (s *session) tellUpdates(gone bool) {
	if s.view == nil {
		return
	}
	// TODO(view): see the file's comment.
}
