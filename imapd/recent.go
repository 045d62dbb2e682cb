package imapd

import (
	"sync"

	"domicile"
	"domicile/store"
)

// maxRecents bounds for how many mailboxes it is remembered what was recent.
const maxRecents = 1 << 16

// recents says for mailboxes from which UID on messages were not announced to any session that may change the mailbox: these are
// \Recent in the first one that is told of them (RFC 3501 2.3.2). It is memory alone: behind a restart, or where a mailbox fell out, all messages
// are recent once more, as the RFC wants it where nothing is known. IMAP4rev2 has nothing of all this. The zero value is ready.
type recents struct {
	mu   sync.Mutex
	from map[domicile.MailboxID]store.UID // guarded by mu; a mailbox's id is never used again
}

// claim returns from where on messages below next are recent for who asks, and, unless he only looks, for nobody else.
func (r *recents) claim(mbox domicile.MailboxID, next store.UID, looks bool) (from store.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from = max(r.from[mbox], 1)
	if looks || from >= next {
		return from
	}
	if r.from == nil {
		r.from = map[domicile.MailboxID]store.UID{}
	}
	if len(r.from) >= maxRecents {
		for old := range r.from {
			delete(r.from, old)
			break
		}
	}
	r.from[mbox] = next
	return from
}

// claimRecent makes the messages recent in this session that were in none before.
func (s *session) claimRecent() {
	v := s.view
	next := v.last() + 1
	if from := s.home.recents.claim(v.mailbox.ID, next, v.readOnly); from < next {
		v.recent = merged(append(v.recent, span{uint32(from), uint32(next - 1)}))
	}
}

// recentCount is how many messages of the view are recent.
func (v *view) recentCount() (n int) {
	for _, r := range v.recent {
		i, j := v.between(store.UID(r.from), store.UID(r.to))
		n += j - i
	}
	return n
}
