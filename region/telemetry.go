package region

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"domicile"
	"domicile/placement"
)

// Limits of the address at which a node tells its health.
const (
	maxMonitorConns = 32
	// distressBytes may leave on one connection while the journal can be written no more. The permit was written down before;
	// what is lost is its total. A node must be able to say that its journal is broken.
	distressBytes = 4 << 10
	probeTime     = 5 * time.Second
	maxProbe      = 64 << 10
)

// ListenHTTP listens for those who ask how the node fares, in the clear and without knowing who they are: what is served
// there may name no person. addr must be one address, not all of a machine. Connections are few, and metered by a
// standing permit of class telemetry; a witness, which holds nothing of anybody, has none.
func (n *Node) ListenHTTP(addr string) (net.Listener, error) {
	const op = "listen for monitors"
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().IsUnspecified() {
		return nil, domicile.E(op, domicile.Invalid, addr+" is every address of the machine: name one")
	}
	if g := n.cfg.Guard; g != nil { // now, while it can be written down
		if _, err := g.standingFor(context.Background(), monitors); err != nil {
			return nil, domicile.W(op, err)
		}
	}
	l, err := listenTCP(addr)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	m := &monitorListener{newLimited(l, Limits{Open: maxMonitorConns, OpenEach: maxMonitorConns}), n.cfg.Guard}
	n.keepListener(m)
	return m, nil
}

var monitors = standingKey{domicile.Telemetry, placement.ToMonitor, ""}

type monitorListener struct {
	*limitedListener
	guard *Guard
}

func (l *monitorListener) Accept() (net.Conn, error) {
	c, err := l.limitedListener.Accept()
	if err != nil || l.guard == nil {
		return c, err
	}
	return &monitorConn{Conn: c, guard: l.guard, left: distressBytes}, nil
}

// monitorConn meters what leaves to a monitor.
type monitorConn struct {
	net.Conn
	guard *Guard

	mu   sync.Mutex
	left int64 // guarded by mu: bytes for when the journal is broken
}

func (c *monitorConn) Write(b []byte) (int, error) {
	if err := c.take(int64(len(b))); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *monitorConn) take(n int64) error {
	p, err := c.guard.standingFor(context.Background(), monitors)
	if err != nil {
		return err
	}
	err = p.message(n)
	if domicile.ReasonOf(err) != domicile.JournalUnavailable {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > c.left {
		return err
	}
	c.left -= n
	return nil
}

// Probe asks a node's ListenHTTP address for a path, as a monitor on its machine would, and returns status and body, at
// most 64 KiB of it. It takes five seconds at most. It is for programs beside the node; no node asks another one so.
func Probe(ctx context.Context, addr, path string) (status int, body []byte, err error) {
	const op = "ask a node how it fares"
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return 0, nil, domicile.E(op, domicile.Invalid, addr+" is not a literal IP address and port")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return 0, nil, domicile.W(op, err)
	}
	t := &http.Transport{DialContext: (&net.Dialer{}).DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 8 << 10}
	res, err := t.RoundTrip(req)
	if err != nil {
		return 0, nil, &domicile.Error{Op: op, Kind: domicile.Unavailable, Detail: "it does not answer at " + addr, Err: err}
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxProbe))
	if err != nil {
		return 0, nil, &domicile.Error{Op: op, Kind: domicile.Unavailable, Detail: "its answer broke off", Err: err}
	}
	return res.StatusCode, body, nil
}
