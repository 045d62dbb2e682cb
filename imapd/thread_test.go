package imapd

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile/imapd/wire"
	"domicile/message"
	"domicile/store"
)

// letter is a message to be threaded: date is seconds, refs are ids.
type letter struct {
	id, refs, subject string
	date              int
}

func (l letter) summary() *message.Summary {
	var b strings.Builder
	if l.id != "" {
		fmt.Fprintf(&b, "Message-ID: <%s>\r\n", l.id)
	}
	if l.refs != "" {
		fmt.Fprintf(&b, "References: <%s>\r\n", strings.Join(strings.Fields(l.refs), "> <"))
	}
	fmt.Fprintf(&b, "Subject: %s\r\nDate: %s\r\n\r\n", l.subject, time.Unix(int64(l.date), 0).UTC().Format(time.RFC1123Z))
	return message.Parse([]byte(b.String())).Summarize()
}

// threadsOf is what THREAD answers for letters.
func threadsOf(references bool, letters []letter) string {
	th := newThreads(references)
	v := &view{}
	for i, l := range letters {
		v.uids = append(v.uids, store.UID(i+1))
		s := l.summary()
		th.add(uint32(i), sent(&store.Message{}, s), s)
	}
	s := &session{conn: &wire.Conn{}, view: v}
	s.tellThreads(th.forest(), false)
	var got string
	s.conn.Append(func(b []byte) []byte {
		got = strings.TrimSpace(string(b))
		return b
	})
	return got
}

func TestThreadReferences(t *testing.T) {
	for _, x := range []struct {
		name    string
		letters []letter
		want    string
	}{
		{"none", nil, ""},
		{"one", []letter{{"a", "", "x", 1}}, "(1)"},
		{"a chain, out of order", []letter{{"c", "a b", "", 3}, {"b", "a", "", 2}, {"a", "", "", 1}}, "(3 2 1)"},
		{"RFC 5256 4: branches", []letter{{"1", "", "", 1}, {"2", "", "", 2}, {"3", "", "", 3}, {"4", "3 6", "", 5}, {"5", "", "", 9}, {"6", "3", "", 4}, {"7", "3 6 44", "", 8}, {"8", "3 6 4", "", 6}, {"44", "3 6", "", 7}},
			"(1)(2)(3 6 (4 8)(9 7))(5)"},
		{"RFC 5256 4: no parent", []letter{{"3", "gone", "", 3}, {"5", "gone", "", 5}}, "((1)(2))"},
		{"one below what is not there", []letter{{"3", "gone gone2", "", 3}}, "(1)"},
		{"dummies between", []letter{{"a", "", "", 1}, {"b", "a x y", "", 2}, {"c", "a x z", "", 3}}, "(1 (2)(3))"},
		{"the last reference counts", []letter{{"a", "", "", 1}, {"b", "", "", 2}, {"d", "a c", "", 4}, {"c", "b", "", 3}}, "(1)(2 4 3)"},
		{"a loop", []letter{{"a", "b", "", 1}, {"b", "a", "", 2}}, "(2 1)"},
		{"itself", []letter{{"a", "a", "", 1}, {"b", "b a b", "", 2}}, "(2 1)"},
		{"the same id twice", []letter{{"a", "", "", 1}, {"a", "", "", 2}, {"b", "a", "", 3}}, "(1 3)(2)"},
		{"no ids", []letter{{"", "", "", 1}, {"", "", "", 2}}, "(1)(2)"},
		{"same subject", []letter{{"a", "", "hi", 1}, {"b", "", "hi", 2}}, "((1)(2))"},
		{"an answer joins", []letter{{"a", "", "hi", 2}, {"b", "", "Re: hi", 1}}, "(1 2)"},
		{"two answers", []letter{{"a", "", "re: hi", 2}, {"b", "", "Re: hi", 1}}, "((2)(1))"},
		{"a dummy wins", []letter{{"a", "", "hi", 1}, {"b", "gone", "hi", 2}, {"c", "gone", "hi", 3}}, "((1)(2)(3))"},
		{"two dummies", []letter{{"a", "g", "hi", 1}, {"b", "g", "x", 2}, {"c", "h", "hi", 3}, {"d", "h", "y", 4}}, "((1)(2)(3)(4))"},
		{"no subject joins nothing", []letter{{"a", "", "Re:", 1}, {"b", "", "", 2}}, "(1)(2)"},
	} {
		if got := threadsOf(true, x.letters); got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
	}
}

func TestThreadOrderedSubject(t *testing.T) {
	letters := []letter{{"", "", "b", 5}, {"", "", "a", 2}, {"", "", "Re: a", 1}, {"", "", "[l] B (fwd)", 4}, {"", "", "a", 3}, {"", "", "c", 3}}
	if got, want := threadsOf(false, letters), "(3 (2)(5))(6)(4 1)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// threadTree is REFERENCES step by step as RFC 5256 tells it, without regard to time.
type threadTree struct {
	n        int // 0 = a dummy
	parent   *threadTree
	children []*threadTree
	date     int
	subject  string
	reply    bool
}

func (x *threadTree) under(p *threadTree) {
	if x.parent != nil {
		x.parent.children = slices.DeleteFunc(x.parent.children, func(y *threadTree) bool { return y == x })
	}
	if x.parent = p; p != nil {
		p.children = append(p.children, x)
	}
}

func (x *threadTree) has(y *threadTree) bool {
	return x == y || slices.ContainsFunc(x.children, func(c *threadTree) bool { return c.has(y) })
}

func (x *threadTree) prune(atRoot bool) []*threadTree {
	var kids []*threadTree
	for _, c := range x.children {
		kids = append(kids, c.prune(false)...)
	}
	if x.children = kids; x.n == 0 && (!atRoot || len(kids) < 2) {
		return kids
	}
	return []*threadTree{x}
}

func (x *threadTree) first() *threadTree {
	if x.n == 0 {
		return slices.MinFunc(x.children, byDate)
	}
	return x
}

func byDate(a, b *threadTree) int {
	a, b = a.first(), b.first()
	return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(a.n, b.n))
}

func naive(letters []letter) string {
	ids := map[string]*threadTree{}
	get := func(id string) *threadTree {
		if ids[id] == nil {
			ids[id] = &threadTree{}
		}
		return ids[id]
	}
	all := map[*threadTree]bool{}
	for i, l := range letters {
		x := &threadTree{}
		if l.id != "" && get(l.id).n == 0 {
			x = get(l.id)
		}
		s := l.summary()
		x.n, x.date, x.subject, x.reply = i+1, l.date, s.BaseSubject(), s.Reply
		all[x] = true
		var before *threadTree
		for _, id := range strings.Fields(l.refs) {
			r := get(id)
			all[r] = true
			if before != nil && r.parent == nil && !r.has(before) {
				r.under(before)
			}
			before = r
		}
		if x.under(nil); before != nil && !x.has(before) {
			x.under(before)
		}
	}
	var roots []*threadTree
	for x := range all {
		if x.parent == nil {
			roots = append(roots, x.prune(true)...)
		}
	}
	roots = slices.DeleteFunc(roots, func(x *threadTree) bool { return x.n == 0 && len(x.children) == 0 })
	slices.SortFunc(roots, byDate)
	table := map[string]*threadTree{}
	for _, x := range roots {
		subject := x.first().subject
		there := table[subject]
		if there == nil || there.n != 0 && (x.n == 0 || there.reply && !x.reply) {
			table[subject] = x
		}
	}
	top := map[*threadTree]bool{}
	for _, x := range roots {
		top[x] = true
	}
	for _, x := range roots {
		subject := x.first().subject
		there := table[subject]
		switch {
		case subject == "" || there == x:
		case there.n == 0 && x.n == 0:
			there.children = append(there.children, x.children...)
			delete(top, x)
		case there.n == 0, x.reply && !there.reply:
			there.children = append(there.children, x)
			delete(top, x)
		default:
			d := &threadTree{children: []*threadTree{there, x}}
			delete(top, x)
			delete(top, there)
			table[subject], top[d] = d, true
		}
	}
	var b strings.Builder
	var write func(list []*threadTree)
	write = func(list []*threadTree) {
		slices.SortFunc(list, byDate)
		for _, x := range list {
			b.WriteString("(")
			for x.n != 0 {
				fmt.Fprint(&b, x.n)
				if len(x.children) > 0 {
					b.WriteString(" ")
				}
				if len(x.children) != 1 {
					break
				}
				x = x.children[0]
			}
			write(x.children)
			b.WriteString(")")
		}
	}
	write(slices.Collect(func(yield func(*threadTree) bool) {
		for x := range top {
			if !yield(x) {
				return
			}
		}
	}))
	return b.String()
}

// Random mail, with loops, missing messages, ids used twice and subjects in common, is threaded as the RFC's steps do it.
func TestThreadModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		n := 1 + r.IntN(12)
		id := func() string { return string(rune('a' + r.IntN(n+2))) }
		letters := make([]letter, n)
		for i := range letters {
			l := letter{date: r.IntN(6), subject: []string{"", "x", "Re: x", "y", "Fwd: y", "z"}[r.IntN(6)]}
			if r.IntN(8) > 0 {
				l.id = id()
			}
			for range r.IntN(4) {
				l.refs += id() + " "
			}
			letters[i] = l
		}
		if got, want := threadsOf(true, letters), naive(letters); got != want {
			t.Fatalf("%+v:\n%s, want\n%s", letters, got, want)
		}
	}
}

// Mail that was made to be hard to thread is threaded in time, and is all there.
func TestThreadHostile(t *testing.T) {
	const n = 20_000
	chain := func(i int) *message.Summary {
		return &message.Summary{MessageID: fmt.Sprint(i), References: []string{fmt.Sprint(i - 1)}}
	}
	for name, summary := range map[string]func(i int) *message.Summary{
		"a chain": chain,
		"a chain from its end": func(i int) *message.Summary {
			return chain(n - i)
		},
		"loops": func(i int) *message.Summary {
			return &message.Summary{MessageID: fmt.Sprint(i), References: []string{fmt.Sprint((i + 1) % n), fmt.Sprint((i * 7) % n)}}
		},
		"new parents for deep trees": func(i int) *message.Summary {
			switch {
			case i < n/2:
				return chain(i)
			case i%2 == 0:
				return &message.Summary{References: []string{"p", fmt.Sprint("x", i/2), fmt.Sprint("y", i/2), fmt.Sprint(n/2 - 1)}}
			}
			return &message.Summary{MessageID: fmt.Sprint("x", i/2), References: []string{fmt.Sprint(n/2 - 1)}}
		},
		"all below one": func(i int) *message.Summary { return &message.Summary{References: []string{"x"}} },
		"one id":        func(i int) *message.Summary { return &message.Summary{MessageID: "x", References: []string{"x", "x"}} },
	} {
		th := newThreads(true)
		for i := range n {
			th.add(uint32(i), int64(i%77), summary(i))
		}
		if th.links.steps < 0 {
			t.Logf("%s: the search for loops was given up", name)
		}
		checkForest(t, name, th.forest())
	}
}

// checkForest walks all trees, which must hold each message once.
func checkForest(t *testing.T, name string, f *forest) {
	t.Helper()
	top, first, next := f.children()
	seen := 0
	for todo := top; len(todo) > 0; {
		item := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !f.isDummy(item) {
			seen++
		}
		for c := first[item]; c != none; c = next[c] {
			todo = append(todo, c)
		}
		if seen > len(f.messages) {
			break
		}
	}
	if seen != len(f.messages) {
		t.Errorf("%s: %d of %d messages", name, seen, len(f.messages))
	}
}

// FuzzThread makes mail of bytes: of each message an id, a subject, a date and references, and compares with the steps of the RFC.
func FuzzThread(f *testing.F) {
	f.Add([]byte("a0b1a2ba3"))
	f.Add([]byte{1, 2, 3, 4, 1, 2, 3, 4, 0, 0, 0, 0, 9, 8, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		var letters []letter
		for ; len(b) >= 4 && len(letters) < 40; b = b[4:] {
			l := letter{date: int(b[1] % 8), subject: []string{"", "x", "Re: x", "y", "[a] fw: y"}[b[1]/8%5]}
			if b[0]%16 > 0 {
				l.id = fmt.Sprint(b[0] % 16)
			}
			for _, r := range []byte{b[2] % 16, b[2] / 16, b[3] % 16} {
				if r > 0 {
					l.refs += fmt.Sprint(r) + " "
				}
			}
			letters = append(letters, l)
		}
		if got, want := threadsOf(true, letters), naive(letters); got != want {
			t.Errorf("%+v:\n%s, want\n%s", letters, got, want)
		}
		threadsOf(false, letters)
	})
}

// What threads keep of long headers is counted.
func TestThreadMemoryIsCounted(t *testing.T) {
	th := newThreads(true)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	counted := 0
	for i := range 2000 {
		s := &message.Summary{MessageID: fmt.Sprint(i)}
		for j := range 200 {
			s.References = append(s.References, fmt.Sprint(i, "-", j))
		}
		counted += th.add(uint32(i), 0, s)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int(after.HeapAlloc - before.HeapAlloc); used > 2*counted {
		t.Errorf("%d bytes are used, %d were counted", used, counted)
	}
	runtime.KeepAlive(th)
}
