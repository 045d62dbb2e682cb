package imapd

import (
	"cmp"
	"slices"
	"strings"

	"domicile/imapd/wire"
	"domicile/message"
	"domicile/turns"
)

// thread answers THREAD (RFC 5256 3).
func (s *session) thread(cmd *wire.Command) (string, error) {
	cmd.SP()
	algorithm := cmd.Word()
	if algorithm != "REFERENCES" && algorithm != "ORDEREDSUBJECT" {
		cmd.Fail("No such way to thread")
	}
	cmd.SP()
	r := s.keyReader(cmd)
	r.charset(cmd.Astring())
	cmd.SP()
	q, err := r.query(returning{})
	if err != nil {
		return "", err
	}
	room := &room{memory: &s.memory}
	defer room.release()
	t := newThreads(algorithm == "REFERENCES")
	err = s.scan(q, records|summaries, func(c *candidate) error {
		return room.take(t.add(uint32(c.index), sent(c.m, c.summary), c.summary))
	})
	if err != nil {
		return "", failure(err)
	}
	var f *forest
	if err := s.inTurn(func(*turns.Turn) error { f = t.forest(); return nil }); err != nil {
		return "", err
	}
	s.conn.Raw("* THREAD")
	s.tellThreads(f, isUID(cmd))
	s.conn.Line()
	return "", nil
}

// threads gathers messages, in the order of the mailbox.
type threads struct {
	messages []threaded
	subjects map[string]int32 // of base subjects; "" is 0
	links    *links           // nil for ORDEREDSUBJECT
}

// threaded is one message.
type threaded struct {
	index   uint32 // in the view
	sent    int64
	subject int32
	reply   bool
}

func newThreads(references bool) *threads {
	t := &threads{subjects: map[string]int32{"": 0}}
	if references {
		t.links = newLinks()
	}
	return t
}

// add takes a message and returns about how many bytes it is kept in. It keeps nothing of the summary.
func (t *threads) add(index uint32, sent int64, s *message.Summary) (size int) {
	base := s.BaseSubject()
	subject, ok := t.subjects[base]
	if !ok {
		subject = int32(len(t.subjects))
		t.subjects[strings.Clone(base)] = subject
		size = len(base) + 64
	}
	if t.links != nil {
		size += t.links.add(int32(len(t.messages)), s.MessageID, s.References)
	}
	t.messages = append(t.messages, threaded{index, sent, subject, s.Reply})
	return size + 100
}

// forest is the answer: trees of messages. Items from len(messages) on are dummies, which stand at the top alone.
type forest struct {
	messages []threaded
	parent   []int32 // of each item; none = it is at the top
	byDate   []int32 // messages, in the order of siblings
}

const none = -1

// forest builds the trees.
func (t *threads) forest() *forest {
	f := &forest{messages: t.messages, parent: make([]int32, len(t.messages)), byDate: make([]int32, len(t.messages))}
	for i := range f.byDate {
		f.parent[i], f.byDate[i] = none, int32(i)
	}
	slices.SortFunc(f.byDate, func(a, b int32) int {
		return cmp.Or(cmp.Compare(f.messages[a].sent, f.messages[b].sent), cmp.Compare(a, b))
	})
	if t.links == nil {
		f.bySubject(len(t.subjects))
		return f
	}
	dummies := t.links.prune(f)
	f.gather(len(t.subjects), dummies)
	return f
}

// bySubject is ORDEREDSUBJECT: the first message of a base subject has all others as its children.
func (f *forest) bySubject(subjects int) {
	first := slices.Repeat([]int32{none}, subjects)
	for _, m := range f.byDate {
		if s := f.messages[m].subject; first[s] == none {
			first[s] = m
		} else {
			f.parent[m] = first[s]
		}
	}
}

// children lists those of each item, and the top, by date: by their first child if they are dummies.
func (f *forest) children() (top []int32, first, next []int32) {
	n := len(f.parent)
	first, next = slices.Repeat([]int32{none}, n), slices.Repeat([]int32{none}, n)
	last := slices.Repeat([]int32{none}, n)
	for _, m := range f.byDate {
		p := f.parent[m]
		switch {
		case p == none:
			top = append(top, m)
		case first[p] == none:
			if first[p] = m; f.isDummy(p) {
				top = append(top, p)
			}
			last[p] = m
		default:
			next[last[p]] = m
			last[p] = m
		}
	}
	return top, first, next
}

func (f *forest) isDummy(item int32) bool { return int(item) >= len(f.messages) }

// tellThreads writes thread lists (RFC 5256 4). However deep the trees are, it does not go deeper.
func (s *session) tellThreads(f *forest, uid bool) {
	const end = none // a list ends
	top, first, next := f.children()
	if len(top) > 0 {
		s.conn.Raw(" ")
	}
	var todo []int32
	written := 0
	for _, t := range top {
		todo = append(todo, t)
		begins := true
		for len(todo) > 0 {
			item := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if item == end {
				s.conn.Raw(")")
				continue
			}
			if begins {
				s.conn.Raw("(")
				todo = append(todo, end)
			}
			child := first[item]
			if !f.isDummy(item) {
				s.conn.Num(int64(s.view.nameOf(f.messages[item].index, uid)))
				if child != none {
					s.conn.Raw(" ")
				}
			}
			// An only child goes on in the list, others begin their own.
			begins = child == none || next[child] != none || f.isDummy(item)
			from := len(todo)
			for ; child != none; child = next[child] {
				todo = append(todo, child)
			}
			slices.Reverse(todo[from:])
			s.often(written)
			written++
		}
	}
}
