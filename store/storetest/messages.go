package storetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/store"
)

func deliver(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	big := strings.Repeat("line of a long message\r\n", 10_000) + "\x00\xff end without a line end"
	for i, body := range []string{"", "short", big, strings.Repeat("x", 16<<10), strings.Repeat("y", 32<<10)} {
		in, err := r.Incoming(ctx, ann, int64(len(body))+1)
		r.no(err)
		for part := range slices.Chunk([]byte(body), 1000) {
			_, err = in.Write(part)
			r.no(err)
		}
		when := time.Date(2026, 11, 23, 10, 0, i, 999, time.FixedZone("", -5*3600-30*60))
		m, err := in.Commit(ctx, "", "inbox", []string{"$Label", "\\SEEN"}, when)
		r.no(err)
		in.Abort()
		_, err = in.Commit(ctx, "", "INBOX", nil, when)
		r.is(domicile.Invalid, err)
		r.same("message", []any{m.UID, m.Size, m.Flags, m.Saved.Unix(), m.Internal.Format(time.RFC3339)},
			[]any{i + 1, len(body), []string{"\\Seen", "$Label"}, r.At.Now().Unix(), when.Format(time.RFC3339)})
		got, err := r.ReadBody(ann, m.ID)
		r.no(err)
		if got != body {
			r.T.Fatalf("body %d came back different", i)
		}
		_, err = r.Body(ctx, bob, m.ID)
		r.is(domicile.NotExist, err)
		r.same("listed", r.List(ann, "INBOX")[i], m)
	}
	before := r.List(ann, "INBOX")
	r.Reopen()
	r.same("after reopen", r.List(ann, "INBOX"), before)
	box := r.Box(ann, "INBOX")
	r.same("counters", []any{box.UIDNext, box.Messages, box.Unseen}, []any{6, 5, 0})
	got, err := r.ReadBody(ann, before[2].ID)
	r.no(err)
	if got != big {
		r.T.Fatal("the body changed")
	}
	m := r.MustDeliver(ann, "INBOX", "now")
	r.same("no date is now", m.Internal.Unix(), r.At.Now().Unix())
	if m.ModSeq <= before[4].ModSeq {
		r.T.Fatal("ModSeq does not rise")
	}
}

func deliverRefused(r *Rig) {
	ann := r.Person("ann")
	_, err := r.Incoming(ctx, "a9", 10)
	r.is(domicile.NotExist, err)
	_, err = r.Incoming(ctx, ann, 0)
	r.is(domicile.Invalid, err)
	_, err = r.Deliver(ann, "", "Nowhere", "body")
	r.is(domicile.NotExist, err)
	_, err = r.Deliver(ann, store.Token(strings.Repeat("t", 129)), "INBOX", "body")
	r.is(domicile.Invalid, err)
	for _, f := range []string{"\\Recent", "\\Other", "two words", "", "paren(", strings.Repeat("k", 129), "é"} {
		_, err = r.Deliver(ann, "", "INBOX", "body", f)
		r.is(domicile.Invalid, err)
	}
	many := slices.Repeat([]string{"x"}, 65)
	_, err = r.Deliver(ann, "", "INBOX", "body", many...)
	r.is(domicile.TooLarge, err)

	in, err := r.Incoming(ctx, ann, 4)
	r.no(err)
	_, err = io.WriteString(in, "four")
	r.no(err)
	_, err = io.WriteString(in, "!")
	r.is(domicile.TooLarge, err)
	_, err = in.Commit(ctx, "", "INBOX", nil, time.Time{})
	r.is(domicile.TooLarge, err)

	in, err = r.Incoming(ctx, ann, 4)
	r.no(err)
	in.Abort()
	_, err = in.Write([]byte("x"))
	r.is(domicile.Invalid, err)

	ended, cancel := context.WithCancel(ctx)
	in, err = r.Incoming(ended, ann, 4)
	r.no(err)
	cancel()
	_, err = in.Commit(ended, "", "INBOX", nil, time.Time{})
	r.is(domicile.Unavailable, err)
	r.same("nothing came in", []any{r.Box(ann, "INBOX").UIDNext, len(r.List(ann, "INBOX"))}, []any{1, 0})
}

func quota(r *Rig) {
	r.no(r.CreateAccount(ctx, "", store.Account{ID: "a1", Address: "q@example.com", Quota: 10}))
	m := r.MustDeliver("a1", "INBOX", "12345678")
	_, err := r.Deliver("a1", "", "INBOX", "123")
	r.is(domicile.TooLarge, err)
	if !errors.Is(err, store.ErrOverQuota) {
		r.T.Fatal("not ErrOverQuota:", err)
	}
	inbox := r.Box("a1", "INBOX").ID
	_, _, _, err = r.Copy(ctx, "", "a1", inbox, []store.UID{m.UID}, "Archive")
	r.no(err) // copies share the body
	r.MustDeliver("a1", "INBOX", "12")
	_, err = r.StoreFlags(ctx, "", "a1", inbox, []store.UID{m.UID}, store.FlagsAdd, []string{"\\Deleted"}, 0)
	r.no(err)
	_, err = r.Expunge(ctx, "", "a1", inbox, nil)
	r.no(err)
	_, err = r.Deliver("a1", "", "INBOX", "1")
	r.is(domicile.TooLarge, err) // the copy still holds it
	used, err := r.Used(ctx, "a1")
	r.no(err)
	r.same("used", used, 10)
	r.no(r.DeleteMailbox(ctx, "", "a1", "Archive"))
	r.MustDeliver("a1", "INBOX", "12345678")
	r.no(r.UpdateAccount(ctx, "a1", func(a *store.Account) error { a.Quota = 0; return nil }))
	r.MustDeliver("a1", "INBOX", "123456789012345678901234567890")
	used, err = r.Used(ctx, "a1")
	r.no(err)
	r.same("used without a quota", used, 40)
	_, err = r.Used(ctx, "nobody")
	r.is(domicile.NotExist, err)
}

func flags(r *Rig) {
	ann := r.Person("ann")
	m := r.MustDeliver(ann, "INBOX", "body", "$Junk")
	box := r.Box(ann, "INBOX")
	for _, step := range []struct {
		op     store.FlagOp
		flags  []string
		want   []string
		unseen uint32
	}{
		{store.FlagsAdd, []string{"\\seen", "b", "A"}, []string{"\\Seen", "$Junk", "A", "b"}, 0},
		{store.FlagsAdd, []string{"$JUNK", "\\ANSWERED"}, []string{"\\Answered", "\\Seen", "$Junk", "A", "b"}, 0},
		{store.FlagsRemove, []string{"B", "\\Seen", "absent"}, []string{"\\Answered", "$Junk", "A"}, 1},
		{store.FlagsSet, []string{"a", "\\Draft"}, []string{"\\Draft", "A"}, 1},
		{store.FlagsSet, nil, nil, 1},
	} {
		before := r.List(ann, "INBOX")[0].ModSeq
		f, err := r.StoreFlags(ctx, "", ann, box.ID, []store.UID{m.UID, 99}, step.op, step.flags, 0)
		r.no(err)
		done := f.Done
		r.same("flags", []any{len(done), done[0].Flags, len(f.Failed)}, []any{1, step.want, 0})
		r.same("before", []any{f.Before, f.From}, []any{[]store.ModSeq{before}, box.HighestModSeq})
		r.same("listed", r.List(ann, "INBOX")[0], done[0])
		now := r.Box(ann, "INBOX")
		r.same("unseen", now.Unseen, step.unseen)
		if done[0].ModSeq != now.HighestModSeq || now.HighestModSeq <= box.HighestModSeq {
			r.T.Fatal("the ModSeq of a change is not the mailbox's highest")
		}
		r.MustDeliver(ann, "INBOX", "so that the mailbox's ModSeq is not the message's", store.Seen)
		box = r.Box(ann, "INBOX")
	}
	last := r.List(ann, "INBOX")[0].ModSeq
	f, err := r.StoreFlags(ctx, "", ann, box.ID, []store.UID{m.UID}, store.FlagsRemove, []string{"\\Seen"}, 0)
	r.no(err)
	r.same("no change, no ModSeq", []any{len(f.Done), f.Done[0].ModSeq, f.Before, f.From, r.Box(ann, "INBOX").HighestModSeq},
		[]any{1, last, []store.ModSeq{last}, box.HighestModSeq, box.HighestModSeq})
	_, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{m.UID}, store.FlagsAdd, []string{"\\Recent"}, 0)
	r.is(domicile.Invalid, err)
	_, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{m.UID}, 9, []string{"x"}, 0)
	r.is(domicile.Invalid, err)
	_, err = r.StoreFlags(ctx, "", ann, "b9", []store.UID{m.UID}, store.FlagsAdd, []string{"x"}, 0)
	r.is(domicile.NotExist, err)
	var many []string
	for i := range 60 {
		many = append(many, "k"+string(rune('A'+i%26))+string(rune('0'+i/26)))
	}
	_, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{m.UID}, store.FlagsSet, many, 0)
	r.no(err)
	_, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{m.UID}, store.FlagsAdd, []string{"p1", "p2", "p3", "p4", "p5"}, 0)
	r.is(domicile.TooLarge, err)
}

func unless(r *Rig) {
	ann := r.Person("ann")
	a, b := r.MustDeliver(ann, "INBOX", "a"), r.MustDeliver(ann, "INBOX", "b")
	box := r.Box(ann, "INBOX")
	f, err := r.StoreFlags(ctx, "", ann, box.ID, []store.UID{b.UID, a.UID, 7}, store.FlagsAdd, []string{"\\Flagged"}, a.ModSeq)
	r.no(err)
	r.same("unless", []any{uidsOf(f.Done), f.Before, f.Failed, f.From}, []any{[]store.UID{a.UID}, []store.ModSeq{a.ModSeq}, []store.UID{b.UID}, box.HighestModSeq})
	f, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{b.UID, a.UID, b.UID, a.UID}, store.FlagsAdd, []string{"\\Flagged"}, 1)
	r.no(err)
	r.same("each once, by UID", []any{len(f.Done), f.Failed}, []any{0, []store.UID{a.UID, b.UID}})
	list := r.List(ann, "INBOX")
	r.same("flags", []any{list[0].Flags, list[1].Flags, list[1].ModSeq}, []any{[]string{"\\Flagged"}, []string{}, b.ModSeq})
}

func copyMessages(r *Rig) {
	ann := r.Person("ann")
	for _, b := range []string{"1", "22", "333"} {
		r.MustDeliver(ann, "INBOX", b, "$Second", "\\Flagged", "kEy")
	}
	inbox, r0 := r.Box(ann, "INBOX"), r.List(ann, "INBOX")
	r.MustDeliver(ann, "Archive", "old")
	r.Pass(time.Hour)
	validity, from, made, err := r.Copy(ctx, "", ann, inbox.ID, []store.UID{3, 9, 1, 3}, "Archive")
	r.no(err)
	r.same("validity", validity, r.Box(ann, "Archive").UIDValidity)
	r.same("from", from, []store.UID{3, 1})
	r.same("made", []any{uidsOf(made), made[0].ID, made[1].ID, made[0].Flags, made[0].Internal.Unix()},
		[]any{[]store.UID{2, 3}, r0[2].ID, r0[0].ID, []string{"\\Flagged", "$Second", "kEy"}, r0[2].Internal.Unix()})
	r.same("saved now", made[0].Saved.Unix(), r.At.Now().Unix())
	r.same("source stays", r.List(ann, "INBOX"), r0)
	r.same("source mailbox stays", r.Box(ann, "INBOX"), inbox)
	to := r.Box(ann, "Archive")
	r.same("counters", []any{to.Messages, to.Unseen, to.Size, to.UIDNext}, []any{3, 3, 3 + 3 + 1, 4})
	for _, uids := range [][]store.UID{{1}, {77}, nil} {
		_, _, _, err = r.Copy(ctx, "", ann, inbox.ID, uids, "Nowhere")
		r.is(domicile.NotExist, err)
	}
	_, from, made, err = r.Copy(ctx, "", ann, inbox.ID, []store.UID{77}, "Archive")
	r.no(err)
	r.same("nothing there", len(from)+len(made), 0)
	_, _, made, err = r.Copy(ctx, "", ann, inbox.ID, []store.UID{1}, "INBOX")
	r.no(err)
	r.same("into itself", []any{made[0].UID, len(r.List(ann, "INBOX"))}, []any{4, 4})
}

func moveMessages(r *Rig) {
	ann := r.Person("ann")
	a, b := r.MustDeliver(ann, "INBOX", "a", "\\Seen"), r.MustDeliver(ann, "INBOX", "b")
	inbox := r.Box(ann, "INBOX")
	validity, from, made, err := r.Move(ctx, "", ann, inbox.ID, []store.UID{a.UID}, "Trash")
	r.no(err)
	r.same("validity", validity, r.Box(ann, "Trash").UIDValidity)
	r.same("moved", []any{from, made[0].UID, made[0].ID, made[0].Flags}, []any{[]store.UID{a.UID}, 1, a.ID, []string{"\\Seen"}})
	c, err := Since(r.Store, ann, inbox.ID, inbox.HighestModSeq)
	r.no(err)
	r.same("vanished", []any{c.Vanished, len(c.Changed), c.Mailbox.Messages}, []any{[]store.UID{a.UID}, 0, 1})
	_, _, made, err = r.Move(ctx, "", ann, inbox.ID, []store.UID{b.UID}, "INBOX")
	r.no(err)
	list := r.List(ann, "INBOX")
	r.same("into itself", []any{len(list), list[0].ID, list[0].UID, made[0].UID}, []any{1, b.ID, 3, 3})
	after, err := Since(r.Store, ann, inbox.ID, c.Mailbox.HighestModSeq)
	r.no(err)
	r.same("which is one act", []any{after.Vanished, made[0].ModSeq, after.Mailbox.HighestModSeq}, []any{[]store.UID{b.UID}, c.Mailbox.HighestModSeq + 1, c.Mailbox.HighestModSeq + 1})
	body, err := r.ReadBody(ann, a.ID)
	r.no(err)
	r.same("body", body, "a")
	_, _, _, err = r.Move(ctx, "", ann, inbox.ID, []store.UID{3}, "Nowhere")
	r.is(domicile.NotExist, err)
	r.same("all or none", len(r.List(ann, "INBOX")), 1)
}

// Many bodies come as each would alone: small and large ones, one that is not there, one that is expunged meanwhile, and as many as the caller wants.
func manyBodies(r *Rig) {
	ann := r.Person("ann")
	var ids []domicile.MessageID
	bodies := map[domicile.MessageID]string{}
	for i := range 100 {
		size := 100 + i
		if i%20 == 7 {
			size = 300 << 10
		}
		body := noise(size)[i:]
		m := r.MustDeliver(ann, "INBOX", body)
		ids, bodies[m.ID] = append(ids, m.ID), body
	}
	ids = slices.Insert(ids, 50, "m-none", ids[7], ids[7])
	read := func(most int) (n int) {
		for got, err := range r.Bodies(ctx, ann, ids) {
			id := ids[n]
			if want, ok := bodies[id]; !ok {
				r.is(domicile.NotExist, err)
			} else {
				r.no(err)
				b, err := io.ReadAll(got)
				r.no(err)
				r.same("body", string(b) == want, true)
			}
			if n++; n == most {
				break
			}
		}
		return n
	}
	for _, most := range []int{1, 40, 51, len(ids)} {
		r.same("as many as are wanted", read(most), most)
	}
	for range r.Bodies(ctx, ann, nil) {
		r.T.Fatal("there is none")
	}
	for _, err := range r.Bodies(ctx, "bob", ids[:3]) {
		r.is(domicile.NotExist, err)
	}
	_, err := r.StoreFlags(ctx, "", ann, r.Box(ann, "INBOX").ID, []store.UID{100}, store.FlagsAdd, []string{store.Deleted}, 0)
	r.no(err)
	n := 0
	for got, err := range r.Bodies(ctx, ann, ids) {
		if n++; n == 1 {
			_, err := r.Expunge(ctx, "", ann, r.Box(ann, "INBOX").ID, nil)
			r.no(err)
		}
		if err != nil {
			r.is(domicile.NotExist, err)
			continue
		}
		_, err := io.Copy(io.Discard, got)
		r.no(err)
	}
	r.same("all were answered", n, len(ids))
}

func expunge(r *Rig) {
	ann := r.Person("ann")
	for range 3 {
		r.MustDeliver(ann, "INBOX", "gone", "\\deleted")
	}
	keep := r.MustDeliver(ann, "INBOX", "kept")
	box := r.Box(ann, "INBOX")
	first := r.List(ann, "INBOX")[0]
	open, err := r.Body(ctx, ann, first.ID)
	r.no(err)
	defer open.Close()
	gone, err := r.Expunge(ctx, "", ann, box.ID, []store.UID{4, 3, 1, 1, 50})
	r.no(err)
	r.same("by uid, only deleted ones", gone, []store.UID{1, 3})
	body, err := io.ReadAll(open)
	r.no(err)
	r.same("an open body stays readable", string(body), "gone")
	gone, err = r.Expunge(ctx, "", ann, box.ID, []store.UID{})
	r.no(err)
	r.same("none named", len(gone), 0)
	gone, err = r.Expunge(ctx, "", ann, box.ID, nil)
	r.no(err)
	r.same("all", gone, []store.UID{2})
	_, err = r.Body(ctx, ann, first.ID)
	r.is(domicile.NotExist, err)
	m := r.MustDeliver(ann, "INBOX", "new")
	r.same("no UID comes back", m.UID, keep.UID+1)
	_, err = r.Expunge(ctx, "", ann, "b9", nil)
	r.is(domicile.NotExist, err)
}

// undelete holds for a driver that keeps nothing of what was expunged, too.
func undelete(r *Rig) {
	ann := r.Person("ann")
	there, gone := r.MustDeliver(ann, "INBOX", "there"), r.MustDeliver(ann, "INBOX", "gone", store.Deleted)
	inbox := r.Box(ann, "INBOX")
	for _, id := range []domicile.MessageID{"m-none", there.ID, gone.ID} { // what is in a mailbox was not expunged
		_, err := r.Undelete(ctx, "", ann, []domicile.MessageID{id}, "INBOX")
		r.is(domicile.NotExist, err)
	}
	_, err := r.Expunge(ctx, "", ann, inbox.ID, nil)
	r.no(err)
	kept, err := r.Expunged(ctx, ann)
	r.no(err)
	_, err = r.Undelete(ctx, "", ann, []domicile.MessageID{gone.ID}, "Nowhere")
	r.is(domicile.NotExist, err)
	if len(kept) > 0 {
		made, err := r.Undelete(ctx, "", ann, []domicile.MessageID{gone.ID}, "Archive")
		r.no(err)
		r.same("brought back", []any{kept[0].ID, made[0].ID, made[0].UID, len(made[0].Flags), len(r.List(ann, "Archive"))}, []any{gone.ID, gone.ID, 1, 0, 1})
		_, _, _, err = r.Move(ctx, "", ann, r.Box(ann, "Archive").ID, []store.UID{1}, "INBOX")
		r.no(err)
		_, err = r.StoreFlags(ctx, "", ann, inbox.ID, uidsOf(r.List(ann, "INBOX"))[1:], store.FlagsAdd, []string{store.Deleted}, 0)
		r.no(err)
		_, err = r.Expunge(ctx, "", ann, inbox.ID, nil)
		r.no(err)
	}
	for range 2 {
		r.no(r.Purge(ctx, ann))
	}
	_, err = r.Undelete(ctx, "", ann, []domicile.MessageID{gone.ID}, "INBOX")
	r.is(domicile.NotExist, err)
	_, err = r.Body(ctx, ann, gone.ID)
	r.is(domicile.NotExist, err)
	kept, err = r.Expunged(ctx, ann)
	r.no(err)
	r.same("nothing is left behind a Purge", []any{len(kept), len(r.List(ann, "INBOX"))}, []any{0, 1})
	for _, nobody := range []func() error{
		func() error { _, err := r.Expunged(ctx, "a9"); return err },
		func() error { return r.Purge(ctx, "a9") },
	} {
		r.is(domicile.NotExist, nobody())
	}
}

func since(r *Rig) {
	ann := r.Person("ann")
	for range 4 {
		r.MustDeliver(ann, "INBOX", "body")
	}
	box := r.Box(ann, "INBOX")
	c, err := Since(r, ann, box.ID, box.HighestModSeq)
	r.no(err)
	r.same("nothing", []any{c.Mailbox, len(c.Changed), len(c.Vanished)}, []any{box, 0, 0})
	_, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{3}, store.FlagsAdd, []string{"\\Seen"}, 0)
	r.no(err)
	_, err = r.StoreFlags(ctx, "", ann, box.ID, []store.UID{2, 1}, store.FlagsAdd, []string{"\\Deleted"}, 0)
	r.no(err)
	middle := r.Box(ann, "INBOX").HighestModSeq
	_, err = r.Expunge(ctx, "", ann, box.ID, []store.UID{2})
	r.no(err)
	r.MustDeliver(ann, "INBOX", "new")
	r.Reopen()
	c, err = Since(r, ann, box.ID, box.HighestModSeq)
	r.no(err)
	r.same("changed", []any{uidsOf(c.Changed), c.Vanished}, []any{[]store.UID{1, 3, 5}, []store.UID{2}})
	r.same("mailbox", c.Mailbox, r.Box(ann, "INBOX"))
	c, err = Since(r, ann, box.ID, middle)
	r.no(err)
	r.same("later", []any{uidsOf(c.Changed), c.Vanished}, []any{[]store.UID{5}, []store.UID{2}})
	c, err = Since(r, ann, box.ID, 1)
	r.no(err)
	r.same("all", []any{uidsOf(c.Changed), c.Vanished}, []any{[]store.UID{1, 3, 4, 5}, []store.UID{2}})
	c, err = Since(r, ann, box.ID, 1<<64-1)
	r.no(err)
	r.same("never", len(c.Changed)+len(c.Vanished), 0)
}
