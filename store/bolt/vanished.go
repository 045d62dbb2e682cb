package bolt

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"domicile/store"
)

// An expunge leaves an entry in the list of changes for each run of UIDs that lie together: the first in its key, and behind the byte that says vanished
// how many more there are, absent if none. Of the oldest a mailbox forgets which UIDs they were, and keeps in "f" between which, and up to which ModSeq.

// forgotten is what a mailbox keeps of expunged UIDs beside the entries that it has. It is absent until something was expunged, and in stores of
// an earlier format.
type forgotten struct {
	seq  store.ModSeq   // 0 = nothing was forgotten; who knows the mailbox of before is told of all UIDs that are not there
	uids store.UIDRange // that it was of
	runs uint32         // entries that are there
}

func (f forgotten) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 20), uint64(f.seq))
	b = binary.BigEndian.AppendUint32(b, uint32(f.uids.First))
	b = binary.BigEndian.AppendUint32(b, uint32(f.uids.Last))
	return binary.BigEndian.AppendUint32(b, f.runs)
}

func decodeForgotten(b []byte) (f forgotten, err error) {
	if len(b) != 20 {
		return f, errDamaged
	}
	return forgotten{store.ModSeq(readNumber(b[:8])), store.UIDRange{First: readUID(b[8:12]), Last: readUID(b[12:16])}, binary.BigEndian.Uint32(b[16:])}, nil
}

// forget notes that a run which vanished at seq is not known any more.
func (f *forgotten) forget(seq store.ModSeq, run store.UIDRange) {
	if f.seq == 0 {
		f.uids = run
	}
	f.seq, f.uids.First, f.uids.Last = max(f.seq, seq), min(f.uids.First, run.First), max(f.uids.Last, run.Last)
}

// forgotten is of no runs where none is kept yet.
func (m *mailbox) forgotten() (f forgotten, err error) {
	if raw := m.rows.Get(kForgotten); raw != nil {
		return decodeForgotten(raw)
	}
	return f, nil
}

// remembered is forgotten with the entries counted where that was not kept yet.
func (m *mailbox) remembered() (f forgotten, err error) {
	f, err = m.forgotten()
	if m.rows.Get(kForgotten) == nil && uint64(m.messages)+1 < uint64(m.next) {
		err = m.eachVanished(0, func(store.ModSeq, store.UIDRange) error { f.runs++; return nil })
	}
	return f, err
}

func vanishedValue(run store.UIDRange) []byte {
	if run.First == run.Last {
		return isVanished
	}
	return binary.AppendUvarint([]byte{isVanished[0]}, uint64(run.Last-run.First))
}

// readVanished says whether an entry of the list of changes is of a run that vanished, and which.
func readVanished(first store.UID, value []byte) (run store.UIDRange, is bool) {
	run = store.UIDRange{First: first, Last: first}
	if len(value) == 0 || value[0] != isVanished[0] || first == 0 {
		return run, false
	}
	if len(value) == 1 {
		return run, true
	}
	more, n := binary.Uvarint(value[1:])
	if n != len(value)-1 || more > math.MaxUint32-uint64(first) {
		return run, false
	}
	run.Last += store.UID(more)
	return run, true
}

// eachVanished walks the entries behind a ModSeq. Those of rows that are no messages yet stand behind the mailbox's own, and have none.
func (m *mailbox) eachVanished(after store.ModSeq, fn func(store.ModSeq, store.UIDRange) error) error {
	return m.rows.sub(bChanges).ForEachFrom(changeKey(after+1, 0), func(k, v []byte) error {
		seq, uid := readChange(k)
		if seq > m.modseq && m.hides(uid) {
			return errStop
		}
		if run, is := readVanished(uid, v); is {
			return fn(seq, run)
		}
		return nil
	})
}

// runsOf puts UIDs together, none of them twice.
func runsOf(uids []store.UID) (runs []store.UIDRange) {
	slices.Sort(uids)
	for _, uid := range uids {
		if n := len(runs); n > 0 && runs[n-1].Last == uid-1 {
			runs[n-1].Last = uid
		} else {
			runs = append(runs, store.UIDRange{First: uid, Last: uid})
		}
	}
	return runs
}

// vanish notes that UIDs went with the present ModSeq.
func (m *mailbox) vanish(uids []store.UID) error {
	f, err := m.remembered()
	if err != nil {
		return err
	}
	runs := runsOf(uids)
	if len(runs) > store.VanishedRuns {
		if err := m.forgetMost(&f, 0); err != nil {
			return err
		}
		for _, run := range runs {
			f.forget(m.modseq, run)
		}
	} else {
		for _, run := range runs {
			m.rows.sub(bChanges).Put(changeKey(m.modseq, run.First), vanishedValue(run))
		}
		f.runs += uint32(len(runs))
	}
	return m.keepForgotten(f)
}

// keepForgotten writes f, and forgets more than half if there are too many entries: so that this is not done for each.
func (m *mailbox) keepForgotten(f forgotten) error {
	if f.runs > store.VanishedRuns {
		if err := m.forgetMost(&f, store.VanishedRuns/2); err != nil {
			return err
		}
	}
	m.rows.Put(kForgotten, f.encode())
	return nil
}

// forgetMost removes the oldest entries until so many are left.
func (m *mailbox) forgetMost(f *forgotten, left uint32) error {
	var keys [][]byte
	err := m.eachVanished(f.seq-min(f.seq, 1), func(seq store.ModSeq, run store.UIDRange) error {
		if f.runs <= left {
			return errStop
		}
		f.runs--
		f.forget(seq, run)
		keys = append(keys, changeKey(seq, run.First))
		return nil
	})
	for _, k := range keys {
		m.rows.sub(bChanges).Delete(k)
	}
	return err
}

// absent gives the UIDs of a range that no message has.
func (m *mailbox) absent(of store.UIDRange) (runs []store.UIDRange, err error) {
	next := of.First // not looked at yet
	err = m.eachRow(bMessages, of.First, func(k, _ []byte) error {
		uid := readUID(k)
		if uid > of.Last {
			return errStop
		}
		if uid > next {
			runs = append(runs, store.UIDRange{First: next, Last: uid - 1})
		}
		next = uid + 1
		return nil
	})
	if next <= of.Last {
		runs = append(runs, store.UIDRange{First: next, Last: of.Last})
	}
	return runs, err
}

// joined sorts runs, and makes one of those that touch.
func joined(runs []store.UIDRange) (out []store.UIDRange) {
	slices.SortFunc(runs, func(a, b store.UIDRange) int { return cmp.Compare(a.First, b.First) })
	for _, r := range runs {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
		} else {
			out = append(out, r)
		}
	}
	return out
}
