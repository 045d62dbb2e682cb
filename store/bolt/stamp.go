package bolt

import (
	"context"
	"encoding/json"
	"fmt"

	"domicile"
)

// Names of buckets and fixed keys of the index; doc.go draws the tree.
var (
	bStamp     = []byte("!")
	bAccounts  = []byte("a")
	bAddresses = []byte("d")
	bErasing   = []byte("e")
	bImporting = []byte("i")
	bLeft      = []byte("l")
	bSegments  = []byte("s")
	bTables    = []byte("t")
	bDue       = []byte("z")

	bAnnotations = []byte("a")
	bSubscribed  = []byte("s")
	bBodies      = []byte("b")
	bChunks      = []byte("k")
	bUnfound     = []byte("x")
	bBlocks      = []byte("y")
	bExpunged    = []byte("z")
	bMailboxes   = []byte("m")
	bNames       = []byte("n")
	bOrder       = []byte("o")
	bTokens      = []byte("t")
	bChanges     = []byte("c")
	kForgotten   = []byte("f")
	kOwner       = []byte("o")
	bMessages    = []byte("g")
	bSummaries   = []byte("e")
	bMissing     = []byte("m")

	kAnnotated  = []byte("a")
	kSubscribed = []byte("l")
	kRecord     = []byte("r")
	kAddress    = []byte("d")
	kUsage      = []byte("u")
	kQuota      = []byte("q")
	kState      = []byte("s")
	kBoxes      = []byte("m")
	kSequence   = []byte("o")
	kValidity   = []byte("v")
	kCounters   = []byte("c")
	kPosition   = []byte("p")
	kWhole      = []byte("w")
	kBlock      = []byte("y")
)

// stamp marks a new store with its region and a proof of the root key, and refuses a store with other marks.
func (s *Store) stamp() error {
	var region string
	var proof []byte
	err := s.view(func(tx *txn) error {
		b := tx.root(bStamp)
		region, proof = string(b.Get(kRegion)), append([]byte(nil), b.Get(kProof)...)
		return nil
	})
	switch {
	case err != nil:
		return err
	case region == "" && s.log.Next() > 1:
		return domicile.E("index", domicile.Invalid, "the store has bytes and no stamp of a region: restore it from a backup, or use an empty folder")
	case region == "":
		return s.newStamp()
	case region != string(s.cfg.Region):
		return domicile.Refuse("index", domicile.WrongRegion, "store/stamp",
			fmt.Sprintf("this store belongs to region %q, not %q", region, s.cfg.Region))
	}
	if r, err := s.cfg.Sealer.OpenRecord("", proof, place("region")); err != nil || string(r) != region {
		return domicile.E("index", domicile.Invalid, "this store was sealed under another root key: give the region's own key file")
	}
	return nil
}

func (s *Store) newStamp() error {
	proof, err := s.cfg.Sealer.SealRecord("", []byte(s.cfg.Region), place("region"))
	if err != nil {
		return err
	}
	return s.update(context.Background(), "", func(tx *txn) error {
		b := tx.root(bStamp)
		b.Put(kRegion, []byte(s.cfg.Region))
		b.Put(kProof, proof)
		return nil
	})
}

// What an account's state is beside what its record says; absent is none of these. They keep readers and writers of mail away without opening
// the record.
var (
	isMoving = []byte("m") // frozen
	isComing = []byte("c") // comes in from another region: no one's until it is activated
	isErased = []byte("e") // its key is gone or about to go, its entries follow
)

// account is one account's part of the index, within a transaction.
type account struct {
	s  *Store
	id domicile.AccountID
	b  bucket

	moving bool
}

// accountIn does not look whether it is there.
func (s *Store) accountIn(tx *txn, id domicile.AccountID) account {
	return account{s: s, id: id, b: tx.root(bAccounts).sub([]byte(id))}
}

// known returns an account that is here, moving or not, with its sealed record.
func (s *Store) known(tx *txn, id domicile.AccountID) (a account, record []byte, err error) {
	if validID(string(id)) {
		a = s.accountIn(tx, id)
		state := string(a.b.Get(kState))
		if a.moving = state == string(isMoving); state == "" || a.moving {
			if record = a.b.Get(kRecord); record != nil {
				return a, record, nil
			}
		}
	}
	return account{}, nil, domicile.E("account", domicile.NotExist, "no such account here")
}

// account is known without the record.
func (s *Store) account(tx *txn, id domicile.AccountID) (account, error) {
	a, _, err := s.known(tx, id)
	return a, err
}

// served returns an account whose mail may be read and changed: a moving one is frozen.
func (s *Store) served(tx *txn, id domicile.AccountID) (account, error) {
	a, err := s.account(tx, id)
	if err == nil && a.moving {
		err = domicile.E("account", domicile.Unavailable, "the account is on its way to another region")
	}
	return a, err
}

// seal and open keep v as sealed JSON, bound to its place in the account.
func (a account) seal(v any, associated []byte) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return a.s.cfg.Sealer.SealRecord(a.id, plain, associated)
}

func (s *Store) openRecord(id domicile.AccountID, sealed, associated []byte, v any) error {
	plain, err := s.cfg.Sealer.OpenRecord(id, sealed, associated)
	if err != nil {
		return fmt.Errorf("index record does not open: %w", err)
	}
	return json.Unmarshal(plain, v)
}

// validID keeps ids to characters that stand for themselves in keys and file names.
func validID(id string) bool {
	if len(id) < 1 || len(id) > 64 {
		return false
	}
	for i := 0; i < len(id); i++ {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
