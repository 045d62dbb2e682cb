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
	below    bool // one of the mailboxes below it is wanted
}

// tree returns the nodes of an account's mailboxes, INBOX, then the others by name. wants says which mailboxes a LIST selects.
func tree(all []store.Mailbox, wants func(store.Mailbox) bool) []*node {
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
		wanted := wants(m)
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
			if up.children && (up.below || !wanted) {
				break // this was noted already, for all levels above, too
			}
			up.children, up.below = true, up.below || wanted
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
