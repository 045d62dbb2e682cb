package imapd

import (
	"context"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/sync/semaphore"

	"domicile"
	"domicile/turns"
)

// Heavy work keeps a processor busy for as long as a client can make it: searching, sorting, threading, taking messages apart, reading large ones, and listing many. It
// is done in a turn, of which the node gives as many at once as it has processors, by turns of the accounts: an account's hundred searches hold up each other, and those of
// another account by a piece of one of them. What is not heavy never waits for a turn. In a turn nothing is written to a client, and no memory waited for;
// between two pieces no lock is held. So nobody's client, and nobody's lock, keeps a turn from those who wait.

var errNoTurn = no(imap.ResponseCodeLimit, "Too much is under way at once; try again later")

// inTurn does heavy work when the account's turn comes.
func (s *session) inTurn(work func(t *turns.Turn) error) error {
	t, err := s.home.turns.Enter(s.ctx(), string(s.acct))
	if err != nil {
		return errNoTurn
	}
	defer t.Leave()
	return work(t)
}

// pass lets others in between two pieces of work.
func (s *session) pass(t *turns.Turn) error {
	if t.Pass(s.ctx()) != nil {
		return errNoTurn
	}
	return nil
}

// finds are the searches in texts that are under way. The store does one as a whole, and may wait for its index meanwhile, so that it has no place in a turn: an
// account has one of them under way at a time. The zero value is ready.
type finds struct {
	mu sync.Mutex
	of map[domicile.AccountID]*lane // guarded by mu
}

type lane struct {
	free  *semaphore.Weighted
	users int // guarded by finds.mu; in it or waiting
}

// enter waits until no other search of the account is under way, for as long as a turn is waited for.
func (f *finds) enter(ctx context.Context, id domicile.AccountID) (leave func(), err error) {
	f.mu.Lock()
	if f.of == nil {
		f.of = map[domicile.AccountID]*lane{}
	}
	l := f.of[id]
	if l == nil {
		l = &lane{free: semaphore.NewWeighted(1)}
		f.of[id] = l
	}
	l.users++
	f.mu.Unlock()
	gone := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(f.of, id)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, findWait)
	defer cancel()
	if l.free.Acquire(ctx, 1) != nil {
		gone()
		return nil, errNoTurn
	}
	return func() { l.free.Release(1); gone() }, nil
}

// findWait is how long a search in texts waits for another one of its account.
const findWait = 30 * time.Second

// Waiting is how much heavy work waits for its turn.
func (h *Home) Waiting() int { return h.turns.Waiting() }
