package bolt

import (
	"encoding/binary"
	"slices"

	"domicile"
	"domicile/store/search"
	"domicile/store/segment"
)

// A search block of an account rests in frames, one for each section and one for its directory, which count as its section number ^0. Its entries
// in the index are their places. It counts once its record is there, which comes with the directory: a block without one was not finished.

const directory = ^uint32(0)

// sectionOwner is what a section's frame belongs to.
func sectionOwner(block uint64, section uint32) string {
	return string(binary.BigEndian.AppendUint32(number(block), section))
}

func sectionPlace(acct domicile.AccountID, owner string) []byte {
	return place("search", string(acct), owner)
}

func (a account) block(n uint64) bucket { return a.b.sub(bBlocks).sub(number(n)) }

func sectionKey(section uint32) []byte { return binary.BigEndian.AppendUint32(nil, section) }

// unfound notes a body that is in no block yet.
func (a account) unfound(id domicile.MessageID) { a.b.sub(bUnfound).Put([]byte(id), nil) }

// blockInfo is a finished block.
type blockInfo struct {
	n    uint64
	docs int
}

// blocks returns the blocks of an account that are finished, or with unfinished the others.
func (a account) blocks(unfinished bool) (all []blockInfo, err error) {
	err = a.b.sub(bBlocks).ForEachBucket(func(name []byte) error {
		n := readNumber(name)
		raw := a.block(n).Get(kRecord)
		if (raw == nil) == unfinished {
			all = append(all, blockInfo{n, int(readNumber(raw))})
		}
		return nil
	})
	slices.SortFunc(all, func(x, y blockInfo) int { return x.docs - y.docs })
	return all, err
}

// SearchBytes is what the search index of an account takes in the log.
func (s *Store) SearchBytes(acct domicile.AccountID) (n int64, err error) {
	err = s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		return a.b.sub(bBlocks).ForEachBucket(func(name []byte) error {
			return a.block(readNumber(name)).ForEach(func(k, v []byte) error {
				if len(k) == 4 && len(v) == placeBytes {
					n += segment.Bytes(int(readPlace(v).Length))
				}
				return nil
			})
		})
	})
	return n, domicile.W("measure the search index", err)
}

// dropBlock removes a block, finished or not.
func (a account) dropBlock(n uint64) error {
	b := a.block(n)
	return b.ForEach(func(k, v []byte) error {
		if len(k) == 4 && len(v) == placeBytes {
			a.b.tx.live(readPlace(v), -1)
		}
		b.Delete(k)
		return nil
	})
}

const placeBytes = 12

// eraseBlocks removes blocks of an account that is being erased, and returns what is left of the number of entries it may.
func (a account) eraseBlocks(left int) (int, error) {
	for _, unfinished := range []bool{true, false} {
		all, err := a.blocks(unfinished)
		if err != nil {
			return 0, err
		}
		for _, b := range all {
			if left <= 0 {
				return 0, nil
			}
			left -= a.block(b.n).count()
			if err := a.dropBlock(b.n); err != nil {
				return 0, err
			}
		}
	}
	return left, nil
}

// moveSection is moveFrames' part for search frames.
func (a account) moveSection(m moved) {
	if len(m.owner) != 12 {
		return
	}
	b, key := a.block(readNumber([]byte(m.owner[:8]))), []byte(m.owner[8:])
	if raw := b.Get(key); len(raw) == placeBytes && readPlace(raw) == m.from {
		b.Put(key, appendPlace(nil, a.b.tx.moveFrame(m)))
	}
}

func (c *checker) blocks(a account) {
	c.failIf(a.b.sub(bBlocks).ForEachBucket(func(name []byte) error {
		n := readNumber(name)
		return a.block(n).ForEach(func(k, v []byte) error {
			if len(k) != 4 || len(v) != placeBytes {
				return nil
			}
			c.alive(readPlace(v))
			if _, err := c.s.readSection(a.id, n, binary.BigEndian.Uint32(k)); domicile.KindOf(err) != domicile.NotExist { // else it was replaced since the snapshot
				c.failIf(err, "search block of account", a.id)
			}
			return nil
		})
	}), "search blocks of account", a.id)
	c.failIf(a.b.sub(bUnfound).ForEach(func(k, _ []byte) error {
		_, err := a.body(domicile.MessageID(k))
		return err
	}), "messages to be indexed of account", a.id)
}

// readSection opens a section of a block.
func (s *Store) readSection(acct domicile.AccountID, n uint64, section uint32) ([]byte, error) {
	owner := sectionOwner(n, section)
	if b, ok := s.sections.get(acct, owner); ok {
		return b, nil
	}
	age := s.sections.age()
	payload, err := s.readFrame(nil, acct, segment.Place{}, func(a account) (segment.Place, error) {
		raw := a.block(n).Get(sectionKey(section))
		if len(raw) != placeBytes {
			return segment.Place{}, domicile.E("search", domicile.NotExist, "the block was replaced")
		}
		return readPlace(raw), nil
	})
	if err != nil {
		return nil, err
	}
	b, err := s.openPiece(acct, owner, payload, sectionPlace(acct, owner))
	if err == nil {
		s.sections.put(age, acct, owner, b)
	}
	return b, err
}

func (s *Store) openBlock(acct domicile.AccountID, n uint64) (*search.Block, error) {
	dir, err := s.readSection(acct, n, directory)
	if err != nil {
		return nil, err
	}
	return search.Open(dir, func(section int) ([]byte, error) { return s.readSection(acct, n, uint32(section)) })
}
