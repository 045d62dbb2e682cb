package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// maxPattern bounds a LIST pattern: longer ones match no name.
const maxPattern = store.MaxMailboxName * 2

// listRequest is LIST or LSUB.
type listRequest struct {
	ref      string
	patterns []string
	lsub     bool
	options  *imap.ListOptions
}

// List answers with one entry for each mailbox that fits, through write.
func (s *session) List(q listRequest, write func(*imap.ListData) error) error {
	if len(q.patterns) == 0 { // RFC 9051 6.3.9: an empty pattern asks for the delimiter
		return write(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: '/'})
	}
	all, err := s.store().Mailboxes(s.ctx(), s.acct)
	if err != nil {
		return failure(err)
	}
	tree := newTree(all)
	for _, m := range all {
		data := tree.entry(m, q)
		if data == nil || !q.fits(m.Name) {
			continue
		}
		if o := q.options.ReturnStatus; o != nil && !hasAny(data.Attrs, imap.MailboxAttrNonExistent) {
			if data.Status, err = s.status(m, o); err != nil {
				return err
			}
		}
		if err := write(data); err != nil {
			return err
		}
	}
	if q.lsub {
		return q.parents(all, write)
	}
	return nil
}

func (q *listRequest) fits(name string) bool {
	for _, p := range q.patterns {
		if p = canonicalPattern(q.ref + p); len(p) <= maxPattern && matches(name, p) {
			return true
		}
	}
	return false
}

// canonicalPattern writes INBOX, as first level, in upper case: names are stored so.
func canonicalPattern(p string) string {
	first, rest, deep := strings.Cut(p, "/")
	if strings.EqualFold(first, store.Inbox) {
		if deep {
			return store.Inbox + "/" + rest
		}
		return store.Inbox
	}
	return p
}

// tree knows which mailboxes have children, and subscribed ones.
type tree struct{ children, subscribed map[string]bool }

func newTree(all []store.Mailbox) *tree {
	t := &tree{map[string]bool{}, map[string]bool{}}
	for _, m := range all {
		for up := m.Name; ; {
			i := strings.LastIndexByte(up, '/')
			if i < 0 {
				break
			}
			up = up[:i]
			t.children[up] = true
			if m.Subscribed {
				t.subscribed[up] = true
			}
		}
	}
	return t
}

// entry is what a request shows of a mailbox, or nil if its selection leaves the mailbox out.
func (t *tree) entry(m store.Mailbox, q listRequest) *imap.ListData {
	o := q.options
	data := &imap.ListData{Delim: '/', Mailbox: m.Name}
	below := o.SelectRecursiveMatch && t.subscribed[m.Name]
	if o.SelectSubscribed && !m.Subscribed && !below || o.SelectSpecialUse && m.SpecialUse == "" {
		return nil
	}
	if below {
		data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
	}
	if q.lsub {
		return data
	}
	if t.children[m.Name] {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasChildren)
	} else {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasNoChildren)
	}
	if m.Subscribed && (o.ReturnSubscribed || o.SelectSubscribed) {
		data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
	}
	if m.SpecialUse != "" {
		data.Attrs = append(data.Attrs, imap.MailboxAttr(m.SpecialUse))
	}
	return data
}

// parents answers LSUB's odd case: "%" fits a name that is not subscribed but has subscribed children (RFC 3501 6.3.9).
func (q *listRequest) parents(all []store.Mailbox, write func(*imap.ListData) error) error {
	shown := map[string]bool{}
	for _, m := range all {
		if m.Subscribed {
			shown[m.Name] = true
		}
	}
	for _, m := range all {
		if !m.Subscribed || q.fits(m.Name) {
			continue
		}
		for up := m.Name; strings.Contains(up, "/"); {
			up = up[:strings.LastIndexByte(up, '/')]
			if shown[up] || !q.fits(up) {
				continue
			}
			shown[up] = true
			if err := write(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: '/', Mailbox: up}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Status answers STATUS.
func (s *session) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	m, err := s.mailbox(name)
	if err != nil {
		return nil, err
	}
	return s.status(m, o)
}

func (s *session) status(m store.Mailbox, o *imap.StatusOptions) (*imap.StatusData, error) {
	var none, deleted uint32
	var deletedSize int64
	if o.NumDeleted || o.DeletedStorage {
		msgs, err := s.store().Messages(s.ctx(), s.acct, m.ID)
		if err != nil {
			return nil, failure(err)
		}
		for _, msg := range msgs {
			if store.HasFlag(msg.Flags, store.Deleted) {
				deleted++
				deletedSize += msg.Size
			}
		}
	}
	limit := s.appendLimit()
	return &imap.StatusData{
		Mailbox: m.Name, NumMessages: &m.Messages, NumRecent: &none, UIDNext: imap.UID(m.UIDNext), UIDValidity: m.UIDValidity,
		NumUnseen: &m.Unseen, NumDeleted: &deleted, Size: &m.Size, AppendLimit: &limit, DeletedStorage: &deletedSize,
	}, nil
}
