package imapd

import (
	"strings"

	"domicile"
	"domicile/store"
)

// What a client did itself it is not told again (RFC 5465 5): each act is noted as if it had been told, and nothing that others did meanwhile. The zero
// notify and nil take note of nothing.

// made notes messages that the client put into a mailbox, in their order.
func (s *session) made(to domicile.MailboxID, messages []store.Message) {
	if s.isSelected(to) {
		s.view.own = s.view.own.addAll(messages)
		return
	}
	if s.notify == nil || s.notify.known == nil {
		return
	}
	w, known := s.notify.known[to]
	for _, m := range messages {
		if !known || m.UID != w.next || m.ModSeq > w.seq+1 { // others did something before
			return
		}
		w.next, w.seq = m.UID+1, m.ModSeq
		w.messages++
	}
	if known {
		s.notify.known[to] = w
	}
}

func (n *notify) created(m store.Mailbox) {
	if n != nil && n.known != nil {
		n.known[m.ID] = watchedOf(m)
	}
}

func (n *notify) deleted(id domicile.MailboxID) {
	if n != nil {
		delete(n.known, id)
	}
}

// renamed notes the new names of a mailbox and of those below it.
func (n *notify) renamed(from, to string) {
	if n == nil || from == store.Inbox { // which stays
		return
	}
	for id, w := range n.known {
		if rest, ok := strings.CutPrefix(w.name, from); ok && (rest == "" || rest[0] == '/') {
			w.name = to + rest
			n.known[id] = w
		}
	}
}

func (n *notify) subscribed(name string, on bool) {
	if n == nil {
		return
	}
	if n.names != nil {
		if on {
			n.names[name] = true
		} else {
			delete(n.names, name)
		}
	}
	for id, w := range n.known {
		if w.name == name {
			w.subscribed = on
			n.known[id] = w
		}
	}
}
