package storetest

import (
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"domicile/store"
)

// linearModel is two mailboxes, as one client after the other would see them.
var linearModel = porcupine.Model{
	Init: func() any { return mirrors{{next: 1, high: exactly(1)}, {next: 1, high: exactly(1)}} },
	Step: func(state, in, out any) (bool, any) {
		s := state.(mirrors)
		ok := s.step(in.(act), out.(told))
		return ok, s
	},
	Equal: func(a, b any) bool {
		x, y := a.(mirrors), b.(mirrors)
		return x[0].equal(y[0]) && x[1].equal(y[1])
	},
}

// span is a ModSeq of which we know that it is over lo and at most hi: the store chooses them, and not each act tells.
type span struct{ lo, hi store.ModSeq }

func exactly(s store.ModSeq) span { return span{s - 1, s} }

// seen says whether the ModSeq can be s, and knows it from then on.
func (p *span) seen(s store.ModSeq) bool {
	ok := p.lo < s && s <= p.hi
	*p = exactly(s)
	return ok
}

// after says whether the ModSeq can be over s, or can be not, and knows it from then on.
func (p *span) after(s store.ModSeq, is bool) bool {
	if is {
		p.lo = max(p.lo, s)
	} else {
		p.hi = min(p.hi, s)
	}
	return p.lo < p.hi
}

type mirrored struct {
	uid   store.UID
	seq   span
	size  int64
	flags string
}

// mirror is what a client knows of a mailbox. Its slices are never changed, only replaced.
type mirror struct {
	next store.UID
	high span
	live []mirrored // by uid
	gone []mirrored // by uid; uid and seq only
}

func (b mirror) equal(c mirror) bool {
	return b.next == c.next && b.high == c.high && slices.Equal(b.live, c.live) && slices.Equal(b.gone, c.gone)
}

// raise gives the mailbox the ModSeq of a new act: s, or, if that is 0, one that the client was not told.
func (b *mirror) raise(s store.ModSeq) bool {
	if s == 0 {
		b.high = span{b.high.lo + 1, math.MaxUint64}
		return true
	}
	ok := s > b.high.lo+1
	b.high = exactly(s)
	return ok
}

func (b mirror) find(uids []store.UID) (found []int) {
	for i, m := range b.live {
		if slices.Contains(uids, m.uid) {
			found = append(found, i)
		}
	}
	return found
}

type mirrors [2]mirror

// step says whether the act can have been told this now.
func (s *mirrors) step(a act, out told) bool {
	b, other := &s[a.box], &s[1-a.box]
	switch a.kind {
	case "deliver", "commit":
		return !out.none && b.add(a.fresh(), out)
	case "replace":
		at := b.find(a.uids[:1])
		if len(at) == 0 {
			return out.none || out.lost
		}
		if out.none {
			return false
		}
		if a.across {
			b.drop(at)
			return other.add(a.fresh(), out)
		}
		ok := b.add(a.fresh(), out)
		b.gives(at)
		return ok
	case "flags":
		return b.storeFlags(a, out)
	case "copy", "move":
		at := b.find(a.uids)
		var copies []mirrored
		for _, i := range at {
			copies = append(copies, b.live[i])
		}
		if len(at) == 0 {
			return len(out.from)+len(out.made) == 0
		}
		ok := other.add(copies, out) && (out.lost || slices.Equal(out.from, b.uidsAt(at)))
		if a.kind == "move" {
			b.drop(at)
		}
		return ok
	case "expunge":
		at := slices.DeleteFunc(b.find(a.uids), func(i int) bool { return !strings.Contains(b.live[i].flags, store.Deleted) })
		ok := out.lost || slices.Equal(out.from, b.uidsAt(at))
		if len(at) > 0 {
			b.drop(at)
		}
		return ok
	case "messages":
		return !out.lost && b.lists(out.made, 0)
	case "since":
		return b.since(a.seq, out.all)
	}
	return false
}

func (b mirror) uidsAt(at []int) (uids []store.UID) {
	for _, i := range at {
		uids = append(uids, b.live[i].uid)
	}
	return uids
}

// add puts messages in, as one act.
func (b *mirror) add(messages []mirrored, out told) bool {
	var seq store.ModSeq
	if !out.lost {
		if len(out.made) != len(messages) {
			return false
		}
		seq = out.made[0].ModSeq
	}
	ok := b.raise(seq)
	b.live = slices.Clone(b.live)
	for i, m := range messages {
		m.uid, m.seq = b.next, b.high
		b.next++
		ok = ok && (out.lost || m.is(out.made[i]))
		b.live = append(b.live, m)
	}
	return ok
}

// fresh are the messages that an act brings.
func (a act) fresh() (messages []mirrored) {
	flags, _ := store.CanonicalFlags(a.flags)
	for _, size := range a.sizes {
		messages = append(messages, mirrored{size: size, flags: strings.Join(flags, " ")})
	}
	return messages
}

func (b *mirror) drop(at []int) {
	b.raise(0)
	b.gives(at)
}

// gives takes messages out by an act that has raised the ModSeq already.
func (b *mirror) gives(at []int) {
	live := b.live
	b.live, b.gone = nil, slices.Clone(b.gone)
	for i, m := range live {
		if slices.Contains(at, i) {
			b.gone = append(b.gone, mirrored{uid: m.uid, seq: b.high})
		} else {
			b.live = append(b.live, m)
		}
	}
	slices.SortFunc(b.gone, func(x, y mirrored) int { return int(x.uid) - int(y.uid) })
}

// is says whether m can be what the store calls it, and knows its ModSeq from then on.
func (m *mirrored) is(told store.Message) bool {
	return m.uid == told.UID && m.size == told.Size && m.flags == strings.Join(told.Flags, " ") && m.seq.seen(told.ModSeq)
}

func (b *mirror) storeFlags(a act, out told) bool {
	at := b.find(a.uids)
	if !out.lost && (len(out.made) != len(at) || len(out.flagged.Before) != len(at)) {
		return false
	}
	ok := out.lost || b.high.seen(out.flagged.From)
	flags, _ := store.CanonicalFlags(a.flags)
	live, changed := slices.Clone(b.live), []int{}
	for n, i := range at {
		ok = ok && (out.lost || live[i].seq.seen(out.flagged.Before[n]))
		now, _ := store.ApplyFlags(strings.Fields(live[i].flags), a.op, flags)
		if f := strings.Join(now, " "); f != live[i].flags {
			live[i].flags = f
			changed = append(changed, n)
		}
	}
	if len(changed) > 0 {
		var seq store.ModSeq
		if !out.lost {
			seq = out.made[changed[0]].ModSeq
		}
		ok = b.raise(seq) && ok
	}
	for n, i := range at {
		if slices.Contains(changed, n) {
			live[i].seq = b.high
		}
		ok = ok && (out.lost || live[i].is(out.made[n]))
	}
	b.live = live
	return ok
}

// lists says whether messages are those changed after seq.
func (b *mirror) lists(messages []store.Message, seq store.ModSeq) bool {
	live, n := slices.Clone(b.live), 0
	for i := range live {
		is := n < len(messages) && messages[n].UID == live[i].uid
		if !live[i].seq.after(seq, is) || is && !live[i].is(messages[n]) {
			return false
		}
		if is {
			n++
		}
	}
	b.live = live
	return n == len(messages)
}

// since says whether the mailbox's numbers and both lists are of this one moment.
func (b *mirror) since(seq store.ModSeq, c Snapshot) bool {
	var size int64
	var unseen uint32
	for _, m := range b.live {
		size += m.size
		if !strings.Contains(m.flags, store.Seen) {
			unseen++
		}
	}
	if c.Mailbox.UIDNext != b.next || c.Mailbox.Messages != uint32(len(b.live)) || c.Mailbox.Size != size || c.Mailbox.Unseen != unseen ||
		!b.high.seen(c.Mailbox.HighestModSeq) || !b.lists(c.Changed, seq) {
		return false
	}
	b.gone = slices.Clone(b.gone)
	n := 0
	for i := range b.gone {
		is := n < len(c.Vanished) && c.Vanished[n] == b.gone[i].uid
		if !b.gone[i].seq.after(seq, is) {
			return false
		}
		if is {
			n++
		}
	}
	return n == len(c.Vanished)
}
