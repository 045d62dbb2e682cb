package bolt

import (
	"cmp"
	"encoding/binary"

	"domicile"
	"domicile/store"
)

// mailbox is one mailbox's part of the index, within a transaction. Its counters
// are written back by save.
type mailbox struct {
	account
	id   domicile.MailboxID
	b    bucket
	rows bucket // what goes by UIDs: messages, summaries, changes, and what is forgotten of them
	counters
}

func (a account) mailbox(id domicile.MailboxID) (*mailbox, error) {
	if !validID(string(id)) {
		return nil, errNoMailbox
	}
	m := &mailbox{account: a, id: id, b: a.b.sub(bMailboxes).sub([]byte(id))}
	raw := m.b.Get(kCounters)
	if raw == nil {
		return nil, errNoMailbox
	}
	err := m.counters.decode(raw)
	m.rows = a.rows(m.rowsOf(id))
	return m, err
}

func (a account) rows(id domicile.MailboxID) bucket { return a.b.sub(bMailboxes).sub([]byte(id)) }

// eachMailbox calls fn for each mailbox.
func (a account) eachMailbox(fn func(*mailbox) error) error {
	return a.b.sub(bMailboxes).ForEachBucket(func(id []byte) error {
		if a.rowsAlone(id) {
			return nil
		}
		m, err := a.mailbox(domicile.MailboxID(id))
		if err != nil {
			return err
		}
		return fn(m)
	})
}

// rowsAlone says whether a bucket has rows of a mailbox elsewhere, or of one that is gone, and no mailbox of its own.
func (a account) rowsAlone(id []byte) bool {
	b := a.b.sub(bMailboxes).sub(id)
	return b.Get(kRecord) == nil && (b.Get(kOwner) != nil || a.left().Get(id) != nil)
}

// eachRow calls fn for the entries of one of the buckets of rows that are of messages, from a UID on.
func (m *mailbox) eachRow(name []byte, from store.UID, fn func(k, v []byte) error) error {
	b, end := m.rows.sub(name), false
	if from < m.hidden.First {
		err := b.ForEachFrom(uidKey(from), func(k, v []byte) (err error) {
			if readUID(k) >= m.hidden.First {
				return errStop
			}
			err = fn(k, v)
			end = err != nil
			return err
		})
		if end || err != nil {
			return err
		}
	}
	if m.hides(from) || from < m.hidden.First {
		from = m.hidden.Last + 1
	}
	return b.ForEachFrom(uidKey(from), fn)
}

var errNoMailbox = domicile.E("mailbox", domicile.NotExist, "no such mailbox")

func (a account) mailboxNamed(canonical string) (*mailbox, error) {
	id := a.b.sub(bNames).Get(a.nameKey(canonical))
	if id == nil {
		return nil, domicile.E("mailbox", domicile.NotExist, "no mailbox of that name")
	}
	return a.mailbox(domicile.MailboxID(id))
}

func (a account) nameKey(canonical string) []byte {
	return a.s.cfg.Sealer.Digest("mailbox", string(a.id), canonical)
}

func (m *mailbox) save() {
	m.b.Put(kCounters, m.counters.encode())
	m.b.tx.w.touch(m.id)
}

// counters are the numbers of a mailbox. They rest unsealed: they change with
// every act and say nothing that the number of index records does not say.
type counters struct {
	validity uint32
	next     store.UID
	modseq   store.ModSeq
	messages uint32
	unseen   uint32
	size     int64
	hidden   store.UIDRange     // rows that are no messages yet, or not any more; zero = none
	at       domicile.MailboxID // in whose bucket its rows are; "" = its own
}

// count counts a message once more or once less.
func (c *counters) count(r messageRecord, sign int) {
	c.messages += uint32(sign)
	c.size += int64(sign) * r.Size
	if r.unseen() {
		c.unseen += uint32(sign)
	}
}

// hides says whether a row is of no message.
func (c counters) hides(uid store.UID) bool {
	return c.hidden.Last > 0 && c.hidden.First <= uid && uid <= c.hidden.Last
}

// rowsOf is in whose bucket the rows of a mailbox are, to which their records are bound.
func (c counters) rowsOf(id domicile.MailboxID) domicile.MailboxID { return cmp.Or(c.at, id) }

func (c *counters) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 32), c.validity)
	b = binary.BigEndian.AppendUint32(b, uint32(c.next))
	b = binary.BigEndian.AppendUint64(b, uint64(c.modseq))
	b = binary.BigEndian.AppendUint32(b, c.messages)
	b = binary.BigEndian.AppendUint32(b, c.unseen)
	b = binary.BigEndian.AppendUint64(b, uint64(c.size))
	if c.hidden == (store.UIDRange{}) && c.at == "" { // as nearly all
		return b
	}
	b = binary.BigEndian.AppendUint32(b, uint32(c.hidden.First))
	b = binary.BigEndian.AppendUint32(b, uint32(c.hidden.Last))
	return append(b, c.at...)
}

func (c *counters) decode(b []byte) error {
	if len(b) < 32 {
		return errDamaged
	}
	b, rest := b[:32], b[32:]
	if len(rest) > 0 {
		if len(rest) < 8 || len(rest) > 8 && !validID(string(rest[8:])) {
			return errDamaged
		}
		c.hidden, c.at = store.UIDRange{First: readUID(rest[:4]), Last: readUID(rest[4:8])}, domicile.MailboxID(rest[8:])
		if none := c.hidden == (store.UIDRange{}); none && c.at == "" || !none && (c.hidden.First == 0 || c.hidden.Last < c.hidden.First) {
			return errDamaged
		}
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
	n := 0
	for _, p := range parts {
		n += len(p) + 2
	}
	b := make([]byte, 0, n)
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
