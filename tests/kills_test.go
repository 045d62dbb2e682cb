package tests

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
)

// TestKills ends nodes of both regions by SIGKILL at any instant while mail comes in at both fronts, and its senders do as
// mail servers do: they send again what was not answered. Afterwards every message that was answered with 250 is there
// unaltered; one is there twice only if an answer to it was lost; nothing is there that was not sent. Then the store and
// the audit logs are checked whole. DOMICILE_KILLS sets the number of kills.
func TestKills(t *testing.T) {
	t.Parallel()
	kills := times("DOMICILE_KILLS", 12)
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	d := &driver{c: c, ctx: t.Context(), sent: map[string]*fate{}}
	aoife, brian := c.Account(t, ireland, "aoife@example.com", "IE"), c.Account(t, ireland, "brian@example.com", "DE")
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for i, at := range []domicile.Node{usNode, usNode, ieNode} {
		senders.Go(func() { d.send(i, at, stop) })
	}
	for i := 0; i < kills || answered(&d.mu, d.sent) < enough && i < 10*kills; i++ { // on a busy machine little gets done
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		victim := []domicile.Node{usNode, ieNode}[rand.IntN(2)]
		if i%4 == 3 { // both at once
			c.Kill9(t, usNode)
			c.Kill9(t, ieNode)
			c.Launch(t, ieNode, usNode)
			continue
		}
		c.Kill9(t, victim)
		c.Launch(t, victim)
	}
	close(stop)
	senders.Wait()
	d.read(t, "aoife@example.com", aoife)
	d.read(t, "brian@example.com", brian)
	d.judge(t)
	c.Halt(t, usNode)
	c.Halt(t, ieNode)
	for _, n := range c.Nodes {
		c.CheckStore(t, n)
	}
} // the harness verifies the audit logs

// fate is what became of one message for its two recipients.
type fate struct {
	sum      [32]byte
	answered int // with 250
	unsure   int // tries without an answer, or with one that leaves it open
	found    map[string]int
}

// enough is how many answers with 250 prove something.
const enough = 5

// answered counts them.
func answered(mu *sync.Mutex, sent map[string]*fate) (n int) {
	mu.Lock()
	defer mu.Unlock()
	for _, f := range sent {
		n += f.answered
	}
	return n
}

// hand gives the body to a session in which DATA has begun, in two pieces, notes what became of it under mu, and says whether it was
// answered with 250.
func (f *fate) hand(s *lab.Sender, text []byte, mu *sync.Mutex) bool {
	stuffed := []byte(strings.ReplaceAll(string(text), "\r\n.", "\r\n.."))
	cut := rand.IntN(len(stuffed))
	_, err1 := s.Write(stuffed[:cut])
	_, err2 := s.Write(stuffed[cut:])
	if errors.Join(err1, err2) != nil {
		return false
	}
	_, err := s.Command(250, ".")
	mu.Lock()
	defer mu.Unlock()
	if err == nil {
		f.answered++
		return true
	}
	f.unsure++
	return false
}

// times is how often a test does what it does: as the environment says, else as given.
func times(variable string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return n
	}
	return otherwise
}

type driver struct {
	c   *harness.Cluster
	ctx context.Context

	mu   sync.Mutex
	sent map[string]*fate
}

// send sends messages of many sizes to both recipients until stop; the last is tried until it is answered.
func (d *driver) send(who int, at domicile.Node, stop <-chan struct{}) {
	for n := 0; ; n++ {
		word := fmt.Sprintf("m%d-%d-%s", who, n, domicile.NewID(""))
		text := letter(word, strings.Repeat(word+" ....\n.\n..\n", 1+rand.IntN(1<<rand.IntN(15))))
		f := &fate{sum: sha256.Sum256(text), found: map[string]int{}}
		d.mu.Lock()
		d.sent[word] = f
		d.mu.Unlock()
		for !d.try(at, text, f) {
			select {
			case <-d.ctx.Done():
				return
			case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
			}
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// try sends a message once, in pieces, and says whether it was answered with 250.
func (d *driver) try(at domicile.Node, text []byte, f *fate) bool {
	return d.sendTo(at, text, f, "aoife@example.com", "brian@example.com")
}

func (d *driver) sendTo(at domicile.Node, text []byte, f *fate, to ...string) bool {
	s, err := lab.DialSMTP(d.ctx, d.c.Node(at).SMTP)
	if err != nil {
		return false
	}
	defer s.Close()
	if err := s.Begin("maeve@sender.example", to...); err != nil {
		return false
	}
	return f.hand(s, text, &d.mu)
}

// read counts what is in a mailbox.
func (d *driver) read(t *testing.T, address, password string) {
	for _, m := range d.c.Inbox(t, ireland, address, password) {
		_, rest, _ := strings.Cut(string(m), "\r\nSubject: ")
		word, _, _ := strings.Cut(rest, "\r\n")
		f := d.sent[word]
		at := strings.Index(string(m), "From: Maeve")
		if f == nil || at < 0 || sha256.Sum256(m[at:]) != f.sum {
			t.Errorf("%s holds %q, which was not sent like this", address, word)
			continue
		}
		f.found[address]++
	}
}

func (d *driver) judge(t *testing.T) {
	answered, again, twice := 0, 0, 0
	for word, f := range d.sent {
		if f.unsure > 0 {
			again++
		}
		answered += f.answered
		for _, a := range []string{"aoife@example.com", "brian@example.com"} {
			n := f.found[a]
			if f.answered > 0 && n == 0 {
				t.Errorf("%s was answered with 250 and is lost for %s", word, a)
			}
			if n > 1 {
				twice++
			}
			if n > f.answered+f.unsure || n > 1 && f.unsure == 0 {
				t.Errorf("%s is there %d times for %s: answered %d times, unsure %d times", word, n, a, f.answered, f.unsure)
			}
		}
	}
	t.Logf("%d messages answered, %d tried again, %d copies doubled", answered, again, twice)
	if answered < enough {
		t.Error("too few to prove anything")
	}
}
