package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"domicile"
	"domicile/store"
)

var modelNames = []string{"INBOX", "A", "A/B", "A/B/C", "Sent"}

func (m *machine) no(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

// pick draws the name of a mailbox that exists.
func (m *machine) pick(t *rapid.T, label string) (string, *modelBox) {
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.boxes))).Draw(t, label)
	return name, m.boxes[name]
}

func (m *machine) id(name string) domicile.MailboxID {
	b, err := m.r.MailboxByName(ctx, m.acct, name)
	m.no(err)
	return b.ID
}

func (b *modelBox) uids(t *rapid.T) []store.UID {
	return rapid.SliceOfNDistinct(rapid.Map(rapid.Uint32Range(1, max(2, uint32(b.next))), func(n uint32) store.UID { return store.UID(n) }), 0, 2, rapid.ID).Draw(t, "uids")
}

func (b *modelBox) add(body string, flags []string) {
	b.messages = append(b.messages, modelMessage{b.next, body, flags})
	b.next++
}

// take removes the messages that fit and returns them.
func (b *modelBox) take(fits func(modelMessage) bool) (taken []modelMessage) {
	for _, x := range b.messages {
		if fits(x) {
			taken = append(taken, x)
			b.vanished = append(b.vanished, x.uid)
		}
	}
	b.messages = slices.DeleteFunc(b.messages, fits)
	return taken
}

func drawFlags(t *rapid.T) []string {
	f := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"\\Seen", "\\Deleted", "key"}), rapid.ID).Draw(t, "flags")
	f, _ = store.CanonicalFlags(f)
	return f
}

func (m *machine) deliver(t *rapid.T) {
	name, b := m.pick(t, "into")
	body, flags := fmt.Sprint("body ", m.n), drawFlags(t)
	var got store.Message
	acct := m.acct
	m.no(m.say(func(tok store.Token) (_ string, err error) {
		got, err = m.r.Deliver(acct, tok, name, body, flags...)
		return fmt.Sprint(got), err
	}))
	if got.UID != b.next {
		t.Fatalf("UID %d, want %d", got.UID, b.next)
	}
	b.add(body, flags)
}

// commit brings several messages, or some in the place of one, which may not be there.
func (m *machine) commit(t *rapid.T) {
	to, b := m.pick(t, "into")
	in, old := m.pick(t, "instead in")
	instead := &store.Instead{Mailbox: m.id(in)}
	if uids := old.uids(t); len(uids) > 0 {
		instead.UID = uids[0]
	}
	least := 1
	if instead.UID == 0 {
		instead, least = nil, 2
	}
	var bodies []string
	var flags [][]string
	for i := range rapid.IntRange(least, 3).Draw(t, "messages") {
		bodies = append(bodies, fmt.Sprint("body ", m.n, " ", i))
		flags = append(flags, drawFlags(t))
	}
	acct, validity := m.acct, m.r.Box(m.acct, to).UIDValidity
	commit := func(tok, own store.Token, count int) ([]store.Message, error) {
		letters := m.r.Letters(acct, bodies[:count]...)
		for i := range letters {
			if letters[i].Flags = flags[i]; own != "" {
				letters[i].Token = store.Token(fmt.Sprint(own, " ", i))
			}
		}
		v, made, err := m.r.Commit(ctx, tok, acct, to, letters, instead)
		if err == nil && v != validity {
			t.Fatalf("UIDVALIDITY %d, want %d", v, validity)
		}
		return made, err
	}
	var got []store.Message
	act := func(tok store.Token) (_ string, err error) {
		got, err = commit(tok, "", len(bodies))
		return fmt.Sprint(got), err
	}
	if instead == nil && rapid.Bool().Draw(t, "a token each") {
		// Some of them come in a group of their own, and then again in one with the others.
		some := rapid.IntRange(1, len(bodies)-1).Draw(t, "some")
		act = func(own store.Token) (_ string, err error) {
			if _, err = commit("", own, some); err == nil {
				got, err = commit("", own, len(bodies))
			}
			return fmt.Sprint(got), err
		}
	}
	err := m.say(act)
	named := func(x modelMessage) bool { return instead != nil && x.uid == instead.UID }
	if instead != nil && !slices.ContainsFunc(old.messages, named) {
		if domicile.KindOf(err) != domicile.NotExist {
			t.Fatal("the message to be replaced is not there:", err)
		}
		return
	}
	m.no(err)
	old.take(named)
	for i, body := range bodies {
		if got[i].UID != b.next {
			t.Fatalf("UID %d, want %d", got[i].UID, b.next)
		}
		b.add(body, flags[i])
	}
}

func (m *machine) flags(t *rapid.T) {
	name, b := m.pick(t, "in")
	uids, flags := b.uids(t), drawFlags(t)
	op := rapid.SampledFrom([]store.FlagOp{store.FlagsSet, store.FlagsAdd, store.FlagsRemove}).Draw(t, "op")
	acct, id := m.acct, m.id(name)
	m.no(m.say(func(tok store.Token) (string, error) {
		done, err := m.r.StoreFlags(ctx, tok, acct, id, uids, op, flags, 0)
		return fmt.Sprint(done), err
	}))
	for i, x := range b.messages {
		if !slices.Contains(uids, x.uid) {
			continue
		}
		has := func(f string) bool {
			switch op {
			case store.FlagsAdd:
				return slices.Contains(x.flags, f) || slices.Contains(flags, f)
			case store.FlagsRemove:
				return slices.Contains(x.flags, f) && !slices.Contains(flags, f)
			}
			return slices.Contains(flags, f)
		}
		b.messages[i].flags = nil
		for _, f := range []string{"\\Deleted", "\\Seen", "key"} {
			if has(f) {
				b.messages[i].flags = append(b.messages[i].flags, f)
			}
		}
	}
}

func (m *machine) transfer(t *rapid.T, move bool) {
	from, src := m.pick(t, "from")
	to, dst := m.pick(t, "to")
	uids := src.uids(t)
	slices.Sort(uids)
	acct, id := m.acct, m.id(from)
	m.no(m.say(func(tok store.Token) (string, error) {
		call := m.r.Copy
		if move {
			call = m.r.Move
		}
		validity, from, made, err := call(ctx, tok, acct, id, uids, to)
		return fmt.Sprint(validity, from, made), err
	}))
	named := func(x modelMessage) bool { return slices.Contains(uids, x.uid) }
	list := slices.DeleteFunc(slices.Clone(src.messages), func(x modelMessage) bool { return !named(x) })
	if move {
		src.take(named)
	}
	for _, x := range list {
		dst.add(x.body, x.flags)
	}
}

func (m *machine) expunge(t *rapid.T) {
	name, b := m.pick(t, "in")
	var uids []store.UID
	if rapid.Bool().Draw(t, "by uid") {
		uids = append([]store.UID{}, b.uids(t)...)
	}
	var got []store.UID
	acct, id := m.acct, m.id(name)
	m.no(m.say(func(tok store.Token) (_ string, err error) {
		got, err = m.r.Expunge(ctx, tok, acct, id, uids)
		return fmt.Sprint(got), err
	}))
	gone := b.take(func(x modelMessage) bool {
		return slices.Contains(x.flags, "\\Deleted") && (uids == nil || slices.Contains(uids, x.uid))
	})
	if len(got) != len(gone) {
		t.Fatalf("expunged %v, want %v", got, gone)
	}
}

func (m *machine) create(t *rapid.T) {
	name := rapid.SampledFrom(modelNames).Draw(t, "name")
	acct := m.acct
	err := m.say(func(tok store.Token) (string, error) {
		box, err := m.r.CreateMailbox(ctx, tok, acct, name, "")
		return fmt.Sprint(box), err
	})
	if (err != nil) != (m.boxes[name] != nil) {
		t.Fatalf("create %s: %v", name, err)
	}
	if err == nil {
		m.addBox(name, &modelBox{next: 1})
	}
}

// addBox adds a mailbox and its parents.
func (m *machine) addBox(name string, b *modelBox) {
	for i, c := range name {
		if c == '/' && m.boxes[name[:i]] == nil {
			m.boxes[name[:i]] = &modelBox{next: 1}
		}
	}
	m.boxes[name] = b
}

func (m *machine) rename(t *rapid.T) {
	from, _ := m.pick(t, "from")
	if i := strings.LastIndexByte(from, '/'); i > 0 && rapid.Bool().Draw(t, "above") { // which may be no mailbox any more
		from = from[:i]
	}
	to := rapid.SampledFrom([]string{"X", "Y/Z", "A", "A/B", "Sent"}).Draw(t, "to")
	under := func(name, top string) bool { return len(name) > len(top) && name[:len(top)+1] == top+"/" }
	acct := m.acct
	err := m.say(func(tok store.Token) (string, error) { return "", m.r.RenameMailbox(ctx, tok, acct, from, to) })
	refused := m.boxes[to] != nil || from == to || (from != "INBOX" && under(to, from))
	if from != "INBOX" {
		for name := range m.boxes { // a child would land on another mailbox
			refused = refused || under(name, from) && m.boxes[to+name[len(from):]] != nil && !under(to+name[len(from):], from)
		}
	}
	if (err != nil) != refused {
		t.Fatalf("rename %s to %s: %v, want refused %v", from, to, err, refused)
	}
	if err != nil {
		return
	}
	if from == "INBOX" {
		made := &modelBox{next: 1}
		if len(m.boxes[from].messages) > 0 {
			made = &modelBox{next: m.boxes[from].next, vanished: slices.Clone(m.boxes[from].vanished), messages: m.boxes[from].take(func(modelMessage) bool { return true })}
		}
		made.notes = maps.Clone(m.boxes[from].notes)
		m.addBox(to, made)
		return
	}
	moved := map[string]*modelBox{}
	for name, b := range m.boxes {
		if name == from || under(name, from) {
			moved[to+name[len(from):]] = b
			delete(m.boxes, name)
		}
	}
	for name, b := range moved {
		m.boxes[name] = b
	}
	m.addBox(to, m.boxes[to])
	if m.boxes[to] == nil {
		delete(m.boxes, to)
	}
}

func (m *machine) remove(t *rapid.T) {
	name, _ := m.pick(t, "name")
	acct := m.acct
	err := m.say(func(tok store.Token) (string, error) { return "", m.r.DeleteMailbox(ctx, tok, acct, name) })
	if (err != nil) != (name == "INBOX") {
		t.Fatalf("delete %s: %v", name, err)
	}
	if err == nil {
		delete(m.boxes, name)
	}
}

func (m *machine) subscribe(t *rapid.T) {
	name := rapid.SampledFrom(append(modelNames, "X", "Y/Z", "Nowhere")).Draw(t, "name")
	on := rapid.Bool().Draw(t, "on")
	acct := m.acct
	m.no(m.say(func(tok store.Token) (string, error) { return "", m.r.Subscribe(ctx, tok, acct, name, on) }))
	if delete(m.names, name); on {
		m.names[name] = true
	}
}

// annotate sets two annotations of a mailbox or of the account, or removes them.
func (m *machine) annotate(t *rapid.T) {
	var id domicile.MailboxID
	notes := m.notes
	if rapid.IntRange(0, 3).Draw(t, "of the account") > 0 {
		name, b := m.pick(t, "of")
		if b.notes == nil {
			b.notes = map[string]string{}
		}
		id, notes = m.id(name), b.notes
	}
	var set []store.Annotation
	for range 2 {
		entry := rapid.SampledFrom([]string{"/private/a", "/private/b", "/shared/a"}).Draw(t, "entry")
		x := note(entry, rapid.SampledFrom([]string{"-", "", "x", "longer"}).Draw(t, "value"))
		set = append(set, x)
		if delete(notes, entry); x.Value != nil {
			notes[entry] = string(x.Value)
		}
	}
	acct := m.acct
	m.no(m.say(func(tok store.Token) (string, error) {
		n, err := m.r.Annotate(ctx, tok, acct, id, set)
		return fmt.Sprint(n), err
	}))
}

func (m *machine) compareNotes(t *rapid.T, p *person, id domicile.MailboxID, want map[string]string) {
	got, err := m.r.Annotations(ctx, p.acct, id)
	m.no(err)
	if len(got) != len(want) {
		t.Fatalf("annotations %v, want %v", got, want)
	}
	for _, x := range got {
		if value, is := want[x.Entry]; !is || value != string(x.Value) {
			t.Fatalf("%s is %q, want %q", x.Entry, x.Value, value)
		}
	}
}
