package imapd

import (
	"math"
	"strings"
)

// links are who answers whom, as References say: steps 1 to 3 of REFERENCES (RFC 5256 3).
type links struct {
	nodes []linked
	byID  map[string]int32
	steps int // that may still be gone to look for loops
}

// linked is a message, or a dummy: an id that messages refer to.
type linked struct {
	parent   int32
	children int32 // how many
	message  int32 // none = a dummy
}

// loopSteps bounds the search for loops of one command. Mail that people wrote needs hardly any: a child without children makes none.
const loopSteps = 10_000_000

func newLinks() *links { return &links{byID: map[string]int32{}, steps: loopSteps} }

// add takes a message and returns about how many bytes its nodes have.
func (l *links) add(m int32, id string, references []string) (size int) {
	before := len(l.nodes)
	var n int32
	if id == "" {
		n = l.newNode()
	} else if n = l.node(id); l.nodes[n].message != none { // an id of two messages is the first one's
		n = l.newNode()
	}
	l.nodes[n].message = m
	parent := int32(none)
	for _, ref := range references {
		r := l.node(ref)
		if parent != none && l.nodes[r].parent == none {
			l.link(parent, r)
		}
		parent = r
		size += len(ref)
	}
	if l.nodes[n].parent != parent { // what others said of it counts less
		l.cut(n)
		if parent != none {
			l.link(parent, n)
		}
	}
	return size + len(id) + 100*(len(l.nodes)-before)
}

// node returns that of an id, a new one if need be.
func (l *links) node(id string) int32 {
	n, ok := l.byID[id]
	if !ok {
		n = l.newNode()
		l.byID[strings.Clone(id)] = n
	}
	return n
}

func (l *links) newNode() int32 {
	l.nodes = append(l.nodes, linked{parent: none, message: none})
	return int32(len(l.nodes) - 1)
}

// link makes parent that of child, which has none, unless that made a loop.
func (l *links) link(parent, child int32) {
	if l.isBelow(parent, child) {
		return
	}
	l.nodes[child].parent = parent
	l.nodes[parent].children++
}

func (l *links) cut(child int32) {
	if p := l.nodes[child].parent; p != none {
		l.nodes[p].children--
		l.nodes[child].parent = none
	}
}

// isBelow says whether n is top, or below it; yes too if it was too far to look.
func (l *links) isBelow(n, top int32) bool {
	if n == top || l.nodes[top].children == 0 {
		return n == top
	}
	for ; n != none; n = l.nodes[n].parent {
		if l.steps--; n == top || l.steps < 0 {
			return true
		}
	}
	return false
}

// prune hangs each message of f below the next message above it, or, where there is none, below the topmost dummy, if it has more
// messages than this one. It returns the dummies that are left, each with its messages.
func (l *links) prune(f *forest) (dummies [][]int32) {
	above := l.messagesAbove()
	groups := map[int32][]int32{}
	var order []int32
	for n, node := range l.nodes {
		if node.message == none || node.parent == none {
			continue
		}
		if over := above[n]; over >= 0 {
			f.parent[node.message] = over
			continue
		}
		top := ^above[n]
		if groups[top] == nil {
			order = append(order, top)
		}
		groups[top] = append(groups[top], node.message)
	}
	for _, top := range order {
		if len(groups[top]) > 1 {
			dummies = append(dummies, groups[top])
		}
	}
	return dummies
}

// messagesAbove says of each node that has a parent which message stands next above it, or else ^ of its topmost node.
func (l *links) messagesAbove() []int32 {
	const unknown = math.MinInt32
	above := make([]int32, len(l.nodes))
	for n := range above {
		above[n] = unknown
	}
	var way []int32
	for n := range l.nodes {
		at := int32(n)
		for way = way[:0]; above[at] == unknown; {
			p := l.nodes[at].parent
			if p == none {
				above[at] = ^at
				break
			}
			way = append(way, at)
			at = p
		}
		for i := len(way) - 1; i >= 0; i-- {
			at = way[i]
			p := l.nodes[at].parent
			if above[at] = above[p]; l.nodes[p].message != none {
				above[at] = l.nodes[p].message
			}
		}
	}
	return above
}
