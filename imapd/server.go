package imapd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"time"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
)

// Config of the IMAP front.
type Config struct {
	Region   domicile.Region
	Hostname string
	Lab      bool        // plain-text LOGIN on loopback
	TLS      *tls.Config // for STARTTLS, or of an Implicit front; nil = neither
	Implicit bool        // the listener's connections begin with TLS
	MaxSize  int64       // bytes of an appended message; 0 = DefaultMaxSize
	Guard    *region.Guard
	Home     *Home          // the sessions of accounts that rest here; nil on a node without the region's store
	Check    *login.Checker // of names and passwords; here it parses names, and does the work of a check for those that rest nowhere
	Log      *slog.Logger

	// Resolve finds the home of an address: placement.Directory.Resolve.
	Resolve func(ctx context.Context, a domicile.Address) (placement.Location, error)
	// Moved has the next question about an address asked anew: placement.Directory.Moved. nil: no answer is remembered.
	Moved func(a domicile.Address)
	// Network hands sessions to other nodes; region.Node fits. nil: none are.
	Network Network
	// HostOf names the host at which a region's customers are at home; "" if the catalog has none. RegionOf is its reverse.
	HostOf   func(domicile.Region) string
	RegionOf func(host string) (domicile.Region, bool)

	// NoUnauthenticate keeps a connection from serving a second login (RFC 8437 8).
	NoUnauthenticate bool

	// Count, if not nil, is told how each login ended: LoginOK or another of those words. It must be quick and safe for
	// concurrent use.
	Count func(result string)
}

// Network opens a session at a storing node of another region, or of this one.
type Network interface {
	OpenSession(ctx context.Context, to domicile.Region, front string, r region.SessionRequest) (*region.Conn, error)
}

// Server is the IMAP front: it speaks with clients until they are logged in, and then hands them on: to this node's Home, or through a
// tunnel to the home of their account.
type Server struct {
	cfg    Config
	relay  func(ctx context.Context, client net.Conn, tunnel *region.Conn, a domicile.AccountID, home domicile.Region) error // Guard.Relay
	slow   func(c net.Conn, began time.Time)                                                                                 // a further delay of wrong logins; nil = none
	ctx    context.Context                                                                                                   // ends when all is to stop
	cancel context.CancelFunc

	mu        sync.Mutex
	doors     map[*door]struct{} // guarded by mu
	listeners []net.Listener     // guarded by mu
	draining  bool               // guarded by mu
	left      *sync.Cond         // a door left doors
}

// New checks cfg.
func New(cfg Config) (*Server, error) {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.Region == "" || cfg.Guard == nil || cfg.Check == nil || cfg.Check.Tries == nil || cfg.Log == nil || cfg.Resolve == nil || !sizeFits(cfg.MaxSize) {
		return nil, domicile.E("imap front", domicile.Invalid, "needs a region, guard, directory, a check of logins, a log, and a size below 4 GiB")
	}
	if cfg.Implicit && cfg.TLS == nil || cfg.Home == nil && cfg.Network == nil {
		return nil, domicile.E("imap front", domicile.Invalid, "needs TLS if connections begin with it, and somebody to serve those who are logged in")
	}
	return newServer(cfg), nil
}

func newServer(cfg Config) *Server {
	s := &Server{cfg: cfg, relay: cfg.Guard.Relay, doors: map[*door]struct{}{}}
	s.left = sync.NewCond(&s.mu)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve takes connections from l until Shutdown, then returns nil. What an Implicit front listens at is not a TLS
// listener: who a client asks for is read before TLS begins.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		l.Close()
		return nil
	}
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
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
		d := s.admit(c)
		go func() {
			defer d.leave()
			if s.cfg.Implicit {
				d.receive()
			} else {
				d.serve()
			}
		}()
	}
}

func (s *Server) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// admit puts a door before a connection.
func (s *Server) admit(c net.Conn) *door {
	d := newDoor(s, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doors[d] = struct{}{}
	if s.draining {
		d.drain()
	}
	return d
}

func (d *door) leave() {
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	delete(d.srv.doors, d)
	d.srv.left.Broadcast()
}

// mayLogin: outside TLS a password travels within this machine alone, in a lab.
func (s *Server) mayLogin(c net.Conn) bool {
	loopback := func(a net.Addr) bool {
		t, ok := a.(*net.TCPAddr)
		return ok && t.IP.IsLoopback()
	}
	return s.cfg.Lab && loopback(c.RemoteAddr()) && loopback(c.LocalAddr())
}

// Shutdown takes no new connections, tells clients that are not logged in BYE between their commands, has the homes of relayed
// sessions do the same, and waits for these until ctx ends; then it cuts them. Safe to repeat.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for _, l := range s.listeners {
		l.Close()
	}
	for d := range s.doors {
		d.drain()
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		for d := range s.doors {
			go d.cut() // it may wait for the client
		}
		s.left.Broadcast()
		s.mu.Unlock()
	})
	defer stop()
	s.mu.Lock()
	for len(s.doors) > 0 && ctx.Err() == nil {
		s.left.Wait()
	}
	s.mu.Unlock()
	s.cancel()
	return ctx.Err()
}
