package bolt

import (
	"bytes"
	"context"
	"slices"
	"strings"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
)

// mailboxRecord is the sealed part of a mailbox.
type mailboxRecord struct {
	Name       string
	SpecialUse string `json:",omitempty"`
	Subscribed bool   `json:",omitempty"`
}

func mailboxPlace(acct domicile.AccountID, id domicile.MailboxID) []byte {
	return place("mailbox", string(acct), string(id))
}

func (m *mailbox) putRecord(rec mailboxRecord) error {
	sealed, err := m.seal(rec, mailboxPlace(m.account.id, m.id))
	if err != nil {
		return err
	}
	return m.b.Put(kRecord, sealed)
}

func (m *mailbox) record() (rec mailboxRecord, err error) {
	return rec, m.s.openRecord(m.account.id, m.b.Get(kRecord), mailboxPlace(m.account.id, m.id), &rec)
}

// full joins the sealed part and the numbers.
func (c counters) full(id domicile.MailboxID, rec mailboxRecord) store.Mailbox {
	return store.Mailbox{ID: id, Name: rec.Name, SpecialUse: rec.SpecialUse, Subscribed: rec.Subscribed,
		UIDValidity: c.validity, UIDNext: c.next, HighestModSeq: c.modseq,
		Messages: c.messages, Unseen: c.unseen, Size: c.size}
}

// nextValidity is the time in seconds, or one more than the account's last if that is not less: never the same twice.
func (a account) nextValidity() uint64 {
	validity := readNumber(a.b.Get(kValidity)) + 1
	if now := a.s.cfg.Now().Unix(); now > int64(validity) && now < 1<<32 { // a wrong clock does no harm
		validity = uint64(now)
	}
	return validity
}

// makeMailbox makes one mailbox.
func (a account) makeMailbox(rec mailboxRecord) (*mailbox, error) {
	all := a.b.Bucket(bMailboxes)
	if all.Sequence() >= store.MaxMailboxes {
		return nil, domicile.E("mailbox", domicile.TooLarge, "the account has 16384 mailboxes: delete some first")
	}
	if a.b.Bucket(bNames).Get(a.nameKey(rec.Name)) != nil {
		return nil, domicile.E("mailbox", domicile.Exist, "there is a mailbox of that name")
	}
	m := &mailbox{account: a, id: domicile.MailboxID(domicile.NewID("b"))}
	validity := a.nextValidity()
	m.counters = counters{validity: uint32(validity), next: 1, modseq: 1}
	var err error
	if m.b, err = all.CreateBucket([]byte(m.id)); err != nil {
		return nil, err
	}
	for _, name := range [][]byte{bMessages, bChanges} {
		if _, err := m.b.CreateBucket(name); err != nil {
			return nil, err
		}
	}
	return m, firstError(
		m.putRecord(rec),
		m.save(),
		a.b.Put(kValidity, number(validity)),
		a.b.Bucket(bNames).Put(a.nameKey(rec.Name), []byte(m.id)),
		all.SetSequence(all.Sequence()+1)) // counts the mailboxes
}

// makeParents makes the levels above name that are not there.
func (a account) makeParents(name string) error {
	for i, c := range name {
		if c != '/' || a.b.Bucket(bNames).Get(a.nameKey(name[:i])) != nil {
			continue
		}
		if _, err := a.makeMailbox(mailboxRecord{Name: name[:i]}); err != nil {
			return err
		}
	}
	return nil
}

// sealedMailbox is a mailbox copied out of a snapshot.
type sealedMailbox struct {
	id     domicile.MailboxID
	sealed []byte
	counters
}

func (m *mailbox) copyOut() sealedMailbox {
	return sealedMailbox{m.id, bytes.Clone(m.b.Get(kRecord)), m.counters}
}

func (s *Store) openMailbox(acct domicile.AccountID, m sealedMailbox) (store.Mailbox, error) {
	var rec mailboxRecord
	err := s.openRecord(acct, m.sealed, mailboxPlace(acct, m.id), &rec)
	return m.full(m.id, rec), err
}

// Mailboxes returns INBOX, then the others by name.
func (s *Store) Mailboxes(_ context.Context, acct domicile.AccountID) ([]store.Mailbox, error) {
	const op = "list mailboxes"
	var found []sealedMailbox
	err := s.view(func(tx *bbolt.Tx) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		return a.b.Bucket(bMailboxes).ForEachBucket(func(id []byte) error {
			m, err := a.mailbox(domicile.MailboxID(id))
			if err == nil {
				found = append(found, m.copyOut())
			}
			return err
		})
	})
	all := make([]store.Mailbox, len(found))
	for i, m := range found {
		if err == nil {
			all[i], err = s.openMailbox(acct, m)
		}
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	slices.SortFunc(all, compareMailboxes)
	return all, nil
}

func compareMailboxes(a, b store.Mailbox) int {
	if inA, inB := a.Name == store.Inbox, b.Name == store.Inbox; inA != inB {
		if inA {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Name, b.Name)
}

// MailboxByName finds a mailbox; INBOX in any case.
func (s *Store) MailboxByName(_ context.Context, acct domicile.AccountID, name string) (store.Mailbox, error) {
	const op = "find mailbox"
	name, err := store.MailboxName(name)
	if err != nil {
		return store.Mailbox{}, domicile.W(op, err)
	}
	var found sealedMailbox
	err = s.view(func(tx *bbolt.Tx) error {
		m, err := s.named(tx, acct, name)
		if err == nil {
			found = m.copyOut()
		}
		return err
	})
	if err != nil {
		return store.Mailbox{}, domicile.W(op, err)
	}
	mb, err := s.openMailbox(acct, found)
	return mb, domicile.W(op, err)
}

func (s *Store) named(tx *bbolt.Tx, acct domicile.AccountID, canonical string) (*mailbox, error) {
	a, err := s.served(tx, acct)
	if err != nil {
		return nil, err
	}
	return a.mailboxNamed(canonical)
}

// CreateMailbox makes a mailbox and the parents it lacks.
func (s *Store) CreateMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, name, use string) (store.Mailbox, error) {
	const op = "create mailbox"
	name, err1 := store.MailboxName(name)
	use, err2 := store.SpecialUse(use)
	if err := firstError(err1, err2, checkToken(tok)); err != nil {
		return store.Mailbox{}, domicile.W(op, err)
	}
	var made store.Mailbox
	err := s.update(ctx, acct, func(tx *bbolt.Tx) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if done, err := a.didBefore(tok, op, &made); done || err != nil {
			return err
		}
		if err := a.makeParents(name); err != nil {
			return err
		}
		rec := mailboxRecord{Name: name, SpecialUse: use}
		m, err := a.makeMailbox(rec)
		if err != nil {
			return err
		}
		made = m.full(m.id, rec)
		return a.remember(tok, op, made)
	})
	if err != nil {
		return store.Mailbox{}, domicile.W(op, err)
	}
	return made, nil
}

// Subscribe sets or clears the subscription of a mailbox that exists.
func (s *Store) Subscribe(ctx context.Context, acct domicile.AccountID, name string, on bool) error {
	const op = "subscribe"
	name, err := store.MailboxName(name)
	if err != nil {
		return domicile.W(op, err)
	}
	err = s.update(ctx, acct, func(tx *bbolt.Tx) error {
		m, err := s.named(tx, acct, name)
		if err != nil {
			return err
		}
		rec, err := m.record()
		if err != nil || rec.Subscribed == on {
			return err
		}
		rec.Subscribed = on
		return m.putRecord(rec)
	})
	return domicile.W(op, err)
}

// DeleteMailbox removes a mailbox with its messages; its children stay.
func (s *Store) DeleteMailbox(ctx context.Context, acct domicile.AccountID, name string) error {
	const op = "delete mailbox"
	name, err := store.MailboxName(name)
	if err == nil && name == store.Inbox {
		err = domicile.E("mailbox", domicile.Invalid, "INBOX cannot be deleted")
	}
	if err != nil {
		return domicile.W(op, err)
	}
	var gone []domicile.MessageID
	err = s.update(ctx, acct, func(tx *bbolt.Tx) error {
		gone = nil
		m, err := s.named(tx, acct, name)
		if err != nil {
			return err
		}
		records, err := m.all()
		if err != nil {
			return err
		}
		for _, r := range records {
			last, err := m.unref(r.ID)
			if err != nil {
				return err
			}
			if last {
				gone = append(gone, r.ID)
			}
		}
		all := m.account.b.Bucket(bMailboxes)
		return firstError(
			m.account.b.Bucket(bNames).Delete(m.nameKey(name)),
			all.DeleteBucket([]byte(m.id)),
			all.SetSequence(all.Sequence()-1))
	})
	if err == nil {
		s.removeBodies(acct, gone)
	}
	return domicile.W(op, err)
}
