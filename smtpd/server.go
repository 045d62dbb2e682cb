package smtpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// DefaultMaxSize is the limit of a message if Config.MaxSize is 0.
const DefaultMaxSize = 64 << 20

const maxLine = 64 << 10 // bytes of a line of a body

// Door is the protocol that a front speaks.
type Door string

// The doors.
const (
	MX         Door = ""           // SMTP from other servers: port 25
	LMTP       Door = "lmtp"       // from a mail server of the house, which must be the only one to reach it (RFC 2033)
	Submission Door = "submission" // from the region's customers, who log in (RFC 6409, RFC 8314)
)

// Config of a front.
type Config struct {
	Door      Door
	Region    domicile.Region
	Hostname  string // in the greeting and in trace fields
	MaxSize   int64  // bytes of a message; 0 = DefaultMaxSize
	Lab       bool   // plain-text logins on loopback
	Directory *placement.Directory
	Guard     *region.Guard
	Node      *region.Node
	Home      *Home       // nil on a node that holds no store
	TLS       *tls.Config // for STARTTLS; nil = not offered
	Log       *slog.Logger
	Now       func() time.Time // for trace fields; nil = time.Now

	// For Submission alone: who logs in, and where it rests what they send. Login, if not nil, is told how each login ended; it must
	// be quick and safe for concurrent use.
	Check *login.Checker
	Queue *Queue
	Login func(result string)

	// HostOf, if not nil, names the host of a home region, for those who want to log in there alone.
	HostOf func(domicile.Region) string

	// Count, if not nil, is told of every answer to RCPT and to the end of DATA: the command and the reply's code. It must be
	// quick and safe for concurrent use.
	Count func(command string, code int)
}

// Server is a front. Limits on the number of connections are the listener's.
type Server struct {
	cfg     Config
	route   route
	resolve func(context.Context, domicile.Address) (placement.Location, error)
	moved   func(domicile.Address) // has the next question about an address asked anew; nil = no answer is remembered
	now     func() time.Time
	tarpit  time.Duration
	attach  func(net.Conn, store.Account) error // underPermit
	open    func(ctx context.Context, to domicile.Region, front string, r region.SessionRequest) (*region.Conn, error)
	relay   func(ctx context.Context, client net.Conn, tunnel *region.Conn, a domicile.AccountID, home domicile.Region) error

	handed *feed // connections that other nodes hand over; nil before Register
	joins  sync.WaitGroup
	// patience is how long the home of one recipient may hold up those of others.
	patience time.Duration

	ctx    context.Context // ends when all is to stop
	cancel context.CancelFunc
	smtp   *smtp.Server
	secure *smtp.Server // behind STARTTLS

	mu        sync.Mutex
	listeners []net.Listener
	gates     map[*gate]struct{}
	draining  bool
	tunnels   map[*region.Conn]net.Conn // guarded by mu: sessions that go on at their homes, and their clients
}

// New checks cfg.
func New(cfg Config) (*Server, error) {
	if cfg.MaxSize == 0 {
		cfg.MaxSize = DefaultMaxSize
	}
	if cfg.Region == "" || cfg.Hostname == "" || cfg.MaxSize < 0 || cfg.Directory == nil || cfg.Log == nil {
		return nil, domicile.E("smtp front", domicile.Invalid, "needs a region, a hostname, a directory and a log")
	}
	if strings.IndexFunc(cfg.Hostname, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 || len(cfg.Hostname) > 255 {
		return nil, domicile.E("smtp front", domicile.Invalid, "the hostname is not a host name")
	}
	if cfg.Home == nil && (cfg.Guard == nil || cfg.Node == nil) {
		return nil, domicile.E("smtp front", domicile.Invalid, "a node without a store needs a guard and a node to send mail home")
	}
	if cfg.Door == Submission && (cfg.Check == nil || cfg.Check.Tries == nil || cfg.Guard == nil || cfg.Home != nil && cfg.Queue == nil) {
		return nil, domicile.E("smtp front", domicile.Invalid, "submission needs a check of logins, a guard, and where accounts rest a queue")
	}
	s := newServer(cfg, cfg.Directory.Resolve)
	s.moved = cfg.Directory.Moved
	return s, nil
}

func newServer(cfg Config, resolve func(context.Context, domicile.Address) (placement.Location, error)) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, route: route{cfg: cfg, other: border{cfg}}, resolve: resolve, now: cfg.Now, tarpit: tarpitStep, patience: fanPatience,
		tunnels: map[*region.Conn]net.Conn{}, gates: map[*gate]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.attach = s.underPermit
	if cfg.Node != nil && cfg.Guard != nil {
		s.open, s.relay = cfg.Node.OpenSession, cfg.Guard.Relay
	}
	s.smtp, s.secure = s.engine(), s.engine()
	s.smtp.TLSConfig = cfg.TLS // makes go-smtp offer STARTTLS, which the gate then answers
	return s
}

func (s *Server) engine() *smtp.Server {
	e := smtp.NewServer(smtp.BackendFunc(s.session))
	e.Domain = s.cfg.Hostname
	e.MaxRecipients = maxRecipients
	e.MaxMessageBytes = s.cfg.MaxSize // of what MAIL announces; of what comes bodyReader keeps it
	switch s.cfg.Door {
	case LMTP:
		e.LMTP = true
	case Submission:
		e.AllowInsecureAuth = true // it cannot see TLS beneath the gate, which decides
	}
	e.MaxLineLength = maxLine
	e.ErrorLog = eventLog{s.cfg.Log}
	return e
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	g, ok := c.Conn().(*gate)
	if !ok {
		return nil, reply(421, smtp.EnhancedCode{4, 3, 0}, "Not now")
	}
	base := session{srv: s, gate: g, helo: c.Hostname, ip: clientIP(g)}
	switch s.cfg.Door {
	case LMTP:
		return &lmtpSession{session: base}, nil
	case Submission:
		return &submitSession{session: base, account: g.who.Account, means: g.who.Means}, nil
	}
	return &base, nil
}

// Serve takes connections from l until Shutdown, then returns nil.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	ended := s.draining
	up := newFeed(l)
	s.listeners = append(s.listeners, l, up)
	s.mu.Unlock()
	if ended {
		l.Close()
		return nil
	}
	defer up.Close()
	go s.secure.Serve(up)
	err := s.smtp.Serve(&listener{Listener: l, srv: s, up: up})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil
	}
	return domicile.W("smtp front", err)
}

// Shutdown takes no new connections, tells idle clients 421, and lets transactions under way finish until ctx ends; then it cuts them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for _, l := range s.listeners { // go-smtp closes only those that it has begun to serve
		l.Close()
	}
	for g := range s.gates {
		g.drain()
	}
	s.mu.Unlock()
	s.drainTunnels(ctx)
	s.smtp.Shutdown(ctx)
	s.secure.Shutdown(ctx) // their errors are those of closing a listener twice; what counts is whether all ended in time
	s.route.told(ctx)
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.gates {
		g.Conn.Close()
	}
	return ctx.Err()
}

// listener puts a gate over each connection.
type listener struct {
	net.Listener
	srv *Server
	up  *feed
}

// Accept returns the next connection in the clear; those within TLS from the beginning go to the other engine.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, within := c.(*tls.Conn); !within {
			return l.plain(c), nil
		}
		c.SetReadDeadline(time.Now().Add(helloTime)) // go-smtp greets first, and that begins the handshake
		l.up.put(l.srv.admit(c))
	}
}

func (l *listener) plain(c net.Conn) net.Conn {
	g := l.srv.admit(c)
	if l.srv.cfg.TLS != nil {
		g.upgrade = func() {
			next := l.srv.admit(tls.Server(c, l.srv.cfg.TLS))
			next.mute = 1
			l.up.put(next)
		}
	}
	return g
}

// admit puts a gate over a connection.
func (s *Server) admit(c net.Conn) *gate {
	g := newGate(c, s.cfg.MaxSize)
	if s.cfg.Door == Submission {
		g.auth = authWithin
		if s.mayLogin(g) {
			g.auth = authHere
		}
	}
	g.closed = func() {
		s.mu.Lock()
		delete(s.gates, g)
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

// eventLog keeps addresses of people and machines, which go-smtp puts into its messages, out of the log. Of a panic it
// keeps the stack.
type eventLog struct{ log *slog.Logger }

func (l eventLog) Printf(format string, v ...any) {
	if strings.HasPrefix(format, "panic") {
		l.log.Error("panic in an SMTP session", "stack", string(debug.Stack()))
		return
	}
	l.log.Debug("smtp", "event", strings.ReplaceAll(format, "%", ""))
}

func (l eventLog) Println(v ...any) { l.log.Debug("smtp", "event", fmt.Sprint(len(v), " values")) }
