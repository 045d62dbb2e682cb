package smtpd

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
)

// Queued is a message of the queue as operators see it. Nothing in it comes from the message itself.
type Queued struct {
	ID      string
	Account domicile.AccountID
	Size    int64 // bytes of the message
	Queued  time.Time
	Next    time.Time // the next try
	Tries   int
	Held    bool
	Sender  string
	To      []QueuedRecipient
}

// QueuedRecipient is one recipient of it.
type QueuedRecipient struct {
	Address domicile.Address
	State   string // waiting, delivered, failed (the sender is owed a notice) or told
	Code    int    // of the newest answer, 0 before the first
	Status  string
	Text    string
	When    time.Time
}

// List returns the oldest messages, at most limit. One that is done with meanwhile is left out.
func (q *Queue) List(limit int) ([]Queued, error) {
	q.mu.Lock()
	all := make([]*item, 0, len(q.items))
	for _, it := range q.items {
		all = append(all, it)
	}
	slices.SortFunc(all, func(a, b *item) int { return cmp.Or(a.queued.Compare(b.queued), cmp.Compare(a.id, b.id)) })
	q.mu.Unlock()
	out := []Queued{}
	for _, it := range all[:min(limit, len(all))] {
		e, err := q.load(it)
		if domicile.KindOf(err) == domicile.NotExist {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, q.view(it, e))
	}
	return out, nil
}

// Show returns one message.
func (q *Queue) Show(id string) (Queued, error) {
	q.mu.Lock()
	it := q.items[id]
	q.mu.Unlock()
	if it == nil {
		return Queued{}, noSuch()
	}
	e, err := q.load(it)
	if err != nil {
		return Queued{}, err
	}
	return q.view(it, e), nil
}

func noSuch() error {
	return domicile.E("outbound queue", domicile.NotExist, "there is no such message in the queue; it may be delivered by now")
}

func (q *Queue) view(it *item, e *entry) Queued {
	out := Queued{ID: it.id, Account: it.account, Size: e.Size, Queued: e.Queued, Next: e.Next, Tries: e.Tries, Held: e.Held, Sender: e.Sender}
	for _, r := range e.To {
		state := string(r.State)
		if r.State == rcptWaiting {
			state = "waiting"
		}
		out.To = append(out.To, QueuedRecipient{Address: r.Address, State: state, Code: r.Code, Status: r.Status, Text: r.Text, When: r.When})
	}
	return out
}

// Retry has a message tried at once, and ends a hold.
func (q *Queue) Retry(ctx context.Context, id string) (Queued, error) {
	return q.change(ctx, id, func(e *entry) { e.Held, e.Next = false, q.now() })
}

// Hold keeps a message from being tried, and from expiring, until Retry.
func (q *Queue) Hold(ctx context.Context, id string) (Queued, error) {
	return q.change(ctx, id, func(e *entry) { e.Held = true })
}

// Drop ends the tries for recipients that wait. The sender is told, as of any other failure: who was answered with 250 has the message
// delivered or a notice.
func (q *Queue) Drop(ctx context.Context, id string) (Queued, error) {
	dropped := 0
	out, err := q.change(ctx, id, func(e *entry) {
		e.Held, e.Next = false, q.now()
		for _, r := range e.with(rcptWaiting) {
			e.answer(r, reply(554, smtp.EnhancedCode{5, 7, 1}, "It was taken out of the queue by an operator"), q.now())
			dropped++
		}
	})
	for range dropped {
		if err == nil {
			q.cfg.Count(Dropped)
		}
	}
	return out, err
}

// change alters an entry while nobody delivers it.
func (q *Queue) change(ctx context.Context, id string, fn func(*entry)) (Queued, error) {
	it, err := q.claim(ctx, id)
	if err != nil {
		return Queued{}, err
	}
	defer q.free(it)
	e, err := q.load(it)
	if err != nil {
		return Queued{}, err
	}
	fn(e)
	if err := q.save(it, e); err != nil {
		return Queued{}, err
	}
	q.mu.Lock()
	it.held, it.next = e.Held, e.Next
	q.mu.Unlock()
	return q.view(it, e), nil
}

// claim makes an item busy once nobody else has it so.
func (q *Queue) claim(ctx context.Context, id string) (*item, error) {
	stop := context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.freed.Broadcast()
	})
	defer stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		it := q.items[id]
		switch {
		case it == nil:
			return nil, noSuch()
		case !it.busy:
			it.busy = true
			if it.place >= 0 {
				heap.Remove(&q.due, it.place)
			}
			return it, nil
		case ctx.Err() != nil:
			return nil, domicile.E("outbound queue", domicile.Unavailable, "the message is being delivered just now; try again")
		}
		q.freed.Wait()
	}
}

// Idle reports whether no message of an account rests in the queue or is coming in. Whoever moves an account away waits for that,
// before the freeze and before the erasure: the key under which they rest does not go with it.
func (q *Queue) Idle(account domicile.AccountID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.usage[account] == 0
}

// Discard removes an account's messages without a word to anybody: for an account that is being erased.
func (q *Queue) Discard(ctx context.Context, account domicile.AccountID) error {
	return q.each(ctx, account, func(id string) error {
		it, err := q.claim(ctx, id)
		if err != nil {
			return err
		}
		defer q.free(it)
		return q.forget(it)
	})
}

// each acts on every message of an account; one that is gone by then is no error.
func (q *Queue) each(ctx context.Context, account domicile.AccountID, act func(id string) error) error {
	for _, id := range q.of(account) {
		if err := act(id); err != nil && domicile.KindOf(err) != domicile.NotExist {
			return err
		}
	}
	return nil
}

func (q *Queue) of(account domicile.AccountID) (ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, it := range q.items {
		if it.account == account {
			ids = append(ids, id)
		}
	}
	return ids
}

// QueueStats is how a queue fares.
type QueueStats struct {
	Waiting, Held int           // messages
	Bytes         int64         // as counted against the limits
	Oldest        time.Duration // since the oldest message came, held ones included; 0 if there is none
}

// Stats measures the queue.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := QueueStats{Bytes: q.total}
	now := q.now()
	for _, it := range q.items {
		if it.held {
			s.Held++
		} else {
			s.Waiting++
		}
		s.Oldest = max(s.Oldest, now.Sub(it.queued))
	}
	return s
}

// bucket holds how many recipients an account may name now.
type bucket struct {
	left float64
	at   time.Time
}

const maxBuckets = 1 << 16

// allow takes one recipient of an account's rate.
func (q *Queue) allow(account domicile.AccountID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, most := q.now(), float64(q.cfg.Rate)
	refill := func(b *bucket) {
		b.left, b.at = min(most, b.left+now.Sub(b.at).Hours()*most), now
	}
	b := q.rates[account]
	if b == nil {
		if len(q.rates) >= maxBuckets {
			for id, other := range q.rates {
				if refill(other); other.left >= most {
					delete(q.rates, id)
				}
			}
		}
		b = &bucket{left: most, at: now}
		q.rates[account] = b
	}
	refill(b)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
