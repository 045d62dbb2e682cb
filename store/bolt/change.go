package bolt

import (
	"context"
	"slices"

	"domicile"
	"domicile/store"
)

// StoreFlags changes flags; messages changed after unless are left alone. If all flags stand as asked for, that is read, as it is at one moment of the
// call: it waits for no flush, and nobody is told of it.
func (s *Store) StoreFlags(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID,
	op store.FlagOp, flags []string, unless store.ModSeq) (store.Stored, error) {
	const act = "store flags"
	flags, err := store.CanonicalFlags(flags)
	if err := firstError(err, checkToken(tok)); err != nil {
		return store.Stored{}, domicile.W(act, err)
	}
	f := flagging{uids: slices.Compact(slices.Sorted(slices.Values(uids))), op: op, flags: flags, unless: unless}
	var result flagged
	err = errChanges
	if tok == "" && len(f.uids) <= manyAtOnce {
		result, err = s.flagsStand(ctx, acct, mbox, f)
	}
	if err == errChanges {
		err = s.once(ctx, acct, tok, act, &result, func(a account) (err error) {
			result, err = a.storeFlags(mbox, f)
			return err
		})
	}
	if err != nil {
		return store.Stored{}, domicile.W(act, err)
	}
	return result.told(), nil
}

// flagging is what a call of StoreFlags asks for; uids in their order, each once.
type flagging struct {
	uids   []store.UID
	op     store.FlagOp
	flags  []string
	unless store.ModSeq
}

// flagged is what a token of StoreFlags remembers. That of an earlier release has neither Before nor From.
type flagged struct {
	Done   records
	Before []store.ModSeq `json:",omitempty"`
	Failed []store.UID
	From   store.ModSeq `json:",omitempty"`
}

func (f flagged) told() store.Stored {
	if f.Before == nil {
		for _, r := range f.Done {
			f.Before = append(f.Before, r.ModSeq)
		}
	}
	return store.Stored{Done: messagesOf(f.Done), Before: f.Before, Failed: f.Failed, From: f.From}
}

// errChanges is of a reader that came to something to change.
var errChanges = domicile.E("store", domicile.Conflict, "the act changes something")

// flagsStand is StoreFlags of what changes nothing. It ends with errChanges at the first message that would change.
func (s *Store) flagsStand(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, f flagging) (result flagged, err error) {
	if err := ctx.Err(); err != nil {
		return result, unavailable(err)
	}
	err = s.view(func(tx *txn) error {
		m, err := s.mailboxByID(tx, acct, mbox)
		if err != nil {
			return err
		}
		result, err = m.flag(f, func(r messageRecord, _ []string) (messageRecord, error) { return r, errChanges })
		return err
	})
	return result, err
}

// storeFlags raises the ModSeq only if a flag changes.
func (a account) storeFlags(mbox domicile.MailboxID, f flagging) (flagged, error) {
	m, err := a.mailbox(mbox)
	if err == nil {
		err = a.b.tx.many(len(f.uids))
	}
	if err != nil {
		return flagged{}, err
	}
	seq, changed := m.modseq+1, false
	result, err := m.flag(f, func(r messageRecord, flags []string) (messageRecord, error) {
		changed = true
		return m.alter(r, flags, seq)
	})
	if err == nil && changed {
		m.modseq = seq
		m.save()
	}
	return result, err
}

// flag goes through the messages of a call, and has alter give those that change other flags.
func (m *mailbox) flag(f flagging, alter func(r messageRecord, flags []string) (messageRecord, error)) (result flagged, err error) {
	result.From = m.modseq
	for _, uid := range f.uids {
		r, ok, err := m.get(uid)
		if err != nil {
			return flagged{}, err
		}
		if !ok {
			continue
		}
		if f.unless != 0 && r.ModSeq > f.unless {
			result.Failed = append(result.Failed, uid)
			continue
		}
		result.Before = append(result.Before, r.ModSeq)
		flags, err := store.ApplyFlags(r.Flags, f.op, f.flags)
		if err == nil && !slices.Equal(flags, r.Flags) {
			r, err = alter(r, flags)
		}
		if err != nil {
			return flagged{}, err
		}
		result.Done = append(result.Done, r)
	}
	return result, nil
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
		if src != dst {
			src.modseq++
		}
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
	m.modseq++
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
