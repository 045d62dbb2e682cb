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
	err = s.update(ctx, acct, func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if done, err := a.didBefore(tok, op, nil); done || err != nil {
			return err
		}
		if err := a.renameMailbox(from, to); err != nil {
			return err
		}
		return a.remember(tok, op, nil)
	})
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

// empty moves all messages of INBOX into a new mailbox (RFC 9051 6.3.6).
func (m *mailbox) empty(to string) error {
	if err := m.b.tx.many(int(m.messages)); err != nil {
		return err
	}
	dst, err := m.makeMailbox(mailboxRecord{Name: to})
	if err != nil {
		return err
	}
	records, err := m.all()
	if err != nil || len(records) == 0 {
		return err
	}
	if _, err := dst.addCopies(m, records); err != nil {
		return err
	}
	if err := m.drop(records); err != nil {
		return err
	}
	dst.save()
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
	err := a.b.sub(bMailboxes).ForEachBucket(func(id []byte) error {
		m, err := a.mailbox(domicile.MailboxID(id))
		if err != nil {
			return err
		}
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
	}
	for _, r := range list {
		name, err := store.MailboxName(to + strings.TrimPrefix(r.rec.Name, from))
		if err != nil {
			return err
		}
		if names.Get(a.nameKey(name)) != nil {
			return domicile.E("mailbox", domicile.Exist, "there is a mailbox of that name")
		}
		r.rec.Name = name
		if err := r.m.putRecord(r.rec); err != nil {
			return err
		}
		names.Put(a.nameKey(name), []byte(r.m.id))
	}
	return nil
}
