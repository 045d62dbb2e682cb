package bolt

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"domicile"
	"domicile/store/search"
)

// A search block that is damaged is not mended but made anew: its messages become ones that are in no block, and it goes.

// damage says whether an error tells of bytes that are not what they were. A process out of files or memory, or an act that was cut short, is none.
func damage(err error) bool {
	var errno syscall.Errno
	return err != nil && domicile.KindOf(err) != domicile.Unavailable && (!errors.As(err, &errno) || errno == syscall.EIO)
}

// dropDamaged drops the blocks of an account that are damaged, and returns their numbers. The caller has the indexer's turn.
func (s *Store) dropDamaged(ctx context.Context, acct domicile.AccountID) (dropped []uint64, err error) {
	var all []blockInfo
	err = s.view(func(tx *txn) (err error) {
		all, err = s.accountIn(tx, acct).blocks(false)
		return err
	})
	whole := all[:0]
	for _, b := range all {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, unavailable(err)
		}
		if err = s.readBlock(acct, b.n); damage(err) {
			dropped, err = append(dropped, b.n), nil
			continue
		}
		whole = append(whole, b)
	}
	if err != nil || len(dropped) == 0 {
		return nil, err
	}
	if err := s.unfindOthers(ctx, acct, whole); err != nil {
		return nil, err
	}
	return dropped, s.update(ctx, "", func(tx *txn) error {
		a, err := s.served(tx, acct)
		for _, n := range dropped {
			err = firstError(err, a.dropBlock(n))
		}
		return err
	})
}

// readBlock reads a block to its end. No other makes or merges blocks meanwhile, so that what is not there is lost.
func (s *Store) readBlock(acct domicile.AccountID, n uint64) error {
	b, err := s.openBlock(acct, n)
	if err != nil {
		return err
	}
	_, err = search.Merge(func([]byte) error { return nil }, []*search.Block{b}, func(string) bool { return false })
	return err
}

const unfindKeys = 10_000 // in one act

// unfindOthers notes the bodies that are in none of some blocks as such.
func (s *Store) unfindOthers(ctx context.Context, acct domicile.AccountID, in []blockInfo) error {
	have := map[string]bool{}
	for _, info := range in {
		b, err := s.openBlock(acct, info.n)
		if err != nil {
			return err
		}
		docs, err := b.Docs()
		if err != nil {
			return err
		}
		for _, id := range docs {
			have[id] = true
		}
	}
	var others []domicile.MessageID
	err := s.view(func(tx *txn) error {
		return s.accountIn(tx, acct).b.sub(bBodies).ForEach(func(k, _ []byte) error {
			if !have[string(k)] {
				others = append(others, domicile.MessageID(k))
			}
			return nil
		})
	})
	for some := range slices.Chunk(others, unfindKeys) {
		err = firstError(err, s.update(ctx, "", func(tx *txn) error {
			a, err := s.served(tx, acct)
			if err != nil {
				return err
			}
			for _, id := range some {
				if r, err := a.body(id); err == nil && r.refs > 0 { // not what was expunged
					a.unfound(id)
				}
			}
			return nil
		}))
	}
	return err
}
