package imapd

import (
	"slices"
	"strings"

	"domicile/store"
)

// node is a mailbox, or a name that has mailboxes below it and is none itself: what DELETE leaves of a mailbox with children
// (RFC 9051 6.3.5).
type node struct {
	store.Mailbox
	exists   bool
	children bool
	below    bool // one of the mailboxes below it is wanted,
	hidden   bool // and one that is has a name that is not asked for
}

// tree returns the nodes of an account's mailboxes, INBOX, then the others by name. q says which of them a LIST selects.
func tree(all []store.Mailbox, q *listing) []*node {
	byName := make(map[string]*node, len(all))
	nodes := make([]*node, 0, len(all))
	add := func(n *node) {
		byName[n.Name] = n
		nodes = append(nodes, n)
	}
	for _, m := range all {
		add(&node{Mailbox: m, exists: true})
	}
	for _, m := range all {
		wanted := q.wants(m)
		hidden := wanted && q.recursive && !q.fits(m.Name)
		for name := m.Name; ; {
			i := strings.LastIndexByte(name, '/')
			if i < 0 {
				break
			}
			name = name[:i]
			up := byName[name]
			if up == nil {
				up = &node{Mailbox: store.Mailbox{Name: name}}
				add(up)
			}
			if up.children && (up.below || !wanted) && (up.hidden || !hidden) {
				break // this was noted already, for all levels above, too
			}
			up.children, up.below, up.hidden = true, up.below || wanted, up.hidden || hidden
		}
	}
	slices.SortFunc(nodes, compareNodes)
	return nodes
}

func compareNodes(a, b *node) int {
	switch store.Inbox {
	case a.Name:
		return -1
	case b.Name:
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}
