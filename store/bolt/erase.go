package bolt

import (
	"context"

	bbolt "go.etcd.io/bbolt"

	"domicile"
)

// DeleteAccount takes the account out of the index and notes, in the same
// commit, which bodies it had; then it destroys the key and the bodies, and
// forgets the note. Open ends what a crash cut short. An error after the commit is
// Unknown: call again, or open again.
func (s *Store) DeleteAccount(ctx context.Context, id domicile.AccountID) error {
	const op = "delete account"
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	err := s.update(ctx, id, func(tx *bbolt.Tx) error {
		if tx.Bucket(bErasing).Bucket([]byte(id)) != nil {
			return nil
		}
		acct, err := s.account(tx, id)
		if err != nil {
			return err
		}
		note, err := tx.Bucket(bErasing).CreateBucket([]byte(id))
		if err != nil {
			return err
		}
		return firstError(
			tx.Bucket(bAddresses).Delete(acct.b.Get(kAddress)),
			tx.MoveBucket(bBodies, acct.b, note),
			tx.Bucket(bAccounts).DeleteBucket([]byte(id)))
	})
	if err == nil {
		err = s.finishErasure(context.WithoutCancel(ctx), id)
	}
	return domicile.W(op, err)
}

// finishErasures ends the erasures that a crash cut short.
func (s *Store) finishErasures() error {
	var ids []domicile.AccountID
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bErasing).ForEachBucket(func(id []byte) error {
			ids = append(ids, domicile.AccountID(id))
			return nil
		})
	})
	for _, id := range ids {
		if err == nil {
			err = s.finishErasure(context.Background(), id)
		}
	}
	return err
}

// finishErasure destroys key and bodies of an account that the index has given up. Each part may be repeated.
func (s *Store) finishErasure(ctx context.Context, id domicile.AccountID) error {
	var left []domicile.MessageID
	err := s.view(func(tx *bbolt.Tx) error {
		return tx.Bucket(bErasing).Bucket([]byte(id)).Bucket(bBodies).ForEach(func(k, _ []byte) error {
			left = append(left, domicile.MessageID(k))
			return nil
		})
	})
	if err == nil {
		err = s.cfg.step("destroy key", func() error { return s.cfg.Sealer.DestroyAccountKey(id) })
	}
	for _, m := range left {
		if err == nil {
			err = s.bodies.remove(id, m)
		}
	}
	if err != nil {
		return &domicile.Error{Op: "erase", Kind: domicile.Unknown, Detail: "the account is gone from the index, its key or bodies may not be: delete it again", Err: err}
	}
	return s.update(ctx, "", func(tx *bbolt.Tx) error { return tx.Bucket(bErasing).DeleteBucket([]byte(id)) })
}
