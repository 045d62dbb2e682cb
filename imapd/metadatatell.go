package imapd

import (
	"slices"
	"strings"

	"domicile"
	"domicile/store"
)

// knownAnnotations are those that a client was told of, or could have asked for, for who is to be told what others change. The zero value knows nothing.
type knownAnnotations struct {
	changed uint64 // number of the last change that was looked at
	all     map[annotationName]uint64
}

type annotationName struct {
	mailbox domicile.MailboxID
	entry   string
}

func numbers(all []store.Annotation) map[annotationName]uint64 {
	m := make(map[annotationName]uint64, len(all))
	for _, x := range all {
		m[annotationName{x.Mailbox, x.Entry}] = x.Changed
	}
	return m
}

// noteAnnotations has the client told what others change from now on. It writes nothing.
func (s *session) noteAnnotations() {
	s.enabled.metadata = true
	if s.noted.all == nil {
		s.tellAnnotations()
	}
}

// annotated notes what the client itself has changed: that is not told.
func (s *session) annotated(mbox domicile.MailboxID, set []store.Annotation, changed uint64) {
	if s.noted.all == nil {
		return
	}
	for _, x := range set {
		name := annotationName{mbox, x.Entry}
		if delete(s.noted.all, name); x.Value != nil {
			s.noted.all[name] = changed
		}
	}
}

// hearsAnnotations reports whether the client is told at all: by ENABLE, or in the place of that as NOTIFY chose (RFC 5465 5.6, 5.7).
func (s *session) hearsAnnotations() bool {
	if s.notify == nil {
		return s.enabled.metadata
	}
	return s.notify.has(metadataEvents)
}

// wantsEntries reports whether it is told of a mailbox, or of the account.
func (s *session) wantsEntries(m store.Mailbox) bool {
	switch {
	case s.notify == nil:
		return true
	case m.ID == "":
		return s.notify.has(serverMetadata)
	}
	return s.notify.wants(watchedOf(m), mailboxMetadata)
}

// tellAnnotations tells which annotations others have changed, and not what they are now (RFC 5464 4.4), to a client that wants to hear of it.
func (s *session) tellAnnotations() {
	if !s.hearsAnnotations() {
		return
	}
	k := &s.noted
	changed, list, err := s.store().Annotated(s.ctx(), s.acct, k.changed)
	if err != nil || changed == k.changed && k.all != nil { // a later one may succeed
		return
	}
	before, now := k.all, numbers(list)
	if k.changed, k.all = changed, now; before == nil {
		return
	}
	news := map[domicile.MailboxID][]string{}
	for name, n := range now {
		if before[name] != n {
			news[name.mailbox] = append(news[name.mailbox], name.entry)
		}
	}
	for name := range before {
		if _, there := now[name]; !there {
			news[name.mailbox] = append(news[name.mailbox], name.entry)
		}
	}
	s.tellEntries(news)
}

// tellEntries tells of changed annotations of mailboxes that are there, and of the account.
func (s *session) tellEntries(news map[domicile.MailboxID][]string) {
	if len(news) == 0 {
		return
	}
	boxes, err := s.store().Mailboxes(s.ctx(), s.acct)
	if err != nil {
		return
	}
	for _, m := range append([]store.Mailbox{{}}, boxes...) {
		entries := news[m.ID]
		if len(entries) == 0 || !s.wantsEntries(m) {
			continue
		}
		slices.SortFunc(entries, strings.Compare)
		s.conn.Raw("* METADATA ").Mailbox(m.Name)
		for _, e := range entries {
			s.conn.Raw(" ")
			s.entry(e)
		}
		s.conn.Line()
	}
}
