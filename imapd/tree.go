package imapd

import (
	"slices"
	"strings"

	"domicile/store"
)

// node is a mailbox, or a name that is none: that has mailboxes below it, as what DELETE leaves of a mailbox with children (RFC 9051 6.3.5), or that is
// subscribed all the same.
type node struct {
	store.Mailbox
	exists   bool
	children bool
	below    bool // one of the mailboxes or names below it is wanted,
	hidden   bool // and one that is has a name that is not asked for
}

// tree returns the nodes of an account's mailboxes and of names that are none, INBOX, then the others by name. q says which of them a LIST selects.
func tree(all []store.Mailbox, names []string, q *listing) []*node {
	byName := make(map[string]*node, len(all))
	nodes := make([]*node, 0, len(all)+len(names))
	add := func(n *node) *node {
		byName[n.Name] = n
		nodes = append(nodes, n)
		return n
	}
	for _, m := range all {
		add(&node{Mailbox: m, exists: true})
	}
	for _, name := range names {
		add(&node{Mailbox: store.Mailbox{Name: name, Subscribed: true}})
	}
	for _, n := range nodes[:len(nodes):len(nodes)] {
		wanted := q.wants(n.Mailbox)
		hidden := wanted && q.recursive && !q.fits(n.Name)
		for name := n.Name; ; {
			i := strings.LastIndexByte(name, '/')
			if i < 0 {
				break
			}
			name = name[:i]
			up := byName[name]
			if up == nil {
				up = add(&node{Mailbox: store.Mailbox{Name: name}})
			}
			if (up.children || !n.exists) && (up.below || !wanted) && (up.hidden || !hidden) {
				break // this was noted already, for all levels above, too
			}
			up.children, up.below, up.hidden = up.children || n.exists, up.below || wanted, up.hidden || hidden
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return compareNames(a.Name, b.Name) })
	return nodes
}

// compareNames has INBOX come first.
func compareNames(a, b string) int {
	switch store.Inbox {
	case a:
		return -1
	case b:
		return 1
	}
	return strings.Compare(a, b)
}
