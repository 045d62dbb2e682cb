package storetest

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"domicile"
	"domicile/store"
)

func tokens(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	first, err := r.Deliver(ann, "t1", "INBOX", "first")
	r.no(err)
	repeat := func(want store.Message, mailbox string) {
		r.T.Helper()
		again, err := r.Deliver(ann, "t1", mailbox, "other bytes")
		r.no(err)
		r.same("the first message", again, want)
	}
	repeat(first, "INBOX")
	repeat(first, "Trash")
	r.Reopen()
	repeat(first, "INBOX")
	r.same("stored once", len(r.List(ann, "INBOX")), 1)
	_, err = r.Deliver(bob, "t1", "INBOX", "bob's own token")
	r.no(err)
	r.same("bob's", len(r.List(bob, "INBOX")), 1)

	// A token outlives what it made, and a failed call leaves none.
	inbox := r.Box(ann, "INBOX").ID
	_, err = r.StoreFlags(ctx, "", ann, inbox, []store.UID{first.UID}, store.FlagsAdd, []string{"\\Deleted"}, 0)
	r.no(err)
	_, err = r.Expunge(ctx, "", ann, inbox, nil)
	r.no(err)
	repeat(first, "INBOX")
	_, err = r.Deliver(ann, "t2", "Nowhere", "x")
	r.is(domicile.NotExist, err)
	_, err = r.Deliver(ann, "t2", "INBOX", "x")
	r.no(err)

	r.no(r.Forget(ctx, ann, "t1"))
	r.no(r.Forget(ctx, ann, "t1"))
	r.no(r.Forget(ctx, ann, "never used"))
	second, err := r.Deliver(ann, "t1", "INBOX", "stored anew")
	r.no(err)
	if second.ID == first.ID {
		r.T.Fatal("a forgotten token was remembered")
	}

	made, err := r.CreateMailbox(ctx, "m1", ann, "New/Box", "")
	r.no(err)
	r.no(r.DeleteMailbox(ctx, "", ann, "New/Box"))
	again, err := r.CreateMailbox(ctx, "m1", ann, "New/Box", "")
	r.no(err)
	r.same("mailbox", again, made)
	_, err = r.Deliver(ann, "m1", "INBOX", "x")
	r.is(domicile.Invalid, err)
	r.is(domicile.Invalid, r.Forget(ctx, ann, "m1"))

	archive, trash := r.Box(ann, "Archive").UIDValidity, r.Box(ann, "Trash").UIDValidity
	for range 2 {
		validity, from, to, err := r.Copy(ctx, "c1", ann, inbox, []store.UID{second.UID}, "Archive")
		r.no(err)
		r.same("copied", []any{validity, from, uidsOf(to), to[0].ID}, []any{archive, []store.UID{second.UID}, []store.UID{1}, second.ID})
	}
	for range 2 {
		validity, from, to, err := r.Move(ctx, "v1", ann, inbox, []store.UID{second.UID}, "Trash")
		r.no(err)
		r.same("moved", []any{validity, from, uidsOf(to), to[0].ID}, []any{trash, []store.UID{second.UID}, []store.UID{1}, second.ID})
	}
	r.same("copied once", len(r.List(ann, "Archive")), 1)
	r.same("moved once", len(r.List(ann, "Trash")), 1)

	a := store.Account{ID: "a7", Address: "seven@example.com"}
	r.no(r.CreateAccount(ctx, "k", a))
	r.no(r.CreateAccount(ctx, "k", a))
	r.is(domicile.Exist, r.CreateAccount(ctx, "k2", a))
}

// tokensOfAll says each act twice, with what others do in between: the second does nothing, and returns what the first did.
func tokensOfAll(r *Rig) {
	ann := r.Person("ann")
	for range 2 {
		r.MustDeliver(ann, "INBOX", "x", store.Deleted)
	}
	r.MustDeliver(ann, "INBOX", "x")
	inbox := r.Box(ann, "INBOX")
	flag := func(tok store.Token, op store.FlagOp, unless store.ModSeq) string {
		f, err := r.StoreFlags(ctx, tok, ann, inbox.ID, []store.UID{3}, op, []string{store.Seen}, unless)
		r.no(err)
		return fmt.Sprint(f)
	}
	first := flag("f", store.FlagsAdd, inbox.HighestModSeq)
	flag("", store.FlagsRemove, 0)
	r.same("flags, and unless", flag("f", store.FlagsAdd, inbox.HighestModSeq), first)
	r.same("stored once", r.List(ann, "INBOX")[2].Flags, []string{})

	expunge := func() string {
		gone, err := r.Expunge(ctx, "e", ann, inbox.ID, nil)
		r.no(err)
		return fmt.Sprint(gone)
	}
	r.same("expunged", expunge(), []store.UID{1, 2})
	_, err := r.StoreFlags(ctx, "", ann, inbox.ID, []store.UID{3}, store.FlagsSet, []string{store.Deleted}, 0)
	r.no(err)
	r.Reopen()
	r.same("expunged again", []any{expunge(), len(r.List(ann, "INBOX"))}, []any{[]store.UID{1, 2}, 1})

	r.no(r.Subscribe(ctx, "s", ann, "Junk", false))
	r.no(r.Subscribe(ctx, "", ann, "Junk", true))
	r.no(r.Subscribe(ctx, "s", ann, "Junk", false))
	r.same("subscribed", r.Box(ann, "Junk").Subscribed, true)

	annotate := func() uint64 {
		n, err := r.Annotate(ctx, "a", ann, inbox.ID, []store.Annotation{note("/private/a", "first")})
		r.no(err)
		return n
	}
	number := annotate()
	r.annotate(ann, inbox.ID, note("/private/a", "second"))
	r.same("annotated once", []any{annotate(), r.notes(ann, inbox.ID)}, []any{number, `/private/a="second" `})

	r.no(r.RenameMailbox(ctx, "i", ann, "INBOX", "Before"))
	r.MustDeliver(ann, "INBOX", "new")
	r.no(r.RenameMailbox(ctx, "i", ann, "INBOX", "Before"))
	r.same("INBOX renamed once", []any{len(r.List(ann, "INBOX")), len(r.List(ann, "Before"))}, []any{1, 1})

	again := func(name string) domicile.MailboxID {
		made, err := r.CreateMailbox(ctx, "", ann, name, "")
		r.no(err)
		return made.ID
	}
	r.no(r.RenameMailbox(ctx, "r", ann, "Junk", "Spam"))
	junk := again("Junk")
	r.no(r.RenameMailbox(ctx, "r", ann, "Junk", "Spam"))
	r.no(r.DeleteMailbox(ctx, "d", ann, "Spam"))
	spam := again("Spam")
	r.no(r.DeleteMailbox(ctx, "d", ann, "Spam"))
	r.same("those of others stay", []any{r.Box(ann, "Junk").ID, r.Box(ann, "Spam").ID}, []any{junk, spam})
	r.is(domicile.Invalid, r.DeleteMailbox(ctx, "r", ann, "Spam"))

	r.is(domicile.NotExist, r.DeleteMailbox(ctx, "fails", ann, "Nowhere"))
	r.no(r.DeleteMailbox(ctx, "fails", ann, "Spam"))
	for _, err := range []error{r.Subscribe(ctx, tooLong, ann, "Junk", true), r.RenameMailbox(ctx, tooLong, ann, "Junk", "X"), r.DeleteMailbox(ctx, tooLong, ann, "Junk")} {
		r.is(domicile.Invalid, err)
	}
}

var tooLong = store.Token(strings.Repeat("t", store.MaxToken+1))

func tokensPrune(r *Rig) {
	ann := r.Person("ann")
	_, err := r.Deliver(ann, "old", "INBOX", "x")
	r.no(err)
	r.Pass(store.TokenLife)
	for _, tok := range []store.Token{"between", "old"} {
		_, err = r.Deliver(ann, tok, "INBOX", "x")
		r.no(err)
	}
	r.same("remembered to the end of its life", len(r.List(ann, "INBOX")), 2)
	r.Pass(time.Second)
	_, err = r.Deliver(ann, "new", "INBOX", "x")
	r.no(err)
	_, err = r.Deliver(ann, "old", "INBOX", "x")
	r.no(err)
	r.same("forgotten afterwards", len(r.List(ann, "INBOX")), 4)
}

// tokensAtOnce delivers under few tokens from many goroutines.
func tokensAtOnce(r *Rig) {
	ann := r.Person("ann")
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 6 {
				tok := store.Token(fmt.Sprint(i))
				if _, err := r.Deliver(ann, tok, "INBOX", fmt.Sprint(g, i)); err != nil {
					r.T.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.same("one message a token", len(r.List(ann, "INBOX")), 6)
}
