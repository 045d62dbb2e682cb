package imapd

import (
	"maps"
	"math"
	"slices"
	"strings"

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
	s.hints.add(nil)
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
	if n.has(subscriptionChange) {
		names, err := s.store().Subscriptions(s.ctx(), s.acct)
		if err != nil {
			return failure(err)
		}
		n.names = setOf(names)
	}
	n.known = make(map[domicile.MailboxID]watched, len(all))
	for _, m := range all {
		w := watchedOf(m)
		n.known[m.ID] = w
		if status && !s.isSelected(m.ID) && n.wants(w, messageEvents) {
			if err := s.tellWatched(m, n.wants(w, flagChange)); err != nil {
				return failure(err)
			}
		}
	}
	return nil
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
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
// happens while the client does not listen, or as often as it likes, costs no memory. Where hints name mailboxes it reads these alone.
func (s *session) tellOthers() {
	where, some := s.hints.take()
	if !some || s.notify == nil || s.notify.known == nil || where != nil && s.tellSome(where) {
		return
	}
	var names []string // read first: what a mailbox is told to be is as it was then, or later, and what changed since is told behind a later hint
	var all []store.Mailbox
	var err error
	if s.notify.names != nil {
		names, err = s.store().Subscriptions(s.ctx(), s.acct)
	}
	if err == nil {
		all, err = s.store().Mailboxes(s.ctx(), s.acct)
	}
	if err != nil { // behind a later hint it may succeed
		s.hints.add(nil)
		return
	}
	if len(all) > maxWatched { // RFC 5465 5.8: as if NOTIFY NONE had come
		s.conn.Raw("* OK [NOTIFICATIONOVERFLOW] The account has too many mailboxes; nothing is told any more").Line()
		s.follow(&notify{})
		return
	}
	c := s.notify.compare(all)
	s.notify.compareSubscribed(names, &c)
	q := listing{extended: true, subscribed: true}
	for _, m := range tree(all, apartFrom(all, names), &q) {
		if c.names[m.Name] {
			s.tellChangedName(m.Name, q.attributes(m), c.renamed[m.Name])
			delete(c.names, m.Name)
		}
		if old, known := c.before[m.ID]; m.exists {
			s.tellMessages(m.Mailbox, old, known)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.names)) {
		s.tellChangedName(name, []string{`\NonExistent`}, "")
	}
}

// tellSome tells of mailboxes in which messages changed, and nothing else. It reports false if all must be looked at.
func (s *session) tellSome(where store.Hint) bool {
	for _, id := range where {
		m, err := s.mailboxNow(id)
		old, known := s.notify.known[id]
		now := watchedOf(m)
		if err != nil || !known || old.name != now.name || old.subscribed != now.subscribed {
			return false
		}
		s.notify.known[id] = now
		s.tellMessages(m, old, true)
	}
	return true
}

// mailboxNow finds a mailbox by its id.
func (s *session) mailboxNow(id domicile.MailboxID) (store.Mailbox, error) {
	p, err := s.store().Changes(s.ctx(), s.acct, id, math.MaxInt64, "", 1) // of which there is none: the mailbox alone
	return p.Mailbox, err
}

// compared is what became of an account's mailboxes.
type compared struct {
	before  map[domicile.MailboxID]watched
	names   map[string]bool   // of which is to be told
	renamed map[string]string // from which name
}

// compare notes which mailboxes there are now, and finds of which names is to be told: those of mailboxes that were made, deleted or renamed,
// and of what is right above one that was made or deleted. What is below a renamed one goes with it (RFC 5465 5.4).
func (n *notify) compare(all []store.Mailbox) compared {
	c := compared{before: n.known, names: map[string]bool{}, renamed: map[string]string{}}
	n.known = make(map[domicile.MailboxID]watched, len(all))
	byName := make(map[string]watched, len(all))
	for _, m := range all {
		w := watchedOf(m)
		n.known[m.ID], byName[m.Name] = w, w
	}
	affected := func(w watched) {
		if n.wants(w, mailboxName) {
			c.names[w.name] = true
		}
		up, ok := byName[above(w.name)]
		if !ok {
			up.name = above(w.name)
		}
		if up.name != "" && n.wants(up, mailboxName) {
			c.names[up.name] = true
		}
	}
	for id, w := range c.before {
		if _, there := n.known[id]; !there {
			affected(w)
		}
	}
	for _, m := range all { // by name: what is above comes first
		w := n.known[m.ID]
		old, known := c.before[m.ID]
		wants := func(e event) bool { return n.wants(w, e) || n.wants(old, e) }
		switch {
		case !known:
			affected(w)
		case old.name != w.name && wants(mailboxName) && !c.follows(old.name, w.name):
			c.names[w.name], c.renamed[w.name] = true, old.name
		}
	}
	return c
}

// compareSubscribed notes which names are subscribed now, and adds those of which that is to be told (RFC 5465 5.5), whether a mailbox has them or not. RENAME and
// DELETE leave them as they are.
func (n *notify) compareSubscribed(names []string, c *compared) {
	if n.names == nil {
		return
	}
	before := n.names
	n.names = setOf(names)
	changed := func(name string) {
		if n.wants(watched{name: name, subscribed: true}, subscriptionChange) || n.wants(watched{name: name}, subscriptionChange) {
			c.names[name] = true
		}
	}
	for _, name := range names {
		if !before[name] {
			changed(name)
		}
	}
	for name := range before {
		if !n.names[name] {
			changed(name)
		}
	}
}

// above is the name one level up, "" if there is none.
func above(name string) string { return name[:max(0, strings.LastIndexByte(name, '/'))] }

// follows reports whether a mailbox got its new name with one above it.
func (c *compared) follows(from, to string) bool {
	for from != "" && to != "" && from[len(above(from)):] == to[len(above(to)):] {
		if from, to = above(from), above(to); to != "" && c.renamed[to] == from {
			return true
		}
	}
	return false
}

func (s *session) tellChangedName(name string, attributes []string, before string) {
	s.conn.Raw("* LIST ").Flags(attributes).Raw(` "/" `).Mailbox(name)
	if before != "" {
		s.conn.Raw(` ("OLDNAME" (`).Mailbox(before).Raw("))")
	}
	s.conn.Line()
}

// tellMessages tells what changed in a mailbox that is not selected.
func (s *session) tellMessages(m store.Mailbox, old watched, known bool) {
	w := watchedOf(m)
	if s.isSelected(m.ID) || old == w || !known && w.messages == 0 { // of a new one LIST says enough
		return
	}
	wants := func(e event) bool { return s.notify.wants(w, e) || known && s.notify.wants(old, e) }
	counted := old.next != w.next || old.messages != w.messages || old.validity != w.validity
	if counted && wants(messageNew) || old.seq != w.seq && wants(flagChange) {
		_ = s.tellWatched(m, false) // all of it is in the record of the mailbox: it does not fail
	}
}

// tellItems sends what NOTIFY chose of new messages in the selected mailbox, behind EXISTS, but for those that the client put there itself (RFC 5465 5.2).
func (s *session) tellItems(news []store.UID) {
	news = slices.DeleteFunc(news, func(uid store.UID) bool { return s.view.own.has(uint32(uid)) })
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

// tellsGone: whether a client that listens between commands is told of expunged messages then, and not with the next command (RFC 5465 6.1.2).
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
