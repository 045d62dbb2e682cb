package imapd

import (
	"cmp"
	"slices"
)

// gather merges threads of the same base subject: steps 4 and 5 of REFERENCES (RFC 5256 3). dummies are items of several messages each.
func (f *forest) gather(subjects int, dummies [][]int32) {
	g := &gathering{forest: f, rank: make([]int32, len(f.messages)), table: slices.Repeat([]int32{none}, subjects)}
	for at, m := range f.byDate {
		g.rank[m] = int32(at)
	}
	var top []int32
	for _, messages := range dummies {
		top = append(top, g.dummy(messages))
	}
	for m := range f.messages {
		if f.parent[m] == none {
			top = append(top, int32(m))
		}
	}
	slices.SortFunc(top, func(a, b int32) int { return cmp.Compare(g.rank[g.first(a)], g.rank[g.first(b)]) })
	for _, item := range top {
		g.enter(item)
	}
	for _, item := range top {
		g.merge(item)
	}
}

// gathering is one run of gather.
type gathering struct {
	*forest
	rank  []int32   // of each message by date
	kids  [][]int32 // of each dummy, the first one before others
	table []int32   // of each base subject the item that stands for it
}

// dummy adds one above messages.
func (g *gathering) dummy(messages []int32) int32 {
	slices.SortFunc(messages, func(a, b int32) int { return cmp.Compare(g.rank[a], g.rank[b]) })
	item := int32(len(g.parent))
	g.parent = append(g.parent, none)
	g.kids = append(g.kids, messages)
	for _, m := range messages {
		g.parent[m] = item
	}
	return item
}

func (g *gathering) kidsOf(dummy int32) *[]int32 { return &g.kids[int(dummy)-len(g.messages)] }

// first is the message that an item is sorted and named by.
func (g *gathering) first(item int32) int32 {
	if g.isDummy(item) {
		return (*g.kidsOf(item))[0]
	}
	return item
}

func (g *gathering) isReply(item int32) bool { return !g.isDummy(item) && g.messages[item].reply }

// enter is step 5.B: a dummy stands for its subject rather than a message, a message rather than an answer.
func (g *gathering) enter(item int32) {
	subject := g.messages[g.first(item)].subject
	if subject == 0 {
		return
	}
	there := g.table[subject]
	if there == none || !g.isDummy(there) && (g.isDummy(item) || g.isReply(there) && !g.isReply(item)) {
		g.table[subject] = item
	}
}

// merge is step 5.C.
func (g *gathering) merge(item int32) {
	subject := g.messages[g.first(item)].subject
	if subject == 0 || g.table[subject] == item {
		return
	}
	there := g.table[subject]
	switch {
	case g.isDummy(there):
		more := []int32{item}
		if g.isDummy(item) {
			more = *g.kidsOf(item)
		}
		for _, m := range more {
			g.parent[m] = there
		}
		*g.kidsOf(there) = append(*g.kidsOf(there), more...)
	case g.isReply(item) && !g.isReply(there):
		g.parent[item] = there
	default:
		g.table[subject] = g.dummy([]int32{there, item})
	}
}
