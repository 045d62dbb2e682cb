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
		if m.validity == validity && m.next >= next {
			return nil
		}
		if m.validity != validity {
			if m.next != 1 {
				return domicile.E(op, domicile.Conflict, "the mailbox has or had messages, whose UIDs clients may know")
			}
			if err := a.makeRoom(validity); err != nil {
				return err
			}
		}
		m.validity, m.next = validity, max(m.next, next)
		m.modseq++
		m.save()
		return nil
	}))
}

// makeRoom takes a UIDVALIDITY from the mailbox that has it, if that never had a message: it gets another.
func (a account) makeRoom(validity uint32) error {
	a.b.Put(kValidity, number(max(readNumber(a.b.Get(kValidity)), uint64(validity))))
	var other *mailbox
	err := a.eachMailbox(func(m *mailbox) error {
		if m.validity == validity {
			other = m
		}
		return nil
	})
	switch {
	case err != nil || other == nil:
		return err
	case other.next != 1:
		return domicile.E("mailbox", domicile.Conflict, "another mailbox of the account, which has or had messages, has this UIDVALIDITY")
	}
	fresh := a.nextValidity()
	other.validity = uint32(fresh)
	other.modseq++
	other.save()
	a.b.Put(kValidity, number(fresh))
	return nil
}
