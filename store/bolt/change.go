package bolt

import (
	"context"
	"slices"

	"domicile"
	"domicile/store"
)

// StoreFlags changes flags; messages changed after unless are left alone.
func (s *Store) StoreFlags(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID,
	op store.FlagOp, flags []string, unless store.ModSeq) (done []store.Message, failed []store.UID, err error) {
	const act = "store flags"
	flags, err = store.CanonicalFlags(flags)
	if err := firstError(err, checkToken(tok)); err != nil {
		return nil, nil, domicile.W(act, err)
	}
	var result flagged
	err = s.update(ctx, acct, func(tx *txn) error {
		result = flagged{}
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if done, err := a.didBefore(tok, act, &result); done || err != nil {
			return err
		}
		m, err := a.mailbox(mbox)
		if err != nil {
			return err
		}
		if result.Done, result.Failed, err = m.storeFlags(uids, op, flags, unless); err != nil {
			return err
		}
		return a.remember(tok, act, result)
	})
	if err != nil {
		return nil, nil, domicile.W(act, err)
	}
	return messagesOf(result.Done), result.Failed, nil
}

// flagged is what a token of StoreFlags remembers.
type flagged struct {
	Done   records
	Failed []store.UID
}

// storeFlags raises the ModSeq only if a flag changes.
func (m *mailbox) storeFlags(uids []store.UID, op store.FlagOp, flags []string, unless store.ModSeq) (done []messageRecord, late []store.UID, err error) {
	if err := m.b.tx.many(len(uids)); err != nil {
		return nil, nil, err
	}
	records, err := m.some(slices.Sorted(slices.Values(uids)))
	if err != nil {
		return nil, nil, err
	}
	seq, changed := m.modseq+1, false
	for _, r := range records {
		if unless != 0 && r.ModSeq > unless {
			late = append(late, r.UID)
			continue
		}
		flags, err := store.ApplyFlags(r.Flags, op, flags)
		if err != nil {
			return nil, nil, err
		}
		if !slices.Equal(flags, r.Flags) {
			changed = true
			if r, err = m.alter(r, flags, seq); err != nil {
				return nil, nil, err
			}
		}
		done = append(done, r)
	}
	if changed {
		m.modseq = seq
		m.save()
	}
	return done, late, err
}

// alter writes a message with other flags and a new ModSeq, and counts anew whether it is unseen.
func (m *mailbox) alter(r messageRecord, flags []string, seq store.ModSeq) (messageRecord, error) {
	m.rows.sub(bChanges).Delete(changeKey(r.ModSeq, r.UID))
	if r.unseen() {
		m.unseen--
	}
	r.Flags, r.ModSeq = flags, seq
	if r.unseen() {
		m.unseen++
	}
	return r, m.put(r)
}

// Copy copies messages within the account; they share their bodies.
func (s *Store) Copy(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	t, err := s.transfer(ctx, tok, acct, mbox, uids, to, false)
	return t.Validity, t.From, messagesOf(t.Made), domicile.W("copy messages", err)
}

// Move copies and expunges as one act.
func (s *Store) Move(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	t, err := s.transfer(ctx, tok, acct, mbox, uids, to, true)
	return t.Validity, t.From, messagesOf(t.Made), domicile.W("move messages", err)
}

// transferred is what a token of Copy or Move remembers. An earlier release wrote no Validity.
type transferred struct {
	Validity uint32 `json:",omitempty"`
	From     []store.UID
	Made     records
}

func (s *Store) transfer(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string, move bool) (transferred, error) {
	to, err := store.MailboxName(to)
	if err := firstError(err, checkToken(tok)); err != nil {
		return transferred{}, err
	}
	act := "copy messages"
	if move {
		act = "move messages"
	}
	var result transferred
	if !move && len(uids) > manyAtOnce {
		return s.copyMany(ctx, tok, act, acct, mbox, uids, to)
	}
	err = s.update(ctx, acct, func(tx *txn) error {
		result = transferred{}
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if done, err := a.didBefore(tok, act, &result); done || err != nil {
			return err
		}
		if result, err = a.transfer(mbox, uids, to, move); err != nil {
			return err
		}
		return a.remember(tok, act, result)
	})
	if err != nil {
		return transferred{}, err
	}
	return result, nil
}

func (a account) transfer(mbox domicile.MailboxID, uids []store.UID, to string, move bool) (t transferred, err error) {
	src, err := a.mailbox(mbox)
	if err != nil {
		return t, err
	}
	dst, err := a.mailboxNamed(to)
	if err != nil {
		return t, err
	}
	if dst.id == src.id {
		dst = src // one set of counters
	}
	if err := src.b.tx.many(len(uids)); err != nil {
		return t, err
	}
	t.Validity = dst.validity
	records, err := src.some(uids)
	if err != nil || len(records) == 0 {
		return t, err
	}
	if t.Made, err = dst.addCopies(src, records); err != nil {
		return t, err
	}
	for _, r := range records {
		t.From = append(t.From, r.UID)
	}
	if move {
		if err := src.drop(records); err != nil {
			return t, err
		}
		src.save()
	}
	dst.save()
	return t, nil
}

// Expunge removes the messages marked \Deleted.
func (s *Store) Expunge(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID) ([]store.UID, error) {
	const op = "expunge"
	if err := checkToken(tok); err != nil {
		return nil, domicile.W(op, err)
	}
	var expunged []store.UID
	err := s.once(ctx, acct, tok, op, &expunged, func(a account) (err error) {
		expunged, err = a.expunge(mbox, uids)
		return err
	})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return expunged, nil
}

func (a account) expunge(mbox domicile.MailboxID, uids []store.UID) (expunged []store.UID, err error) {
	m, err := a.mailbox(mbox)
	if err != nil {
		return nil, err
	}
	n := len(uids)
	if uids == nil {
		n = int(m.messages)
	}
	if err := m.b.tx.many(n); err != nil {
		return nil, err
	}
	records, err := m.deleted(uids)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	for _, r := range records {
		expunged = append(expunged, r.UID)
	}
	if err := m.drop(records); err != nil {
		return nil, err
	}
	m.save()
	return expunged, nil
}

// deleted returns the messages marked \Deleted, of uids or, if that is nil, of all, by UID.
func (m *mailbox) deleted(uids []store.UID) (records []messageRecord, err error) {
	if uids == nil {
		records, err = m.all()
	} else {
		records, err = m.some(slices.Sorted(slices.Values(uids)))
	}
	return slices.DeleteFunc(records, func(r messageRecord) bool { return !store.HasFlag(r.Flags, store.Deleted) }), err
}
