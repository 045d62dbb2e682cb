package bolt

import (
	"context"

	"domicile"
)

// Renumber gives every mailbox of every account a UIDVALIDITY that it never had: clients then forget what UIDs and mod-sequences
// they knew (RFC 9051 2.3.1.1). For a store that was restored, and cannot know which UIDs it gave out after its backup was
// made. Call it before the store is served; a second call does it again, which does no harm.
func (s *Store) Renumber(ctx context.Context) error {
	const op = "renumber mailboxes"
	var ids []domicile.AccountID
	err := s.view(func(tx *txn) error {
		ids = s.accountIDs(tx)
		return nil
	})
	for _, id := range ids {
		if err == nil {
			err = s.update(ctx, id, func(tx *txn) error { return s.renumber(tx, id) })
		}
	}
	return domicile.W(op, err)
}

func (s *Store) renumber(tx *txn, id domicile.AccountID) error {
	a, err := s.account(tx, id)
	if err != nil {
		return err
	}
	var all []*mailbox // a bucket is not changed while it is walked
	err = a.eachMailbox(func(m *mailbox) error {
		all = append(all, m)
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range all {
		validity := a.nextValidity()
		m.validity = uint32(validity)
		m.save()
		a.b.Put(kValidity, number(validity))
	}
	return nil
}
