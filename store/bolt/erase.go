package bolt

import (
	"context"

	"domicile"
	"domicile/store/segment"
)

// eraseKeys is how many entries of an erased account go in one act.
const eraseKeys = 10_000

// DeleteAccount marks the account as erased, which frees its address and hides it; then it destroys the key, and after that the
// entries go, some in each act. Open ends what a crash cut short. An error after the first commit is
// Unknown: call again, or open again.
func (s *Store) DeleteAccount(ctx context.Context, id domicile.AccountID) error {
	const op = "delete account"
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	defer s.sections.clear()
	defer s.accounts.forget(func(a domicile.AccountID) bool { return a == id })
	defer s.boxes.forget(func(b boxKey) bool { return b.acct == id })
	err := s.update(ctx, id, func(tx *txn) error {
		if string(s.accountIn(tx, id).b.Get(kState)) == string(isErased) {
			return nil
		}
		a, err := s.account(tx, id)
		if err == nil {
			a.markErased()
		}
		return err
	})
	if err == nil {
		err = s.finishErasure(context.WithoutCancel(ctx), id)
	}
	return domicile.W(op, err)
}

func (a account) markErased() {
	if string(a.b.Get(kState)) != string(isComing) {
		a.b.tx.root(bAddresses).Delete(a.b.Get(kAddress))
	}
	a.b.Put(kState, isErased)
	a.b.tx.root(bErasing).Put([]byte(a.id), nil)
}

// finishErasures ends the erasures that a crash cut short.
func (s *Store) finishErasures() error {
	var ids []domicile.AccountID
	err := s.view(func(tx *txn) error {
		return tx.root(bErasing).ForEach(func(id, _ []byte) error {
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

// finishErasure destroys the key of an account that is marked, and then its entries. Each part may be repeated.
func (s *Store) finishErasure(ctx context.Context, id domicile.AccountID) error {
	err := s.cfg.step("destroy key", func() error { return s.cfg.Sealer.DestroyAccountKey(id) })
	for done := false; err == nil && !done; {
		err = s.update(ctx, "", func(tx *txn) (err error) {
			done, err = s.accountIn(tx, id).eraseSome()
			return err
		})
	}
	if err != nil {
		return &domicile.Error{Op: "erase", Kind: domicile.Unknown, Detail: "the account is gone, its key or entries may not be: delete it again", Err: err}
	}
	return nil
}

// eraseSome removes entries: the bodies, whose bytes are counted as dead, then all others, and at the end the mark. A record that is
// damaged goes as well; the bytes it named stay counted.
func (a account) eraseSome() (done bool, err error) {
	tx, left := a.b.tx, eraseKeys
	drop := func(b bucket, placeOf func(v []byte) segment.Place) {
		b.ForEach(func(k, v []byte) error {
			if left--; left < 0 {
				return errStop
			}
			tx.live(placeOf(v), -1)
			b.Delete(k)
			return nil
		})
	}
	drop(a.b.sub(bBodies), func(v []byte) segment.Place {
		r, _ := decodeBody(v)
		return r.place
	})
	drop(a.b.sub(bChunks), func(v []byte) segment.Place {
		r, _ := decodeChunk(v)
		return r.place
	})
	left, err = a.eraseBlocks(left)
	if err != nil || left <= 0 {
		return false, err
	}
	notes := tx.root(bImporting).sub([]byte(a.id))
	if !notes.deleteSome(left) {
		return false, nil
	}
	for _, b := range []bucket{tx.root(bLeft).sub([]byte(a.id)), a.b.sub(bMailboxes), a.b.sub(bNames), a.b.sub(bTokens), a.b.sub(bOrder), a.b.sub(bUnfound), a.b.sub(bExpunged), a.b.sub(bAnnotations), a.b.sub(bSubscribed)} {
		if !b.deleteSome(left) {
			return false, nil
		}
	}
	a.b.deleteSome(eraseKeys) // a few, all at once: the mark among them
	tx.root(bErasing).Delete([]byte(a.id))
	return true, nil
}
