package smtpd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/placement"
	"domicile/region"
)

// DefaultMaxSize is the limit of a message if Config.MaxSize is 0.
const DefaultMaxSize = 64 << 20

const maxLine = 64 << 10 // bytes of a line of a body

// Config of a front.
type Config struct {
	Region    domicile.Region
	Hostname  string // in the greeting and in trace fields
	MaxSize   int64  // bytes of a message; 0 = DefaultMaxSize
	Lab       bool   // the same front: a lab's differs in nothing yet
	Directory *placement.Directory
	Guard     *region.Guard
	Node      *region.Node
	Home      *Home // nil on a node that holds no store
	Log       *slog.Logger

	// Count, if not nil, is told of every answer to RCPT and to the end of DATA: the command and the reply's code. It must be
	// quick and safe for concurrent use.
	Count func(command string, code int)
}

// Server is the front for other mail servers (port 25). Limits on the number of connections are the listener's.
type Server struct {
	cfg     Config
	route   route
	resolve func(context.Context, domicile.Address) (placement.Location, error)
	now     func() time.Time
	tarpit  time.Duration

	ctx    context.Context // ends when all is to stop
	cancel context.CancelFunc
	smtp   *smtp.Server

	mu        sync.Mutex
	listeners []net.Listener
	gates     map[*gate]struct{}
	draining  bool
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
	return newServer(cfg, cfg.Directory.Resolve), nil
}

func newServer(cfg Config, resolve func(context.Context, domicile.Address) (placement.Location, error)) *Server {
	s := &Server{cfg: cfg, route: route{cfg, border{cfg}}, resolve: resolve, now: time.Now, tarpit: tarpitStep, gates: map[*gate]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.session))
	s.smtp.Domain = cfg.Hostname
	s.smtp.MaxRecipients = maxRecipients
	s.smtp.MaxMessageBytes = cfg.MaxSize + 2 // go-smtp refuses a message of exactly its limit; the limit is kept by bodyReader
	s.smtp.MaxLineLength = maxLine
	s.smtp.ErrorLog = eventLog{cfg.Log}
	return s
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	g, ok := c.Conn().(*gate)
	if !ok {
		return nil, reply(421, smtp.EnhancedCode{4, 3, 0}, "Not now")
	}
	return &session{srv: s, gate: g, helo: c.Hostname, ip: clientIP(g)}, nil
}

// Serve takes connections from l until Shutdown, then returns nil.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	ended := s.draining
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	if ended {
		l.Close()
		return nil
	}
	err := s.smtp.Serve(&listener{Listener: l, srv: s})
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
	s.smtp.Shutdown(ctx) // its errors are those of closing a listener twice; what counts is whether all ended in time
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
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := newGate(c, l.srv.cfg.MaxSize)
	g.closed = func() {
		l.srv.mu.Lock()
		delete(l.srv.gates, g)
		l.srv.mu.Unlock()
	}
	l.srv.mu.Lock()
	defer l.srv.mu.Unlock()
	l.srv.gates[g] = struct{}{}
	if l.srv.draining {
		g.drain()
	}
	return g, nil
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
