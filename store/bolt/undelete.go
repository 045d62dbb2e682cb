package bolt

import (
	"bytes"
	"context"
	"slices"
	"time"

	"domicile"
	"domicile/store"
)

// With Config.Undelete a body whose last copy was expunged stays for that long, with no references and outside of the account's usage, beside its
// record in the bucket of expunged messages; a queue of all accounts says when each is due. The cleaner removes what is.

const actUndelete = "undelete messages"

func expungedPlace(acct domicile.AccountID, id domicile.MessageID) []byte {
	return place("expunged", string(acct), string(id))
}

// keepExpunged notes a message that is in no mailbox any more.
func (a account) keepExpunged(r messageRecord) error {
	sealed, err := a.s.cfg.Sealer.SealRecord(a.id, r.encode(), expungedPlace(a.id, r.ID))
	if err != nil {
		return err
	}
	at := number(uint64(a.s.cfg.Now().UnixMilli()))
	a.b.sub(bExpunged).Put([]byte(r.ID), append(at, sealed...))
	a.b.tx.root(bDue).Put(dueKey(at, a.id, r.ID), nil)
	return nil
}

func dueKey(at []byte, acct domicile.AccountID, id domicile.MessageID) []byte {
	return append(append(append(bytes.Clone(at), byte(len(acct))), acct...), id...)
}

func parseDue(k []byte) (acct domicile.AccountID, id domicile.MessageID, ok bool) {
	if len(k) < 9 || len(k) < 9+int(k[8]) {
		return "", "", false
	}
	n := 9 + int(k[8])
	return domicile.AccountID(k[9:n]), domicile.MessageID(k[n:]), true
}

func (a account) expunged(id domicile.MessageID) (r messageRecord, at time.Time, err error) {
	raw := a.b.sub(bExpunged).Get([]byte(id))
	if raw == nil {
		return r, at, domicile.E("message", domicile.NotExist, "no such message was expunged, or not lately")
	}
	return a.openExpunged(id, raw)
}

func (a account) openExpunged(id domicile.MessageID, raw []byte) (r messageRecord, at time.Time, err error) {
	if len(raw) < 8 {
		return r, at, errDamaged
	}
	plain, err := a.s.cfg.Sealer.OpenRecord(a.id, raw[8:], expungedPlace(a.id, id))
	if err == nil {
		err = r.decode(plain)
	}
	return r, time.UnixMilli(int64(readNumber(raw[:8]))).UTC(), err
}

// dropExpunged removes a message for good. A damaged or lost record of its body keeps nobody from going on: Repair counts anew what that named.
func (a account) dropExpunged(id domicile.MessageID) {
	b := a.b.sub(bExpunged)
	if raw := b.Get([]byte(id)); len(raw) >= 8 {
		a.b.tx.root(bDue).Delete(dueKey(raw[:8], a.id, id))
	}
	b.Delete([]byte(id))
	if r, _ := a.body(id); r.refs == 0 {
		a.dropBody(id, r)
	}
}

// Expunged opens records outside of the snapshot.
func (s *Store) Expunged(_ context.Context, acct domicile.AccountID) ([]store.Expunged, error) {
	const op = "list expunged messages"
	var all []entry
	err := s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		return a.b.sub(bExpunged).ForEach(func(k, v []byte) error {
			all = append(all, cloneEntry(k, v))
			return nil
		})
	})
	out := make([]store.Expunged, len(all))
	for i, e := range all {
		if err != nil {
			break
		}
		var r messageRecord
		r, out[i].At, err = account{s: s, id: acct}.openExpunged(domicile.MessageID(e.key), e.value)
		out[i].Message = r.message()
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	slices.SortFunc(out, func(a, b store.Expunged) int { return a.At.Compare(b.At) })
	return out, nil
}

// Undelete gives the bodies their references back.
func (s *Store) Undelete(ctx context.Context, tok store.Token, acct domicile.AccountID, ids []domicile.MessageID, to string) ([]store.Message, error) {
	to, err := store.MailboxName(to)
	if err := firstError(err, checkToken(tok)); err != nil {
		return nil, domicile.W(actUndelete, err)
	}
	var made records
	err = s.update(ctx, acct, func(tx *txn) error {
		made = nil
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if done, err := a.didBefore(tok, actUndelete, &made); done || err != nil {
			return err
		}
		m, err := a.mailboxNamed(to)
		if err != nil {
			return err
		}
		if err := tx.many(len(ids)); err != nil {
			return err
		}
		if len(ids) > 0 {
			m.modseq++
		}
		for _, id := range ids {
			r, err := a.undelete(m, id)
			if err != nil {
				return err
			}
			made = append(made, r)
		}
		m.save()
		return a.remember(tok, actUndelete, made)
	})
	if err != nil {
		return nil, domicile.W(actUndelete, err)
	}
	return messagesOf(made), nil
}

func (a account) undelete(m *mailbox, id domicile.MessageID) (r messageRecord, err error) {
	r, _, err = a.expunged(id)
	if err != nil {
		return r, err
	}
	body, err := a.body(id)
	if err == nil {
		err = a.use(body.size)
	}
	if err != nil {
		return r, err
	}
	raw := a.b.sub(bExpunged).Get([]byte(id))
	a.b.tx.root(bDue).Delete(dueKey(raw[:8], a.id, id))
	a.b.sub(bExpunged).Delete([]byte(id))
	body.refs = 1
	a.putBody(id, body)
	a.unfound(id)
	r.Saved = a.s.cfg.Now().Unix()
	r.Flags = slices.DeleteFunc(r.Flags, func(f string) bool { return f == store.Deleted })
	return m.add(r)
}

// Purge removes some in each act, and none any more once the account is preserved: that may come about while it waits. Where nobody knows, who calls it answers for that.
func (s *Store) Purge(ctx context.Context, acct domicile.AccountID) error {
	const op, some = "purge expunged messages", 1000
	if err := s.settle(ctx, acct); err != nil { // of a deleted mailbox the messages may not be expunged yet
		return domicile.W(op, err)
	}
	for {
		if err := s.mayPurge(acct); err != nil {
			return domicile.W(op, err)
		}
		n := 0
		err := s.update(ctx, "", func(tx *txn) error {
			n = 0
			a, err := s.served(tx, acct)
			if err != nil {
				return err
			}
			var ids []domicile.MessageID
			err = a.b.sub(bExpunged).ForEach(func(k, _ []byte) error {
				if ids = append(ids, domicile.MessageID(k)); len(ids) == some {
					return errStop
				}
				return nil
			})
			for _, id := range ids {
				a.dropExpunged(id)
			}
			n = len(ids)
			return err
		})
		if err != nil || n < some {
			return domicile.W(op, err)
		}
	}
}

func (s *Store) mayPurge(acct domicile.AccountID) error {
	if s.cfg.Preserved == nil {
		return nil
	}
	is, err := s.cfg.Preserved(acct)
	if err == nil && is {
		err = domicile.Refuse("purge", domicile.ResidenceFrozen, "house/preserved", "an open order or hold preserves this account")
	}
	return err
}

// purgeDue removes what was expunged longer ago than it is kept, but of accounts that are preserved.
func (s *Store) purgeDue(stop <-chan struct{}) error {
	if s.cfg.Preserved == nil {
		return nil
	}
	for from := []byte(nil); ; {
		keys, err := s.due(from)
		if err != nil || len(keys) == 0 {
			return err
		}
		from = append(keys[len(keys)-1], 0)
		if keys = s.notPreserved(keys); len(keys) > 0 {
			err = s.update(context.Background(), "", func(tx *txn) error {
				for _, k := range keys {
					tx.root(bDue).Delete(k)
					acct, id, ok := parseDue(k)
					if a := s.accountIn(tx, acct); ok && a.b.sub(bExpunged).Get([]byte(id)) != nil {
						a.dropExpunged(id)
					}
				}
				return nil
			})
		}
		if err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// due gives the keys of some messages that are due, from one on.
func (s *Store) due(from []byte) (keys [][]byte, err error) {
	const some = 1000
	limit := number(uint64(s.cfg.Now().Add(-s.cfg.Undelete).UnixMilli()))
	err = s.view(func(tx *txn) error {
		return tx.root(bDue).ForEachFrom(from, func(k, _ []byte) error {
			if len(keys) == some || bytes.Compare(k, limit) >= 0 {
				return errStop
			}
			keys = append(keys, bytes.Clone(k))
			return nil
		})
	})
	return keys, err
}

// notPreserved leaves out the keys of accounts that are preserved, or of which that cannot be said now.
func (s *Store) notPreserved(keys [][]byte) [][]byte {
	known := map[string]bool{} // by account
	return slices.DeleteFunc(keys, func(k []byte) bool {
		acct, _, ok := parseDue(k)
		is, asked := known[string(acct)]
		if !asked && ok {
			var err error
			if is, err = s.cfg.Preserved(acct); err != nil {
				s.cfg.Log.Warn("store: what was expunged from an account stays, as nobody can say whether it is preserved", "error", err)
				is = true
			}
			known[string(acct)] = is
		}
		return is
	})
}
