package containers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
)

// mark is in every message of the run, as a word of its own; what each is about is behind it.
var mark = domicile.NewID("mark")

// letter is one message and what became of it.
type letter struct {
	to   domicile.Address
	word string // its subject
	text []byte

	// Guarded by post.mu.
	answered int // with 250
	cut      int // tries that broke off behind the dot: whether it arrived the sender cannot know (RFC 1047)
	tries    int
}

// post is the sending side of the world: mail servers that keep what was not answered with 250, and try again for ever.
type post struct {
	ctx context.Context
	at  func(domicile.Node) string // the SMTP address

	mu   sync.Mutex
	sent []*letter
}

// write makes a letter and keeps it in the books.
func (p *post) write(to domicile.Address) *letter {
	l := &letter{to: to, word: mark + domicile.NewID("-")}
	body := strings.Repeat(l.word+" ....\n.\n..\n", 1+rand.IntN(1<<rand.IntN(12)))
	l.text = lab.Canonical([]byte("From: Maeve <maeve@sender.example>\nTo: " + string(to) + "\nSubject: " + l.word + "\n\n" + body))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, l)
	return l
}

// try sends a letter once. The code is that of the answer that decided, 0 if the connection broke or there was none.
func (p *post) try(at domicile.Node, l *letter) (code int, err error) {
	p.mu.Lock()
	l.tries++
	p.mu.Unlock()
	s, err := lab.DialSMTP(p.ctx, p.at(at))
	if err != nil {
		return lab.Code(err), err
	}
	defer s.Close()
	if err := s.Begin("maeve@sender.example", string(l.to)); err != nil {
		return lab.Code(err), err
	}
	stuffed := []byte(strings.ReplaceAll(string(l.text), "\r\n.", "\r\n.."))
	half := len(stuffed) / 2
	_, err = s.Write(stuffed[:half])
	if err == nil && rand.IntN(3) == 0 { // a slow sender: what is killed then is killed in the middle of a message
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	}
	if err == nil {
		_, err = s.Write(stuffed[half:])
	}
	if err != nil { // before the dot: nobody can have taken it
		return 0, err
	}
	_, err = s.Command(250, ".")
	code = lab.Code(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		l.answered++
		return 250, nil
	case code == 0:
		l.cut++
	}
	return code, err
}

// deliver tries until it is answered with 250. Every answer before is a temporary one: mail that a healthy cluster will take
// is never refused for good.
func (p *post) deliver(at domicile.Node, l *letter) error {
	for {
		code, err := p.try(at, l)
		if code == 250 {
			return nil
		}
		if code >= 500 {
			return fmt.Errorf("%s for %s is refused for good: %w", l.word, l.to, err)
		}
		select {
		case <-p.ctx.Done():
			return fmt.Errorf("%s for %s was tried to the end: %w", l.word, l.to, err)
		case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond):
		}
	}
}

// answers counts the letters that were answered with 250.
func (p *post) answers() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.sent {
		n += l.answered
	}
	return n
}

// flow sends letters to these, one after the other, at each of the fronts at once, until stop, which waits for the last of
// them to be answered.
func (p *post) flow(t *testing.T, fronts []domicile.Node, to ...domicile.Address) (stop func()) {
	end, work := make(chan struct{}), sync.WaitGroup{}
	for _, at := range fronts {
		work.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				case <-time.After(100 * time.Millisecond):
				}
				if err := p.deliver(at, p.write(to[i%len(to)])); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(end); work.Wait() })
}

// judge holds what stands in the mailboxes against the books: what was answered with 250 is there unaltered; twice only if a
// try of it broke off without an answer; in no other mailbox; and nothing is there that nobody sent.
func (p *post) judge(t *testing.T, boxes map[domicile.Address][][]byte) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	byWord := map[string]*letter{}
	for _, l := range p.sent {
		byWord[l.word] = l
	}
	found := map[*letter]int{}
	for owner, box := range boxes {
		for _, stored := range box {
			_, rest, _ := strings.Cut(string(stored), "\r\nSubject: ")
			word, _, _ := strings.Cut(rest, "\r\n")
			l := byWord[word]
			switch {
			case l == nil:
				t.Errorf("%s holds %q, which nobody sent", owner, word)
				continue
			case l.to != owner:
				t.Errorf("%s holds %q, which is for %s", owner, word, l.to)
				continue
			}
			found[l]++
			if err := lab.BehindTrace(stored, l.text); err != nil {
				t.Errorf("%q: %v", word, err)
			}
		}
	}
	answered, again, cut, twice := 0, 0, 0, 0
	for _, l := range p.sent {
		n := found[l]
		if l.answered > 0 && n == 0 {
			t.Errorf("%q for %s was answered with 250 and is lost", l.word, l.to)
		}
		if n > 1 && n > l.answered+l.cut || n > 1 && l.cut == 0 {
			t.Errorf("%q for %s is there %d times: %d tries, %d answered, %d cut", l.word, l.to, n, l.tries, l.answered, l.cut)
		}
		answered += l.answered
		again += min(l.tries-1, 1)
		cut += min(l.cut, 1)
		twice += max(n-1, 0)
	}
	t.Logf("%d letters answered with 250; %d of them tried again, %d cut off once or more, %d copies doubled", answered, again, cut, twice)
	if answered < 5 {
		t.Error("too few to prove anything")
	}
}
