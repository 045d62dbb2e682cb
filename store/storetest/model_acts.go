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

func (m *machine) flags(t *rapid.T) {
	name, b := m.pick(t, "in")
	uids, flags := b.uids(t), drawFlags(t)
	op := rapid.SampledFrom([]store.FlagOp{store.FlagsSet, store.FlagsAdd, store.FlagsRemove}).Draw(t, "op")
	acct, id := m.acct, m.id(name)
	m.no(m.say(func(tok store.Token) (string, error) {
		done, _, err := m.r.StoreFlags(ctx, tok, acct, id, uids, op, flags, 0)
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
		from, made, err := call(ctx, tok, acct, id, uids, to)
		return fmt.Sprint(from, made), err
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
		m.addBox(to, &modelBox{next: 1})
		for _, x := range m.boxes[from].take(func(modelMessage) bool { return true }) {
			m.boxes[to].add(x.body, x.flags)
		}
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
