package region

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"domicile"
)

// listenTCP listens at a literal address. Nothing is resolved.
func listenTCP(addr string) (net.Listener, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, domicile.E("listen", domicile.Invalid, addr+" is not a literal IP address and port")
	}
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 4}}
	return lc.Listen(context.Background(), "tcp", ap.String())
}

// limitedListener closes connections past a number in all, and past one from the same network (an IPv4 /24 or an IPv6 /64;
// loopback has no such limit). They are closed before a byte is read.
type limitedListener struct {
	net.Listener
	most, mostEach int

	mu   sync.Mutex
	all  int                  // guarded by mu
	seen Connections          // guarded by mu: but for Open, which all is
	each map[netip.Prefix]int // guarded by mu
}

func newLimited(l net.Listener, most, mostEach int) *limitedListener {
	return &limitedListener{Listener: l, most: most, mostEach: mostEach, each: map[netip.Prefix]int{}}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		network := networkOf(c.RemoteAddr())
		if l.enter(network) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.exit(network) })}, nil
		}
		c.Close()
	}
}

func (l *limitedListener) enter(network netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.most || !network.Addr().IsLoopback() && l.each[network] >= l.mostEach {
		l.seen.Refused++
		return false
	}
	l.seen.Taken++
	l.all++
	l.each[network]++
	return true
}

func (l *limitedListener) exit(network netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.each[network]--; l.each[network] == 0 {
		delete(l.each, network)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// networkOf is the network that a limit counts by.
func networkOf(a net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := 24
	if ip.Is6() {
		bits = 64
	}
	if ip.IsLoopback() {
		bits = ip.BitLen()
	}
	p, _ := ip.Prefix(bits)
	return p
}

// stdLog gives libraries that want a log.Logger one that ends in slog. Their words of address and peer stay at debug.
func stdLog(l *slog.Logger, part string) *log.Logger {
	return log.New(slogWriter{l.With("part", part)}, "", 0)
}

type slogWriter struct{ l *slog.Logger }

func (w slogWriter) Write(b []byte) (int, error) {
	text := string(bytes.TrimSpace(b[:min(len(b), 1024)]))
	level := slog.LevelDebug
	if strings.HasPrefix(text, "[ERR]") {
		level = slog.LevelWarn
	}
	w.l.Log(context.Background(), level, text)
	return len(b), nil
}

// IsLocal reports whether a literal IP:port is at an address of this machine, or at all of them; the port may be in use.
func IsLocal(addr string) bool {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return false
	}
	c, err := net.ListenPacket("udp", netip.AddrPortFrom(ap.Addr(), 0).String())
	if err != nil {
		return false
	}
	c.Close()
	return true
}
