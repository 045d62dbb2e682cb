package imapd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"domicile"
	"domicile/imapd/wire"
	"domicile/login"
	"domicile/region"
	"domicile/store"
	"domicile/turns"
)

// DefaultMaxSize is the limit of APPEND where none is given.
const DefaultMaxSize = 64 << 20

// DefaultPerAccount is the limit of an account's sessions where none is given. A program that shows mail opens one for each mailbox that
// it watches, and people have several devices.
const DefaultPerAccount = 100

// readMemory bounds what all sessions together hold of messages they cut pieces from.
const readMemory = 512 << 20

// waitingMemory bounds what all sessions together make the store hold of messages that wait for others of their APPEND.
const waitingMemory = 128 << 20

// HomeConfig says what a Home stands on.
type HomeConfig struct {
	Region   domicile.Region
	Hostname string // in the greeting of connections passed through; "" = the region's name
	Store    store.Store
	Guard    *region.Guard
	TLS      *tls.Config    // for connections that other fronts pass through unread; nil = none are taken
	MaxSize  int64          // bytes of a message appended in a session that another node handed over; 0 = DefaultMaxSize
	Check    *login.Checker // of names and passwords, against Store
	Log      *slog.Logger

	// PerAccount is how many sessions one account may have at once; 0 = DefaultPerAccount.
	PerAccount int

	// HostOf names the host at which a region's customers are at home, as Config.HostOf does; nil = none has one.
	HostOf func(domicile.Region) string

	// Count, if not nil, is told how each login on a connection passed through unread ended, as Config.Count is.
	Count func(result string)
}

// Home serves the sessions of customers whose mail rests here, whichever front they came in by: a Server of this process, or
// that of another node. Safe for concurrent use.
type Home struct {
	cfg      HomeConfig
	check    *login.Checker
	memory   *shares             // of readMemory
	waiting  *semaphore.Weighted // of waitingMemory
	long     *shares             // of longMemory
	contexts *shares             // of contextMemory
	turns    turns.Line          // to heavy work, by accounts
	finds    finds
	deflate  atomic.Int64 // connections that compress
	hubs     hubs
	recents  recents
	flags    flagIndexes
	pace     time.Duration                                                                                  // of INPROGRESS: progressEvery
	permit   func(context.Context, region.Request) (*region.Permit, error)                                  // Guard.Permit
	refuse   func(ctx context.Context, r region.Request, reason domicile.Reason, rule, detail string) error // Guard.Refuse
	attach   func(net.Conn, domicile.AccountID) error                                                       // underPermit
	detach   func(net.Conn) error                                                                           // offPermit
	passed   *Server                                                                                        // speaks with clients passed through, until they are logged in

	ctx    context.Context // ends when all is to stop
	cancel context.CancelFunc

	mu       sync.Mutex
	sessions map[*session]struct{}      // guarded by mu
	places   map[domicile.AccountID]int // guarded by mu: sessions, those that begin included
	draining bool                       // guarded by mu
	left     *sync.Cond                 // a session left sessions
}

// NewHome checks cfg. Shutdown ends what it starts.
func NewHome(cfg HomeConfig) (*Home, error) {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.Hostname == "" {
		cfg.Hostname = string(cfg.Region)
	}
	if cfg.PerAccount == 0 {
		cfg.PerAccount = DefaultPerAccount
	}
	if cfg.Region == "" || cfg.Store == nil || cfg.Guard == nil || cfg.Check == nil || cfg.Check.Tries == nil || cfg.Log == nil || !sizeFits(cfg.MaxSize) || cfg.PerAccount < 0 {
		return nil, domicile.E("imap home", domicile.Invalid, "needs a region, store, guard, a check of logins, a log, a size below 4 GiB, and sessions for each account")
	}
	if r := cfg.Store.Region(); r != cfg.Region {
		return nil, domicile.Refuse("imap home", domicile.WrongRegion, "house/own-store", "the store belongs to "+string(r))
	}
	return newHome(cfg), nil
}

func sizeFits(n int64) bool { return n > 0 && n <= math.MaxUint32 }

func newHome(cfg HomeConfig) *Home {
	h := &Home{cfg: cfg, check: cfg.Check, pace: progressEvery,
		memory: newShares(readMemory), waiting: semaphore.NewWeighted(waitingMemory), long: newShares(longMemory), contexts: newShares(contextMemory), sessions: map[*session]struct{}{},
		places: map[domicile.AccountID]int{}}
	h.turns.Width = runtime.GOMAXPROCS(0)
	h.left = sync.NewCond(&h.mu)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.attach, h.detach, h.permit, h.refuse = h.underPermit, offPermit, cfg.Guard.Permit, cfg.Guard.Refuse
	h.passed = newServer(Config{Region: cfg.Region, Hostname: cfg.Hostname, Guard: cfg.Guard, MaxSize: cfg.MaxSize, Home: h, Resolve: h.resolve,
		Check: cfg.Check, Log: cfg.Log, HostOf: cfg.HostOf, Count: cfg.Count})
	h.passed.slow = h.slow
	return h
}

// enter takes a place for a session of an account: TooLarge if it has too many. exit gives the place back.
func (h *Home) enter(id domicile.AccountID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.places[id] >= h.cfg.PerAccount {
		return domicile.E("login", domicile.TooLarge, "the account has too many sessions")
	}
	h.places[id]++
	return nil
}

func (h *Home) exit(id domicile.AccountID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.places[id]--; h.places[id] == 0 {
		delete(h.places, id)
	}
}

// serve runs the session of an account that has logged in on c and entered, and answers the login with tag. It returns when the session
// has ended: with the connection closed, or, if it has a door to go back to, with the tag of the UNAUTHENTICATE that is to be answered there.
func (h *Home) serve(c *wire.Conn, by login.Means, tag string, maxSize int64, hasDoor bool) (unauthenticated string) {
	defer h.exit(by.Account)
	s := h.take(c, by, maxSize)
	defer h.leave(s)
	s.hasDoor = hasDoor
	s.greet(tag)
	s.serve()
	return s.unauthenticated
}

// take begins a session.
func (h *Home) take(c *wire.Conn, by login.Means, maxSize int64) *session {
	id := by.Account
	s := &session{home: h, acct: id, by: by, conn: c, maxSize: maxSize, progress: &progress{}}
	cut := func() { go c.Close() } // it may wait for the client
	s.memory, c.Long = share{of: h.memory, acct: id, cut: cut}, &share{of: h.long, acct: id, cut: cut}
	s.contexts = share{of: h.contexts, acct: id} // which nobody waits for
	c.Limit(wire.After, time.Time{})
	h.mu.Lock()
	h.sessions[s] = struct{}{}
	if h.draining {
		c.Drain()
	}
	h.mu.Unlock()
	// Between the check of the login and this line the account may have changed.
	if a, err := h.cfg.Store.Account(h.ctx, id); err != nil || !by.Stand(a) {
		c.Drain()
	}
	return s
}

func (h *Home) leave(s *session) {
	if s.unauthenticated == "" {
		s.conn.Close()
	}
	s.conn.Free()
	s.conn.Long = nil
	if s.deflate {
		h.deflate.Add(-1)
	}
	if s.watching {
		h.hubs.leave(s)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s)
	h.left.Broadcast()
}

// End ends the sessions of an account: BYE between their commands, and after endTime without. Unavailable as long as one is
// left. No session of the account begins anew while its state is not Active. Safe to repeat.
func (h *Home) End(id domicile.AccountID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := false
	for s := range h.sessions {
		switch {
		case s.acct != id:
			continue
		case s.ending.IsZero():
			s.ending = time.Now()
			s.conn.Drain()
		case time.Since(s.ending) > endTime:
			go s.conn.Close() // it may wait for the client
		}
		left = true
	}
	if left {
		return domicile.E("end sessions", domicile.Unavailable, "a session of the account has not ended yet")
	}
	return nil
}

// Changed ends the sessions that began with what lets an account in no more, by its record as it is now: BYE between their commands, and after
// endTime without. It does not wait for that.
func (h *Home) Changed(now store.Account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sessions {
		if s.acct == now.ID && !s.by.Stand(now) {
			s.conn.Drain()
			time.AfterFunc(endTime, func() { s.conn.Close() })
		}
	}
}

// endTime is how long a command under way may go on.
const endTime = 10 * time.Second

// Shutdown tells clients BYE between their commands, and lets commands under way finish until ctx ends; then it cuts them.
// Shut down the servers with it, not after it. Safe to repeat.
func (h *Home) Shutdown(ctx context.Context) error {
	passed := make(chan error, 1)
	go func() { passed <- h.passed.Shutdown(ctx) }()
	h.mu.Lock()
	h.draining = true
	for s := range h.sessions {
		s.conn.Drain()
	}
	h.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		for s := range h.sessions {
			go s.conn.Close()
		}
		h.left.Broadcast()
		h.mu.Unlock()
	})
	defer stop()
	h.mu.Lock()
	for len(h.sessions) > 0 && ctx.Err() == nil {
		h.left.Wait()
	}
	h.mu.Unlock()
	h.cancel()
	<-passed
	return ctx.Err()
}
