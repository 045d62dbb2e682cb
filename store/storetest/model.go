package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"domicile"
	"domicile/store"
)

// model plays random acts on the mailboxes of one account, and the same acts on
// maps in memory, opens the store again now and then, and compares.
func model(r *Rig) {
	round, far := 0, r.other()
	rapid.Check(r.T.(rapid.TB), func(t *rapid.T) {
		round++
		m := &machine{r: r, far: far, t: t, acct: r.Person(fmt.Sprintf("model%d", round)), boxes: map[string]*modelBox{}}
		for _, name := range r.names(m.acct) {
			m.boxes[name] = &modelBox{next: 1}
		}
		t.Repeat(map[string]func(*rapid.T){
			"deliver":  m.deliver,
			"deliver2": m.deliver,
			"flags":    m.flags,
			"copy":     func(t *rapid.T) { m.transfer(t, false) },
			"move":     func(t *rapid.T) { m.transfer(t, true) },
			"expunge":  m.expunge,
			"create":   m.create,
			"rename":   m.rename,
			"delete":   m.remove,
			"reopen":   m.reopen,
			"":         m.compare,
		})
		m.changesAgree()
	})
}

type modelMessage struct {
	uid   store.UID
	body  string
	flags []string
}

type modelBox struct {
	next     store.UID
	messages []modelMessage
	vanished []store.UID
}

type machine struct {
	r     *Rig
	far   *Rig // where the account goes at the end
	t     *rapid.T
	acct  domicile.AccountID
	boxes map[string]*modelBox
	n     int
}

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
	m.n++
	body, flags := fmt.Sprint("body ", m.n), drawFlags(t)
	got, err := m.r.Deliver(m.acct, "", name, body, flags...)
	m.no(err)
	if got.UID != b.next {
		t.Fatalf("UID %d, want %d", got.UID, b.next)
	}
	b.add(body, flags)
}

func (m *machine) flags(t *rapid.T) {
	name, b := m.pick(t, "in")
	uids, flags := b.uids(t), drawFlags(t)
	op := rapid.SampledFrom([]store.FlagOp{store.FlagsSet, store.FlagsAdd, store.FlagsRemove}).Draw(t, "op")
	_, _, err := m.r.StoreFlags(ctx, m.acct, m.id(name), uids, op, flags, 0)
	m.no(err)
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
	call := m.r.Copy
	if move {
		call = m.r.Move
	}
	_, _, err := call(ctx, "", m.acct, m.id(from), uids, to)
	m.no(err)
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
	got, err := m.r.Expunge(ctx, m.acct, m.id(name), uids)
	m.no(err)
	gone := b.take(func(x modelMessage) bool {
		return slices.Contains(x.flags, "\\Deleted") && (uids == nil || slices.Contains(uids, x.uid))
	})
	if len(got) != len(gone) {
		t.Fatalf("expunged %v, want %v", got, gone)
	}
}

func (m *machine) create(t *rapid.T) {
	name := rapid.SampledFrom(modelNames).Draw(t, "name")
	_, err := m.r.CreateMailbox(ctx, "", m.acct, name, "")
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
	to := rapid.SampledFrom([]string{"X", "Y/Z", "A", "A/B", "Sent"}).Draw(t, "to")
	under := func(name, top string) bool { return len(name) > len(top) && name[:len(top)+1] == top+"/" }
	err := m.r.RenameMailbox(ctx, m.acct, from, to)
	refused := m.boxes[to] != nil || (from != "INBOX" && under(to, from))
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
}

func (m *machine) remove(t *rapid.T) {
	name, _ := m.pick(t, "name")
	err := m.r.DeleteMailbox(ctx, m.acct, name)
	if (err != nil) != (name == "INBOX") {
		t.Fatalf("delete %s: %v", name, err)
	}
	if err == nil {
		delete(m.boxes, name)
	}
}

func (m *machine) reopen(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "reopen") == 0 {
		m.no(m.r.Close())
		m.r.mustOpen()
	}
}

// compare holds the store against the maps.
func (m *machine) compare(t *rapid.T) {
	all, err := m.r.Store.Mailboxes(ctx, m.acct)
	m.no(err)
	if len(all) != len(m.boxes) {
		t.Fatalf("%d mailboxes, want %d", len(all), len(m.boxes))
	}
	for _, box := range all {
		b := m.boxes[box.Name]
		if b == nil {
			t.Fatalf("a mailbox %s too many", box.Name)
		}
		list, err := m.r.Messages(ctx, m.acct, box.ID)
		m.no(err)
		if len(list) != len(b.messages) || box.Messages != uint32(len(list)) || box.UIDNext != b.next {
			t.Fatalf("%s: %+v has %d messages, want %d", box.Name, box, len(list), len(b.messages))
		}
		for i, x := range list {
			want := b.messages[i]
			if x.UID != want.uid || !slices.Equal(x.Flags, want.flags) || x.Size != int64(len(want.body)) {
				t.Fatalf("%s: %+v, want %+v", box.Name, x, want)
			}
		}
	}
}

// changesAgree reads bodies and tombstones, once at the end of a round.
func (m *machine) changesAgree() {
	m.no(m.r.Close())
	m.r.mustOpen()
	for name, b := range m.boxes {
		c, err := m.r.Store.Since(ctx, m.acct, m.id(name), 0)
		m.no(err)
		slices.SortFunc(b.vanished, func(a, b store.UID) int { return cmp.Compare(a, b) })
		if !slices.Equal(c.Vanished, b.vanished) {
			m.t.Fatalf("%s: vanished %v, want %v", name, c.Vanished, b.vanished)
		}
		for i, x := range c.Changed {
			body, err := m.r.ReadBody(m.acct, x.ID)
			m.no(err)
			if body != b.messages[i].body {
				m.t.Fatalf("%s UID %d: %q, want %q", name, x.UID, body, b.messages[i].body)
			}
		}
	}
	m.arrives()
	m.no(m.r.DeleteAccount(ctx, m.acct))
}

// arrives moves the account to another store, in parts of a size that splits some bodies, and wants all of it there.
func (m *machine) arrives() {
	want, err := portrait(m.r.Store, m.acct)
	m.no(err)
	m.no(freeze(m.r, m.acct))
	m.no(transfer(m.r, m.far, m.acct, 5))
	m.no(m.far.Activate(ctx, m.acct, func(a *store.Account) error { a.State = store.Active; return nil }))
	got, err := portrait(m.far.Store, m.acct)
	m.no(err)
	m.no(m.far.DeleteAccount(ctx, m.acct))
	if got != want {
		m.t.Fatalf("behind the move:\n%s\nbefore:\n%s", got, want)
	}
}
