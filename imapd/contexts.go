package imapd

import (
	"cmp"
	"slices"
	"strings"

	"domicile/imapd/wire"
	"domicile/store"
	"domicile/turns"
)

// Bounds of the searches whose results are updated (RFC 5267 4.3.1). Beyond them a search is answered, and not updated.
const (
	maxContexts  = 8 // of a session
	maxLiveTexts = 8 // texts in them, which are looked for again at each arrival

	contextMemory = 256 << 20 // of a node
)

// live is a search whose result the client is told changes of (RFC 5267 4.3), as long as its mailbox is selected. A search looks at a message alone, so that
// only those messages are tried again that changed.
type live struct {
	tag    string
	uid    bool
	q      *query
	keys   []sortKey   // of a SORT
	uids   []store.UID // the result as the client has it
	places []string    // of each, of a SORT; a SEARCH is in the order of UIDs
	memory *share
	held   int64
}

// keepLive has a search updated from now on, or tells why not.
func (s *session) keepLive(tag string, q *query, keys []sortKey, h *hits) {
	v := s.view
	l := &live{tag: tag, uid: h.uid, q: q, keys: keys, places: h.places, memory: &s.contexts}
	for _, i := range h.idx {
		l.uids = append(l.uids, v.uids[i])
	}
	texts := len(q.texts)
	for _, other := range v.live {
		texts += len(other.q.texts)
	}
	switch {
	case q.drifts:
		s.noUpdate(tag, "What fits changes with time, or with the last message")
	case len(v.live) == maxContexts || texts > maxLiveTexts || !l.account():
		s.noUpdate(tag, "Too many contexts, or too large")
	default:
		v.live = append(v.live, l)
	}
}

func (s *session) noUpdate(tag, why string) {
	s.conn.Raw("* NO [NOUPDATE ").Str(tag).Raw("] ").Raw(why).Line()
}

// isLive reports whether a tag is in use (RFC 5267 4.3).
func (s *session) isLive(tag string) bool {
	return slices.ContainsFunc(s.view.live, func(l *live) bool { return l.tag == tag })
}

// cancelUpdate is CANCELUPDATE (RFC 5267 4.3.5). What is not updated, or not any more, needs no cancelling.
func (s *session) cancelUpdate(cmd *wire.Command) (string, error) {
	var tags []string
	for first := true; cmd.Err() == nil && (first || cmd.More()); first = false {
		cmd.SP()
		tags = append(tags, cmd.String())
	}
	if err := cmd.End(); err != nil {
		return "", err
	}
	s.endLive(func(l *live) bool { return slices.Contains(tags, l.tag) })
	return "No further updates", nil
}

// endLive ends the searches that are to end.
func (s *session) endLive(ends func(l *live) bool) {
	s.view.live = slices.DeleteFunc(s.view.live, func(l *live) bool {
		if !ends(l) {
			return false
		}
		l.memory.Release(l.held)
		l.held = 0 // behind a panic of a later one this runs again
		return true
	})
}

// deselect does away with the selected mailbox and what belongs to it.
func (s *session) deselect() {
	if s.view != nil {
		s.endLive(func(*live) bool { return true })
	}
	s.view, s.saved = nil, nil
}

// account holds as much memory as the search takes, and reports whether there is so much.
func (l *live) account() bool {
	size := int64(l.q.size + 4*len(l.uids))
	for _, k := range l.q.texts {
		size += int64(8 * len(k.found))
	}
	for _, p := range l.places {
		size += int64(16 + len(p))
	}
	if size > l.held && !l.memory.TryAcquire(size-l.held) {
		return false
	}
	l.memory.Release(max(l.held-size, 0))
	l.held = size
	return true
}

// updateLive tells what changed in the results by messages that changed or came. A search that fails, or grows too large, is updated no longer, and the
// client is told so.
func (s *session) updateLive(changed []store.UID, came bool) {
	if len(s.view.live) == 0 || len(changed) == 0 {
		return
	}
	slices.Sort(changed)
	changed = slices.Compact(changed)
	s.endLive(func(l *live) bool {
		err := s.update(l, changed, came)
		if err != nil {
			s.noUpdate(l.tag, "The updates are over")
		}
		return err != nil
	})
}

// update tries messages again.
func (s *session) update(l *live, changed []store.UID, came bool) error {
	var fits live // those of the changed that are in the result now
	more := need(0)
	if l.keys != nil {
		more = needsOf(l.keys)
	}
	tried := uidSpans(changed)
	if came {
		if err := s.findTexts(l.q); err != nil {
			return err
		}
	}
	err := s.inTurn(func(t *turns.Turn) error {
		return s.scanOf(t, l.q, more, s.view.indexesOf(tried), func(c *candidate) error {
			fits.uids = append(fits.uids, c.uid)
			if l.keys != nil {
				fits.places = append(fits.places, placeOf(l.keys, c.m, c.summary))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	known := make([]bool, len(fits.uids))
	out, from := l.remove(func(uid store.UID) bool {
		if !tried.has(uint32(uid)) {
			return false
		}
		i, found := slices.BinarySearch(fits.uids, uid)
		if found {
			known[i] = true
		}
		return !found
	})
	in, to := l.insert(&fits, known)
	if !l.account() {
		return errNoRoom
	}
	if len(out)+len(in) > 0 {
		s.beginExtended(l.tag, l.uid)
		s.tellMoves(l, " REMOVEFROM", out, from, 0)
		s.tellMoves(l, " ADDTO", in, to, 1)
		s.conn.Line()
	}
	return nil
}

// removeGone tells that expunged messages are in no result any more: before their numbers go (RFC 5267 4.3.4).
func (s *session) removeGone() {
	for _, l := range s.view.live {
		if out, from := l.remove(s.view.isGone); len(out) > 0 {
			s.beginExtended(l.tag, l.uid)
			s.tellMoves(l, " REMOVEFROM", out, from, 0)
			s.conn.Line()
			l.account()
		}
	}
}

// remove takes messages out of the result. Their positions count as the client removes one after the other.
func (l *live) remove(goes func(uid store.UID) bool) (out []store.UID, from []int) {
	n := 0
	for i, uid := range l.uids {
		if goes(uid) {
			out, from = append(out, uid), append(from, n+1)
			continue
		}
		l.uids[n] = uid
		if l.keys != nil {
			l.places[n] = l.places[i]
		}
		n++
	}
	l.uids = l.uids[:n]
	if l.keys != nil {
		clear(l.places[n:])
		l.places = l.places[:n]
	}
	return out, from
}

// insert puts those of some messages into the result that are not known, and returns them in its order, with their positions.
func (l *live) insert(some *live, known []bool) (in []store.UID, to []int) {
	var rows []int
	for i := range some.uids {
		if !known[i] {
			rows = append(rows, i)
		}
	}
	slices.SortFunc(rows, func(a, b int) int { return compareRows(some, a, some, b) })
	n, k := len(l.uids), len(rows)
	l.uids = append(l.uids, make([]store.UID, k)...)
	if l.keys != nil {
		l.places = append(l.places, make([]string, k)...)
	}
	in, to = make([]store.UID, k), make([]int, k)
	for w := n + k - 1; k > 0; w-- { // from the end, where most are put
		src, at := some, rows[k-1]
		if n > 0 && compareRows(l, n-1, some, at) > 0 {
			src, at = l, n-1
			n--
		} else {
			k--
			in[k], to[k] = some.uids[at], w+1
		}
		l.uids[w] = src.uids[at]
		if l.keys != nil {
			l.places[w] = src.places[at]
		}
	}
	return in, to
}

// compareRows is the order of results.
func compareRows(a *live, i int, b *live, j int) int {
	if len(a.places) > 0 {
		if c := strings.Compare(a.places[i], b.places[j]); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.uids[i], b.uids[j])
}

// tellMoves writes pairs of a position and messages: those that are taken from there one after the other, where step is 0, or that are put
// there and behind, where it is 1. For a SEARCH there is one pair, of the position 0: the client knows the order by itself.
func (s *session) tellMoves(l *live, name string, uids []store.UID, at []int, step int) {
	if len(uids) == 0 {
		return
	}
	number := func(i int) uint32 {
		if l.uid {
			return uint32(uids[i])
		}
		return uint32(s.view.find(uids[i]) + 1)
	}
	s.conn.Raw(name).Raw(" (")
	for i := 0; i < len(uids); {
		j := i + 1
		for j < len(uids) && (l.keys == nil || at[j] == at[j-1]+step) {
			j++
		}
		position := 0
		if l.keys != nil {
			position = at[i]
		}
		if i > 0 {
			s.conn.Raw(" ")
		}
		s.conn.Num(int64(position)).Raw(" ")
		s.tellRuns(i, j, true, number)
		i = j
	}
	s.conn.Raw(")")
}
