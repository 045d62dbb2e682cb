package bolt

import (
	"bytes"
	"context"
	"slices"

	"domicile"
	"domicile/store"
)

// A name that is subscribed says so in the record of the mailbox that has it, or, while none has, in the bucket of such names.

func subscribedPlace(acct domicile.AccountID, key []byte) []byte {
	return place("subscribed", string(acct), string(key))
}

// Subscribe puts a name among the subscribed ones, or takes it out.
func (s *Store) Subscribe(ctx context.Context, tok store.Token, acct domicile.AccountID, name string, on bool) error {
	const op = "subscribe"
	name, err := store.MailboxName(name)
	if err := firstError(err, checkToken(tok)); err != nil {
		return domicile.W(op, err)
	}
	err = s.once(ctx, acct, tok, op, nil, func(a account) error { return a.subscribe(name, on) })
	return domicile.W(op, err)
}

func (a account) subscribe(name string, on bool) error {
	m, err := a.mailboxNamed(name)
	switch {
	case domicile.KindOf(err) == domicile.NotExist && on:
		return a.keepSubscribed(name)
	case domicile.KindOf(err) == domicile.NotExist:
		a.takeSubscribed(name)
		return nil
	case err != nil:
		return err
	}
	rec, err := m.record()
	if err != nil || rec.Subscribed == on {
		return err
	}
	rec.Subscribed = on
	return m.putRecord(rec)
}

// keepSubscribed notes a subscribed name that no mailbox has.
func (a account) keepSubscribed(name string) error {
	b, key, n := a.b.sub(bSubscribed), a.nameKey(name), readNumber(a.b.Get(kSubscribed))
	switch {
	case b.Get(key) != nil:
		return nil
	case n >= store.MaxSubscribed:
		return domicile.E("subscription", domicile.TooLarge, "1024 names without a mailbox are subscribed: unsubscribe some first")
	}
	sealed, err := a.s.cfg.Sealer.SealRecord(a.id, []byte(name), subscribedPlace(a.id, key))
	if err != nil {
		return err
	}
	b.Put(key, sealed)
	a.b.Put(kSubscribed, number(n+1))
	return nil
}

// takeSubscribed takes a name from those that no mailbox has, and says whether it was there.
func (a account) takeSubscribed(name string) bool {
	b, key := a.b.sub(bSubscribed), a.nameKey(name)
	if b.Get(key) == nil {
		return false
	}
	b.Delete(key)
	a.b.Put(kSubscribed, number(readNumber(a.b.Get(kSubscribed))-1))
	return true
}

// leaveName has the name that a mailbox loses stay subscribed, if it is and there is room.
func (a account) leaveName(rec mailboxRecord) error {
	if !rec.Subscribed || readNumber(a.b.Get(kSubscribed)) >= store.MaxSubscribed {
		return nil
	}
	return a.keepSubscribed(rec.Name)
}

// Subscriptions opens records outside of the snapshot.
func (s *Store) Subscriptions(_ context.Context, acct domicile.AccountID) ([]string, error) {
	const op = "list subscriptions"
	var boxes []sealedMailbox
	var apart []entry
	err := s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if boxes, err = a.copyMailboxes(); err != nil {
			return err
		}
		return a.b.sub(bSubscribed).ForEach(func(k, v []byte) error {
			apart = append(apart, cloneEntry(k, v))
			return nil
		})
	})
	var names []string
	for _, b := range boxes {
		var m store.Mailbox
		if err == nil {
			m, err = s.openMailbox(acct, b)
		}
		if m.Subscribed {
			names = append(names, m.Name)
		}
	}
	for _, e := range apart {
		var name string
		if err == nil {
			name, err = s.openSubscribed(acct, e.key, e.value)
		}
		names = append(names, name)
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	slices.Sort(names)
	return names, nil
}

func (s *Store) openSubscribed(acct domicile.AccountID, key, sealed []byte) (string, error) {
	name, err := s.cfg.Sealer.OpenRecord(acct, sealed, subscribedPlace(acct, key))
	return string(name), err
}

// importSubscribed takes a subscribed name of an account that comes in, which none of its mailboxes has.
func (a account) importSubscribed(name string) error {
	canonical, err := store.MailboxName(name)
	if err != nil || canonical != name || a.b.sub(bNames).Get(a.nameKey(name)) != nil || a.b.sub(bSubscribed).Get(a.nameKey(name)) != nil {
		return domicile.E("subscription", domicile.Invalid, "a subscribed name that cannot be, comes twice, or is a mailbox's")
	}
	return a.keepSubscribed(name)
}

// subscribed looks at the subscribed names that no mailbox has.
func (c *checker) subscribed(a account) {
	n := uint64(0)
	c.failIf(a.b.sub(bSubscribed).ForEach(func(k, v []byte) error {
		n++
		name, err := c.s.openSubscribed(a.id, k, v)
		if err == nil && (!bytes.Equal(a.nameKey(name), k) || a.b.sub(bNames).Get(k) != nil) {
			c.fail("account %s: a subscribed name that no mailbox has is another's", a.id)
		}
		return err
	}), "subscribed names of account", a.id)
	if counted := readNumber(a.b.Get(kSubscribed)); n != counted {
		c.fail("account %s: %d subscribed names are no mailbox's, counted as %d", a.id, n, counted)
	}
}

// subscribed takes names out that a mailbox has, whose record decides, and counts the others anew.
func (r *repairer) subscribed(a account, where string) error {
	b, n := a.b.sub(bSubscribed), uint64(0)
	var wrong [][]byte
	err := b.ForEach(func(k, _ []byte) error {
		if n++; a.b.sub(bNames).Get(k) != nil {
			n--
			wrong = append(wrong, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range wrong {
		r.put(b, k, nil, "a subscription apart of a mailbox's name", where)
	}
	r.putNumber(a.b, kSubscribed, n, "the number of subscribed names that are no mailbox's", where)
	return err
}
