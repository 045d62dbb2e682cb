package storetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/store"
)

// other is the rig of a store in another region, under other keys, an hour later.
func (r *Rig) other() *Rig {
	far := newRig(r.T, r.open, "us-east", "another region", r.wrap)
	far.Pass(time.Hour)
	return far
}

func freeze(r *Rig, id domicile.AccountID) error {
	return r.UpdateAccount(ctx, id, func(a *store.Account) error { a.State = store.Moving; return nil })
}

// transfer exports and imports all parts, from where the import stands.
func transfer(from, to *Rig, id domicile.AccountID, size int64) error {
	in, err := to.Imported(ctx, id)
	at, whole := in.At, in.Whole
	if err != nil && domicile.KindOf(err) != domicile.NotExist {
		return err
	}
	for n := 0; !whole; n++ {
		p, err := from.Export(ctx, id, at, size)
		if err == nil {
			err = to.Import(ctx, id, wire(p))
		}
		if err != nil {
			return fmt.Errorf("part %d behind %q: %w", n, at, err)
		}
		at, whole = p.Next, p.Last
	}
	return nil
}

// wire makes sure that no part leans on the memory of who exported it.
func wire(p store.Part) store.Part {
	out := p
	out.Items = nil
	for _, i := range p.Items {
		if i.Piece != nil {
			piece := *i.Piece
			piece.Data = append([]byte(nil), piece.Data...)
			i.Piece = &piece
		}
		out.Items = append(out.Items, i)
	}
	return out
}

// portrait is all that a store tells of an account, as text.
func portrait(s store.Store, id domicile.AccountID) (string, error) {
	var b strings.Builder
	a, err := s.Account(ctx, id)
	if err != nil {
		return "", err
	}
	names, err := s.Subscriptions(ctx, id)
	if err != nil {
		return "", err
	}
	own, err := notes(s, id, "")
	if err != nil {
		return "", err
	}
	used, err := s.Used(ctx, id)
	if err != nil {
		return "", err
	}
	_, annotated, err := s.Annotated(ctx, id, 0)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "%+v\n%d bytes, subscribed %q, %s, %d annotated\n", a, used, names, own, len(annotated))
	boxes, err := s.Mailboxes(ctx, id)
	if err != nil {
		return "", err
	}
	for _, box := range boxes {
		c, err := Since(s, id, box.ID, 1)
		if err != nil {
			return "", err
		}
		text, err := notes(s, id, box.ID)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%+v %s\n  gone %v\n", box, text, c.Vanished)
		half, err := Since(s, id, box.ID, max(1, box.HighestModSeq/2))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "  of late %d, gone %v\n", len(half.Changed), half.Vanished)
		for _, m := range c.Changed {
			body, err := s.Body(ctx, id, m.ID)
			if err != nil {
				return "", err
			}
			bytes, err := io.ReadAll(body)
			body.Close()
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "  %+v %s %q\n", m, m.Internal.Format(time.RFC3339), bytes)
		}
	}
	return b.String(), nil
}

// furnished makes an account that has everything.
func (r *Rig) furnished() domicile.AccountID {
	r.T.Helper()
	id := domicile.AccountID("a-furnished")
	r.no(r.CreateAccount(ctx, "create", store.Account{ID: id, Address: "ann@example.com", Residence: "IE", Class: "e2e", Recipient: "age1key",
		Password: "$argon2id$x", Scram: "SCRAM-SHA-256$x", AppPasswords: []store.AppPassword{{ID: "p-1", Label: "phone", Scope: "imap", Kept: "$sha256$x", Scram: "SCRAM-SHA-256$y", Made: "2026-01-31", Used: "2026-02-01"}}, Epoch: 4, Quota: 1 << 30, TokenKey: []byte("token key")}))
	_, err := r.CreateMailbox(ctx, "box", id, "Work/Über/2026", "")
	r.no(err)
	r.no(r.Subscribe(ctx, "", id, "Work/Über/2026", true))
	r.no(r.Subscribe(ctx, "", id, "Junk", false))
	r.no(r.Subscribe(ctx, "", id, "Not/Yet", true))
	r.annotate(id, "", note("/private/vendor/x/theme", "dark"), note("/shared/comment", ""))
	r.annotate(id, r.Box(id, "Work/Über/2026").ID, note("/private/comment", strings.Repeat("\xff\x00", 1000)), note("/private/none", "x"))
	r.annotate(id, r.Box(id, "Work/Über/2026").ID, note("/private/none", "-"))
	_, err = r.CreateMailbox(ctx, "", id, "Old", "")
	r.no(err)
	r.no(r.DeleteMailbox(ctx, "", id, "Old")) // its UIDVALIDITY must not come back
	for n := range 12 {
		_, err := r.Deliver(id, store.Token(fmt.Sprint("smtp-", n)), "INBOX", strings.Repeat(fmt.Sprint("body ", n, " "), 1+n*n), "$Label1", "kEyWoRd")
		r.no(err)
	}
	r.MustDeliver(id, "INBOX", "")
	in, err := r.Incoming(ctx, id, 100)
	r.no(err)
	io.WriteString(in, "a date in a zone that JSON cannot write")
	_, err = in.Commit(ctx, "", "Work/Über/2026", []string{"\\Draft"}, time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -(98*60+30)*60)))
	r.no(err)
	r.Pass(time.Hour)
	inbox := r.Box(id, "INBOX").ID
	_, err = r.StoreFlags(ctx, "", id, inbox, []store.UID{2, 3, 7}, store.FlagsAdd, []string{"\\Seen", "\\Deleted"}, 0)
	r.no(err)
	_, _, _, err = r.Copy(ctx, "copy", id, inbox, []store.UID{1, 3}, "Work/Über/2026")
	r.no(err)
	_, err = r.Expunge(ctx, "", id, inbox, []store.UID{3, 7})
	r.no(err)
	r.no(r.NumberMailbox(ctx, id, r.Box(id, "Archive").ID, 7, 50))
	_, _, _, err = r.Move(ctx, "", id, inbox, []store.UID{9}, "Archive")
	r.no(err)
	_, _, err = r.Commit(ctx, "together", id, "Sent", r.Letters(id, "one", "two"), &store.Instead{Mailbox: inbox, UID: 11})
	r.no(err)
	r.no(r.Forget(ctx, id, "smtp-1"))
	return id
}

// moveAccount moves in parts of several sizes, with each store opened again and each part said twice.
func moveAccount(r *Rig) {
	id := r.furnished()
	want, err := portrait(r.Store, id)
	r.no(err)
	r.no(freeze(r, id))
	for _, size := range []int64{90, 700, store.MaxPart} {
		far := r.other()
		at, whole := store.Position(""), false
		for n := 0; !whole; n++ {
			p, err := r.Export(ctx, id, at, size)
			far.no(err)
			again, err := r.Export(ctx, id, at, size)
			far.no(err)
			far.same("the same part again", again.Next, p.Next)
			far.no(far.Import(ctx, id, wire(p)))
			far.is(domicile.Conflict, far.Import(ctx, id, wire(p)))
			if n%5 == 0 {
				far.Check()
				far.Reopen()
				r.Reopen()
			}
			far.invisible(id)
			in, err := far.Imported(ctx, id)
			far.no(err)
			far.same("where it stands", []any{in.At, in.Whole, in.Account.Address, in.Account.Epoch}, []any{p.Next, p.Last, "ann@example.com", 4})
			at, whole = in.At, in.Whole
		}
		far.no(far.Activate(ctx, id, func(a *store.Account) error { a.State = store.Active; return nil }))
		far.no(far.Activate(ctx, id, func(*store.Account) error { return errors.New("it is active already") }))
		far.is(domicile.Exist, far.Import(ctx, id, store.Part{Next: "x", Items: []store.Item{{Account: &store.ExportedAccount{}}}}))
		far.is(domicile.Conflict, far.Abandon(ctx, id))
		far.Reopen()
		got, err := portrait(far.Store, id)
		far.no(err)
		far.same("behind the move", got, want)
		far.goesOn(id)
	}
	r.no(r.DeleteAccount(ctx, id))
}

// invisible: what is not activated is nobody's.
func (r *Rig) invisible(id domicile.AccountID) {
	r.T.Helper()
	_, err := r.Account(ctx, id)
	r.is(domicile.NotExist, err)
	_, err = r.AccountByAddress(ctx, "ann@example.com")
	r.is(domicile.NotExist, err)
	_, err = r.Mailboxes(ctx, id)
	r.is(domicile.NotExist, err)
	_, err = r.Incoming(ctx, id, 10)
	r.is(domicile.NotExist, err)
	_, err = r.Export(ctx, id, "", 10)
	r.is(domicile.NotExist, err)
	r.is(domicile.NotExist, r.DeleteAccount(ctx, id))
	r.is(domicile.NotExist, r.UpdateAccount(ctx, id, func(*store.Account) error { return nil }))
	r.is(domicile.Exist, r.CreateAccount(ctx, "", store.Account{ID: id, Address: "somebody@example.com"}))
	r.same("accounts", len(r.accounts()), 0)
}

// goesOn: the account works on from where it was.
func (r *Rig) goesOn(id domicile.AccountID) {
	r.T.Helper()
	before := r.Box(id, "INBOX")
	again, err := r.Deliver(id, "smtp-4", "INBOX", "the repetition of a delivery from before the move")
	r.no(err)
	r.same("a repetition stores nothing", []any{again.UID, r.Box(id, "INBOX").UIDNext}, []any{5, before.UIDNext})
	fresh, err := r.Deliver(id, "smtp-1", "INBOX", "a token that was forgotten before the move")
	r.no(err)
	r.same("the next message", []any{fresh.UID, fresh.ModSeq}, []any{before.UIDNext, before.HighestModSeq + 1})
	box, err := r.CreateMailbox(ctx, "", id, "Old", "")
	r.no(err)
	boxes, err := r.Mailboxes(ctx, id)
	r.no(err)
	for _, b := range boxes {
		if b.ID != box.ID && b.UIDValidity >= box.UIDValidity {
			r.T.Fatalf("UIDVALIDITY %d of a new mailbox after %d", box.UIDValidity, b.UIDValidity)
		}
	}
	list := r.List(id, "INBOX")
	_, copied, _, err := r.Copy(ctx, "", id, before.ID, uidsOf(list), "Trash")
	r.no(err)
	r.same("copies", len(copied), len(list))
}

// moveBack: an account may return to a store that erased it, under its old id.
func moveBack(r *Rig) {
	id := r.furnished()
	want, err := portrait(r.Store, id)
	r.no(err)
	far := r.other()
	r.no(freeze(r, id))
	r.no(transfer(r, far, id, 300))
	active := func(a *store.Account) error { a.State = store.Active; a.Epoch = 5; return nil }
	r.no(far.Activate(ctx, id, active))
	r.no(r.DeleteAccount(ctx, id))
	r.no(freeze(far, id))
	r.no(transfer(far, r, id, store.MaxPart))
	r.is(domicile.Conflict, r.Activate(ctx, id, func(a *store.Account) error { a.Epoch = 4; return nil }))
	r.no(r.Activate(ctx, id, func(a *store.Account) error { a.State = store.Active; return nil }))
	got, err := portrait(r.Store, id)
	r.no(err)
	r.same("there and back", got, strings.Replace(want, "Epoch:4", "Epoch:5", 1))
	r.goesOn(id)
}

// moveAbandoned: at any moment before its activation an import can be given up, and nothing of it is left.
func moveAbandoned(r *Rig) {
	id := r.furnished()
	r.no(freeze(r, id))
	far := r.other()
	parts := 0
	for p := (store.Part{}); !p.Last; parts++ {
		far.no(far.Abandon(ctx, id))
		far.same("a key", far.At.Sealer.HasKey(id), false)
		p = store.Part{}
		for range parts + 1 { // one more each time
			next, err := r.Export(ctx, id, p.Next, 500)
			far.no(err)
			far.no(far.Import(ctx, id, wire(next)))
			p = next
		}
		if !p.Last {
			far.is(domicile.Invalid, far.Activate(ctx, id, func(*store.Account) error { return nil }))
		}
	}
	if parts < 4 {
		r.T.Fatalf("only %d parts", parts)
	}
	far.no(far.Abandon(ctx, id))
	far.Reopen()
	far.Check()
	_, err := far.Imported(ctx, id)
	far.is(domicile.NotExist, err)
	far.no(far.CreateAccount(ctx, "", store.Account{ID: id, Address: "ann@example.com"}))

	// The source goes on as if nothing had been.
	r.no(r.UpdateAccount(ctx, id, func(a *store.Account) error { a.State = store.Active; return nil }))
	r.goesOn(id)
}

// moveFrozen: of a moving account nothing is read and nothing changes.
func moveFrozen(r *Rig) {
	id := r.furnished()
	inbox := r.Box(id, "INBOX").ID
	list := r.List(id, "INBOX")
	in, err := r.Incoming(ctx, id, 100)
	r.no(err)
	_, err = r.Export(ctx, id, "", 10)
	r.is(domicile.Conflict, err)
	want, err := portrait(r.Store, id)
	r.no(err)
	r.no(freeze(r, id))
	for name, act := range map[string]func() error{
		"commit":    func() error { _, err := in.Commit(ctx, "t", "INBOX", nil, time.Time{}); return err },
		"incoming":  func() error { _, err := r.Incoming(ctx, id, 100); return err },
		"mailboxes": func() error { _, err := r.Mailboxes(ctx, id); return err },
		"by name":   func() error { _, err := r.MailboxByName(ctx, id, "INBOX"); return err },
		"messages":  func() error { _, err := r.Messages(ctx, id, inbox, 0, store.MaxPage); return err },
		"changes":   func() error { _, err := r.Changes(ctx, id, inbox, 1, "", 1); return err },
		"body":      func() error { _, err := r.Body(ctx, id, list[0].ID); return err },
		"bodies": func() error {
			for _, err := range r.Bodies(ctx, id, []domicile.MessageID{list[0].ID}) {
				return err
			}
			return nil
		},
		"flags": func() error {
			_, err := r.StoreFlags(ctx, "", id, inbox, []store.UID{1}, store.FlagsAdd, []string{"\\Seen"}, 0)
			return err
		},
		"copy":      func() error { _, _, _, err := r.Copy(ctx, "", id, inbox, []store.UID{1}, "Trash"); return err },
		"move":      func() error { _, _, _, err := r.Move(ctx, "", id, inbox, []store.UID{1}, "Trash"); return err },
		"expunge":   func() error { _, err := r.Expunge(ctx, "", id, inbox, nil); return err },
		"create":    func() error { _, err := r.CreateMailbox(ctx, "", id, "New", ""); return err },
		"rename":    func() error { return r.RenameMailbox(ctx, "", id, "Trash", "New") },
		"delete":    func() error { return r.DeleteMailbox(ctx, "", id, "Trash") },
		"subscribe": func() error { return r.Subscribe(ctx, "", id, "Trash", false) },
		"names":     func() error { _, err := r.Subscriptions(ctx, id); return err },
		"annotate": func() error {
			_, err := r.Annotate(ctx, "", id, "", []store.Annotation{note("/private/a", "x")})
			return err
		},
		"notes":     func() error { _, err := r.Annotations(ctx, id, ""); return err },
		"annotated": func() error { _, _, err := r.Annotated(ctx, id, 0); return err },
		"change":    func() error { _, err := r.AnnotationChange(ctx, id); return err },
	} {
		if err := act(); domicile.KindOf(err) != domicile.Unavailable {
			r.T.Errorf("%s of a moving account: %v", name, err)
		}
	}
	r.no(r.Forget(ctx, id, "smtp-0"))
	r.Reopen()
	r.no(r.UpdateAccount(ctx, id, func(a *store.Account) error { a.State = store.Active; return nil }))
	got, err := portrait(r.Store, id)
	r.no(err)
	r.same("after it was frozen", got, want)
}

// moveHostile: a part that cannot be is refused whole, and the import stands where it stood.
func moveHostile(r *Rig) {
	id := r.furnished()
	r.no(freeze(r, id))
	var parts []store.Part
	for p := (store.Part{}); !p.Last; parts = append(parts, p) {
		next, err := r.Export(ctx, id, p.Next, store.MaxPart)
		r.no(err)
		p = next
	}
	whole := wire(parts[0])
	for _, p := range parts[1:] {
		whole.Items = append(whole.Items, p.Items...)
		whole.Next, whole.Last = p.Next, p.Last
	}
	split := 0 // bodies come in a part of their own, behind the messages that name them
	for split < len(whole.Items) && whole.Items[split].Piece == nil {
		split++
	}
	far := r.other()
	index := func() store.Part {
		return store.Part{Next: "middle", Items: append([]store.Item(nil), whole.Items[:split]...)}
	}
	bodies := func() store.Part {
		return store.Part{After: "middle", Next: "end", Last: true, Items: wire(store.Part{Items: whole.Items[split:]}).Items}
	}
	edit := func(p store.Part, fits func(store.Item) bool, fn func(*store.Item)) store.Part {
		for n := range p.Items {
			if fits(p.Items[n]) {
				fn(&p.Items[n])
				return p
			}
		}
		r.T.Fatal("no such item")
		return p
	}
	isBox := func(i store.Item) bool { return i.Mailbox != nil && i.Mailbox.Name == "INBOX" }
	isMessage := func(i store.Item) bool { return i.Message != nil }
	isPiece := func(i store.Item) bool { return i.Piece != nil && i.Piece.Size > 10 }
	twice := func(p store.Part, fits func(store.Item) bool) store.Part {
		var again store.Item
		edit(p, fits, func(i *store.Item) { again = *i })
		p.Items = append(p.Items, again)
		return p
	}
	box := func(fn func(*store.Mailbox)) func() store.Part {
		return func() store.Part {
			return edit(index(), isBox, func(i *store.Item) { b := *i.Mailbox; fn(&b); i.Mailbox = &b })
		}
	}
	message := func(fn func(*store.ExportedMessage)) func() store.Part {
		return func() store.Part {
			return edit(index(), isMessage, func(i *store.Item) { m := *i.Message; fn(&m); i.Message = &m })
		}
	}
	isNote := func(i store.Item) bool { return i.Annotation != nil }
	annotation := func(fn func(*store.Annotation)) func() store.Part {
		return func() store.Part {
			return edit(index(), isNote, func(i *store.Item) { x := *i.Annotation; fn(&x); i.Annotation = &x })
		}
	}
	for name, make := range map[string]func() store.Part{
		"no account":    func() store.Part { p := index(); p.Items = p.Items[1:]; return p },
		"two accounts":  func() store.Part { p := index(); p.Items = append(p.Items, p.Items[0]); return p },
		"leads nowhere": func() store.Part { p := index(); p.Next = ""; return p },
		"an empty item": func() store.Part { p := index(); p.Items = append(p.Items, store.Item{}); return p },
		"another account": func() store.Part {
			p := index()
			a := *p.Items[0].Account
			a.ID = "a-other"
			p.Items[0].Account = &a
			return p
		},
		"no address": func() store.Part {
			p := index()
			a := *p.Items[0].Account
			a.Address = "x"
			p.Items[0].Account = &a
			return p
		},
		"a mailbox's id":   box(func(b *store.Mailbox) { b.ID = "../../x" }),
		"a mailbox's name": box(func(b *store.Mailbox) { b.Name = "inbox" }),
		"a special use":    box(func(b *store.Mailbox) { b.SpecialUse = "\\Nonsense" }),
		"no UIDNEXT":       box(func(b *store.Mailbox) { b.UIDNext = 0 }),
		"twice a mailbox":  func() store.Part { return twice(index(), isBox) },
		"twice a UID":      func() store.Part { return twice(index(), isMessage) },
		"a run backwards": func() store.Part {
			p := index()
			edit(p, isBox, func(i *store.Item) {
				p.Items = append(p.Items, store.Item{Vanished: &store.Vanished{Mailbox: i.Mailbox.ID, UID: 900, Last: 899, ModSeq: 1}})
			})
			return p
		},
		"twice a name": func() store.Part { return twice(index(), func(i store.Item) bool { return i.Subscribed != "" }) },
		"a mailbox's name subscribed apart": func() store.Part {
			return edit(index(), func(i store.Item) bool { return i.Subscribed != "" }, func(i *store.Item) { i.Subscribed = "INBOX" })
		},
		"a name that is none": func() store.Part {
			return edit(index(), func(i store.Item) bool { return i.Subscribed != "" }, func(i *store.Item) { i.Subscribed = "a//b" })
		},
		"twice an annotation":         func() store.Part { return twice(index(), isNote) },
		"an annotation's name":        annotation(func(x *store.Annotation) { x.Entry = "/Private/Comment" }),
		"an annotation's mailbox":     annotation(func(x *store.Annotation) { x.Mailbox = "b-none" }),
		"an annotation of no value":   annotation(func(x *store.Annotation) { x.Value = nil }),
		"an annotation of many bytes": annotation(func(x *store.Annotation) { x.Value = make([]byte, store.MaxAnnotation+1) }),
		"a message's id":              message(func(m *store.ExportedMessage) { m.ID = "../../../etc" }),
		"a short id":                  message(func(m *store.ExportedMessage) { m.ID = "m" }),
		"a flag":                      message(func(m *store.ExportedMessage) { m.Flags = []string{"\\Recent"} }),
		"a size":                      message(func(m *store.ExportedMessage) { m.Size = -1 }),
		"no mailbox":                  message(func(m *store.ExportedMessage) { m.Mailbox = "b-none" }),
		"a body at once": func() store.Part {
			p := index()
			p.Items = append(p.Items, whole.Items[len(whole.Items)-1])
			return p
		},
	} {
		if err := far.Import(ctx, id, make()); err == nil || domicile.KindOf(err) == domicile.Other {
			r.T.Errorf("%s: %v", name, err)
		}
		_, err := far.Imported(ctx, id)
		far.is(domicile.NotExist, err)
	}
	for _, make := range map[string]func() store.Part{ // what only the whole shows
		"a counter":     box(func(b *store.Mailbox) { b.Messages++ }),
		"a low UIDNEXT": box(func(b *store.Mailbox) { b.UIDNext = 2 }),
		"a low ModSeq":  box(func(b *store.Mailbox) { b.HighestModSeq = 1 }),
		"a UIDVALIDITY": box(func(b *store.Mailbox) { b.UIDValidity = 1<<32 - 1 }),
		"a lost message": func() store.Part {
			p := index()
			p.Items = slices.DeleteFunc(p.Items, func(i store.Item) bool { return isMessage(i) && i.Message.UID == 1 })
			return p
		},
		"no INBOX": box(func(b *store.Mailbox) { b.Name = "Outbox" }),
	} {
		err := far.Import(ctx, id, make())
		if err == nil {
			err = far.Import(ctx, id, bodies())
			far.is(domicile.Invalid, err)
			far.invisible(id)
		}
		far.is(domicile.Invalid, err)
		far.no(far.Abandon(ctx, id))
	}
	far.no(far.Import(ctx, id, index()))
	piece := func(fn func(*store.Piece)) func() store.Part {
		return func() store.Part {
			return edit(bodies(), isPiece, func(i *store.Item) { fn(i.Piece) })
		}
	}
	for name, make := range map[string]func() store.Part{
		"out of turn":     func() store.Part { p := bodies(); p.After = "elsewhere"; return p },
		"not a message's": piece(func(p *store.Piece) { p.ID = "mmmmmmmmmm" }),
		"a body's size":   piece(func(p *store.Piece) { p.Size++ }),
		"a gap":           piece(func(p *store.Piece) { p.Offset, p.Length, p.Data = 2, p.Length-2, p.Data[2:] }),
		"a length":        piece(func(p *store.Piece) { p.Length++ }),
		"before it":       piece(func(p *store.Piece) { p.Offset = -1 }),
	} {
		if err := far.Import(ctx, id, make()); err == nil || domicile.KindOf(err) == domicile.Other {
			r.T.Errorf("%s: %v", name, err)
		}
		in, err := far.Imported(ctx, id)
		far.no(err)
		far.same("where it stands", in.At, "middle")
	}
	far.Check()
	far.is(domicile.Invalid, far.Activate(ctx, id, func(*store.Account) error { return nil }))
	far.no(far.Import(ctx, id, bodies()))
	far.no(far.Activate(ctx, id, func(a *store.Account) error { a.State = store.Active; return nil }))
}
