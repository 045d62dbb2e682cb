package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"domicile"
	"domicile/store"
)

func (r *Rig) subscribed(acct domicile.AccountID) []string {
	r.T.Helper()
	names, err := r.Subscriptions(ctx, acct)
	r.no(err)
	return names
}

// subscriptions: a name is subscribed, whatever becomes of the mailboxes that have it.
func subscriptions(r *Rig) {
	ann := r.Person("ann")
	first := []string{"Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"}
	r.same("at first", r.subscribed(ann), first)
	for range 2 {
		r.no(r.Subscribe(ctx, "", ann, "inbox/later", true))
	}
	r.no(r.Subscribe(ctx, "", ann, "Never", false))
	r.no(r.Subscribe(ctx, "", ann, "Archive", false))
	r.is(domicile.Invalid, r.Subscribe(ctx, "", ann, "a//b", true))
	r.is(domicile.NotExist, r.Subscribe(ctx, "", "a9", "Sent", true))
	with := []string{"Drafts", "INBOX", "INBOX/later", "Junk", "Sent", "Trash"}
	r.Reopen()
	r.same("without a mailbox", r.subscribed(ann), with)
	_, err := r.MailboxByName(ctx, ann, "INBOX/later")
	r.is(domicile.NotExist, err)

	made, err := r.CreateMailbox(ctx, "", ann, "INBOX/later/still", "")
	r.no(err)
	r.same("made above and below", []any{r.Box(ann, "INBOX/later").Subscribed, made.Subscribed}, []any{true, false})
	r.no(r.RenameMailbox(ctx, "", ann, "INBOX/later", "Trash/old"))
	r.same("left by a rename", []any{r.subscribed(ann), r.Box(ann, "Trash/old").Subscribed}, []any{with, false})
	r.no(r.RenameMailbox(ctx, "", ann, "Trash/old", "INBOX/later"))
	r.same("taken by a rename", r.Box(ann, "INBOX/later").Subscribed, true)
	c, err := r.Changes(ctx, ann, r.Box(ann, "INBOX/later").ID, 0, "", 10)
	r.no(err)
	r.same("among changes", c.Mailbox.Subscribed, true)
	for range 2 {
		r.no(r.DeleteMailbox(ctx, "", ann, "Sent"))
		r.same("left by a deletion", r.subscribed(ann), with)
		sent, err := r.CreateMailbox(ctx, "", ann, "Sent", "")
		r.no(err)
		r.same("made again", sent.Subscribed, true)
	}
	r.no(r.DeleteMailbox(ctx, "", ann, "Sent"))
	r.no(r.Subscribe(ctx, "", ann, "Sent", false))
	r.Reopen()
	r.same("taken away", r.subscribed(ann), []string{"Drafts", "INBOX", "INBOX/later", "Junk", "Trash"})
}

// subscriptionsFull: names that no mailbox has are bounded, and a deletion is refused for none of them.
func subscriptionsFull(r *Rig) {
	ann := r.Person("ann")
	for n := range store.MaxSubscribed {
		r.no(r.Subscribe(ctx, "", ann, fmt.Sprint("x", n), true))
	}
	r.is(domicile.TooLarge, r.Subscribe(ctx, "", ann, "y", true))
	r.no(r.Subscribe(ctx, "", ann, "x7", true))
	r.no(r.DeleteMailbox(ctx, "", ann, "Sent"))
	r.same("the name of one that goes goes too", len(r.subscribed(ann)), store.MaxSubscribed+5)
	r.no(r.Subscribe(ctx, "", ann, "x7", false))
	r.no(r.Subscribe(ctx, "", ann, "y", true))
}

// note is an annotation to set, or with "-" to remove.
func note(entry, value string) store.Annotation {
	if value == "-" {
		return store.Annotation{Entry: entry}
	}
	return store.Annotation{Entry: entry, Value: []byte(value)}
}

func (r *Rig) annotate(acct domicile.AccountID, mbox domicile.MailboxID, set ...store.Annotation) uint64 {
	r.T.Helper()
	n, err := r.Annotate(ctx, "", acct, mbox, set)
	r.no(err)
	return n
}

// notes are the annotations of a mailbox, or the account's, as text.
func notes(s store.Store, acct domicile.AccountID, mbox domicile.MailboxID) (text string, err error) {
	all, err := s.Annotations(ctx, acct, mbox)
	for _, x := range all {
		text += fmt.Sprintf("%s=%q ", x.Entry, x.Value)
		if x.Mailbox != mbox || x.Changed == 0 || x.Value == nil {
			text += "?"
		}
	}
	return text, err
}

func (r *Rig) notes(acct domicile.AccountID, mbox domicile.MailboxID) string {
	r.T.Helper()
	text, err := notes(r.Store, acct, mbox)
	r.no(err)
	return text
}

func annotations(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	inbox, sent := r.Box(ann, "INBOX"), r.Box(ann, "Sent")
	r.annotate(ann, inbox.ID, note("/shared/comment", "ours"), note("/Private/Comment", "mine\x00\xff"), note("/private/empty", ""))
	r.annotate(ann, "", note("/private/vendor/x/y", "the account's"))
	r.annotate(ann, sent.ID, note("/private/comment", "of Sent"))
	r.Reopen()
	r.same("of a mailbox", r.notes(ann, inbox.ID), `/private/comment="mine\x00\xff" /private/empty="" /shared/comment="ours" `)
	r.same("of the account", r.notes(ann, ""), `/private/vendor/x/y="the account's" `)
	r.same("of another", []any{r.notes(bob, ""), r.notes(bob, r.Box(bob, "INBOX").ID)}, []any{"", ""})
	now := r.Box(ann, "INBOX")
	r.same("no message changed", now, inbox)

	_, err := r.Annotate(ctx, "", ann, inbox.ID, []store.Annotation{note("/private/comment", "-"), note("/private/a//b", "x")})
	r.is(domicile.Invalid, err)
	_, err = r.Annotate(ctx, "", ann, inbox.ID, []store.Annotation{note("/private/comment", "-"), note("/private/b", strings.Repeat("x", store.MaxAnnotation+1))})
	r.is(domicile.TooLarge, err)
	for _, act := range []func() error{
		func() error {
			_, err := r.Annotate(ctx, "", ann, "b-none", []store.Annotation{note("/private/a", "x")})
			return err
		},
		func() error { _, err := r.Annotations(ctx, ann, "b-none"); return err },
		func() error {
			_, err := r.Annotate(ctx, "", "a9", "", []store.Annotation{note("/private/a", "x")})
			return err
		},
		func() error { _, err := r.Annotations(ctx, "a9", ""); return err },
		func() error { _, _, err := r.Annotated(ctx, "a9", 0); return err },
		func() error { _, err := r.AnnotationChange(ctx, "a9"); return err },
	} {
		r.is(domicile.NotExist, act())
	}
	r.annotate(ann, inbox.ID, note("/private/comment", "-"), note("/private/none", "-"), note("/private/EMPTY", "1"), note("/private/empty", "2"))
	r.same("all or none, and the last counts", r.notes(ann, inbox.ID), `/private/empty="2" /shared/comment="ours" `)

	r.no(r.RenameMailbox(ctx, "", ann, "Sent", "Old/Sent"))
	r.same("over a rename", r.notes(ann, r.Box(ann, "Old/Sent").ID), `/private/comment="of Sent" `)
	r.no(r.RenameMailbox(ctx, "", ann, "INBOX", "Old/Mail"))
	for _, name := range []string{"INBOX", "Old/Mail"} {
		r.same("behind a rename of INBOX", r.notes(ann, r.Box(ann, name).ID), `/private/empty="2" /shared/comment="ours" `)
	}
	r.no(r.DeleteMailbox(ctx, "", ann, "Old/Mail"))
	again, err := r.CreateMailbox(ctx, "", ann, "Old/Mail", "")
	r.no(err)
	r.same("gone with the mailbox", []any{r.notes(ann, again.ID), r.notes(ann, inbox.ID) != ""}, []any{"", true})
}

// annotated follows what changed by numbers.
func annotated(r *Rig) {
	ann := r.Person("ann")
	inbox := r.Box(ann, "INBOX").ID
	keys := map[string]string{} // to names
	names := func(since uint64) string {
		n, all, err := r.Annotated(ctx, ann, since)
		r.no(err)
		alone, err := r.AnnotationChange(ctx, ann)
		r.no(err)
		r.same("the number alone", alone, n)
		var lines []string
		for _, x := range all {
			lines = append(lines, fmt.Sprint(x.Mailbox == inbox, x.Entry, x.Changed))
			name := string(x.Mailbox) + x.Entry
			if known, ok := keys[x.Key]; x.Entry != "" && ok && known != name || x.Entry == "" && !ok {
				r.T.Errorf("the key of %q is that of %q", name, known)
			}
			if x.Entry != "" {
				keys[x.Key] = name
			}
		}
		slices.Sort(lines)
		return strings.Join(append([]string{fmt.Sprint(n)}, lines...), " ")
	}
	r.same("at first", names(0), "0")
	r.same("one", r.annotate(ann, "", note("/private/a", "1"), note("/private/b", "1")), 1)
	r.same("two", r.annotate(ann, inbox, note("/private/a", "1")), 2)
	r.same("nothing", []any{r.annotate(ann, inbox, note("/private/z", "-")), r.annotate(ann, inbox)}, []any{2, 2})
	r.same("three", r.annotate(ann, "", note("/private/b", "2"), note("/private/a", "-")), 3)
	r.same("since 1", names(1), "3 false/private/b3 true/private/a2")
	r.Reopen()
	r.same("since 2", names(2), "3 false/private/b3 true2")
	r.same("since 3", names(3), "3")
	r.same("from the beginning", []any{names(0), len(keys)}, []any{"3 false/private/b3 true/private/a2", 2})
}

// annotationsOverLimits: an account has so many, and so many bytes of them, and its quota counts them.
func annotationsOverLimits(r *Rig) {
	ann := r.Person("ann")
	inbox := r.Box(ann, "INBOX").ID
	used := func() int64 {
		n, err := r.Used(ctx, ann)
		r.no(err)
		return n
	}
	value := strings.Repeat("v", store.MaxAnnotation)
	n := 0
	for ; (n+1)*(store.MaxAnnotation+11) <= store.MaxAnnotationBytes; n++ {
		r.annotate(ann, inbox, note(fmt.Sprintf("/private/%02d", n), value))
	}
	r.same("used", used(), n*(store.MaxAnnotation+11))
	over := func(mbox domicile.MailboxID, set ...store.Annotation) error {
		r.T.Helper()
		_, err := r.Annotate(ctx, "", ann, mbox, set)
		r.is(domicile.TooLarge, err)
		return err
	}
	over("", note("/private/more", value))
	r.is(domicile.TooLarge, r.RenameMailbox(ctx, "", ann, "INBOX", "Copy"))
	r.annotate(ann, inbox, note("/private/00", "-"), note("/private/01", "less"))
	r.annotate(ann, "", note("/private/00", value))

	r.no(r.UpdateAccount(ctx, ann, func(a *store.Account) error { a.Quota = used() + 20; return nil }))
	if err := over("", note("/private/quota", "1234567")); errors.Is(err, store.ErrOverQuota) {
		_, err = r.Deliver(ann, "", "INBOX", strings.Repeat("x", 21))
		r.is(domicile.TooLarge, err)
	} else {
		r.T.Fatal("not over the quota:", err)
	}
	r.annotate(ann, "", note("/private/quota", "1"), note("/private/00", "-")) // which makes them fewer
	for _, x := range r.all(ann, inbox) {
		r.annotate(ann, inbox, store.Annotation{Entry: x.Entry})
	}
	r.annotate(ann, "", note("/private/quota", "-"))
	r.same("all are gone", used(), 0)

	r.no(r.UpdateAccount(ctx, ann, func(a *store.Account) error { a.Quota = 0; return nil }))
	var many []store.Annotation
	for n := range store.MaxAnnotations {
		many = append(many, note(fmt.Sprint("/private/", n), ""))
	}
	r.annotate(ann, inbox, many...)
	over("", note("/private/more", ""))
	r.no(r.DeleteMailbox(ctx, "", ann, "Sent"))
	r.annotate(ann, inbox, note("/private/0", "-"))
	r.annotate(ann, "", note("/private/more", ""))
}

func (r *Rig) all(acct domicile.AccountID, mbox domicile.MailboxID) []store.Annotation {
	all, err := r.Annotations(ctx, acct, mbox)
	r.no(err)
	return all
}
