package bolt

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
)

// Names of buckets and fixed keys; doc.go draws the tree.
var (
	bMeta      = []byte("meta")
	bAccounts  = []byte("accounts")
	bAddresses = []byte("addresses")
	bTables    = []byte("tables")
	bErasing   = []byte("erasing")
	bImporting = []byte("importing")

	bMailboxes = []byte("mailboxes")
	bNames     = []byte("names")
	bBodies    = []byte("bodies")
	bTokens    = []byte("tokens")
	bOrder     = []byte("order")
	bMessages  = []byte("messages")
	bChanges   = []byte("changes")
	bMissing   = []byte("+missing") // no account id has a "+"
	bPieces    = []byte("+pieces")

	kFormat   = []byte("format")
	kRegion   = []byte("region")
	kProof    = []byte("proof")
	kRecord   = []byte("record")
	kAddress  = []byte("address")
	kUsage    = []byte("usage")
	kValidity = []byte("uidvalidity")
	kCounters = []byte("counters")
	kMoving   = []byte("moving")
	kPosition = []byte("+position")
	kWhole    = []byte("+whole")
)

// stamp marks a new index with format, region and a proof of the root key, and refuses an index with other marks.
func (s *Store) stamp(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error {
		if m := tx.Bucket(bMeta); m != nil {
			return firstError(s.checkStamp(m), upgrade(tx))
		}
		for _, name := range [][]byte{bMeta, bAccounts, bAddresses, bTables, bErasing, bImporting} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		proof, err := s.cfg.Sealer.SealRecord("", []byte(s.cfg.Region), place("region"))
		if err != nil {
			return err
		}
		m := tx.Bucket(bMeta)
		return firstError(
			m.Put(kFormat, number(format)),
			m.Put(kRegion, []byte(s.cfg.Region)),
			m.Put(kProof, proof))
	})
}

// upgrade brings an index of format 1 to format 2, which has a place for accounts that are coming in. No account of it is
// moving: nothing of that release could begin a move.
func upgrade(tx *bbolt.Tx) error {
	if readNumber(tx.Bucket(bMeta).Get(kFormat)) == format {
		return nil
	}
	_, err := tx.CreateBucketIfNotExists(bImporting)
	return firstError(err, tx.Bucket(bMeta).Put(kFormat, number(format)))
}

func (s *Store) checkStamp(m *bbolt.Bucket) error {
	if f := readNumber(m.Get(kFormat)); f > format {
		return domicile.E("index", domicile.Invalid, fmt.Sprintf("its format is %d and this release reads up to %d: use a newer release", f, format))
	}
	if r := string(m.Get(kRegion)); r != string(s.cfg.Region) {
		return domicile.Refuse("index", domicile.WrongRegion, "store/stamp",
			fmt.Sprintf("this store belongs to region %q, not %q", r, s.cfg.Region))
	}
	if r, err := s.cfg.Sealer.OpenRecord("", m.Get(kProof), place("region")); err != nil || string(r) != string(s.cfg.Region) {
		return domicile.E("index", domicile.Invalid, "this store was sealed under another root key: give the region's own key file")
	}
	return nil
}

// account is one account's part of the index, within a transaction.
type account struct {
	s  *Store
	id domicile.AccountID
	b  *bbolt.Bucket
}

func (s *Store) account(tx *bbolt.Tx, id domicile.AccountID) (account, error) {
	b := tx.Bucket(bAccounts).Bucket([]byte(id))
	if b == nil {
		return account{}, domicile.E("account", domicile.NotExist, "no such account here")
	}
	return account{s, id, b}, nil
}

// served returns an account whose mail may be read and changed: a moving one is frozen.
func (s *Store) served(tx *bbolt.Tx, id domicile.AccountID) (account, error) {
	a, err := s.account(tx, id)
	if err == nil && a.b.Get(kMoving) != nil {
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

// mailbox is one mailbox's part of the index, within a transaction. Its counters
// are written back by save.
type mailbox struct {
	account
	id domicile.MailboxID
	b  *bbolt.Bucket
	counters
}

func (a account) mailbox(id domicile.MailboxID) (*mailbox, error) {
	b := a.b.Bucket(bMailboxes).Bucket([]byte(id))
	if b == nil {
		return nil, domicile.E("mailbox", domicile.NotExist, "no such mailbox")
	}
	m := &mailbox{account: a, id: id, b: b}
	return m, m.counters.decode(b.Get(kCounters))
}

func (a account) mailboxNamed(canonical string) (*mailbox, error) {
	id := a.b.Bucket(bNames).Get(a.nameKey(canonical))
	if id == nil {
		return nil, domicile.E("mailbox", domicile.NotExist, "no mailbox of that name")
	}
	return a.mailbox(domicile.MailboxID(id))
}

func (a account) nameKey(canonical string) []byte {
	return a.s.cfg.Sealer.Digest("mailbox", string(a.id), canonical)
}

func (m *mailbox) save() error { return m.b.Put(kCounters, m.counters.encode()) }

// counters are the numbers of a mailbox. They rest unsealed: they change with
// every act and say nothing that the number of index records does not say.
type counters struct {
	validity uint32
	next     store.UID
	modseq   store.ModSeq
	messages uint32
	unseen   uint32
	size     int64
}

func (c *counters) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, c.validity)
	b = binary.BigEndian.AppendUint32(b, uint32(c.next))
	b = binary.BigEndian.AppendUint64(b, uint64(c.modseq))
	b = binary.BigEndian.AppendUint32(b, c.messages)
	b = binary.BigEndian.AppendUint32(b, c.unseen)
	return binary.BigEndian.AppendUint64(b, uint64(c.size))
}

func (c *counters) decode(b []byte) error {
	if len(b) != 32 {
		return fmt.Errorf("counters of a mailbox are damaged: run fsck")
	}
	c.validity = binary.BigEndian.Uint32(b)
	c.next = store.UID(binary.BigEndian.Uint32(b[4:]))
	c.modseq = store.ModSeq(binary.BigEndian.Uint64(b[8:]))
	c.messages = binary.BigEndian.Uint32(b[16:])
	c.unseen = binary.BigEndian.Uint32(b[20:])
	c.size = int64(binary.BigEndian.Uint64(b[24:]))
	return nil
}

// place joins parts so that no two lists of parts give the same bytes.
func place(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// readNumber takes an absent number as 0.
func readNumber(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
