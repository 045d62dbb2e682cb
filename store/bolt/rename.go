package bolt

import (
	"context"
	"strings"

	"domicile"
	"domicile/store"
)

// RenameMailbox moves a mailbox and its children to a new name; of INBOX it moves the messages.
func (s *Store) RenameMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, from, to string) error {
	const op = "rename mailbox"
	from, err1 := store.MailboxName(from)
	to, err2 := store.MailboxName(to)
	err := firstError(err1, err2, checkToken(tok))
	if err == nil && from != store.Inbox && strings.HasPrefix(to, from+"/") {
		err = domicile.E("mailbox", domicile.Invalid, "a mailbox cannot move below itself")
	}
	if err != nil {
		return domicile.W(op, err)
	}
	err = s.once(ctx, acct, tok, op, nil, func(a account) error { return a.renameMailbox(from, to) })
	return domicile.W(op, err)
}

func (a account) renameMailbox(from, to string) error {
	if from != store.Inbox {
		return a.rename(from, to)
	}
	m, err := a.mailboxNamed(from)
	if err != nil {
		return err
	}
	if err := a.makeParents(to); err != nil {
		return err
	}
	return m.empty(to)
}

// empty moves all messages of INBOX into a new mailbox (RFC 9051 6.3.6). It gets the rows as they are, so that this takes as long for a million
// messages as for one; INBOX, which goes on counting, gets a bucket of its own for rows to come, in which all UIDs so far have vanished.
func (m *mailbox) empty(to string) error {
	dst, err := m.makeMailbox(mailboxRecord{Name: to})
	if err == nil {
		err = m.copyAnnotations(dst.id)
	}
	if err != nil || m.messages == 0 {
		return err
	}
	dst.next, dst.modseq, dst.messages, dst.unseen, dst.size = m.next, m.modseq, m.messages, m.unseen, m.size
	dst.at = m.rowsOf(m.id)
	dst.rows = m.rows
	dst.rows.Put(kOwner, []byte(dst.id))
	if m.hidden.Last > 0 { // a copy into INBOX is under way, and finds it gone
		dst.hidden, m.hidden = m.hidden, store.UIDRange{}
		m.leave(leftover{rows: dst.at, of: dst.id})
	}
	dst.save()

	m.at = domicile.MailboxID(domicile.NewID("b"))
	m.rows = m.account.rows(m.at)
	m.rows.Put(kOwner, []byte(m.id))
	m.messages, m.unseen, m.size = 0, 0, 0
	m.modseq++
	all := store.UIDRange{First: 1, Last: m.next - 1}
	m.rows.sub(bChanges).Put(changeKey(m.modseq, all.First), vanishedValue(all))
	m.rows.Put(kForgotten, forgotten{runs: 1}.encode())
	m.save()
	return nil
}

// rename gives a mailbox, if there is one of the name, and its children their new names: all of them, or an
// error and the transaction is dropped.
func (a account) rename(from, to string) error {
	names := a.b.sub(bNames)
	type renamed struct {
		m   *mailbox
		rec mailboxRecord
	}
	var list []renamed
	err := a.eachMailbox(func(m *mailbox) error {
		rec, err := m.record()
		if err == nil && (rec.Name == from || strings.HasPrefix(rec.Name, from+"/")) {
			list = append(list, renamed{m, rec})
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case len(list) == 0:
		return domicile.E("mailbox", domicile.NotExist, "no mailbox of that name, nor below it")
	case from == to, names.Get(a.nameKey(to)) != nil:
		return domicile.E("mailbox", domicile.Exist, "there is a mailbox of that name")
	}
	if err := a.makeParents(to); err != nil {
		return err
	}
	for _, r := range list {
		names.Delete(a.nameKey(r.rec.Name))
		if err := a.leaveName(r.rec); err != nil {
			return err
		}
	}
	for _, r := range list {
		name, err := store.MailboxName(to + strings.TrimPrefix(r.rec.Name, from))
		if err != nil {
			return err
		}
		if names.Get(a.nameKey(name)) != nil {
			return domicile.E("mailbox", domicile.Exist, "there is a mailbox of that name")
		}
		r.rec.Name, r.rec.Subscribed = name, a.takeSubscribed(name)
		if err := r.m.putRecord(r.rec); err != nil {
			return err
		}
		names.Put(a.nameKey(name), []byte(r.m.id))
	}
	return nil
}
