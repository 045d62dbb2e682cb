package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"domicile"
	"domicile/store"
)

// mailboxes grows the number of mailboxes of one account.
func mailboxes(r *rig, n int) error {
	id, err := r.account("anna")
	if err != nil {
		return err
	}
	name := func(i int) string { return fmt.Sprintf("folder %d/%d", i%100, i) }
	if err := many(n, func(i int) error { _, err := r.CreateMailbox(ctx, "", id, name(i), ""); return err }); err != nil {
		return err
	}
	return r.each([]step{
		{"find a mailbox", func(i int) error { _, err := r.MailboxByName(ctx, id, name(i%n)); return err }},
		{"deliver", func(i int) error { _, err := r.deliver(id, name(i%n)); return err }},
		{"list all mailboxes", func(int) error { _, err := r.Mailboxes(ctx, id); return err }},
		{"make a mailbox", func(i int) error { _, err := r.CreateMailbox(ctx, "", id, fmt.Sprint("new ", i), ""); return err }},
	})
}

// messages grows one mailbox: copies of a thousand messages, as that is the fast way to many.
func messages(r *rig, n int) error {
	id, err := r.account("anna")
	if err != nil {
		return err
	}
	first := min(n, 1000)
	if err := many(first, func(int) error { _, err := r.deliver(id, "INBOX"); return err }); err != nil {
		return err
	}
	box, err := r.MailboxByName(ctx, id, "INBOX")
	if err != nil {
		return err
	}
	uids := make([]store.UID, first)
	for i := range uids {
		uids[i] = store.UID(i + 1)
	}
	for made := first; made < n; made += first {
		if _, _, _, err := r.Copy(ctx, "", id, box.ID, uids, "INBOX"); err != nil {
			return err
		}
	}
	var all []store.Message
	for m, err := range store.AllMessages(ctx, r, id, box.ID) {
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	some := all[:min(len(all), 1000)]
	if err := r.whole(id, box.ID, all); err != nil {
		return err
	}
	anyUID := func() []store.UID { return []store.UID{all[rand.IntN(len(all))].UID} }
	err = r.each([]step{
		{"deliver", func(int) error { _, err := r.deliver(id, "INBOX"); return err }},
		{"set a flag", func(int) error {
			_, err := r.StoreFlags(ctx, "", id, box.ID, anyUID(), store.FlagsAdd, []string{`\Seen`}, 0)
			return err
		}},
		{"read a body", func(int) error { return r.read(id, all[rand.IntN(len(all))].ID) }},
		{"what is new", func(int) error {
			now, err := r.MailboxByName(ctx, id, "INBOX")
			if err != nil {
				return err
			}
			_, err = r.Changes(ctx, id, box.ID, now.HighestModSeq, "", 1000)
			return err
		}},
		{"read a part of 1,000", func(int) error { _, err := r.Changes(ctx, id, box.ID, 0, "", 1000); return err }},
		{"list 1,000 with their summaries", func(int) error {
			_, err := r.Listing(ctx, id, box.ID, all[rand.IntN(len(all)-len(some)+1)].UID-1, 1000)
			return err
		}},
	})
	if err != nil {
		return err
	}
	return r.once("rename INBOX", len(all), func(int) error { return r.RenameMailbox(ctx, "", id, "INBOX", "Old") })
}

// whole measures what touches every message of a mailbox, once each: for a message.
func (r *rig) whole(id domicile.AccountID, box domicile.MailboxID, all []store.Message) error {
	uids := make([]store.UID, len(all))
	for i, m := range all {
		uids[i] = m.UID
	}
	for _, s := range []step{
		{"flag every message", func(int) error {
			_, err := r.StoreFlags(ctx, "", id, box, uids, store.FlagsAdd, []string{`\Flagged`}, 0)
			return err
		}},
		{"copy every message", func(int) error { _, _, _, err := r.Copy(ctx, "copy", id, box, uids, "Archive"); return err }},
		{"delete the mailbox of the copies", func(int) error {
			return errors.Join(r.DeleteMailbox(ctx, "", id, "Archive"), r.Purge(ctx, id)) // which waits until all is gone
		}},
		{"read all by parts", func(int) error { return r.pages(id, box) }},
	} {
		if err := r.once(s.name, len(all), s.op); err != nil {
			return err
		}
	}
	return nil
}

// pages reads a mailbox as a front does that selects it.
func (r *rig) pages(id domicile.AccountID, box domicile.MailboxID) error {
	p, err := r.Changes(ctx, id, box, 0, "", store.MaxPage)
	for err == nil && p.Next != "" {
		p, err = r.Changes(ctx, id, box, 0, p.Next, store.MaxPage)
	}
	return err
}

// accounts grows the number of accounts, of which every hundredth has mail and gets more.
func accounts(r *rig, n int) error {
	ids := make([]domicile.AccountID, n)
	if err := many(n, func(i int) (err error) { ids[i], err = r.account(fmt.Sprint("user", i)); return err }); err != nil {
		return err
	}
	active := max(1, n/100)
	got := make([]store.Message, active)
	if err := many(active, func(i int) (err error) { got[i], err = r.deliver(ids[i*n/active], "INBOX"); return err }); err != nil {
		return err
	}
	one := func() (int, domicile.AccountID) { i := rand.IntN(active); return i, ids[i*n/active] }
	return r.each([]step{
		{"find an account by its address", func(int) error {
			_, err := r.AccountByAddress(ctx, domicile.Address(fmt.Sprint("user", rand.IntN(n), "@example.com")))
			return err
		}},
		{"deliver to an active one", func(int) error { _, id := one(); _, err := r.deliver(id, "INBOX"); return err }},
		{"read a body of an active one", func(int) error { i, id := one(); return r.read(id, got[i].ID) }},
		{"deliver to any", func(int) error { _, err := r.deliver(ids[rand.IntN(n)], "INBOX"); return err }},
	})
}

type step struct {
	name string
	op   func(i int) error
}

func (r *rig) each(steps []step) error {
	for _, s := range steps {
		if err := r.time(s.name, s.op); err != nil {
			return err
		}
	}
	return nil
}

// read reads a body to its end.
func (r *rig) read(id domicile.AccountID, m domicile.MessageID) error {
	b, err := r.Body(ctx, id, m)
	if err != nil {
		return err
	}
	defer b.Close()
	_, err = io.Copy(io.Discard, b)
	return err
}
