package imapd

import (
	"slices"
	"strings"

	"domicile"
	"domicile/store"
	"domicile/turns"
)

// knownAnnotations are those that a client was told of, or could have asked for, for who is to be told what others change. The zero value knows nothing.
type knownAnnotations struct {
	changed uint64                           // number of the last change that was looked at
	all     map[string]annotationName        // by the keys of their marks
	own     map[annotationName]ownAnnotation // what the client itself set or removed since; at most store.MaxAnnotations
}

type ownAnnotation struct {
	changed uint64 // the number of that change
	removed bool
}

type annotationName struct {
	mailbox domicile.MailboxID
	entry   string
}

// noteAnnotations has the client told what others change from now on. It writes nothing.
func (s *session) noteAnnotations() {
	s.enabled.metadata = true
	if s.noted.all == nil {
		s.tellAnnotations()
	}
}

// annotated notes what the client itself has changed by its last command: that is not told.
func (s *session) annotated(mbox domicile.MailboxID, set []store.Annotation, changed uint64) {
	if s.noted.all == nil {
		return
	}
	if s.noted.own == nil || len(s.noted.own)+len(set) > store.MaxAnnotations {
		s.noted.own = make(map[annotationName]ownAnnotation, len(set))
	}
	for _, x := range set {
		s.noted.own[annotationName{mbox, x.Entry}] = ownAnnotation{changed, x.Value == nil}
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

// tellAnnotations tells which annotations others have changed, and not what they are now (RFC 5464 4.4), to a client that wants to hear of it. The first time,
// when there is nothing to tell, it reads the names of all; from then on those of what changed. To look where that is is heavy work, but not whether it is anywhere.
func (s *session) tellAnnotations() {
	if !s.hearsAnnotations() {
		return
	}
	k := &s.noted
	first := k.all == nil
	changed, err := s.store().AnnotationChange(s.ctx(), s.acct)
	if err != nil || changed == k.changed && !first {
		return
	}
	var marks []store.AnnotationMark
	err = s.inTurn(func(*turns.Turn) (err error) {
		changed, marks, err = s.store().Annotated(s.ctx(), s.acct, k.changed)
		return err
	})
	if err != nil { // a later one may succeed
		return
	}
	if news := k.follow(changed, marks); !first {
		s.tellEntries(news)
	}
}

// follow notes what there is now, and returns the names of what others changed.
func (k *knownAnnotations) follow(changed uint64, marks []store.AnnotationMark) map[domicile.MailboxID][]string {
	news := map[domicile.MailboxID][]string{}
	if k.all == nil {
		k.all = make(map[string]annotationName, len(marks))
	}
	tell := func(name annotationName) { news[name.mailbox] = append(news[name.mailbox], name.entry) }
	for _, m := range marks {
		if m.Changed <= k.changed {
			continue
		}
		name := annotationName{m.Mailbox, m.Entry}
		if k.all[m.Key] = name; k.own[name].changed != m.Changed {
			tell(name)
		}
		delete(k.own, name)
	}
	if len(marks) < len(k.all) { // some are gone
		there := make(map[string]bool, len(marks))
		for _, m := range marks {
			there[m.Key] = true
		}
		for key, name := range k.all {
			if there[key] {
				continue
			}
			if delete(k.all, key); !k.own[name].removed {
				tell(name)
			}
			delete(k.own, name)
		}
	}
	for name, o := range k.own { // what the client set is there no more, and was not known before
		if !o.removed {
			tell(name)
		}
	}
	k.changed, k.own = changed, nil
	return news
}

// tellEntries tells of changed annotations of mailboxes that are there, and of the account.
func (s *session) tellEntries(news map[domicile.MailboxID][]string) {
	var boxes []store.Mailbox
	for id := range news {
		if id == "" {
			continue
		}
		if m, err := s.mailboxNow(id); err == nil { // else it is gone
			boxes = append(boxes, m)
		}
	}
	slices.SortFunc(boxes, func(a, b store.Mailbox) int { return compareNames(a.Name, b.Name) })
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
