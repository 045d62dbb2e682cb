package storetest

import (
	"strings"

	"domicile"
	"domicile/store"
)

func (r *Rig) names(acct domicile.AccountID) []string {
	r.T.Helper()
	all, err := r.Store.Mailboxes(ctx, acct)
	r.no(err)
	var names []string
	for _, m := range all {
		names = append(names, m.Name)
	}
	return names
}

func mailboxes(r *Rig) {
	ann := r.Person("ann")
	r.same("first mailboxes", r.names(ann), []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"})
	sent := r.Box(ann, "Sent")
	r.same("special use", []any{sent.SpecialUse, sent.Subscribed, sent.UIDNext}, []any{"\\Sent", true, 1})
	if sent.UIDValidity == 0 || sent.HighestModSeq == 0 || sent.ID == "" {
		r.T.Fatalf("numbers count from 1: %+v", sent)
	}
	made, err := r.CreateMailbox(ctx, "", ann, "Work/2026/Café", "\\important")
	r.no(err)
	r.same("made", []any{made.Name, made.SpecialUse, made.Subscribed}, []any{"Work/2026/Café", "\\Important", false})
	_, err = r.CreateMailbox(ctx, "", ann, "Work/2026", "")
	r.is(domicile.Exist, err)
	_, err = r.CreateMailbox(ctx, "", ann, "iNbOx", "")
	r.is(domicile.Exist, err)
	_, err = r.CreateMailbox(ctx, "", ann, "X", "\\Nonsense")
	r.is(domicile.Invalid, err)
	_, err = r.CreateMailbox(ctx, "", "a9", "X", "")
	r.is(domicile.NotExist, err)
	r.no(r.Subscribe(ctx, "", ann, "Work", true))
	r.Reopen()
	r.same("again", r.Box(ann, "Work/2026/Café"), made)
	r.same("decomposed é", r.Box(ann, "Work/2026/Cafe\u0301").ID, made.ID)
	work := r.Box(ann, "Work")
	r.same("subscribed, and no message changed", []any{work.Subscribed, work.HighestModSeq}, []any{true, 1})
	_, err = r.MailboxByName(ctx, ann, "Work/2025")
	r.is(domicile.NotExist, err)
}

func mailboxNames(r *Rig) {
	ann := r.Person("ann")
	for _, bad := range []string{"", "/", "/a", "a/", "a//b", "a\x00b", "a\nb", "a\u2028b", "\xff", "a\u0085",
		strings.Repeat("x", 1025), strings.Repeat("x/", 32) + "x"} {
		_, err := r.CreateMailbox(ctx, "", ann, bad, "")
		r.is(domicile.Invalid, err)
		_, err = r.MailboxByName(ctx, ann, bad)
		r.is(domicile.Invalid, err)
		r.is(domicile.Invalid, r.RenameMailbox(ctx, "", ann, "Work", bad))
		r.is(domicile.Invalid, r.DeleteMailbox(ctx, "", ann, bad))
		_, err = r.Deliver(ann, "", bad, "body")
		r.is(domicile.Invalid, err)
	}
	for _, good := range []string{"a b", "%*", "日本", strings.Repeat("y", 1024), strings.Repeat("z/", 31) + "z", "inbox/sub", "#x"} {
		_, err := r.CreateMailbox(ctx, "", ann, good, "")
		r.no(err)
	}
	r.same("INBOX", r.Box(ann, "InBoX/sub").Name, "INBOX/sub")
}

func rename(r *Rig) {
	ann := r.Person("ann")
	for _, n := range []string{"A/B/C", "AB"} {
		_, err := r.CreateMailbox(ctx, "", ann, n, "")
		r.no(err)
	}
	m := r.MustDeliver(ann, "A/B/C", "body")
	before := r.Box(ann, "A/B/C")
	r.no(r.RenameMailbox(ctx, "", ann, "A", "X/Y"))
	r.same("names", r.names(ann), []string{"INBOX", "AB", "Archive", "Drafts", "Junk", "Sent", "Trash", "X", "X/Y", "X/Y/B", "X/Y/B/C"})
	after := r.Box(ann, "X/Y/B/C")
	before.Name = after.Name
	r.same("ids and numbers stay", after, before)
	r.same("messages stay", r.List(ann, "X/Y/B/C")[0].ID, m.ID)

	r.is(domicile.NotExist, r.RenameMailbox(ctx, "", ann, "A", "Z"))
	r.is(domicile.Exist, r.RenameMailbox(ctx, "", ann, "X", "AB"))
	r.is(domicile.Exist, r.RenameMailbox(ctx, "", ann, "X", "X"))
	r.is(domicile.Exist, r.RenameMailbox(ctx, "", ann, "X", "inbox"))
	r.is(domicile.Invalid, r.RenameMailbox(ctx, "", ann, "X", "X/Y/Z"))
	r.is(domicile.Invalid, r.RenameMailbox(ctx, "", ann, "X", strings.Repeat("d/", 30)+"d")) // its children would be too deep
	r.same("nothing changed", len(r.names(ann)), 11)

	// A name that is no mailbox, but has some below it.
	r.no(r.DeleteMailbox(ctx, "", ann, "X/Y"))
	r.is(domicile.Exist, r.RenameMailbox(ctx, "", ann, "X/Y", "X/Y"))
	r.is(domicile.Exist, r.RenameMailbox(ctx, "", ann, "X/Y", "AB"))
	r.no(r.RenameMailbox(ctx, "", ann, "X/Y", "P/Q"))
	r.same("names", r.names(ann), []string{"INBOX", "AB", "Archive", "Drafts", "Junk", "P", "P/Q/B", "P/Q/B/C", "Sent", "Trash", "X"})
	r.is(domicile.NotExist, r.RenameMailbox(ctx, "", ann, "X/Y", "Z"))
	r.no(r.RenameMailbox(ctx, "", ann, "P/Q", "X/Y"))

	r.no(r.RenameMailbox(ctx, "", ann, "X/Y/B", "B"))
	again, err := r.CreateMailbox(ctx, "", ann, "X/Y/B", "")
	r.no(err)
	if again.UIDValidity <= after.UIDValidity {
		r.T.Fatal("a new mailbox of an old name has an old UIDVALIDITY")
	}
}

func renameInbox(r *Rig) {
	ann := r.Person("ann")
	_, err := r.CreateMailbox(ctx, "", ann, "INBOX/kept", "")
	r.no(err)
	first, second := r.MustDeliver(ann, "INBOX", "1", "\\Seen"), r.MustDeliver(ann, "INBOX", "2")
	before := r.Box(ann, "INBOX")
	r.no(r.RenameMailbox(ctx, "", ann, "inbox", "Old/Mail"))
	moved := r.List(ann, "Old/Mail")
	r.same("moved", []any{len(moved), moved[0].ID, moved[1].ID, moved[1].UID, moved[1].ModSeq}, []any{2, first.ID, second.ID, second.UID, second.ModSeq})
	elsewhere := r.Box(ann, "Old/Mail")
	r.same("Old/Mail", []any{elsewhere.Messages, elsewhere.Unseen, elsewhere.Size, elsewhere.UIDNext}, []any{before.Messages, before.Unseen, before.Size, before.UIDNext})
	r.same("other numbers", elsewhere.UIDValidity > before.UIDValidity && elsewhere.ID != before.ID, true)
	box := r.Box(ann, "INBOX")
	r.same("INBOX", []any{box.ID, box.Messages, box.Unseen, box.Size, box.UIDNext}, []any{before.ID, 0, 0, 0, before.UIDNext})
	c, err := Since(r.Store, ann, box.ID, before.HighestModSeq)
	r.no(err)
	r.same("vanished", c.Vanished, []store.UID{first.UID, second.UID})
	r.Box(ann, "INBOX/kept")
	r.is(domicile.Exist, r.RenameMailbox(ctx, "", ann, "INBOX", "Old"))

	third := r.MustDeliver(ann, "INBOX", "3") // both go on, and INBOX once more
	r.Check()
	_, err = r.Expunge(ctx, "", ann, box.ID, nil)
	r.no(err)
	into := r.MustDeliver(ann, "Old/Mail", "4")
	r.same("UIDs", []any{third.UID, into.UID}, []any{before.UIDNext, before.UIDNext})
	r.no(r.RenameMailbox(ctx, "", ann, "INBOX", "Older"))
	older := r.List(ann, "Older")
	r.same("moved again", []any{len(older), older[0].ID, len(r.List(ann, "INBOX")), len(r.List(ann, "Old/Mail"))}, []any{1, third.ID, 0, 3})
	r.no(r.RenameMailbox(ctx, "", ann, "INBOX", "Empty"))
	empty := r.Box(ann, "Empty")
	r.same("of an empty INBOX", []any{empty.UIDNext, empty.HighestModSeq}, []any{1, 1})
	r.no(r.RenameMailbox(ctx, "", ann, "INBOX", "INBOX/below"))
	r.same("below itself", len(r.List(ann, "INBOX/below")), 0)
	r.no(r.DeleteMailbox(ctx, "", ann, "Old/Mail"))
	_, err = r.Body(ctx, ann, first.ID)
	r.is(domicile.NotExist, err)
	r.MustDeliver(ann, "INBOX", "5")
	r.no(r.DeleteMailbox(ctx, "", ann, "Older"))
	r.Reopen()
	r.same("left", len(r.List(ann, "INBOX")), 1)
}

func deleteMailbox(r *Rig) {
	ann := r.Person("ann")
	old, err := r.CreateMailbox(ctx, "", ann, "A/B", "")
	r.no(err)
	only := r.MustDeliver(ann, "A/B", "only here")
	both := r.MustDeliver(ann, "A/B", "here and there")
	_, _, _, err = r.Store.Copy(ctx, "", ann, old.ID, []store.UID{both.UID}, "INBOX")
	r.no(err)
	r.no(r.DeleteMailbox(ctx, "", ann, "A"))
	r.Box(ann, "A/B")
	r.no(r.DeleteMailbox(ctx, "", ann, "A/B"))
	r.is(domicile.NotExist, r.DeleteMailbox(ctx, "", ann, "A/B"))
	r.is(domicile.Invalid, r.DeleteMailbox(ctx, "", ann, "Inbox"))
	_, err = r.Body(ctx, ann, only.ID)
	r.is(domicile.NotExist, err)
	body, err := r.ReadBody(ann, both.ID)
	r.no(err)
	r.same("body", body, "here and there")
	again, err := r.CreateMailbox(ctx, "", ann, "A/B", "")
	r.no(err)
	if again.UIDValidity <= old.UIDValidity || again.ID == old.ID {
		r.T.Fatal("a new mailbox looks like the old one")
	}
	_, err = r.Messages(ctx, ann, old.ID, 0, store.MaxPage)
	r.is(domicile.NotExist, err)
}
