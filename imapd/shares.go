package imapd

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile"
)

// How long memory is waited for, and held while others wait for it.
const (
	shareWait = 3 * time.Minute // that one waits
	shareHold = time.Minute     // that one holds some, and a second more for each shareRate of it,
	shareRate = 256 << 10       // before it is cut off
)

var errNoShare = no(imap.ResponseCodeLimit, "Too much is held in memory at once; try again later")

// shares is memory that the sessions of a Home share. All that one account holds is at most half of what others leave of it: the first has half of all, the
// next a quarter, and so on, so that there is some for whoever comes. What one holds while its client is slow to read it would hold for ever:
// while others wait, it is cut off when its time is over. Those who wait are served in the order in which they came, past those who want more than there is.
// Safe for concurrent use.
type shares struct {
	hold time.Duration // shareHold, but in tests

	mu      sync.Mutex
	free    int64                        // guarded by mu
	held    map[domicile.AccountID]int64 // guarded by mu
	holders map[*share]struct{}          // guarded by mu: those that hold some
	waiting []*waiting                   // guarded by mu
}

// share is what one session holds, for one command: nobody who holds some waits for more.
type share struct {
	of   *shares
	acct domicile.AccountID
	cut  func() // ends the session. It must not wait

	n     int64     // guarded by of.mu
	since time.Time // guarded by of.mu: when it began to hold some
}

type waiting struct {
	share *share
	n     int64
	got   chan struct{} // closed when it has it
}

func newShares(size int64) *shares {
	return &shares{hold: shareHold, free: size, held: map[domicile.AccountID]int64{}, holders: map[*share]struct{}{}}
}

// Acquire waits for n bytes. errNoShare if they do not come.
func (s *share) Acquire(ctx context.Context, n int64) error {
	m := s.of
	m.mu.Lock()
	if m.give(s, n) {
		m.mu.Unlock()
		return nil
	}
	w := &waiting{s, n, make(chan struct{})}
	m.waiting = append(m.waiting, w)
	m.mu.Unlock()
	late := time.NewTimer(shareWait)
	defer late.Stop()
	for {
		next := time.NewTimer(m.cutLate(time.Now()))
		select {
		case <-w.got:
			next.Stop()
			return nil
		case <-next.C:
			continue
		case <-late.C:
		case <-ctx.Done():
		}
		next.Stop()
		m.giveUp(w)
		return errNoShare
	}
}

// TryAcquire takes n bytes if they are there.
func (s *share) TryAcquire(n int64) bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.of.give(s, n)
}

// Release gives n bytes back.
func (s *share) Release(n int64) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.take(s, n)
}

// give gives n bytes to a share, if they are there for its account. m.mu is held.
func (m *shares) give(s *share, n int64) bool {
	own := m.held[s.acct]
	if n == 0 {
		return true
	}
	if own+n > (m.free+own)/2 {
		return false
	}
	if s.n == 0 {
		s.since = time.Now()
		m.holders[s] = struct{}{}
	}
	m.free -= n
	m.held[s.acct] += n
	s.n += n
	return true
}

// take takes n bytes back, and serves those who wait for them. m.mu is held.
func (m *shares) take(s *share, n int64) {
	m.free += n
	if m.held[s.acct] -= n; m.held[s.acct] == 0 {
		delete(m.held, s.acct)
	}
	if s.n -= n; s.n == 0 {
		delete(m.holders, s)
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(w *waiting) bool {
		if !m.give(w.share, w.n) {
			return false
		}
		close(w.got)
		return true
	})
}

// giveUp ends a wait; what came meanwhile goes back.
func (m *shares) giveUp(w *waiting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.waiting, w); i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
	} else {
		m.take(w.share, w.n)
	}
}

// cutLate cuts those off who have held some for too long, and returns when to look again.
func (m *shares) cutLate(now time.Time) (next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next = shareWait
	for s := range m.holders {
		left := s.since.Add(m.hold + time.Duration(s.n/shareRate)*time.Second).Sub(now)
		if left > 0 {
			next = min(next, left)
		} else {
			s.cut()
		}
	}
	return next
}
