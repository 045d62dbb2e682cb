package imapd

import (
	"bufio"
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"domicile"
	"domicile/login"
	"domicile/region"
	"domicile/store"
)

// DefaultMaxSize is the limit of APPEND where none is given.
const DefaultMaxSize = 64 << 20

// readMemory bounds what all sessions together hold of messages they cut pieces from.
const readMemory = 512 << 20

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

	// HostOf names the host at which a region's customers are at home, as Config.HostOf does; nil = none has one.
	HostOf func(domicile.Region) string

	// Count, if not nil, is told how each login on a connection passed through unread ended, as Config.Count is.
	Count func(result string)
}

// Home serves the sessions of customers whose mail rests here, whichever front they came in by: a Server of this process, or
// that of another node. Safe for concurrent use.
type Home struct {
	cfg     HomeConfig
	check   *login.Checker
	guesses *login.Handed // wrong logins that other nodes hand over
	memory  *semaphore.Weighted
	permit  func(context.Context, region.Request) (*region.Permit, error)                                  // Guard.Permit
	refuse  func(ctx context.Context, r region.Request, reason domicile.Reason, rule, detail string) error // Guard.Refuse
	attach  func(net.Conn, domicile.AccountID) error                                                       // underPermit
	passed  *Server                                                                                        // speaks with clients passed through, until they are logged in
	engine  engine
	feed    *feed
	serving sync.WaitGroup

	ctx    context.Context // ends when all is to stop
	cancel context.CancelFunc
	once   sync.Once // closes the engine

	mu       sync.Mutex
	gates    map[*gate]struct{} // guarded by mu
	draining bool               // guarded by mu
	left     *sync.Cond         // a gate left gates
}

// NewHome checks cfg. Shutdown ends what it starts.
func NewHome(cfg HomeConfig) (*Home, error) {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.Hostname == "" {
		cfg.Hostname = string(cfg.Region)
	}
	if cfg.Region == "" || cfg.Store == nil || cfg.Guard == nil || cfg.Check == nil || cfg.Check.Tries == nil || cfg.Log == nil || !sizeFits(cfg.MaxSize) {
		return nil, domicile.E("imap home", domicile.Invalid, "needs a region, store, guard, a check of logins, a log, and a size below 4 GiB")
	}
	if r := cfg.Store.Region(); r != cfg.Region {
		return nil, domicile.Refuse("imap home", domicile.WrongRegion, "house/own-store", "the store belongs to "+string(r))
	}
	return newHome(cfg), nil
}

func sizeFits(n int64) bool { return n > 0 && n <= math.MaxUint32 }

func newHome(cfg HomeConfig) *Home {
	h := &Home{cfg: cfg, check: cfg.Check,
		guesses: login.NewHanded(), memory: semaphore.NewWeighted(readMemory), gates: map[*gate]struct{}{}, feed: newFeed()}
	h.left = sync.NewCond(&h.mu)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.attach, h.permit, h.refuse = h.underPermit, cfg.Guard.Permit, cfg.Guard.Refuse
	h.passed = newServer(Config{Region: cfg.Region, Hostname: cfg.Hostname, Guard: cfg.Guard, MaxSize: cfg.MaxSize, Home: h, Resolve: h.resolve,
		Check: cfg.Check, Log: cfg.Log, HostOf: cfg.HostOf, Count: cfg.Count})
	h.passed.slow = h.slow
	h.engine = newEngine(h)
	h.serving.Go(func() { h.engine.serve(h.feed) })
	return h
}

// take gives a connection on which an account has logged in to the engine, which answers the login with tag. br holds what the
// client has sent already. The gate's done is closed when the session has ended.
func (h *Home) take(c net.Conn, br *bufio.Reader, id domicile.AccountID, tag string, maxSize int64) *gate {
	g := newGate(c, br, maxSize)
	g.account, g.greeting = id, tag
	g.closed = func() {
		h.mu.Lock()
		delete(h.gates, g)
		h.left.Broadcast()
		h.mu.Unlock()
		close(g.done)
	}
	h.mu.Lock()
	h.gates[g] = struct{}{}
	if h.draining {
		g.drain()
	}
	h.mu.Unlock()
	// Between the check of the login and this line the account may have begun to move.
	if a, err := h.cfg.Store.Account(h.ctx, id); err != nil || a.State != store.Active {
		g.drain()
	}
	h.feed.put(g)
	return g
}

// End ends the sessions of an account: BYE between their commands, and after endTime without. Unavailable as long as one is
// left. No session of the account begins anew while its state is not Active. Safe to repeat.
func (h *Home) End(id domicile.AccountID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := false
	for g := range h.gates {
		switch {
		case g.account != id:
			continue
		case g.ending.IsZero():
			g.ending = time.Now()
			g.drain()
		case time.Since(g.ending) > endTime:
			g.Conn.Close()
		}
		left = true
	}
	if left {
		return domicile.E("end sessions", domicile.Unavailable, "a session of the account has not ended yet")
	}
	return nil
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
	for g := range h.gates {
		g.drain()
	}
	h.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		for g := range h.gates {
			g.Conn.Close()
		}
		h.left.Broadcast()
		h.mu.Unlock()
	})
	defer stop()
	h.mu.Lock()
	for len(h.gates) > 0 && ctx.Err() == nil {
		h.left.Wait()
	}
	h.mu.Unlock()
	h.cancel()
	h.once.Do(func() {
		h.feed.Close()
		h.serving.Wait() // imapserver must not be closed before it serves
		h.engine.close()
	})
	<-passed
	return ctx.Err()
}

// feed is the listener of the engine: it hands over the connections that are logged in.
type feed struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newFeed() *feed { return &feed{conns: make(chan net.Conn), done: make(chan struct{})} }

func (f *feed) put(c net.Conn) {
	select {
	case f.conns <- c:
	case <-f.done:
		c.Close()
	}
}

func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *feed) Close() error   { f.once.Do(func() { close(f.done) }); return nil }
func (f *feed) Addr() net.Addr { return nowhere{} }

// nowhere is the address of a listener that is none.
type nowhere struct{}

func (nowhere) Network() string { return "none" }
func (nowhere) String() string  { return "none" }
