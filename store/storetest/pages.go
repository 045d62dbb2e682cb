package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"domicile"
	"domicile/store"
)

// Snapshot is what changed in a mailbox after a ModSeq, all of it; of one moment if one part has it.
type Snapshot struct {
	Mailbox  store.Mailbox
	Changed  []store.Message // by UID
	Vanished []store.UID     // ascending
}

// Since reads a Snapshot. At ModSeq 1 nothing had come yet: behind it is everything, with all that ever vanished.
func Since(s store.Store, acct domicile.AccountID, mbox domicile.MailboxID, seq store.ModSeq) (all Snapshot, err error) {
	for at := store.Position(""); ; {
		c, err := s.Changes(ctx, acct, mbox, seq, at, store.MaxPage)
		if err != nil {
			return Snapshot{}, err
		}
		for _, v := range c.Vanished {
			for uid := v.First; uid <= v.Last; uid++ {
				all.Vanished = append(all.Vanished, uid)
			}
		}
		all.Mailbox, all.Changed = c.Mailbox, append(all.Changed, c.Changed...)
		if at = c.Next; at == "" {
			break
		}
	}
	slices.Sort(all.Vanished)
	slices.SortFunc(all.Changed, func(a, b store.Message) int { return cmp.Compare(a.UID, b.UID) })
	return all, nil
}

// pager keeps a copy of a mailbox by Changes alone.
type pager struct {
	r    *Rig
	acct domicile.AccountID
	mbox domicile.MailboxID
	seq  store.ModSeq
	has  map[store.UID]store.Message
	gone []store.UID // in the last reading
	max  int         // changes of the largest part in it
}

func (r *Rig) pager(acct domicile.AccountID, mbox domicile.MailboxID) *pager {
	return &pager{r: r, acct: acct, mbox: mbox, has: map[store.UID]store.Message{}}
}

// read takes in what changed, in parts. What it holds behind the last must be what the mailbox's own numbers say.
func (p *pager) read(limit int, between func()) error {
	p.gone, p.max = nil, 0
	for at := store.Position(""); ; {
		c, err := p.r.Changes(ctx, p.acct, p.mbox, p.seq, at, limit)
		if err != nil {
			return err
		}
		for i, v := range c.Vanished {
			if v.First == 0 || v.Last < v.First || i > 0 && v.First <= c.Vanished[i-1].Last || v.Last >= c.Mailbox.UIDNext {
				return fmt.Errorf("vanished are %v", c.Vanished)
			}
			for uid := v.First; uid <= v.Last; uid++ {
				p.gone = append(p.gone, uid)
				delete(p.has, uid)
			}
		}
		for _, m := range c.Changed {
			p.has[m.UID] = m
		}
		if p.max = max(p.max, len(c.Changed)); c.Next == "" {
			p.seq = c.Mailbox.HighestModSeq
			slices.Sort(p.gone)
			return p.agrees(c.Mailbox)
		}
		at = c.Next
		between()
	}
}

func (p *pager) agrees(b store.Mailbox) error {
	var size int64
	var unseen uint32
	for _, m := range p.has {
		size += m.Size
		if !store.HasFlag(m.Flags, store.Seen) {
			unseen++
		}
	}
	if int(b.Messages) != len(p.has) || b.Size != size || b.Unseen != unseen {
		return fmt.Errorf("the mailbox says %+v, and %d messages, %d unseen, of %d bytes are known", b, len(p.has), unseen, size)
	}
	return nil
}

// pages reads what changed by parts of every size.
func pages(r *Rig) {
	ann := r.Person("ann")
	for range 9 {
		r.MustDeliver(ann, "INBOX", "body")
	}
	box := r.Box(ann, "INBOX")
	_, err := r.StoreFlags(ctx, "", ann, box.ID, []store.UID{8, 3, 4, 5}, store.FlagsAdd, []string{store.Deleted}, 0)
	r.no(err)
	_, err = r.Expunge(ctx, "", ann, box.ID, []store.UID{3, 4, 8})
	r.no(err)
	expunged := r.Box(ann, "INBOX").HighestModSeq
	_, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{1, 2, 5, 6, 7}, store.FlagsAdd, []string{store.Flagged}, 0) // neighbours of one ModSeq
	r.no(err)
	r.MustDeliver(ann, "INBOX", "new")
	r.Reopen()
	high := r.Box(ann, "INBOX").HighestModSeq
	for seq := range high + 2 {
		for limit := range 6 {
			p := r.pager(ann, box.ID)
			for _, m := range r.List(ann, "INBOX") { // as somebody has it who read up to seq
				if m.ModSeq <= seq {
					p.has[m.UID] = m
				}
			}
			p.seq = seq
			r.no(p.read(limit, func() {}))
			if p.max > max(1, limit) { // below 1 it counts as 1
				r.T.Errorf("a part has %d changes, %d were wanted", p.max, limit)
			}
			for _, m := range r.List(ann, "INBOX") {
				r.same("message", p.has[m.UID], m)
			}
			if 0 < seq && seq < expunged {
				r.same("vanished", p.gone, []store.UID{3, 4, 8})
			} else {
				r.same("vanished before anything was known, or not since", len(p.gone), 0)
			}
		}
	}
	_, err = r.Changes(ctx, ann, box.ID, 0, "elsewhere", 10)
	r.is(domicile.Invalid, err)
	_, err = r.Changes(ctx, ann, "b9", 0, "", 10)
	r.is(domicile.NotExist, err)
}

// pagesBesideWriters has writers change a mailbox between the parts.
func pagesBesideWriters(r *Rig) {
	ann := r.Person("ann")
	inbox := r.Box(ann, "INBOX").ID
	for range 10 {
		r.MustDeliver(ann, "INBOX", "x")
	}
	p, n := r.pager(ann, inbox), 0
	for range 12 {
		r.no(p.read(3, func() { // a change at each place
			r.no(r.disturb(ann, inbox, n%60))
			n += 7
		}))
	}
	ended := make(chan struct{})
	var work sync.WaitGroup
	defer work.Wait() // also where what was read is wrong
	for g := range 3 {
		work.Go(func() {
			for n := range 10 {
				if err := r.disturb(ann, inbox, g*10+n); err != nil {
					r.T.Error(err)
				}
			}
		})
	}
	defer work.Wait() // also where what is read is wrong: nobody may complain of a test that is over
	go func() { work.Wait(); close(ended) }()
	for reading := true; reading; {
		select {
		case <-ended:
			reading = false
		default:
		}
		r.no(p.read(3, func() {}))
	}
	list := r.List(ann, "INBOX")
	r.same("messages", len(p.has), len(list))
	for _, m := range list {
		r.same("message", p.has[m.UID], m)
	}
}

// forgotten has more runs of UIDs vanish than a mailbox remembers. Who knew it before learns of all of them, and of none that is there.
func forgotten(r *Rig) {
	ann := r.Person("ann")
	box := r.Box(ann, "INBOX").ID
	uids := []store.UID{r.MustDeliver(ann, "INBOX", "x").UID}
	for len(uids) < 2*store.VanishedRuns+2 {
		_, _, made, err := r.Copy(ctx, "", ann, box, uids, "INBOX")
		r.no(err)
		uids = append(uids, uidsOf(made)...)
	}
	var odd []store.UID
	for i := 0; i < len(uids); i += 2 {
		odd = append(odd, uids[i])
	}
	_, err := r.StoreFlags(ctx, "", ann, box, odd, store.FlagsAdd, []string{store.Deleted}, 0)
	r.no(err)
	before := r.Box(ann, "INBOX")
	some, err := r.Messages(ctx, ann, box, 0, store.MaxPage+1)
	r.no(err)
	part, err := r.Changes(ctx, ann, box, 0, "", store.MaxPage+1)
	r.no(err)
	r.same("no part has more than MaxPage", []any{len(some), len(part.Changed)}, []any{store.MaxPage, store.MaxPage})
	knew := r.pager(ann, box)
	r.no(knew.read(store.MaxPage, func() {}))
	_, err = r.Expunge(ctx, "", ann, box, nil)
	r.no(err)
	r.Reopen()
	c, err := Since(r.Store, ann, box, before.HighestModSeq)
	r.no(err)
	there := map[store.UID]bool{}
	for _, m := range r.List(ann, "INBOX") {
		there[m.UID] = true
	}
	for _, uid := range c.Vanished {
		if there[uid] {
			r.T.Fatalf("UID %d is there and has vanished", uid)
		}
	}
	r.same("all that went", slices.ContainsFunc(odd, func(uid store.UID) bool { return !slices.Contains(c.Vanished, uid) }), false)
	r.no(knew.read(store.MaxPage, func() {}))
	fresh := r.pager(ann, box)
	r.no(fresh.read(store.MaxPage, func() {}))
	r.same("what is left", []any{len(knew.has), len(fresh.has)}, []any{len(there), len(there)})
	last := fresh.seq
	_, _, _, err = r.Store.Move(ctx, "", ann, box, uids[1:2], "Trash")
	r.no(err)
	c, err = Since(r.Store, ann, box, last)
	r.no(err)
	r.same("what went since", c.Vanished, uids[1:2])
	far := r.other()
	r.no(freeze(r, ann))
	r.no(transfer(r, far, ann, 1<<20))
	r.no(far.Activate(ctx, ann, func(a *store.Account) error { a.State = store.Active; return nil }))
	c, err = Since(far.Store, ann, box, before.HighestModSeq)
	r.no(err)
	r.same("behind a move", slices.ContainsFunc(odd, func(uid store.UID) bool { return !slices.Contains(c.Vanished, uid) }), false)
}
