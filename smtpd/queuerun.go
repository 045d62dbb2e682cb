package smtpd

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/store"
)

// How a queue delivers.
const (
	queueWorkers = 16               // messages at once
	queueEach    = queueWorkers / 2 // of them to one home region, so that a slow one leaves room for the others
	firstPause   = 5 * time.Second  // behind the first try; doubled with each
	lastPause    = time.Hour
	crowdedPause = 3 * time.Second // until a message is looked at again for whose home there was no room
)

// pause is how long a message rests behind its n-th try: 5 s, 10 s, 20 s and so on up to an hour, each up to a tenth longer, so that
// those that failed together do not come back together.
func pause(n int) time.Duration {
	d := lastPause
	if n < 10 {
		d = min(firstPause<<(n-1), lastPause)
	}
	return d + rand.N(d/10)
}

// Run delivers until ctx ends, and returns when no delivery is under way any more. What was cut short is tried again by the next
// Run, and arrives once.
func (q *Queue) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, q.nudge)
	defer stop()
	for ctx.Err() == nil {
		it, wait := q.next()
		if it != nil {
			go q.work(ctx, it)
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-q.wake:
		case <-t.C:
		}
		t.Stop()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.working > 0 {
		q.freed.Wait()
	}
}

// nudge makes Run look again.
func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next takes the item that is due first, now busy; or says when to look again.
func (q *Queue) next() (*item, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.due) == 0 || q.working >= queueWorkers {
		return nil, time.Hour // a nudge comes first
	}
	if wait := q.due[0].next.Sub(q.now()); wait > 0 {
		return nil, wait
	}
	it := heap.Pop(&q.due).(*item)
	it.busy = true
	q.working++
	return it, 0
}

// work tries one message.
func (q *Queue) work(ctx context.Context, it *item) {
	next := q.attempt(ctx, it)
	q.mu.Lock()
	it.next = next
	q.working--
	q.mu.Unlock()
	q.free(it)
}

// free ends what made an item busy. It is due at its next, unless it is held or gone.
func (q *Queue) free(it *item) {
	q.mu.Lock()
	it.busy = false
	if q.items[it.id] == it && !it.held {
		heap.Push(&q.due, it)
	}
	q.freed.Broadcast()
	q.mu.Unlock()
	q.nudge()
}

// attempt does what can be done for a message now, and says when to look again. Each step rests before the next begins. A recipient is
// delivered to under a name that the home remembers, then noted as done. A failure is noted, then told to the sender under a
// name that the sender's home remembers, then noted as told. A message for which nothing is left to do is removed.
func (q *Queue) attempt(ctx context.Context, it *item) time.Time {
	e, err := q.load(it)
	if domicile.KindOf(err) == domicile.NotExist { // the account was erased
		return q.settle(it, q.forget(it))
	}
	if err != nil {
		return q.settle(it, err)
	}
	now := q.now()
	news, rest, err := q.try(ctx, it, e, now)
	switch {
	case err != nil: // erased meanwhile
		return q.settle(it, q.forget(it))
	case rest > 0:
		return now.Add(rest)
	case ctx.Err() != nil: // cut short: it does not count as a try
		e.Next = now
	default:
		e.Tries++
		e.Next = now.Add(q.pause(e.Tries))
	}
	if err := q.save(it, e); err != nil {
		return q.settle(it, err)
	}
	for _, n := range news {
		q.cfg.Count(n)
	}
	if q.notify(ctx, it, e) && e.open() {
		if err := q.save(it, e); err != nil {
			return q.settle(it, err)
		}
	}
	if !e.open() {
		return q.settle(it, q.forget(it))
	}
	q.cfg.Log.Info("a message of the outbound queue waits", "id", it.id, "tries", e.Tries, "waiting", len(e.with(rcptWaiting)))
	return e.Next
}

// settle says when to look again at an item of which the record cannot be read, written or removed now.
func (q *Queue) settle(it *item, err error) time.Time {
	if err != nil {
		q.cfg.Log.Error("a record of the outbound queue cannot be read, written or removed now", "id", it.id, "kind", domicile.KindOf(err).String())
	}
	return q.now().Add(q.pause(4))
}

// try goes through the recipients that wait. A rest over 0 says that nothing was tried, and when to look again. NotExist: the
// account was erased meanwhile.
func (q *Queue) try(ctx context.Context, it *item, e *entry, now time.Time) (news []Outcome, rest time.Duration, err error) {
	waiting := e.with(rcptWaiting)
	if len(waiting) == 0 {
		return nil, 0, nil
	}
	if now.Sub(e.Queued) >= q.cfg.Expire {
		for _, r := range waiting {
			e.answer(r, expired(q.cfg.Expire, r), now)
			news = append(news, Expired)
		}
		return news, 0, nil
	}
	if a, err := q.cfg.Store.Account(ctx, it.account); err == nil && a.State == store.Suspended {
		return nil, q.pause(5), nil // nothing of a suspended account is sent, but it may expire
	}
	groups, news := q.group(ctx, it, e, waiting, now)
	tried := len(news) > 0
	for _, g := range groups {
		if !q.enter(g.home) {
			continue
		}
		tried = true
		more, err := q.send(ctx, it, e, g, now)
		q.leave(g.home)
		if err != nil {
			return nil, 0, err
		}
		news = append(news, more...)
	}
	if !tried {
		return nil, q.crowded, nil
	}
	return news, 0, nil
}

func expired(after time.Duration, r *rcptFate) *smtp.SMTPError {
	text := "It was tried for " + after.String()
	if r.Text != "" {
		text += ". The last answer: " + r.Text
	}
	return reply(554, smtp.EnhancedCode{5, 4, 7}, text)
}

// answer notes what a recipient's newest try came to; nil is delivered.
func (e *entry) answer(r *rcptFate, a *smtp.SMTPError, now time.Time) Outcome {
	r.When = now
	if a == nil {
		r.State, r.Code, r.Status, r.Text = rcptDelivered, 250, "2.0.0", ""
		return Delivered
	}
	r.Code, r.Status, r.Text = a.Code, statusText(a.EnhancedCode), a.Message
	if a.Code/100 != 5 {
		return Deferred
	}
	r.State, r.Notice = rcptFailed, e.notice
	return Failed
}

// group is a delivery to one home region.
type group struct {
	home  domicile.Region
	d     delivery
	fates map[domicile.AccountID][]*rcptFate
}

// group looks the homes up.
func (q *Queue) group(ctx context.Context, it *item, e *entry, waiting []*rcptFate, now time.Time) (out []*group, news []Outcome) {
	byHome := map[domicile.Region]*group{}
	for _, r := range waiting {
		loc, no := lookup(ctx, q.resolve, r.Address)
		if no != nil {
			news = append(news, e.answer(r, no, now))
			continue
		}
		g := byHome[loc.Home]
		if g == nil {
			g = &group{home: loc.Home, fates: map[domicile.AccountID][]*rcptFate{},
				d: delivery{V: wireVersion, ID: it.id, Sender: e.Sender, Trace: e.Trace, Each: true, Once: it.id}}
			byHome[loc.Home] = g
			out = append(out, g)
		}
		g.d.add(loc.Account)
		g.fates[loc.Account] = append(g.fates[loc.Account], r)
	}
	return out, news
}

// enter takes one of the places for deliveries to a home.
func (q *Queue) enter(home domicile.Region) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.homes[home] >= queueEach {
		return false
	}
	q.homes[home]++
	return true
}

func (q *Queue) leave(home domicile.Region) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.homes[home]--; q.homes[home] == 0 {
		delete(q.homes, home)
	}
}

// send brings the message to one home. An error is that of an erased account.
func (q *Queue) send(ctx context.Context, it *item, e *entry, g *group, now time.Time) (news []Outcome, err error) {
	done, no, err := q.carry(ctx, it, g)
	if err != nil {
		return nil, err
	}
	for i, id := range g.d.Recipients {
		a := no
		if a == nil {
			if failed := done.of(i); failed != nil {
				a = refusal(failed, 1)
			}
		}
		for _, r := range g.fates[id] {
			news = append(news, e.answer(r, a, now))
		}
	}
	return news, nil
}

// carry streams the message; no is the answer for all recipients if it did not get there.
func (q *Queue) carry(ctx context.Context, it *item, g *group) (done *accepted, no *smtp.SMTPError, err error) {
	m, err := q.message(it)
	switch {
	case domicile.KindOf(err) == domicile.NotExist:
		return nil, nil, err
	case damaged(err), errors.Is(err, fs.ErrNotExist):
		return nil, q.lost(it), nil
	case err != nil:
		return nil, reply(451, smtp.EnhancedCode{4, 3, 0}, "The message cannot be read now"), nil
	}
	defer m.Close()
	done, err = q.deliver(ctx, g.home, g.d, m)
	switch {
	case m.lost:
		return nil, q.lost(it), nil
	case err == nil && !m.whole:
		err = errEarly
	}
	if err != nil {
		q.cfg.Log.Info("a queued message was not delivered", "id", it.id, "home", string(g.home), "kind", domicile.KindOf(err).String(), "reason", string(domicile.ReasonOf(err)))
		return nil, refusal(err, 1), nil
	}
	return done, nil, nil
}

// lost is the answer for a message that no later try can read either.
func (q *Queue) lost(it *item) *smtp.SMTPError {
	q.cfg.Log.Error("a message of the outbound queue is damaged or gone; its sender is told", "id", it.id)
	return reply(554, smtp.EnhancedCode{5, 3, 0}, "The message was damaged where it waited; send it again")
}

// message is the bytes of a queued message as they are read.
type message struct {
	io.Reader
	io.Closer
	whole bool // read to its end
	lost  bool // it cannot be read to its end, now or later
}

func (m *message) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.whole = m.whole || err == io.EOF
	m.lost = m.lost || damaged(err)
	return n, err
}

// damaged tells bytes that do not open, now or later, from a disk that does not give them now.
func damaged(err error) bool {
	_, disk := errors.AsType[*fs.PathError](err)
	return err != nil && err != io.EOF && !disk
}
