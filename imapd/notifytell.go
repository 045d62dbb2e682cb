package imapd

import (
	"domicile"
	"domicile/store"
)

// follow has what n chooses told from now on.
func (s *session) follow(n *notify) {
	heard := s.hearsAnnotations()
	if s.notify = n; !heard && s.hearsAnnotations() {
		s.noted = knownAnnotations{}
		s.tellAnnotations() // of none yet: it notes what there is
	}
	switch chosen := len(n.groups) > 0; {
	case chosen && !s.watching:
		s.home.hubs.join(s)
	case !chosen && s.watching:
		s.home.hubs.leave(s)
	}
	s.watching, s.missed = len(n.groups) > 0, true // what changed before it was in the hub is told all the same
}

// remember reads what the account has now, where other mailboxes than the selected one are watched, and tells it if status says so.
func (s *session) remember(n *notify, status bool) error {
	if len(n.groups) == 0 || len(n.groups) == 1 && n.groups[0].isSelected() {
		return nil
	}
	all, err := s.store().Mailboxes(s.ctx(), s.acct)
	if err != nil {
		return failure(err)
	}
	if len(all) > maxWatched {
		return no("NOTIFICATIONOVERFLOW", "The account has too many mailboxes")
	}
	n.known = make(map[domicile.MailboxID]watched, len(all))
	for _, m := range all {
		w := watchedOf(m)
		n.known[m.ID] = w
		if status && !s.isSelected(m.ID) && n.wants(w, messageEvents) {
			if err := s.tellWatched(m, n.wants(w, flagChange)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) isSelected(id domicile.MailboxID) bool {
	return s.view != nil && s.view.mailbox.ID == id
}

// tellWatched tells how a mailbox is that is not selected (RFC 5465 5.1 to 5.3), with HIGHESTMODSEQ to a client that did not enable it only if modSeq.
func (s *session) tellWatched(m store.Mailbox, modSeq bool) error {
	items := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}
	if modSeq || s.enabled.condstore {
		items = append(items, "HIGHESTMODSEQ")
	}
	return s.tellStatus(m, items)
}

// tellOthers tells what happened to mailboxes, and in those that are not selected, as NOTIFY chose. It compares with what was told last, so that what
// happens while the client does not listen, or as often as it likes, costs no memory.
func (s *session) tellOthers() {
	n := s.notify
	if n == nil || n.known == nil {
		return
	}
	all, err := s.store().Mailboxes(s.ctx(), s.acct)
	if err != nil { // a later hint may succeed
		return
	}
	if len(all) > maxWatched { // RFC 5465 5.8: as if NOTIFY NONE had come
		s.conn.Raw("* OK [NOTIFICATIONOVERFLOW] The account has too many mailboxes; nothing is told any more").Line()
		s.follow(&notify{})
		return
	}
	now := make(map[domicile.MailboxID]watched, len(all))
	for _, m := range all {
		now[m.ID] = watchedOf(m)
	}
	before := n.known
	n.known = now
	for id, w := range before {
		if _, there := now[id]; !there && n.wants(w, mailboxName) {
			s.conn.Raw(`* LIST (\NonExistent) "/" `).Mailbox(w.name).Line()
		}
	}
	for _, node := range tree(all, nil, new(listing).wants) {
		if old, known := before[node.ID]; node.exists && old != now[node.ID] {
			s.tellOther(node, old, known)
		}
	}
}

// tellOther tells of one mailbox that changed, or is new.
func (s *session) tellOther(m *node, old watched, known bool) {
	w := watchedOf(m.Mailbox)
	wants := func(e event) bool { return s.notify.wants(w, e) || known && s.notify.wants(old, e) }
	renamed := known && old.name != w.name
	if (!known || renamed) && wants(mailboxName) || known && old.subscribed != w.subscribed && wants(subscriptionChange) {
		q := listing{extended: true, subscribed: true}
		s.conn.Raw("* LIST ").Flags(q.attributes(m)).Raw(` "/" `).Mailbox(w.name)
		if renamed {
			s.conn.Raw(` ("OLDNAME" (`).Mailbox(old.name).Raw("))")
		}
		s.conn.Line()
	}
	if s.isSelected(m.ID) {
		return
	}
	counted := old.next != w.next || old.messages != w.messages || old.validity != w.validity
	if !known && w.messages == 0 { // LIST says enough
		return
	}
	if counted && wants(messageNew) || old.seq != w.seq && wants(flagChange) {
		_ = s.tellWatched(m.Mailbox, false) // all of it is in the record of the mailbox: it does not fail
	}
}

// tellItems sends what NOTIFY chose of new messages in the selected mailbox, behind EXISTS (RFC 5465 5.2).
func (s *session) tellItems(news []store.UID) {
	if s.notify == nil || len(news) == 0 {
		return
	}
	if g := s.notify.ofSelected(); g != nil && g.fetch != nil {
		f := fetcher{s: s, q: g.fetch}
		_ = f.all(s.view.indexesOf(uidSpans(news))) // one that cannot be read is told to who asks for it
	}
}

// tellAll tells all that a client that listens wants to know.
func (s *session) tellAll(gone bool) {
	s.tellUpdates(gone)
	s.tellAnnotations()
	s.tellOthers()
}

// listen waits for the next command of a client that chose by NOTIFY what it is told meanwhile.
func (s *session) listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notify == nil {
		return nil
	}
	if err := s.conn.Done(); err != nil {
		return err
	}
	if s.missed {
		s.tellAll(s.tellsGone())
	}
	if s.conn.Buffered() == 0 {
		if err := s.conn.Flush(); err != nil {
			return err
		}
	}
	return s.await()
}

// tellsGone: whether a client that listens between commands is told of expunged messages then, and not with the next command (RFC 5465 6.2).
func (s *session) tellsGone() bool {
	g := s.notify.ofSelected()
	return g == nil || g.filter == "SELECTED"
}

// await waits for the client, to whom updates may be pushed meanwhile.
func (s *session) await() error {
	s.missed, s.listening = false, true
	s.mu.Unlock()
	defer func() { // also behind a panic, since the callers unlock
		s.mu.Lock()
		s.listening = false
	}()
	return s.conn.Await()
}
