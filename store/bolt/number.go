package bolt

import (
	"context"

	"domicile"
	"domicile/store"
)

// NumberMailbox gives a mailbox numbers from elsewhere; see store.Store.
func (s *Store) NumberMailbox(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, validity uint32, next store.UID) error {
	const op = "number a mailbox"
	if validity == 0 || validity > store.MaxUIDValidity || next == 0 {
		return domicile.E(op, domicile.Invalid, "UIDVALIDITY and UIDNEXT are counted from 1, and UIDVALIDITY leaves room above it")
	}
	return domicile.W(op, s.update(ctx, acct, func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		m, err := a.mailbox(mbox)
		if err != nil {
			return err
		}
		if m.validity != validity {
			if err := m.mayRevalidate(validity); err != nil {
				return err
			}
		} else if m.next >= next {
			return nil
		}
		m.validity, m.next = validity, max(m.next, next)
		m.modseq++
		m.save()
		a.b.Put(kValidity, number(max(readNumber(a.b.Get(kValidity)), uint64(validity))))
		return nil
	}))
}

// mayRevalidate refuses a UIDVALIDITY under which UIDs of this mailbox, or those of another, could be taken for others.
func (m *mailbox) mayRevalidate(validity uint32) error {
	if m.next != 1 {
		return domicile.E("mailbox", domicile.Conflict, "the mailbox has or had messages, whose UIDs clients may know")
	}
	return m.account.b.sub(bMailboxes).ForEachBucket(func(id []byte) error {
		other, err := m.account.mailbox(domicile.MailboxID(id))
		if err == nil && other.validity == validity {
			err = domicile.E("mailbox", domicile.Conflict, "another mailbox of the account has this UIDVALIDITY")
		}
		return err
	})
}
