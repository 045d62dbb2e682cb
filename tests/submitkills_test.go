package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
)

// TestSubmissionKills ends the nodes of both regions by SIGKILL at any instant while a customer in Ireland writes to both regions and
// to somebody whose mailbox is full, sending again what was not answered. Afterwards, when the queue is empty, every message that
// was answered with 250 is there once for each, unaltered, and its sender has one notice about the full mailbox; more only where an
// answer was lost. DOMICILE_KILLS sets the number of kills.
func TestSubmissionKills(t *testing.T) {
	t.Parallel()
	kills := times("DOMICILE_KILLS", 8)
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	d := &submitter{c: c, ctx: t.Context(), sent: map[string]*fate{}, from: "sends@example.com"}
	d.password = c.Account(t, ireland, d.from, "IE")
	irish, american := c.Account(t, ireland, "reads@example.com", "IE"), c.Account(t, usEast, "abroad@example.com", "US")
	c.Account(t, usEast, "full@example.com", "US")
	if r := c.Ctl(t, usEast, "operator", nil, "account", "quota", "full@example.com", "--set", "1"); r.Code != 0 {
		t.Fatal(r)
	}
	d.to = []string{"reads@example.com", "abroad@example.com", "full@example.com"}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for i := range 3 {
		senders.Go(func() { d.send(i, stop) })
	}
	for i := 0; i < kills || answered(&d.mu, d.sent) < enough && i < 10*kills; i++ { // on a busy machine little gets done
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		victims := [][]domicile.Node{{ieNode}, {usNode}, {ieNode}, {usNode, ieNode}}[i%4]
		for _, v := range victims {
			c.Kill9(t, v)
		}
		c.Launch(t, victims...)
	}
	close(stop)
	senders.Wait()
	c.Met(t, 3)
	harness.Eventually(t, 2*time.Minute, "an empty queue", func() bool { return d.hurry(t) == 0 })
	d.read(t, ireland, "reads@example.com", irish)
	d.read(t, usEast, "abroad@example.com", american)
	d.read(t, ireland, d.from, d.password)
	d.judge(t)
	if left, err := os.ReadDir(filepath.Join(c.Path(c.Node(ieNode).Data), "outbound")); err != nil || len(left) != 0 {
		t.Errorf("the queue is empty, its folder is not: %v, %v", left, err)
	}
	for _, n := range []domicile.Node{usNode, ieNode} {
		c.Halt(t, n)
		c.CheckStore(t, *c.Node(n))
	}
}

type submitter struct {
	c              *harness.Cluster
	ctx            context.Context
	from, password string
	to             []string

	mu   sync.Mutex
	sent map[string]*fate // guarded by mu while senders run
}

// send submits messages of many sizes until stop; the last is tried until it is answered.
func (d *submitter) send(who int, stop <-chan struct{}) {
	for n := 0; ; n++ {
		word := fmt.Sprintf("s%d-%d-%s", who, n, domicile.NewID(""))
		text := from(d.from, word, strings.Repeat(word+" ....\n.\n..\n", 1+rand.IntN(1<<rand.IntN(12))))
		f := &fate{sum: sha256.Sum256(text), found: map[string]int{}}
		d.mu.Lock()
		d.sent[word] = f
		d.mu.Unlock()
		for !d.try(text, f) {
			select {
			case <-d.ctx.Done():
				return
			case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rand.IntN(50)) * time.Millisecond):
		}
	}
}

// try submits a message once, and says whether it was answered with 250.
func (d *submitter) try(text []byte, f *fate) bool {
	s, err := lab.DialSMTP(d.ctx, d.c.Node(ieNode).Submission)
	if err != nil {
		return false
	}
	defer s.Close()
	if _, err := s.Command(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+d.from+"\x00"+d.password))); err != nil {
		return false
	}
	if err := s.Begin(d.from, d.to...); err != nil {
		return false
	}
	return f.hand(s, text, &d.mu)
}

// hurry has all that waits tried at once, and returns how much that is.
func (d *submitter) hurry(t *testing.T) int {
	var list []struct {
		ID string `json:"id"`
	}
	r := d.c.Ctl(t, ireland, "operator", nil, "queue", "ls")
	if r.Code != 0 || json.Unmarshal(r.Out, &list) != nil {
		t.Fatal(r)
	}
	for _, m := range list {
		d.c.Ctl(t, ireland, "operator", nil, "queue", "retry", m.ID) // it may be gone by now
	}
	return len(list)
}

// read counts what is in a mailbox: of the sender's, the notices about each message.
func (d *submitter) read(t *testing.T, r domicile.Region, address, password string) {
	for _, m := range d.c.Inbox(t, r, address, password) {
		_, rest, _ := strings.Cut(string(m), "\r\nMessage-ID: <s")
		word, _, _ := strings.Cut("s"+rest, "@")
		f := d.sent[word]
		at := bytes.Index(m, []byte("From: <"))
		if f == nil || address != d.from && (at < 0 || sha256.Sum256(m[at:]) != f.sum) {
			t.Errorf("%s holds %q, which was not sent like this", address, word)
			continue
		}
		if address == d.from && (!bytes.Contains(m, []byte("rfc822; full@example.com\r\nAction: failed\r\nStatus: 5.2.2")) || bytes.Count(m, []byte("Final-Recipient")) != 1) {
			t.Errorf("a notice about %s: %s", word, m)
		}
		f.found[address]++
	}
}

func (d *submitter) judge(t *testing.T) {
	answered, again, twice := 0, 0, 0
	for word, f := range d.sent {
		answered += f.answered
		if f.unsure > 0 {
			again++
		}
		for _, a := range []string{"reads@example.com", "abroad@example.com", d.from} {
			n := f.found[a]
			if n > 1 {
				twice++
			}
			if n < f.answered || n > f.answered+f.unsure {
				t.Errorf("%s is there %d times for %s: answered %d times, unsure %d times", word, n, a, f.answered, f.unsure)
			}
		}
	}
	t.Logf("%d messages answered, %d tried again, %d copies doubled", answered, again, twice)
	if answered < enough {
		t.Error("too few to prove anything")
	}
}
