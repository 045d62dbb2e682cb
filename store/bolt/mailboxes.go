package bolt

import (
	"bytes"
	"context"
	"slices"
	"strings"

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
	m.b.Put(kRecord, sealed)
	m.b.tx.w.wide = true
	return nil
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
	if readNumber(a.b.Get(kBoxes)) >= store.MaxMailboxes {
		return nil, domicile.E("mailbox", domicile.TooLarge, "the account has 16384 mailboxes: delete some first")
	}
	if a.b.sub(bNames).Get(a.nameKey(rec.Name)) != nil {
		return nil, domicile.E("mailbox", domicile.Exist, "there is a mailbox of that name")
	}
	m := &mailbox{account: a, id: domicile.MailboxID(domicile.NewID("b"))}
	validity := a.nextValidity()
	m.counters = counters{validity: uint32(validity), next: 1, modseq: 1}
	a.b.Put(kValidity, number(validity))
	rec.Subscribed = a.takeSubscribed(rec.Name) || rec.Subscribed
	return m, m.enter(rec)
}

// enter writes a mailbox that is new to the account.
func (m *mailbox) enter(rec mailboxRecord) error {
	m.b = m.account.b.sub(bMailboxes).sub([]byte(m.id))
	m.rows = m.account.rows(m.rowsOf(m.id))
	m.save()
	m.account.b.sub(bNames).Put(m.nameKey(rec.Name), []byte(m.id))
	m.account.countMailboxes(1)
	return m.putRecord(rec)
}

func (a account) countMailboxes(more int) {
	a.b.tx.w.wide = true
	a.b.Put(kBoxes, number(readNumber(a.b.Get(kBoxes))+uint64(more)))
}

// makeParents makes the levels above name that are not there.
func (a account) makeParents(name string) error {
	for i, c := range name {
		if c != '/' || a.b.sub(bNames).Get(a.nameKey(name[:i])) != nil {
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

func (a account) copyMailboxes() (all []sealedMailbox, err error) {
	err = a.eachMailbox(func(m *mailbox) error {
		all = append(all, m.copyOut())
		return nil
	})
	return all, err
}

// boxKey names the record of a mailbox.
type boxKey struct {
	acct domicile.AccountID
	id   domicile.MailboxID
}

func (s *Store) openMailbox(acct domicile.AccountID, m sealedMailbox) (store.Mailbox, error) {
	key := boxKey{acct, m.id}
	rec, ok := s.boxes.get(key, m.sealed)
	if !ok {
		age := s.boxes.age()
		if err := s.openRecord(acct, m.sealed, mailboxPlace(acct, m.id), &rec); err != nil {
			return store.Mailbox{}, err
		}
		s.boxes.put(age, key, m.sealed, rec)
	}
	return m.full(m.id, rec), nil
}

// Mailboxes returns INBOX, then the others by name.
func (s *Store) Mailboxes(_ context.Context, acct domicile.AccountID) ([]store.Mailbox, error) {
	const op = "list mailboxes"
	var found []sealedMailbox
	err := s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err == nil {
			found, err = a.copyMailboxes()
		}
		return err
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
	err = s.view(func(tx *txn) error {
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

func (s *Store) named(tx *txn, acct domicile.AccountID, canonical string) (*mailbox, error) {
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
	err := s.once(ctx, acct, tok, op, &made, func(a account) error {
		if err := a.makeParents(name); err != nil {
			return err
		}
		m, err := a.makeMailbox(mailboxRecord{Name: name, SpecialUse: use})
		if err != nil {
			return err
		}
		rec, err := m.record()
		if err != nil {
			return err
		}
		made = m.full(m.id, rec)
		return nil
	})
	if err != nil {
		return store.Mailbox{}, domicile.W(op, err)
	}
	return made, nil
}

// DeleteMailbox removes a mailbox with its messages; its children stay.
func (s *Store) DeleteMailbox(ctx context.Context, tok store.Token, acct domicile.AccountID, name string) error {
	const op = "delete mailbox"
	name, err := store.MailboxName(name)
	if err == nil && name == store.Inbox {
		err = domicile.E("mailbox", domicile.Invalid, "INBOX cannot be deleted")
	}
	if err := firstError(err, checkToken(tok)); err != nil {
		return domicile.W(op, err)
	}
	err = s.once(ctx, acct, tok, op, nil, func(a account) error {
		m, err := a.mailboxNamed(name)
		if err == nil {
			err = m.remove(name)
		}
		return err
	})
	if err == nil {
		s.sweeper.wake()
	}
	return domicile.W(op, err)
}

// remove takes a mailbox away. Its rows go in the same act if they are few; else they are left, for the sweeper.
func (m *mailbox) remove(name string) error {
	few := m.messages <= manyAtOnce && m.hidden == (store.UIDRange{})
	rec, err := m.record()
	if err != nil {
		rec = mailboxRecord{} // it can be deleted all the same
	}
	if err := firstError(m.account.leaveName(rec), m.dropAnnotations()); err != nil {
		return err
	}
	m.account.b.sub(bNames).Delete(m.nameKey(name))
	m.account.countMailboxes(-1)
	m.b.Delete(kRecord)
	m.b.Delete(kCounters)
	l := leftover{rows: m.rowsOf(m.id)}
	m.account.leave(l)
	if !few {
		return nil
	}
	_, err = m.account.sweepSome(l, manyAtOnce)
	return err
}
