package bolt

import (
	"bytes"
	"context"
	"errors"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// Segment is a file of the log: what of it is durable. A file grows at its end until the next is begun, and never changes otherwise.
type Segment struct {
	Number uint32
	Size   int64 // bytes that are durable
	Path   string
}

// Segments returns the files of the log as they are now, the oldest first. Those before a size, together with a base, are a consistent store as it
// was then.
func (s *Store) Segments() []Segment { return segmentsOf(s.log) }

func segmentsOf(log *segment.Log) (all []Segment) {
	for _, info := range log.List() {
		all = append(all, Segment{info.Number, info.Size, log.Path(info.Number)})
	}
	return all
}

// Retain keeps compaction from removing the segments from this number on, until it is said anew: somebody copies them. At first none is kept.
func (s *Store) Retain(from uint32) { s.retain.Store(uint64(from) + 1) }

// retained says whether a segment must stay.
func (s *Store) retained(number uint32) bool {
	from := s.retain.Load()
	return from > 0 && uint64(number)+1 >= from
}

// WithBase calls fn with the folder of a base that has all changes of before the call, and the segments as they are: both stay until fn returns.
// No space is reclaimed meanwhile; all else goes on.
func (s *Store) WithBase(fn func(lsn uint64, dir string, segments []Segment) error) error {
	const op = "make a base"
	s.upkeep.Lock()
	defer s.upkeep.Unlock()
	s.flushIndex()
	lsn, err := s.writeBase()
	if err != nil {
		return domicile.W(op, err)
	}
	return fn(lsn, s.basePath(lsn), s.Segments())
}

// EraseKeyless erases the accounts that have no key, and returns how many: in a store that was restored, those that were erased after its
// backup was made. An account that has another key than it had then, since it moved away and came back, is taken out as well, its key left: what it has
// now is in the backup's newest state. Call it before the store is served; cut off, it may be called again.
func (s *Store) EraseKeyless(ctx context.Context) (n int, err error) {
	const op = "erase accounts without a key"
	ids := map[domicile.AccountID][]byte{} // with its record
	err = s.view(func(tx *txn) error {
		return tx.root(bAccounts).ForEachBucket(func(name []byte) error {
			id := domicile.AccountID(name)
			ids[id] = bytes.Clone(s.accountIn(tx, id).b.Get(kRecord))
			return nil
		})
	})
	for id, record := range ids {
		if err != nil {
			break
		}
		_, kerr := s.cfg.Sealer.SealRecord(id, nil, nil)
		switch {
		case domicile.KindOf(kerr) == domicile.NotExist:
			n++
			err = errors.Join(s.update(ctx, id, func(tx *txn) error { s.accountIn(tx, id).markErased(); return nil }), s.finishErasure(ctx, id))
		case kerr != nil:
			err = kerr
		case record != nil && s.openRecord(id, record, accountPlace(id), &store.Account{}) != nil: // which the backup's own seals say is not damaged
			n++
			err = s.takeOut(ctx, id)
		}
	}
	return n, domicile.W(op, err)
}

// takeOut removes an account's entries. There is no mark by which an opening would go on: that would destroy the key.
func (s *Store) takeOut(ctx context.Context, id domicile.AccountID) (err error) {
	for done := false; err == nil && !done; {
		err = s.update(ctx, "", func(tx *txn) (err error) {
			a := s.accountIn(tx, id)
			if string(a.b.Get(kState)) != string(isErased) {
				a.markErased()
				tx.root(bErasing).Delete([]byte(id))
			}
			done, err = a.eraseSome()
			return err
		})
	}
	return err
}
