package bolt

import (
	"bytes"
	"context"
	"fmt"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// Repair makes anew what the index says twice, from the records that say it first: counters, names, addresses, the list of changes, counts of
// references and of used and living bytes, the order of tokens, search blocks. It returns what it mended, in words that name ids alone. What
// nothing else says, a record or body that does not open, it leaves to Check. Each account is one act; mail may go on beside it, and a
// second Repair finds nothing.
func (s *Store) Repair(ctx context.Context) (mended []string, err error) {
	const op = "repair store"
	var ids []domicile.AccountID
	err = s.view(func(tx *txn) error {
		ids = s.accountIDs(tx)
		return nil
	})
	p := s.pace("mends accounts", int64(len(ids)))
	for i, id := range ids {
		if err == nil {
			err = s.mend(ctx, &mended, func(r *repairer) error { return r.account(id) })
		}
		if err == nil {
			err = s.mendBlocks(ctx, &mended, id)
		}
		p.at(int64(i))
	}
	if err == nil {
		err = s.mend(ctx, &mended, (*repairer).addresses)
	}
	if err == nil {
		err = s.mend(ctx, &mended, (*repairer).segments)
	}
	return mended, domicile.W(op, err)
}

// repairer is one act of a repair.
type repairer struct {
	s    *Store
	tx   *txn
	said []string
}

func (s *Store) mend(ctx context.Context, mended *[]string, do func(*repairer) error) error {
	var r *repairer
	err := s.update(ctx, "", func(tx *txn) error {
		r = &repairer{s: s, tx: tx}
		return do(r)
	})
	if err == nil {
		*mended = append(*mended, r.said...)
	}
	return err
}

// mendBlocks has the damaged search blocks of an account made anew.
func (s *Store) mendBlocks(ctx context.Context, mended *[]string, id domicile.AccountID) error {
	s.indexer.turn <- struct{}{}
	dropped, err := s.dropDamaged(ctx, id)
	<-s.indexer.turn
	for _, n := range dropped {
		*mended = append(*mended, fmt.Sprintf("account %s: search block %d, which is damaged", id, n))
	}
	if err == nil && len(dropped) > 0 {
		err = s.indexAccount(ctx, id, indexLeast)
	}
	if kind := domicile.KindOf(err); kind == domicile.NotExist || kind == domicile.Unavailable && ctx.Err() == nil {
		return nil // gone, or on its way to another region
	}
	return err
}

func (r *repairer) say(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

// put writes an entry, or removes it if the value is nil, and says so unless it was like this.
func (r *repairer) put(b bucket, key, value []byte, what string, id any) {
	if have := b.Get(key); bytes.Equal(have, value) && (have == nil) == (value == nil) {
		return
	}
	r.say("%v: %s", id, what)
	if value == nil {
		b.Delete(key)
	} else {
		b.Put(key, value)
	}
}

// putNumber is put for a number, of which none is 0.
func (r *repairer) putNumber(b bucket, key []byte, n uint64, what string, id any) {
	if readNumber(b.Get(key)) != n {
		r.put(b, key, number(n), what, id)
	}
}

// account mends an account whose record opens.
func (r *repairer) account(id domicile.AccountID) error {
	a, err := r.s.account(r.tx, id)
	if domicile.KindOf(err) == domicile.NotExist {
		return nil // gone meanwhile
	}
	var rec store.Account
	if err != nil || r.s.openRecord(id, a.b.Get(kRecord), accountPlace(id), &rec) != nil {
		return err
	}
	where := "account " + string(id)
	r.put(a.b, kAddress, r.s.addressKey(rec.Address), "the key of its address", where)
	r.putNumber(a.b, kQuota, uint64(rec.Quota), "its quota", where)
	var state []byte
	if rec.State == store.Moving {
		state = isMoving
	}
	r.put(a.b, kState, state, "the mark whether it moves", where)
	refs, whole, err := r.mailboxes(a, where)
	err = firstError(err, r.annotations(a, where), r.subscribed(a, where))
	if err == nil && whole {
		err = r.bodies(a, refs, where)
	}
	if err != nil {
		return err
	}
	return r.tokens(a, where)
}

// addresses makes the table of addresses that of the accounts' records.
func (r *repairer) addresses() error {
	b, want := r.tx.root(bAddresses), map[string]domicile.AccountID{}
	for _, id := range r.s.accountIDs(r.tx) {
		want[string(r.s.accountIn(r.tx, id).b.Get(kAddress))] = id
	}
	var stray [][]byte
	err := b.ForEach(func(k, _ []byte) error {
		if want[string(k)] == "" {
			stray = append(stray, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range stray {
		r.put(b, k, nil, "an address that no account has", "addresses")
	}
	for k, id := range want {
		r.put(b, []byte(k), []byte(id), "the address of account "+string(id), "addresses")
	}
	return err
}

// segments counts the living bytes of each segment anew.
func (r *repairer) segments() error {
	live := map[uint32]uint64{}
	alive := func(p segment.Place) {
		if p != (segment.Place{}) {
			live[p.Segment] += uint64(segment.Bytes(int(p.Length)))
		}
	}
	err := r.tx.root(bAccounts).ForEachBucket(func(id []byte) error {
		a := r.s.accountIn(r.tx, domicile.AccountID(id))
		return firstError(
			a.b.sub(bBodies).ForEach(func(_, v []byte) error {
				rec, err := decodeBody(v)
				alive(rec.place)
				return err
			}),
			a.b.sub(bChunks).ForEach(func(_, v []byte) error {
				rec, err := decodeChunk(v)
				alive(rec.place)
				return err
			}),
			a.b.sub(bBlocks).ForEachBucket(func(n []byte) error {
				return a.b.sub(bBlocks).sub(n).ForEach(func(k, v []byte) error {
					if len(k) == 4 && len(v) == placeBytes {
						alive(readPlace(v))
					}
					return nil
				})
			}))
	})
	if err != nil {
		return err
	}
	b := r.tx.root(bSegments)
	var stray [][]byte
	err = b.ForEach(func(k, _ []byte) error {
		if live[uint32(readNumber(k))] == 0 {
			stray = append(stray, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range stray {
		r.put(b, k, nil, "the living bytes of a segment that has none", "segments")
	}
	for n, bytes := range live {
		r.put(b, number64(n), number(bytes), fmt.Sprintf("the living bytes of segment %d", n), "segments")
	}
	return err
}
