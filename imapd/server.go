package imapd

import (
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

// DefaultMaxSize is the limit of APPEND if Config.MaxSize is 0.
const DefaultMaxSize = 64 << 20

// readMemory bounds what all sessions together hold of messages they cut pieces from.
const readMemory = 512 << 20

// Config of the IMAP front at home.
type Config struct {
	Region   domicile.Region
	Hostname string
	Lab      bool // plain-text LOGIN on loopback
	Store    store.Store
	Guard    *region.Guard
	TLS      *tls.Config                                  // for STARTTLS; nil = not offered
	MaxSize  int64                                        // bytes of an appended message; 0 = DefaultMaxSize
	Address  func(login string) (domicile.Address, error) // placement.ParseAddress
	Password func(phc, password string) (bool, error)     // keys.CheckPassword: for an empty phc false, in the same time
	Log      *slog.Logger

	// Count, if not nil, is told how each login ended: LoginOK or another of those words. It must be quick and safe for
	// concurrent use.
	Count func(result string)
}

// Server is the IMAP front.
type Server struct {
	cfg    Config
	check  login.Checker
	fails  *login.Fails
	memory *semaphore.Weighted
	attach func(net.Conn, store.Account) error // underPermit
	open   engine                              // for connections within TLS
	plain  engine                              // for others on which a password may be sent
	shut   engine                              // for the rest

	ctx    context.Context // ends when all is to stop
	cancel context.CancelFunc

	mu       sync.Mutex
	gates    map[*gate]struct{}
	feeds    []*feed
	serving  sync.WaitGroup // engines that take connections; grows under mu, before draining
	draining bool
	left     *sync.Cond // a gate left gates
}

// New checks cfg.
func New(cfg Config) (*Server, error) {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.Region == "" || cfg.Store == nil || cfg.Guard == nil || cfg.Address == nil || cfg.Password == nil || cfg.Log == nil ||
		cfg.MaxSize < 0 || cfg.MaxSize > math.MaxUint32 {
		return nil, domicile.E("imap front", domicile.Invalid, "needs a region, store, guard, address and password functions, a log, and a size below 4 GiB")
	}
	if r := cfg.Store.Region(); r != cfg.Region {
		return nil, domicile.Refuse("imap front", domicile.WrongRegion, "house/own-store", "the store belongs to "+string(r))
	}
	s := newServer(cfg)
	s.attach = s.underPermit
	return s, nil
}

func newServer(cfg Config) *Server {
	s := &Server{cfg: cfg, check: login.Checker{Accounts: cfg.Store, Address: cfg.Address, Password: cfg.Password},
		fails: login.NewFails(time.Second, 0), memory: semaphore.NewWeighted(readMemory), gates: map[*gate]struct{}{}}
	s.left = sync.NewCond(&s.mu)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.open, s.plain, s.shut = newEngine(s, true, nil), newEngine(s, true, cfg.TLS), newEngine(s, false, cfg.TLS)
	return s
}

func (s *Server) appendLimit() uint32 { return uint32(s.cfg.MaxSize) }

// Serve takes connections from l, which may be a TLS listener, until Shutdown, then returns nil.
func (s *Server) Serve(l net.Listener) error {
	open, plain, shut := newFeed(l), newFeed(l), newFeed(l)
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		l.Close()
		return nil
	}
	s.feeds = append(s.feeds, open, plain, shut)
	s.serving.Go(func() { s.open.serve(open) })
	s.serving.Go(func() { s.plain.serve(plain) })
	s.serving.Go(func() { s.shut.serve(shut) })
	s.mu.Unlock()
	defer open.Close()
	defer plain.Close()
	defer shut.Close()
	for {
		c, err := l.Accept()
		if err != nil {
			if s.ended() {
				return nil
			}
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				time.Sleep(50 * time.Millisecond)
				continue
			}
			return domicile.W("imap front", err)
		}
		g := s.admit(c)
		if _, within := c.(*tls.Conn); within {
			open.put(g)
			continue
		}
		if s.cfg.TLS != nil {
			g.upgrade = func() {
				next := s.admit(tls.Server(c, s.cfg.TLS))
				next.mute = true
				open.put(next)
			}
		}
		if s.mayLogin(c) {
			plain.put(g)
		} else {
			shut.put(g)
		}
	}
}

func (s *Server) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// admit puts a gate over a connection.
func (s *Server) admit(c net.Conn) *gate {
	g := newGate(c, s.cfg.MaxSize)
	g.closed = func() {
		s.mu.Lock()
		delete(s.gates, g)
		s.left.Broadcast()
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates[g] = struct{}{}
	if s.draining {
		g.drain()
	}
	return g
}

// mayLogin: outside TLS a password travels within this machine alone, in a lab.
func (s *Server) mayLogin(c net.Conn) bool {
	loopback := func(a net.Addr) bool {
		t, ok := a.(*net.TCPAddr)
		return ok && t.IP.IsLoopback()
	}
	return s.cfg.Lab && loopback(c.RemoteAddr()) && loopback(c.LocalAddr())
}

// Shutdown takes no new connections, tells clients BYE between their commands, and lets commands under way finish until ctx
// ends; then it cuts them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for _, f := range s.feeds {
		f.listener.Close()
		f.Close()
	}
	for g := range s.gates {
		g.drain()
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		for g := range s.gates {
			g.Conn.Close()
		}
		s.left.Broadcast()
		s.mu.Unlock()
	})
	defer stop()
	s.mu.Lock()
	for len(s.gates) > 0 && ctx.Err() == nil {
		s.left.Wait()
	}
	s.mu.Unlock()
	s.cancel()
	s.serving.Wait() // imapserver must not be closed before it serves
	s.open.close()
	s.plain.close()
	s.shut.close()
	return ctx.Err()
}

// feed is the listener of an engine: it hands over the connections that Serve chose for it.
type feed struct {
	listener net.Listener
	conns    chan net.Conn
	done     chan struct{}
	once     sync.Once
}

func newFeed(l net.Listener) *feed {
	return &feed{listener: l, conns: make(chan net.Conn), done: make(chan struct{})}
}

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
func (f *feed) Addr() net.Addr { return f.listener.Addr() }
