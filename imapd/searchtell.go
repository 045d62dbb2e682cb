package imapd

import (
	"slices"
	"strconv"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// hits are the messages that a search found.
type hits struct {
	view   *view
	uid    bool           // they are told by UID
	sorted bool           // their order is that of a SORT
	modseq bool           // their modification sequences are wanted
	idx    []uint32       // indexes in the view
	places []string       // of each, if sorted
	seqs   []store.ModSeq // of each, if wanted
}

func (h *hits) add(c *candidate) {
	h.idx = append(h.idx, uint32(c.index))
	if h.modseq {
		h.seqs = append(h.seqs, c.m.ModSeq)
	}
}

// number is that of the i-th, as the client knows it.
func (h *hits) number(i int) uint32 { return h.view.nameOf(h.idx[i], h.uid) }

// nameOf is how the client names the message at an index: by UID, or by its number.
func (v *view) nameOf(index uint32, uid bool) uint32 {
	if uid {
		return uint32(v.uids[index])
	}
	return index + 1
}

// tell answers a SEARCH or SORT, and keeps its result if that was wanted.
func (s *session) tell(tag string, w returning, h *hits) {
	if !w.given && s.enabled.rev2 && !h.sorted {
		w.given, w.all = true, true // RFC 9051 6.4.4: SEARCH is no more
	}
	if !w.given {
		s.tellNumbers(h)
		return
	}
	if w.save {
		s.saved = h.saved(w)
	}
	if w.min || w.max || w.count || w.all || w.update || w.partial != nil {
		s.tellExtended(tag, w, h)
	}
}

// tellNumbers answers as RFC 3501 7.2.5 and RFC 5256 4 have it.
func (s *session) tellNumbers(h *hits) {
	name := "* SEARCH"
	if h.sorted {
		name = "* SORT"
	}
	s.conn.Raw(name)
	for i := range h.idx {
		s.conn.Raw(" ").Num(int64(h.number(i)))
		s.often(i)
	}
	if len(h.seqs) > 0 {
		s.conn.Raw(" (MODSEQ ").Unum(uint64(slices.Max(h.seqs))).Raw(")")
	}
	s.conn.Line()
}

// often lets a long line go out in pieces.
func (s *session) often(i int) {
	if i%1024 == 1023 {
		s.conn.Write(nil)
	}
}

// tellExtended answers as RFC 4731 has it.
func (s *session) tellExtended(tag string, w returning, h *hits) {
	s.beginExtended(tag, h.uid)
	n := len(h.idx)
	if n > 0 && w.min { // the first and the last in the order of the result (RFC 5267 3.1)
		s.conn.Raw(" MIN ").Num(int64(h.number(0)))
	}
	if n > 0 && w.max {
		s.conn.Raw(" MAX ").Num(int64(h.number(n - 1)))
	}
	if w.count {
		s.conn.Raw(" COUNT ").Num(int64(n))
	}
	if w.all && n > 0 {
		s.conn.Raw(" ALL ")
		s.tellSet(h, 0, n)
	}
	if p := w.partial; p != nil {
		s.conn.Raw(" PARTIAL (").Raw(p.text).Raw(" ")
		if from, to := p.of(n); from < to {
			s.tellSet(h, from, to)
		} else {
			s.conn.Raw("NIL")
		}
		s.conn.Raw(")")
	}
	if top := h.highest(w); top > 0 {
		s.conn.Raw(" MODSEQ ").Unum(uint64(top))
	}
	s.conn.Line()
}

func (s *session) beginExtended(tag string, uid bool) {
	s.conn.Raw("* ESEARCH (TAG ").Str(tag).Raw(")")
	if uid {
		s.conn.Raw(" UID")
	}
}

// highest is the modification sequence to be told: of MIN and MAX alone, if nothing else was wanted (RFC 4731 3.2).
func (h *hits) highest(w returning) store.ModSeq {
	n := len(h.seqs)
	switch {
	case n == 0:
		return 0
	case w.all || w.count || w.partial != nil || (w.save || w.update) && !w.min && !w.max:
		return slices.Max(h.seqs)
	case w.min && w.max:
		return max(h.seqs[0], h.seqs[n-1])
	case w.min:
		return h.seqs[0]
	}
	return h.seqs[n-1]
}

// tellSet writes a part of the result as a set: in ranges, or one by one where the order counts.
func (s *session) tellSet(h *hits, from, to int) { s.tellRuns(from, to, !h.sorted, h.number) }

// tellRuns writes the numbers from from to to, the last one not included, as a set in their order.
func (s *session) tellRuns(from, to int, ranges bool, number func(i int) uint32) {
	for i := from; i < to; i++ {
		if i > from {
			s.conn.Raw(",")
		}
		n := number(i)
		s.conn.Num(int64(n))
		run := n
		for ranges && i+1 < to && number(i+1) == run+1 {
			run++
			i++
		}
		if run > n {
			s.conn.Raw(":" + strconv.FormatUint(uint64(run), 10))
		}
		s.often(i)
	}
}

// saved is what "$" stands for (RFC 9051 6.4.4.4, RFC 9394 3.2).
func (h *hits) saved(w returning) imap.UIDSet {
	n := len(h.idx)
	keep := slices.Clone(h.idx)
	if !w.all && !w.count && (w.min || w.max || w.partial != nil) {
		keep = keep[:0]
		if w.partial != nil {
			from, to := w.partial.of(n)
			keep = append(keep, h.idx[from:to]...)
		}
		if n > 0 && w.min {
			keep = append(keep, h.idx[0])
		}
		if n > 0 && w.max {
			keep = append(keep, h.idx[n-1])
		}
	}
	slices.Sort(keep)
	var uids spans
	for _, i := range slices.Compact(keep) {
		uids = uids.add(uint32(h.view.uids[i]))
	}
	return uids.uidSet()
}
