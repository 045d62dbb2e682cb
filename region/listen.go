package region

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"maps"
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

// Limits bound the connections of a listener: how many are open at once, in all and from one network, and how many one network
// may open a minute on average, after a rest as many at once (0 = no such bound). A network is an IPv4 /24 or an IPv6
// /64; loopback has no bounds but that of all.
type Limits struct {
	Open, OpenEach, NewEachMinute int
}

// maxNetworks bounds the networks whose rate is remembered; past it those are forgotten that have rested.
const maxNetworks = 65536

// limitedListener closes connections past its limits, before a byte is read.
type limitedListener struct {
	net.Listener
	limits Limits
	now    func() time.Time

	mu    sync.Mutex
	all   int                           // guarded by mu
	seen  Connections                   // guarded by mu: but for Open, which all is
	each  map[netip.Prefix]int          // guarded by mu
	spare map[netip.Prefix]*spareTokens // guarded by mu: connections that a network may still open
}

func newLimited(l net.Listener, limits Limits) *limitedListener {
	return &limitedListener{Listener: l, limits: limits, now: time.Now, each: map[netip.Prefix]int{}, spare: map[netip.Prefix]*spareTokens{}}
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
	if l.all >= l.limits.Open || !network.Addr().IsLoopback() && (l.each[network] >= l.limits.OpenEach || !l.inRate(network)) {
		l.seen.Refused++
		return false
	}
	l.seen.Taken++
	l.all++
	l.each[network]++
	return true
}

// inRate counts one more connection of a network. The caller holds mu.
func (l *limitedListener) inRate(network netip.Prefix) bool {
	if l.limits.NewEachMinute == 0 {
		return true
	}
	most, now := float64(l.limits.NewEachMinute), l.now()
	s := l.spare[network]
	if s == nil {
		if len(l.spare) >= maxNetworks {
			l.forgetRested(most, now)
		}
		s = &spareTokens{most, now}
		l.spare[network] = s
	}
	s.refill(most, most/60, now)
	if s.left < 1 {
		return false
	}
	s.left--
	return true
}

// forgetRested drops the networks that may open as many as one never seen; if there are none, all of them: to refuse strangers
// because of others would be worse.
func (l *limitedListener) forgetRested(most float64, now time.Time) {
	maps.DeleteFunc(l.spare, func(_ netip.Prefix, s *spareTokens) bool {
		s.refill(most, most/60, now)
		return s.left >= most
	})
	if len(l.spare) >= maxNetworks {
		clear(l.spare)
	}
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
