package storetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"domicile"
	"domicile/store"
)

func watch(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	hint, stop := r.Watch(ann)
	second, stopSecond := r.Watch(ann)
	others, stopOthers := r.Watch(bob)
	defer stopOthers()
	for range 3 { // nobody reads: nobody waits
		r.MustDeliver(ann, "INBOX", "x")
	}
	inbox := r.Box(ann, "INBOX").ID
	for _, c := range []<-chan store.Hint{hint, second} {
		select {
		case h := <-c:
			if h != nil && !slices.Contains(h, inbox) {
				r.T.Errorf("three deliveries touched %v", h)
			}
		case <-time.After(5 * time.Second):
			r.T.Fatal("no hint came")
		}
		select {
		case <-c:
			r.T.Fatal("hints do not coalesce")
		default:
		}
	}
	select {
	case <-others:
		r.T.Fatal("a hint for another account")
	default:
	}
	for name, change := range map[string]func() error{
		"mailbox":   func() error { _, err := r.CreateMailbox(ctx, "", ann, "New", ""); return err },
		"subscribe": func() error { return r.Subscribe(ctx, "", ann, "Sent", false) },
		"annotate": func() error {
			_, err := r.Annotate(ctx, "", ann, inbox, []store.Annotation{note("/private/a", "x")})
			return err
		},
		"account": func() error {
			return r.UpdateAccount(ctx, ann, func(a *store.Account) error { a.Quota = 9999; return nil })
		},
	} {
		r.no(change())
		select {
		case h := <-hint:
			if h != nil {
				r.T.Errorf("%s changed more than messages, and the hint names %v alone", name, h)
			}
		case <-time.After(5 * time.Second):
			r.T.Fatal("no hint of", name)
		}
	}
	r.hintsOfMessages(ann, hint)
	stop()
	stop()
	stopSecond()
	r.MustDeliver(ann, "INBOX", "x")
	select {
	case <-hint:
		r.T.Fatal("a hint after stop")
	default:
	}
}

// hintsOfMessages: a hint of an act names each mailbox whose messages it changed, or none.
func (r *Rig) hintsOfMessages(acct domicile.AccountID, hint <-chan store.Hint) {
	r.T.Helper()
	inbox, sent, drafts := r.Box(acct, "INBOX").ID, r.Box(acct, "Sent").ID, r.Box(acct, "Drafts").ID
	uids := uidsOf(r.List(acct, "INBOX"))
	for _, act := range []struct {
		name    string
		touches []domicile.MailboxID
		do      func() error
	}{
		{"Commit", []domicile.MailboxID{sent}, func() error { _, err := r.Deliver(acct, "", "Sent", "x"); return err }},
		{"StoreFlags", []domicile.MailboxID{inbox}, func() error {
			_, err := r.StoreFlags(ctx, "", acct, inbox, uids[:1], store.FlagsAdd, []string{store.Deleted}, 0)
			return err
		}},
		{"Copy", []domicile.MailboxID{sent}, func() error { _, _, _, err := r.Store.Copy(ctx, "", acct, inbox, uids[1:2], "Sent"); return err }},
		{"Move", []domicile.MailboxID{inbox, sent}, func() error { _, _, _, err := r.Store.Move(ctx, "", acct, inbox, uids[1:2], "Sent"); return err }},
		{"Commit in the place of another", []domicile.MailboxID{inbox, sent}, func() error {
			_, _, err := r.Commit(ctx, "", acct, "Sent", r.Letters(acct, "y"), &store.Instead{Mailbox: inbox, UID: uids[2]})
			return err
		}},
		{"Expunge", []domicile.MailboxID{inbox}, func() error { _, err := r.Store.Expunge(ctx, "", acct, inbox, nil); return err }},
		{"NumberMailbox", []domicile.MailboxID{drafts}, func() error { return r.NumberMailbox(ctx, acct, drafts, 7, 50) }},
		{"RenameMailbox of INBOX", nil, func() error { return r.RenameMailbox(ctx, "", acct, "INBOX", "Old") }},
		{"DeleteMailbox", nil, func() error { return r.DeleteMailbox(ctx, "", acct, "Old") }},
	} {
		r.no(act.do())
		select {
		case h := <-hint:
			missing := slices.DeleteFunc(slices.Clone(act.touches), func(id domicile.MailboxID) bool { return slices.Contains(h, id) })
			if h != nil && (act.touches == nil || len(missing) > 0) {
				r.T.Errorf("%s changed the messages of %v, and the hint names %v", act.name, act.touches, h)
			}
		case <-time.After(5 * time.Second):
			r.T.Fatalf("no hint of %s came", act.name)
		}
	}
}

func closed(r *Rig) {
	ann := r.Person("ann")
	m := r.MustDeliver(ann, "INBOX", "x")
	in, err := r.Incoming(ctx, ann, 10)
	r.no(err)
	t := r.table("t")
	r.no(r.Close())
	r.no(r.Close())
	_, err = in.Commit(ctx, "", "INBOX", nil, time.Time{})
	r.is(domicile.Unavailable, err)
	_, err = r.Body(ctx, ann, m.ID)
	r.is(domicile.Unavailable, err)
	_, err = r.Accounts(ctx, "", 1)
	r.is(domicile.Unavailable, err)
	r.is(domicile.Unavailable, t.Put("k", nil))
	r.mustOpen()
	r.same("nothing lost, nothing added", len(r.List(ann, "INBOX")), 1)
}

// killed opens a copy of the folder of a store that is open, which is what a process that was killed between two acts leaves:
// all that was acknowledged is there, and nothing of what was not.
func killed(r *Rig) {
	id := r.furnished()
	in, err := r.Incoming(ctx, id, 100)
	r.no(err)
	defer in.Abort()
	_, err = io.WriteString(in, "never committed")
	r.no(err)
	want, err := portrait(r.Store, id)
	r.no(err)
	before := r.At.Dir
	r.At.Dir = r.T.TempDir()
	r.no(os.CopyFS(r.At.Dir, os.DirFS(before)))
	after := &Rig{T: r.T, At: r.At, open: r.open}
	r.At.Dir = before
	after.mustOpen()
	defer func() { r.no(after.Close()) }()
	after.Check()
	got, err := portrait(after.Store, id)
	r.no(err)
	r.same("after the kill", got, want)
	after.goesOn(id)
}

// atOnce delivers, copies, marks and expunges from many goroutines and looks on
// from others. UIDs ascend, none comes twice, and what is acknowledged is there.
func atOnce(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	boxes := []string{"INBOX", "INBOX", "Archive", "Junk"}
	var (
		mu   sync.Mutex
		sent = map[domicile.MessageID]string{}
		work sync.WaitGroup
	)
	done, stop := context.WithCancel(ctx)
	var reader sync.WaitGroup
	reader.Go(func() { r.lookOn(done, ann) })
	for g := range 16 {
		acct := []domicile.AccountID{ann, bob}[g%2]
		work.Go(func() {
			for i := range 8 {
				body := fmt.Sprintf("message %d of %d", i, g)
				m, err := r.Deliver(acct, "", boxes[(g/2)%len(boxes)], body)
				if err != nil {
					r.T.Error(err)
					return
				}
				mu.Lock()
				sent[m.ID] = body
				mu.Unlock()
			}
		})
	}
	for range 2 {
		work.Go(func() {
			inbox, err := r.MailboxByName(ctx, ann, "INBOX")
			for i := 0; i < 10 && err == nil; i++ {
				_, _, _, err = r.Move(ctx, "", ann, inbox.ID, []store.UID{store.UID(i), store.UID(i + 1)}, "Trash")
			}
			if err != nil {
				r.T.Error(err)
			}
		})
	}
	work.Wait()
	stop()
	reader.Wait()
	found := 0
	for _, acct := range []domicile.AccountID{ann, bob} {
		for _, name := range []string{"INBOX", "Archive", "Junk", "Trash"} {
			list := r.List(acct, name)
			if !ascending(uidsOf(list)) {
				r.T.Fatal("UIDs of", name, "do not ascend")
			}
			for _, m := range list {
				body, err := r.ReadBody(acct, m.ID)
				r.no(err)
				r.same("body", body, sent[m.ID])
				found++
			}
		}
	}
	r.same("each message once", []any{found, len(sent)}, []any{16 * 8, 16 * 8})
}

// lookOn follows INBOX by Since, as IDLE does, and sees each UID appear in order and never return.
func (r *Rig) lookOn(done context.Context, acct domicile.AccountID) {
	inbox, err := r.MailboxByName(ctx, acct, "INBOX")
	if err != nil {
		r.T.Error(err)
		return
	}
	var seq store.ModSeq
	var last store.UID
	gone := map[store.UID]bool{}
	for done.Err() == nil {
		c, err := Since(r.Store, acct, inbox.ID, seq)
		if err != nil {
			r.T.Error(err)
			return
		}
		for _, uid := range c.Vanished {
			gone[uid] = true
		}
		for _, m := range c.Changed {
			if m.UID <= last || gone[m.UID] {
				r.T.Errorf("UID %d came after %d", m.UID, last)
			}
			last = m.UID
		}
		if c.Mailbox.UIDNext <= last || c.Mailbox.HighestModSeq < seq {
			r.T.Error("the mailbox's numbers went back")
		}
		seq = c.Mailbox.HighestModSeq
	}
}
