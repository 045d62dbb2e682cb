package bolt

import (
	"encoding/binary"

	"domicile"
	"domicile/store"
)

// mailbox is one mailbox's part of the index, within a transaction. Its counters
// are written back by save.
type mailbox struct {
	account
	id domicile.MailboxID
	b  bucket
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
	return m, m.counters.decode(raw)
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
}

func (c *counters) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 32), c.validity)
	b = binary.BigEndian.AppendUint32(b, uint32(c.next))
	b = binary.BigEndian.AppendUint64(b, uint64(c.modseq))
	b = binary.BigEndian.AppendUint32(b, c.messages)
	b = binary.BigEndian.AppendUint32(b, c.unseen)
	return binary.BigEndian.AppendUint64(b, uint64(c.size))
}

func (c *counters) decode(b []byte) error {
	if len(b) != 32 {
		return errDamaged
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
