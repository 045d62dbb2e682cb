package bolt

import (
	"bytes"
	"context"
	"io"
	"math"
	"slices"

	"domicile"
	"domicile/store"
)

// Messages returns the messages of a mailbox, by UID.
func (s *Store) Messages(_ context.Context, acct domicile.AccountID, mbox domicile.MailboxID) ([]store.Message, error) {
	const op = "list messages"
	var sealed []entry
	err := s.view(func(tx *txn) error {
		m, err := s.mailboxByID(tx, acct, mbox)
		if err != nil {
			return err
		}
		sealed = make([]entry, 0, m.messages)
		return m.b.sub(bMessages).ForEach(func(k, v []byte) error {
			sealed = append(sealed, cloneEntry(k, v))
			return nil
		})
	})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	all, err := s.openMessages(acct, mbox, sealed)
	return all, domicile.W(op, err)
}

func (s *Store) mailboxByID(tx *txn, acct domicile.AccountID, id domicile.MailboxID) (*mailbox, error) {
	a, err := s.served(tx, acct)
	if err != nil {
		return nil, err
	}
	return a.mailbox(id)
}

// openMessages opens records outside the snapshot that they were copied from.
func (s *Store) openMessages(acct domicile.AccountID, mbox domicile.MailboxID, sealed []entry) ([]store.Message, error) {
	all := make([]store.Message, len(sealed))
	for i, e := range sealed {
		r, err := s.openMessage(acct, mbox, readUID(e.key), e.value)
		if err != nil {
			return nil, err
		}
		all[i] = r.message()
	}
	return all, nil
}

// Since returns what changed after seq.
func (s *Store) Since(_ context.Context, acct domicile.AccountID, mbox domicile.MailboxID, seq store.ModSeq) (store.Changes, error) {
	const op = "list changes"
	var (
		box    sealedMailbox
		sealed []entry
		c      store.Changes
	)
	err := s.view(func(tx *txn) error {
		m, err := s.mailboxByID(tx, acct, mbox)
		if err != nil {
			return err
		}
		box = m.copyOut()
		sealed, c.Vanished, err = m.since(seq)
		return err
	})
	if err == nil {
		c.Mailbox, err = s.openMailbox(acct, box)
	}
	if err == nil {
		c.Changed, err = s.openMessages(acct, mbox, sealed)
	}
	if err != nil {
		return store.Changes{}, domicile.W(op, err)
	}
	return c, nil
}

// maxVanished bounds the UIDs that Since lists one by one.
const maxVanished = 1 << 24

// since scans the changes after seq; both results are by UID.
func (m *mailbox) since(seq store.ModSeq) (changed []entry, vanished []store.UID, err error) {
	if seq >= m.modseq {
		return nil, nil, nil
	}
	p := reach{seq: seq + 1, gone: seq}
	if seq == 0 {
		f, err := m.forgotten()
		if err != nil {
			return nil, nil, err
		}
		p.gone = f.seq // it knows nothing of before
	}
	changed, runs, _, err := m.page(p, math.MaxInt)
	slices.SortFunc(changed, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	for _, r := range runs {
		if len(vanished)+int(r.Last-r.First) >= maxVanished {
			return nil, nil, domicile.E("changes", domicile.TooLarge, "too many UIDs vanished to be listed one by one: read them by Page")
		}
		for uid := uint64(r.First); uid <= uint64(r.Last); uid++ {
			vanished = append(vanished, store.UID(uid))
		}
	}
	return changed, vanished, err
}

const opBody = "open body"

// Body opens the bytes of a message.
func (s *Store) Body(_ context.Context, acct domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	r, err := s.body(acct, id)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (s *Store) body(acct domicile.AccountID, id domicile.MessageID) (*bodyReader, error) {
	var b openedBody
	err := s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err == nil {
			b = s.openIn(a, id)
		}
		return err
	})
	if err != nil {
		return nil, domicile.W(opBody, err)
	}
	return b.r, b.err
}

// openIn opens a body as a snapshot has it.
func (s *Store) openIn(a account, id domicile.MessageID) openedBody {
	r := &bodyReader{s: s, acct: a.id, id: id, pin: pin{all: &s.pins}}
	if err := r.open(a); err != nil {
		r.Close()
		return openedBody{err: domicile.W(opBody, err)}
	}
	return openedBody{r: r}
}
