package imapd

import (
	"slices"
	"sort"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// view is a selected mailbox as the client knows it: what sequence numbers count. It follows the store by what changed
// since a modification sequence, and tells the client only when the client may be told.
type view struct {
	mailbox  store.Mailbox
	readOnly bool
	msgs     []store.Message    // by UID; those in gone too, until the client is told
	gone     map[store.UID]bool // expunged, the client does not know
	seq      store.ModSeq       // all changes up to here are in
	keywords []string           // those the client was told of
	removed  bool               // the mailbox was deleted
}

func newView(c store.Changes, readOnly bool) *view {
	v := &view{mailbox: c.Mailbox, readOnly: readOnly, msgs: c.Changed, gone: map[store.UID]bool{}, seq: c.Mailbox.HighestModSeq}
	for _, m := range v.msgs {
		v.learn(m.Flags)
	}
	return v
}

// learn notes keywords and reports whether one was new.
func (v *view) learn(flags []string) bool {
	news := false
	for _, f := range flags {
		if f[0] != '\\' && !store.HasFlag(v.keywords, f) {
			v.keywords = append(v.keywords, f)
			news = true
		}
	}
	return news
}

var systemFlags = []string{store.Answered, store.Flagged, store.Deleted, store.Seen, store.Draft}

// flags are those defined in the mailbox.
func (v *view) flags() []string { return append(slices.Clone(systemFlags), v.keywords...) }

// find returns the index of uid, or -1.
func (v *view) find(uid store.UID) int {
	i := sort.Search(len(v.msgs), func(i int) bool { return v.msgs[i].UID >= uid })
	if i < len(v.msgs) && v.msgs[i].UID == uid {
		return i
	}
	return -1
}

// update takes what one act of this session or of others made of messages. It writes to r what the client has to learn, if
// r is not nil.
func (v *view) update(changed []store.Message, r *response) {
	for _, m := range changed {
		i := v.find(m.UID)
		if i < 0 || m.ModSeq <= v.msgs[i].ModSeq && slices.Equal(m.Flags, v.msgs[i].Flags) {
			continue
		}
		v.msgs[i].Flags, v.msgs[i].ModSeq = m.Flags, m.ModSeq
		if v.learn(m.Flags) && r != nil {
			r.raw("* FLAGS ").flags(v.flags()).raw("\r\n")
		}
		if r != nil {
			r.format("* %d FETCH (UID %d FLAGS ", i+1, m.UID).flags(m.Flags).raw(")\r\n")
		}
	}
}

// take brings the view up to c. Expunged messages are told only if expunge; else they stay as gone.
func (v *view) take(c store.Changes, expunge bool, r *response) {
	v.seq = max(v.seq, c.Mailbox.HighestModSeq)
	v.mailbox = c.Mailbox
	v.update(c.Changed, r)
	for _, uid := range c.Vanished {
		if v.find(uid) >= 0 {
			v.gone[uid] = true
		}
	}
	if expunge {
		v.expunge(r)
	}
	last := store.UID(0)
	if n := len(v.msgs); n > 0 {
		last = v.msgs[n-1].UID
	}
	news := false
	for _, m := range c.Changed {
		if m.UID > last {
			v.msgs = append(v.msgs, m)
			news = v.learn(m.Flags) || news
		}
	}
	if news {
		r.raw("* FLAGS ").flags(v.flags()).raw("\r\n")
	}
	if n := len(v.msgs); n > 0 && v.msgs[n-1].UID > last {
		r.format("* %d EXISTS\r\n", n)
	}
}

// expunge tells the client of all that is gone, from the end, so that numbers before it hold.
func (v *view) expunge(r *response) {
	if len(v.gone) == 0 {
		return
	}
	for i := len(v.msgs) - 1; i >= 0; i-- {
		if v.gone[v.msgs[i].UID] {
			r.format("* %d EXPUNGE\r\n", i+1)
		}
	}
	v.msgs = slices.DeleteFunc(v.msgs, func(m store.Message) bool { return v.gone[m.UID] })
	clear(v.gone)
}

// resolve returns the indexes of the messages of a set, ascending, without those that are gone. ok is false if the set
// names a sequence number that does not exist (RFC 9051 9, seq-number), or the result of a search.
func (v *view) resolve(set imap.NumSet) (idx []int, ok bool) {
	if imap.IsSearchRes(set) {
		return nil, false
	}
	picked := make([]bool, len(v.msgs))
	switch set := set.(type) {
	case imap.SeqSet:
		n := uint32(len(v.msgs))
		for _, r := range set {
			from, to := order(r.Start, r.Stop, n)
			if to > n || from == 0 {
				return nil, false
			}
			for i := from; i <= to; i++ {
				picked[i-1] = true
			}
		}
	case imap.UIDSet:
		last := uint32(0)
		if n := len(v.msgs); n > 0 {
			last = uint32(v.msgs[n-1].UID)
		}
		for _, r := range set {
			from, to := order(uint32(r.Start), uint32(r.Stop), last)
			i := sort.Search(len(v.msgs), func(i int) bool { return uint32(v.msgs[i].UID) >= from })
			for ; i < len(v.msgs) && uint32(v.msgs[i].UID) <= to; i++ {
				picked[i] = true
			}
		}
	}
	for i, p := range picked {
		if p && !v.gone[v.msgs[i].UID] {
			idx = append(idx, i)
		}
	}
	return idx, true
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

// uids are those of the messages at idx.
func (v *view) uids(idx []int) []store.UID {
	out := make([]store.UID, len(idx))
	for i, j := range idx {
		out[i] = v.msgs[j].UID
	}
	return out
}
