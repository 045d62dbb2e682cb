package imapd

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"domicile"
	"domicile/store"
)

// view is the selected mailbox as the client knows it: which UID each sequence number stands for. What is known of the messages besides rests in
// the store, and is read when it is asked for: a mailbox of a million messages costs 4 MB here. It follows the store by what changed since a
// modification sequence, and tells the client only when the client may be told.
type view struct {
	mailbox  store.Mailbox
	readOnly bool
	uids     []store.UID                // ascending; those in gone too, until the client is told
	gone     []store.UID                // ascending: expunged, and the client does not know
	seq      store.ModSeq               // all changes up to here are in
	knows    store.ModSeq               // as long as there are some in gone, or untold: up to where the client was told all
	untold   bool                       // flags changed of which the client was not told, as NOTIFY had it
	vanished bool                       // VANISHED was told, and not yet up to where all is known with it
	own      spans                      // UIDs that the client put here itself, until the client is told
	told     map[store.UID]store.ModSeq // messages of which the client knows a change after seq already
	words    keywords                   // those of the mailbox that the client was told of
	recent   spans                      // UIDs that have \Recent in this session
	removed  bool                       // the mailbox was deleted
	live     []*live                    // searches whose results are updated
	fresh    bool                       // it has all that happened up to an act of the command under way
}

// last is the greatest UID, 0 if there is none.
func (v *view) last() store.UID {
	if n := len(v.uids); n > 0 {
		return v.uids[n-1]
	}
	return 0
}

// find returns the index of uid, or -1.
func (v *view) find(uid store.UID) int {
	i, ok := slices.BinarySearch(v.uids, uid)
	if !ok {
		return -1
	}
	return i
}

func (v *view) isGone(uid store.UID) bool {
	if len(v.gone) == 0 {
		return false
	}
	_, ok := slices.BinarySearch(v.gone, uid)
	return ok
}

// isRecent reports whether a message has \Recent in this session (RFC 3501 2.3.2).
func (v *view) isRecent(uid store.UID) bool { return v.recent.has(uint32(uid)) }

// maxKeywords is how many keywords of a mailbox a client is told of as defined there. Messages may have more: a client can give each its own.
const maxKeywords = 1000

// keywords are those of a mailbox, at most maxKeywords. The zero value has none.
type keywords struct {
	list    []string
	defined map[string]struct{} // the same, in lower case
	size    int                 // bytes that they take, about
}

// learn notes keywords and reports whether one was new.
func (w *keywords) learn(flags []string) (news bool) {
	for _, f := range flags {
		if f[0] == '\\' || len(w.list) == maxKeywords {
			continue
		}
		lower := strings.ToLower(f)
		if _, known := w.defined[lower]; known {
			continue
		}
		if w.defined == nil {
			w.defined = map[string]struct{}{}
		}
		w.defined[lower] = struct{}{}
		w.list = append(w.list, f)
		w.size += 2*len(f) + 64
		news = true
	}
	return news
}

func (w *keywords) clone() keywords {
	return keywords{slices.Clone(w.list), maps.Clone(w.defined), w.size}
}

var systemFlags = []string{store.Answered, store.Flagged, store.Deleted, store.Seen, store.Draft}

// flags are those defined in the mailbox.
func (v *view) flags() []string { return append(slices.Clone(systemFlags), v.words.list...) }

// know notes that the client was told of a message as it is now, by the answer to its command: it is not told again.
func (v *view) know(m store.Message) {
	if m.ModSeq <= v.seq {
		return
	}
	if v.told == nil {
		v.told = map[store.UID]store.ModSeq{}
	}
	v.told[m.UID] = m.ModSeq
}

// acted notes an act of this session on messages whose flags the client is told of, or foresees. If nobody else did anything since v.seq, the view has all that
// happened up to the act, and the store need not be asked what did. Searches whose results are updated want to know which messages changed: for them it is asked.
func (v *view) acted(did *store.Stored) {
	v.fresh = did.From == v.seq && len(v.live) == 0
	if !v.fresh {
		return
	}
	for _, m := range did.Done {
		v.seq = max(v.seq, m.ModSeq)
	}
}

// lose notes that messages are gone. UIDs that the client never knew are passed over.
func (v *view) lose(uids spans) {
	for _, r := range uids {
		i, j := v.between(store.UID(r.from), store.UID(r.to))
		v.gone = append(v.gone, v.uids[i:j]...)
	}
	slices.Sort(v.gone)
	v.gone = slices.Compact(v.gone)
}

// tellUpdates brings the view up to what the store has, and tells the client: expunged messages only if gone.
func (s *session) tellUpdates(gone bool) {
	v := s.view
	if v == nil {
		return
	}
	fresh := v.fresh
	v.fresh = false
	v.knows = s.toldUpTo()
	if !s.wants(messageNew) { // by NOTIFY: but for what the client itself expunged
		v.told = nil
		if gone {
			s.tellGone()
		}
		return
	}
	var news, changed []store.UID
	if !v.removed && !fresh {
		m, err := s.changes(v.mailbox.ID, v.seq, func(p *store.Changes) {
			if lost := merged(vanishedOf(p)); len(lost) > 0 {
				v.lose(lost)
				news = slices.DeleteFunc(news, func(uid store.UID) bool { return lost.has(uint32(uid)) })
			}
			for _, m := range p.Changed {
				if len(v.live) > 0 {
					changed = append(changed, m.UID)
				}
				if s.tellKeywords(m.Flags); m.UID > v.last() {
					news = append(news, m.UID)
				} else {
					s.tellFlags(m)
				}
			}
		})
		switch {
		case domicile.KindOf(err) == domicile.NotExist: // deleted under the client: all its messages are gone
			v.removed = true
			v.gone = slices.Clone(v.uids)
			news = nil
		case err != nil: // a later one may succeed; the command itself did
			return
		default:
			v.seq, v.mailbox = m.HighestModSeq, m
		}
	}
	v.told = nil
	if gone {
		s.tellGone()
	}
	s.tellNew(news)
	s.tellItems(news)
	s.updateLive(changed, len(news) > 0)
	v.own = nil
}

// toldUpTo is the modification sequence up to which the client was told all that changed.
func (s *session) toldUpTo() store.ModSeq {
	if v := s.view; len(v.gone) > 0 || v.untold {
		return v.knows
	}
	return s.view.seq
}

// rewind has all told anew that changed since flags changed without a word of it.
func (v *view) rewind() {
	if v != nil && v.untold {
		v.seq, v.untold = v.knows, false
	}
}

// tellFlags tells of a message that changed, if the client has it and does not know.
func (s *session) tellFlags(m store.Message) {
	i := s.view.find(m.UID)
	if i < 0 || s.view.told[m.UID] == m.ModSeq {
		return
	}
	if !s.wants(flagChange) {
		s.view.untold = true
		return
	}
	s.fetchFlags(i, m)
}

// fetchFlags tells of the flags of a message, the client's own doing or not.
func (s *session) fetchFlags(i int, m store.Message) {
	s.beginFetchUID(i, m.UID)
	s.flagsOf(m.UID, m.Flags)
	if s.enabled.condstore {
		s.modSeqOf(m.ModSeq)
	}
	s.conn.Raw(")").Line()
}

// tellKeywords tells which flags are defined in the mailbox, if one of these is new.
func (s *session) tellKeywords(flags []string) {
	if s.view.words.learn(flags) {
		s.conn.Raw("* FLAGS ").Flags(s.view.flags()).Line()
	}
}

// flagsOf writes the item FLAGS.
func (s *session) flagsOf(uid store.UID, flags []string) {
	s.conn.Raw("FLAGS ")
	if !s.enabled.rev2 && s.view.isRecent(uid) {
		flags = append([]string{`\Recent`}, flags...)
	}
	s.conn.Flags(flags)
}

// modSeqOf writes the item MODSEQ behind another one.
func (s *session) modSeqOf(seq store.ModSeq) {
	s.conn.Raw(" MODSEQ (").Unum(uint64(seq)).Raw(")")
}

// tellGone tells of all that is gone, from the end, so that numbers before it hold.
func (s *session) tellGone() {
	v := s.view
	if len(v.gone) == 0 {
		return
	}
	s.removeGone()
	if s.enabled.qresync || s.enabled.uidOnly { // RFC 7162 3.2.10, RFC 9586 3.4
		s.conn.Raw("* VANISHED ").Set(uidSpans(v.gone).uidSet()).Line()
		v.vanished = true
	} else {
		for i := len(v.uids) - 1; i >= 0; i-- {
			if v.isGone(v.uids[i]) {
				s.conn.Raw("* ").Num(int64(i + 1)).Raw(" EXPUNGE").Line()
			}
		}
	}
	v.uids = slices.DeleteFunc(v.uids, v.isGone)
	v.gone = nil
}

// behind tells a client that expunged messages wait until their numbers may go, or that it chose by NOTIFY to hear less than all; "" if neither is so. A
// client that follows modification sequences is kept from believing that it knows all because it was told of a later change (RFC 7162 3.2), and learns that it does
// when what waited was told (RFC 7162 6); others learn that a NOOP would tell (RFC 5530 3).
func (s *session) behind() string {
	v := s.view
	if v == nil {
		return ""
	}
	vanished := v.vanished
	v.vanished = false
	switch {
	case vanished, s.enabled.qresync && len(v.gone) > 0, s.enabled.condstore && (v.untold || !s.wants(messageNew)):
		return highestModSeq + strconv.FormatUint(uint64(s.toldUpTo()), 10) + "] Up to here all is told"
	case len(v.gone) > 0:
		return "[EXPUNGEISSUED] Messages are gone, which is told later"
	}
	return ""
}

const highestModSeq = "[HIGHESTMODSEQ "

// tellNew tells how many messages there are, if these are new.
func (s *session) tellNew(news []store.UID) {
	if len(news) == 0 {
		return
	}
	v := s.view
	slices.Sort(news)
	v.uids = append(v.uids, slices.Compact(news)...)
	s.conn.Raw("* ").Num(int64(len(v.uids))).Raw(" EXISTS").Line()
	if !s.enabled.rev2 {
		s.claimRecent()
		s.conn.Raw("* ").Num(int64(v.recentCount())).Raw(" RECENT").Line()
	}
}

// condstore turns CONDSTORE on for a client that uses it (RFC 7162 3.1): from now on it is told every modification sequence.
func (s *session) condstore() {
	if s.enabled.condstore {
		return
	}
	s.enabled.condstore = true
	if s.view != nil {
		s.conn.Raw("* OK " + highestModSeq).Unum(uint64(s.toldUpTo())).Raw("] Modification sequences are told").Line()
	}
}

// between are the indexes, the second not in it, of the messages that have a UID from from to to.
func (v *view) between(from, to store.UID) (i, j int) {
	i, _ = slices.BinarySearch(v.uids, from)
	j, exact := slices.BinarySearch(v.uids, to)
	if exact {
		j++
	}
	return i, j
}
