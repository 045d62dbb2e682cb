package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
)

// errOnlyLooked gives up the transaction of a check.
var errOnlyLooked = errors.New("nothing to write")

// Check reads the whole store and returns everything that is wrong, joined: a
// record or body that does not open, an entry without its counterpart, a counter
// that does not add up, a file that no entry names. Nothing may write meanwhile.
func (s *Store) Check(ctx context.Context) error {
	c := &checker{s: s, ctx: ctx, bodies: map[bodyID]int64{}}
	// bbolt's own check holds pages against the free list of now, so no commit may run beside it: a write transaction
	// keeps others out, and is given up.
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			c.fail("bbolt: %v", err)
		}
		c.accounts(tx)
		c.imports(tx)
		c.tables(tx)
		if err := ctx.Err(); err != nil {
			return err
		}
		return errOnlyLooked
	})
	if !errors.Is(err, errOnlyLooked) {
		return domicile.W("check store", err)
	}
	c.files()
	return domicile.W("check store", errors.Join(c.wrong...))
}

type bodyID struct {
	acct domicile.AccountID
	id   domicile.MessageID
}

type checker struct {
	s      *Store
	ctx    context.Context
	bodies map[bodyID]int64 // size by what the index names
	wrong  []error
}

func (c *checker) fail(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

// failIf notes err, if any, as found at the place named.
func (c *checker) failIf(err error, where string, id any) {
	if err != nil {
		c.fail("%s %v: %w", where, id, err)
	}
}

func (c *checker) accounts(tx *bbolt.Tx) {
	addresses := 0
	c.failIf(tx.Bucket(bAddresses).ForEach(func(k, id []byte) error {
		addresses++
		a := tx.Bucket(bAccounts).Bucket(id)
		if a == nil || !bytes.Equal(a.Get(kAddress), k) {
			c.fail("an address entry names account %s, which does not answer to it", id)
		}
		return nil
	}), "bucket", "addresses")
	c.failIf(tx.Bucket(bErasing).ForEachBucket(func(id []byte) error {
		c.fail("account %s: its erasure was not finished", id)
		return nil
	}), "bucket", "erasing")
	accounts := 0
	c.failIf(tx.Bucket(bAccounts).ForEachBucket(func(id []byte) error {
		accounts++
		a, err := c.s.account(tx, domicile.AccountID(id))
		if err == nil {
			c.account(a)
		}
		return err
	}), "bucket", "accounts")
	if accounts != addresses {
		c.fail("%d accounts have %d addresses", accounts, addresses)
	}
}

// imports looks at what has come in of accounts that are not whole yet: that it opens, and which files it has.
func (c *checker) imports(tx *bbolt.Tx) {
	c.failIf(tx.Bucket(bImporting).ForEachBucket(func(key []byte) error {
		id := domicile.AccountID(key)
		a, _ := c.s.arrival(tx, id)
		var rec store.Account
		if err := c.s.openRecord(id, a.b.Get(kRecord), accountPlace(id), &rec); err != nil {
			return err
		}
		if len(a.notes.Get(kPosition)) == 0 || tx.Bucket(bAccounts).Bucket(key) != nil {
			c.fail("account %s: it comes in, and has no position or is here already", id)
		}
		return firstError(
			a.b.Bucket(bBodies).ForEach(func(k, v []byte) error {
				r, err := decodeBody(v)
				if err == nil && a.notes.Bucket(bMissing).Get(k) == nil {
					c.bodies[bodyID{id, domicile.MessageID(k)}] = r.size
				}
				return err
			}),
			a.notes.Bucket(bPieces).ForEach(func(k, v []byte) error {
				c.bodies[bodyID{id, domicile.MessageID(k)}] = int64(readNumber(v))
				return nil
			}))
	}), "bucket", "importing")
}

func (c *checker) account(a account) {
	var rec store.Account
	if err := c.s.openRecord(a.id, a.b.Get(kRecord), accountPlace(a.id), &rec); err != nil {
		c.failIf(err, "account", a.id)
		return
	}
	if rec.ID != a.id || !bytes.Equal(c.s.addressKey(rec.Address), a.b.Get(kAddress)) {
		c.fail("account %s: its record is of another account or address", a.id)
	}
	if (rec.State == store.Moving) != (a.b.Get(kMoving) != nil) {
		c.fail("account %s: its record and its mark differ on whether it moves", a.id)
	}
	refs := map[domicile.MessageID]bodyRecord{}
	mailboxes, validities := 0, map[uint32]bool{}
	c.failIf(a.b.Bucket(bMailboxes).ForEachBucket(func(id []byte) error {
		mailboxes++
		m, err := a.mailbox(domicile.MailboxID(id))
		if err != nil {
			return err
		}
		if validities[m.validity] || uint64(m.validity) > readNumber(a.b.Get(kValidity)) {
			c.fail("mailbox %s: its UIDVALIDITY is used twice or was never given out", m.id)
		}
		validities[m.validity] = true
		c.mailbox(m, refs)
		return nil
	}), "mailboxes of account", a.id)
	if names := count(a.b.Bucket(bNames)); mailboxes != names || uint64(mailboxes) != a.b.Bucket(bMailboxes).Sequence() {
		c.fail("account %s: %d mailboxes, %d names, %d counted", a.id, mailboxes, names, a.b.Bucket(bMailboxes).Sequence())
	}
	c.references(a, refs)
	c.tokens(a)
}

func (c *checker) mailbox(m *mailbox, refs map[domicile.MessageID]bodyRecord) {
	rec, err := m.record()
	c.failIf(err, "mailbox", m.id)
	if !bytes.Equal(m.account.b.Bucket(bNames).Get(m.nameKey(rec.Name)), []byte(m.id)) {
		c.fail("mailbox %s: its name leads elsewhere", m.id)
	}
	records, err := m.all()
	c.failIf(err, "messages of mailbox", m.id)
	sum := counters{validity: m.validity, next: m.next, modseq: m.modseq}
	changes := m.b.Bucket(bChanges)
	for _, r := range records {
		sum.messages++
		sum.size += r.Size
		if r.unseen() {
			sum.unseen++
		}
		ref := refs[r.ID]
		if ref.refs > 0 && ref.size != r.Size {
			c.fail("message %s: its copies differ in size", r.ID)
		}
		refs[r.ID] = bodyRecord{ref.refs + 1, r.Size}
		if r.UID >= m.next || r.ModSeq > m.modseq || !bytes.Equal(changes.Get(changeKey(r.ModSeq, r.UID)), isLive) {
			c.fail("mailbox %s: UID %d has a number not given out or no entry in the list of changes", m.id, r.UID)
		}
	}
	if sum != m.counters {
		c.fail("mailbox %s: counters say %+v and the messages %+v", m.id, m.counters, sum)
	}
	c.changes(m, len(records))
}

func (c *checker) changes(m *mailbox, messages int) {
	live, seen := 0, map[store.UID]bool{}
	c.failIf(m.b.Bucket(bChanges).ForEach(func(k, v []byte) error {
		uid := readUID(k[8:])
		if seen[uid] || uid >= m.next || readNumber(k[:8]) > uint64(m.modseq) {
			c.fail("mailbox %s: change of UID %d is doubled or of a number not given out", m.id, uid)
		}
		seen[uid] = true
		if bytes.Equal(v, isLive) {
			live++
		} else if m.b.Bucket(bMessages).Get(uidKey(uid)) != nil {
			c.fail("mailbox %s: UID %d has vanished and is there", m.id, uid)
		}
		return nil
	}), "changes of mailbox", m.id)
	if live != messages {
		c.fail("mailbox %s: %d messages, %d live changes", m.id, messages, live)
	}
}

// references compares what the mailboxes name with what the account counts.
func (c *checker) references(a account, refs map[domicile.MessageID]bodyRecord) {
	var used int64
	for id, r := range refs {
		used += r.size
		c.bodies[bodyID{a.id, id}] = r.size
		if have, err := decodeBody(a.b.Bucket(bBodies).Get([]byte(id))); err != nil || have != r {
			c.fail("message %s: %d copies of %d bytes, counted as %+v", id, r.refs, r.size, have)
		}
	}
	if n := count(a.b.Bucket(bBodies)); n != len(refs) {
		c.fail("account %s: %d bodies counted, %d named by a message", a.id, n, len(refs))
	}
	if have := readNumber(a.b.Get(kUsage)); have != uint64(used) {
		c.fail("account %s: uses %d bytes, counted as %d", a.id, used, have)
	}
}

func (c *checker) tokens(a account) {
	c.failIf(a.b.Bucket(bTokens).ForEach(func(k, sealed []byte) error {
		var rec tokenRecord
		if err := c.s.openRecord(a.id, sealed, a.tokenPlace(k), &rec); err != nil {
			return err
		}
		if !bytes.HasPrefix(a.b.Bucket(bOrder).Get(number(rec.Seq)), k) {
			c.fail("account %s: a token is not in the order of tokens", a.id)
		}
		return nil
	}), "tokens of account", a.id)
	if n, o := count(a.b.Bucket(bTokens)), count(a.b.Bucket(bOrder)); n != o {
		c.fail("account %s: %d tokens, %d in their order", a.id, n, o)
	}
}

func (c *checker) tables(tx *bbolt.Tx) {
	c.failIf(tx.Bucket(bTables).ForEachBucket(func(table []byte) error {
		return tx.Bucket(bTables).Bucket(table).ForEach(func(k, sealed []byte) error {
			var rec tableRecord
			return c.s.openRecord("", sealed, tablePlace(table, k), &rec)
		})
	}), "records of", "tables")
}

// files reads every body to its end, which proves it whole, and finds those that nothing names.
func (c *checker) files() {
	left, err := os.ReadDir(c.s.bodies.staging)
	c.failIf(err, "folder", "staging")
	if len(left) > 0 {
		c.fail("%d files in the staging folder", len(left))
	}
	for id, size := range c.bodies {
		c.failIf(c.ctx.Err(), "message", id.id)
		c.failIf(c.body(id, size), "body of message", id.id)
	}
	c.failIf(c.s.bodies.each(func(path string, acct domicile.AccountID, id domicile.MessageID) error {
		if _, ok := c.bodies[bodyID{acct, id}]; !ok {
			c.fail("no message names the file %s", path)
		}
		return nil
	}), "folder", "bodies")
}

func (c *checker) body(id bodyID, size int64) error {
	r, err := c.s.bodies.open(id.acct, id.id)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes, the index says %d", n, size)
	}
	return err
}

func count(b *bbolt.Bucket) (n int) {
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n
}
