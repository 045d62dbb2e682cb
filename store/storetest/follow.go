package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"domicile"
	"domicile/store"
)

// patience is how long a test waits for what normally takes milliseconds.
var patience = time.Minute

// hintAfterChange makes one change at a time, and reads it by nothing but the hints that follow it.
func hintAfterChange(r *Rig) {
	ann := r.Person("ann")
	inbox := r.Box(ann, "INBOX").ID
	hint, stop := r.Watch(ann)
	defer stop()
	for n := range 20 {
		var work sync.WaitGroup
		work.Go(func() {
			if _, err := r.Deliver(ann, "", "INBOX", "x"); err != nil {
				r.T.Error(err)
			}
		})
		late := time.After(patience)
		for seen := n; seen == n; {
			select {
			case <-hint:
			case <-late:
				r.T.Fatal("no hint came behind the change")
			}
			list, err := r.Messages(ctx, ann, inbox, 0, store.MaxPage)
			r.no(err)
			seen = len(list)
		}
		work.Wait()
	}
}

// follow has writers change a mailbox while others follow it by hints alone: each ends where the writers do.
func follow(r *Rig) {
	ann := r.Person("ann")
	inbox := r.Box(ann, "INBOX").ID
	writers := func() {
		var work sync.WaitGroup
		for g := range 4 {
			work.Go(func() {
				for n := range 8 {
					if err := r.disturb(ann, inbox, g*8+n); err != nil {
						r.T.Error(err)
					}
				}
			})
		}
		work.Wait()
	}
	ended := make(chan struct{})
	var followers sync.WaitGroup
	for _, mbox := range []domicile.MailboxID{inbox, inbox, r.Box(ann, "Trash").ID} {
		f := &follower{r: r, acct: ann, mbox: mbox, has: map[store.UID]store.Message{}}
		hint, stop := r.Watch(ann)
		f.read() // and only then: what comes later gives a hint
		followers.Go(func() {
			defer stop()
			f.follow(hint, ended)
		})
	}
	writers()
	close(ended)
	followers.Wait()
}

// disturb makes one change of a kind that n chooses.
func (r *Rig) disturb(acct domicile.AccountID, mbox domicile.MailboxID, n int) (err error) {
	uids := []store.UID{store.UID(n/3 + 1), store.UID(n/2 + 1)}
	switch n % 5 {
	case 0, 1:
		_, err = r.Deliver(acct, "", "INBOX", fmt.Sprint("body ", n), []string{store.Seen, store.Deleted}[:n%3]...)
	case 2:
		_, err = r.StoreFlags(ctx, "", acct, mbox, uids, store.FlagsAdd, []string{store.Deleted}, 0)
	case 3:
		_, _, _, err = r.Store.Move(ctx, "", acct, mbox, uids[:1], "Trash")
	case 4:
		_, err = r.Store.Expunge(ctx, "", acct, mbox, uids)
	}
	return err
}

// follower keeps a copy of a mailbox, as a mail program does.
type follower struct {
	r    *Rig
	acct domicile.AccountID
	mbox domicile.MailboxID
	seq  store.ModSeq
	has  map[store.UID]store.Message
}

// follow reads upon each hint. When the writers have ended, hints alone must bring it to their end.
func (f *follower) follow(hint <-chan store.Hint, ended <-chan struct{}) {
	var deadline <-chan time.Time
	for {
		select {
		case h := <-hint:
			if (h == nil || slices.Contains(h, f.mbox)) && !f.read() {
				return
			}
		case <-ended:
			ended, deadline = nil, time.After(patience)
		case <-deadline:
			f.r.T.Errorf("no hint led to the mailbox's last state; the follower has ModSeq %d", f.seq)
			return
		}
		if ended == nil && f.arrived() {
			return
		}
	}
}

// read takes in what changed. What it holds then must be what the mailbox's own numbers say, at each moment.
func (f *follower) read() (ok bool) {
	c, err := Since(f.r, f.acct, f.mbox, f.seq)
	if err != nil {
		f.r.T.Error(err)
		return false
	}
	for _, uid := range c.Vanished {
		delete(f.has, uid)
	}
	var size int64
	var unseen uint32
	for _, m := range c.Changed {
		f.has[m.UID] = m
	}
	for uid, m := range f.has {
		size += m.Size
		if !store.HasFlag(m.Flags, store.Seen) {
			unseen++
		}
		ok = m.ModSeq <= c.Mailbox.HighestModSeq && uid < c.Mailbox.UIDNext
		if !ok {
			f.r.T.Errorf("%+v in a mailbox %+v", m, c.Mailbox)
		}
	}
	f.seq = c.Mailbox.HighestModSeq
	if b := c.Mailbox; int(b.Messages) != len(f.has) || b.Size != size || b.Unseen != unseen {
		f.r.T.Errorf("torn: the mailbox says %+v, and %d messages, %d unseen, of %d bytes are known", b, len(f.has), unseen, size)
		return false
	}
	return true
}

// arrived says whether the copy is the mailbox. Nobody changes it any more.
func (f *follower) arrived() bool {
	list, err := f.r.Messages(ctx, f.acct, f.mbox, 0, store.MaxPage)
	if err != nil {
		f.r.T.Error(err)
		return true
	}
	return len(list) == len(f.has) && !slices.ContainsFunc(list, func(m store.Message) bool { return f.has[m.UID].ModSeq != m.ModSeq })
}

// torn moves all messages to and fro while others look on: a reader sees all of them in one mailbox or all in the other.
func torn(r *Rig) {
	const messages = 12
	ann := r.Person("ann")
	boxes := [2]store.Mailbox{r.Box(ann, "INBOX"), r.Box(ann, "Archive")}
	for range messages {
		r.MustDeliver(ann, "INBOX", "x")
	}
	ended := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(ended)
	for range 2 {
		readers.Go(func() {
			for r.whole(ann, boxes, messages) {
				select {
				case <-ended:
					return
				default:
				}
			}
		})
	}
	for n := range 30 {
		list, err := r.Messages(ctx, ann, boxes[n%2].ID, 0, store.MaxPage)
		r.no(err)
		_, _, _, err = r.Store.Move(ctx, "", ann, boxes[n%2].ID, uidsOf(list), boxes[1-n%2].Name)
		r.no(err)
	}
}

// whole reads by each method that returns several things.
func (r *Rig) whole(acct domicile.AccountID, boxes [2]store.Mailbox, want int) bool {
	all, err := r.Mailboxes(ctx, acct)
	if err != nil {
		r.T.Error(err)
		return false
	}
	var sum int
	for _, b := range all {
		sum += int(b.Messages)
	}
	for _, b := range boxes {
		list, err := r.Messages(ctx, acct, b.ID, 0, store.MaxPage)
		c, err2 := Since(r, acct, b.ID, 1)
		if err != nil || err2 != nil {
			r.T.Error(err, err2)
			return false
		}
		if len(list)%want != 0 || len(c.Changed)%want != 0 || len(c.Changed) != int(c.Mailbox.Messages) || int(c.Mailbox.UIDNext) != 1+len(c.Changed)+len(c.Vanished) {
			r.T.Errorf("a part of an act was seen: %d messages listed, %d changed and %d vanished in %+v", len(list), len(c.Changed), len(c.Vanished), c.Mailbox)
			return false
		}
	}
	if sum != want {
		r.T.Errorf("the mailboxes have %d messages, want %d", sum, want)
	}
	return sum == want
}
