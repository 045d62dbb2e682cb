package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"domicile"
	"domicile/store"
)

// model plays random acts on the mailboxes of two accounts, and the same acts on
// maps in memory, loses steps and answers, says acts again by their tokens, opens the store again now and then, and compares.
func model(r *Rig) {
	budget := 5 * time.Second
	if long() {
		budget = 2 * time.Minute
	}
	var next fault // what becomes of the next call
	r.wrap = func(s store.Store) store.Store {
		return &patient{&faulty{s, func(method string) (now fault) {
			now, next = next, noFault
			if now == lostAnswer && !answersOnce[method] {
				return lostStep
			}
			return now
		}}}
	}
	r.Reopen()
	round, far, end, failed := 0, r.other(), time.Now().Add(budget), false
	play := func(t *rapid.T) {
		if time.Now().After(end) && !failed { // which is no result: some checks less
			return
		}
		was := failed
		failed = true // until the end is reached
		m := &machine{r: r, far: far, t: t}
		for range 2 {
			round++
			m.people = append(m.people, m.newPerson(fmt.Sprintf("model%d", round)))
		}
		turn := func(act func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				m.person = rapid.SampledFrom(m.people).Draw(t, "who")
				next = fault(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2}).Draw(t, "line"))
				act(t)
				next = noFault
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"deliver":  turn(m.deliver),
			"deliver2": turn(m.deliver),
			"commit":   turn(m.commit),
			"flags":    turn(m.flags),
			"copy":     turn(func(t *rapid.T) { m.transfer(t, false) }),
			"move":     turn(func(t *rapid.T) { m.transfer(t, true) }),
			"expunge":  turn(m.expunge),
			"create":   turn(m.create),
			"rename":   turn(m.rename),
			"delete":   turn(m.remove),
			"again":    turn(m.again),
			"reopen":   m.reopen,
			"":         m.compare,
		})
		for _, m.person = range m.people {
			m.changesAgree()
		}
		failed = was
	}
	for once := true; once || long() && time.Now().Before(end); once = false {
		rapid.Check(r.T.(rapid.TB), play)
	}
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
	*person // whose turn it is
	people  []*person
	r       *Rig
	far     *Rig // where the accounts go at the end
	t       *rapid.T
	n       int
}

// person is an account as it should be.
type person struct {
	acct      domicile.AccountID
	boxes     map[string]*modelBox
	said      []said // acts under a token
	followers map[domicile.MailboxID]*follower
}

// said is an act that can be said again.
type said struct {
	again func() (string, error)
	was   string
}

func (m *machine) newPerson(name string) *person {
	p := &person{acct: m.r.Person(name), boxes: map[string]*modelBox{}, followers: map[domicile.MailboxID]*follower{}}
	for _, name := range m.r.names(p.acct) {
		p.boxes[name] = &modelBox{next: 1}
	}
	return p
}

// say does an act under a token of its own, and keeps it for "again".
func (m *machine) say(act func(tok store.Token) (string, error)) error {
	m.n++
	tok := store.Token(fmt.Sprint("model-", m.n))
	was, err := act(tok)
	if err == nil {
		m.said = append(m.said, said{func() (string, error) { return act(tok) }, was})
	}
	return err
}

// again says an act a second time: it does nothing, and what it returns is what it returned.
func (m *machine) again(t *rapid.T) {
	if len(m.said) == 0 {
		return
	}
	s := rapid.SampledFrom(m.said).Draw(t, "again")
	got, err := s.again()
	m.no(err)
	if got != s.was {
		t.Fatalf("again: %s, want %s", got, s.was)
	}
}

func (m *machine) reopen(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "reopen") == 0 {
		m.no(m.r.Close())
		m.r.mustOpen()
	}
}

// compare holds the store against the maps, and against what whoever follows the mailboxes knows.
func (m *machine) compare(t *rapid.T) {
	for _, p := range m.people {
		all, err := m.r.Store.Mailboxes(ctx, p.acct)
		m.no(err)
		if len(all) != len(p.boxes) {
			t.Fatalf("%d mailboxes, want %d", len(all), len(p.boxes))
		}
		validity := map[uint32]bool{}
		for _, box := range all {
			if p.boxes[box.Name] == nil || validity[box.UIDValidity] {
				t.Fatalf("a mailbox too many, or of a UIDVALIDITY that another has: %+v", box)
			}
			validity[box.UIDValidity] = true
			m.compareBox(t, p, box)
		}
	}
}

func (m *machine) compareBox(t *rapid.T, p *person, box store.Mailbox) {
	b := p.boxes[box.Name]
	list, err := m.r.Messages(ctx, p.acct, box.ID, 0, store.MaxPage)
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
	f := p.followers[box.ID]
	if f == nil {
		f = &follower{r: m.r, acct: p.acct, mbox: box.ID, has: map[store.UID]store.Message{}}
		p.followers[box.ID] = f
	}
	if box.HighestModSeq == f.seq {
		if !f.arrived() {
			t.Fatalf("%s changed without a ModSeq", box.Name)
		}
		return
	}
	if box.HighestModSeq < f.seq || !f.read() || !f.arrived() {
		t.Fatalf("%s: Since does not lead to what the mailbox has", box.Name)
	}
}

// changesAgree reads bodies and tombstones, once at the end of a round.
func (m *machine) changesAgree() {
	m.no(m.r.Close())
	m.r.mustOpen()
	for name, b := range m.boxes {
		c, err := Since(m.r.Store, m.acct, m.id(name), 1)
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
