package region

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"domicile"
	"domicile/placement"
)

// A session of a mail client at a front that does not hold the client's store goes through a tunnel: POST
// /rpc/1/session/FRONT. The request is frame 'H' with a SessionRequest, then frames of the tunnel; the answer is frame 'H' with the
// envelope of a call's answer, and behind a reply the other direction of the tunnel.
const sessionPrefix = "session/"

// Bounds of tunnels at one node, those that it opened and those that it serves counted apart.
const (
	maxTunnels     = 2048
	maxTunnelsEach = 1024     // with one region
	maxVerified    = 64       // of one region, whose login is being verified here
	maxPassed      = 256      // of one region, passed through and not logged in yet
	maxPendingEach = 16       // of either, of one client network
	sessionHeader  = 16 << 10 // bytes of the request's header
	sessionLogin   = 64 << 10 // bytes each way before login
	maxClientText  = 64       // bytes of a client's network
	frameHead      = 5        // bytes of a frame's kind and length
)

// Credential is what a client logs in with: a password, or the proof of one (SCRAM, RFC 5802) over what was said at the front.
type Credential struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Exchange string `json:"exchange,omitempty"`
	Proof    []byte `json:"proof,omitempty"`
}

// SessionRequest is what a front tells the home of a client's connection.
type SessionRequest struct {
	Client string      `json:"client"`          // the client's network, to count failed logins by; never written down
	Login  *Credential `json:"login,omitempty"` // to be verified at home; nil: the connection is passed through unread
	Tag    string      `json:"tag,omitempty"`   // of IMAP: the tag of the login, which the home answers

	// Verified, if not nil, is told what proves the home to a client that sent a proof, before OpenSession returns.
	Verified func(signature []byte) `json:"-"`

	// LoggedIn is called, of a connection passed through, when the home says who logged in: before any byte behind that is
	// read from the tunnel. An error cuts it. Not used with Login.
	LoggedIn func(tunnel *Conn, a domicile.AccountID) error `json:"-"`
}

// Session is a client's connection that a front of another node hands over.
type Session struct {
	SessionRequest
	From Peer // whose node the front is: by its certificate

	// Signature is set before Accept, of a client that sent a proof: what proves the home to it.
	Signature []byte

	node    *Node
	to      standingKey
	leave   func() // it is logged in: it counts as pending no more
	out     *responseFrames
	accept  func() *tunnel
	drained chan struct{}
	once    sync.Once
}

// SessionHandler serves a session until it ends: it calls Accept, and returns when the connection is not used any more. An
// error before Accept refuses the session, and crosses as a call's error does.
type SessionHandler func(ctx context.Context, s *Session) error

// ServeSessions registers, before Start, who serves the sessions of a front, such as "imap". Later, or twice, it panics.
func (n *Node) ServeSessions(front string, h SessionHandler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, twice := n.sessions.handlers[front]; twice || n.running || h == nil {
		panic("region: sessions of " + front + " registered twice, without a handler, or after Start")
	}
	if n.sessions.handlers == nil {
		n.sessions.handlers = map[string]SessionHandler{}
	}
	n.sessions.handlers[front] = h
}

// OpenSession hands a client's connection at a front to a storing node of its home (of this region, too, if this node holds no store),
// and returns the tunnel once the home has taken it. The tunnel is good for 64 KiB out, under a standing permit of class
// relay, until Attach, and ends with ctx. Unavailable: no storing node of the home could be reached, or it is too busy. Other errors are the home's own.
func (n *Node) OpenSession(ctx context.Context, to domicile.Region, front string, r SessionRequest) (_ *Conn, err error) {
	op := "hand a session to " + string(to)
	defer func() { n.sessions.count(SessionForm{Out: true, Front: front}, err) }()
	if n.cfg.Guard == nil {
		return nil, domicile.Refuse(op, domicile.NoPermit, "egress: a witness answers and asks nothing", "this node is a witness")
	}
	header, err := json.Marshal(r)
	if err != nil || len(header) > sessionHeader {
		return nil, domicile.E(op, domicile.TooLarge, "its header is over 16 KiB")
	}
	if err := n.reachable(op, to); err != nil {
		return nil, err
	}
	leave, ok := n.sessions.enter(true, to)
	if !ok {
		return nil, domicile.E(op, domicile.Unavailable, "too many sessions go there already")
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	k := standingKey{domicile.Relay, placement.ToRegion, to}
	standing, err := n.cfg.Guard.standingFor(ctx, k)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	last := domicile.E(op, domicile.Unavailable, "gossip knows no living node of it")
	for _, addr := range n.candidates(to) {
		if err := standing.message(frameHead + int64(len(header))); err != nil {
			return nil, domicile.W(op, err)
		}
		o := &opening{node: n, op: op, to: to, addr: addr, front: front, header: header, leave: leave}
		t, begun, err := o.run(ctx)
		if err == nil {
			if r.Verified != nil {
				r.Verified(o.taken.Signature)
			}
			c := &Conn{raw: t, guard: n.cfg.Guard, left: sessionLogin, to: k}
			if r.LoggedIn != nil {
				t.onLogin = func(a domicile.AccountID) error { return r.LoggedIn(c, a) }
			}
			go t.run()
			return c, nil
		}
		if begun {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// opening is one try to open a tunnel to one node.
type opening struct {
	node   *Node
	op     string
	to     domicile.Region
	addr   string
	front  string
	header []byte
	leave  func()
	taken  sessionTaken // once run has returned a tunnel
}

// sessionTaken is the home's answer to a session that it takes.
type sessionTaken struct {
	Signature []byte `json:"signature,omitempty"`
}

// run returns the tunnel. begun: something was sent, so that no other node is tried.
func (o *opening) run(ctx context.Context) (_ *tunnel, begun bool, err error) {
	caller := ctx
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	end := func() { cancel(); pw.CloseWithError(io.ErrUnexpectedEOF) }
	context.AfterFunc(ctx, end) // while a body is waited for, the transport does not look at ctx
	defer func() {
		if err != nil {
			end()
		}
	}()
	late := time.AfterFunc(o.node.pace.answer, end)
	defer late.Stop()
	sent := make(chan error, 1)
	go func() { sent <- newFrameWriter(pw).header(o.header) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+o.addr+rpcPrefix+sessionPrefix+o.front, pr)
	if err != nil {
		return nil, false, err
	}
	res, err := o.node.transport(route{o.to, true}).RoundTrip(req)
	if err != nil {
		pr.CloseWithError(err)
		begun = <-sent == nil
		if begun || caller.Err() == nil { // a caller that gave up says nothing of the address
			o.node.reached.note(o.addr, begun, time.Now())
		}
		return nil, begun, gone(o.op, domicile.Unavailable, err)
	}
	o.node.reached.note(o.addr, true, time.Now())
	t := newTunnel(res.Body, pw, func() { end(); res.Body.Close(); o.leave() }, o.node.pace, tunnelAddr(o.node.cfg.Region), tunnelAddr(o.to))
	t.trusted = func() bool { return o.node.stillTrusted(res.TLS, x509.ExtKeyUsageServerAuth) }
	if err := o.answer(res, t); err != nil {
		res.Body.Close()
		return nil, res.StatusCode == http.StatusOK, err
	}
	return t, true, nil
}

// answer reads how the home took the session.
func (o *opening) answer(res *http.Response, t *tunnel) error {
	if res.StatusCode != http.StatusOK {
		_, err := readAnswer(o.op, res)
		return err
	}
	kind, err := t.in.ReadByte()
	if err != nil || kind != frameHeader {
		return gone(o.op, domicile.Unavailable, err)
	}
	n, err := frameLength(t.in, maxSmall)
	if err != nil {
		return gone(o.op, domicile.Unavailable, err)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(t.in, raw); err != nil {
		return gone(o.op, domicile.Unavailable, err)
	}
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil || (e.Error == nil) == (e.Reply == nil) {
		return gone(o.op, domicile.Unavailable, err)
	}
	return decodeAnswer(o.op, e, &o.taken)
}

// serveSession answers one session. Every status other than 200 says that nothing was done.
func (n *Node) serveSession(w http.ResponseWriter, r *http.Request, from Peer, front string) {
	h := n.sessions.handlers[front]
	if h == nil || r.Method != http.MethodPost || n.cfg.Guard == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if from.Region == "" || r.Header.Get(caseHeader) != "" { // a witness has no customers, and a session no case
		w.WriteHeader(http.StatusForbidden)
		return
	}
	leave, ok := n.sessions.enter(false, from.Region)
	if !ok {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	defer leave()
	rc := http.NewResponseController(w)
	raw, body, err := readHeaderFrame(&progressReader{io.LimitReader(r.Body, sessionHeader+5), rc, n.pace.idle})
	s := &Session{From: from, node: n, to: standingKey{domicile.Relay, placement.ToRegion, from.Region}, drained: make(chan struct{})}
	if err != nil || body.r.Buffered() > 0 || json.Unmarshal(raw, &s.SessionRequest) != nil || len(s.Client) > maxClientText {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	pending, ok := n.sessions.wait(pendingKey{from.Region, s.Login == nil, s.Client})
	if !ok {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	defer pending()
	s.leave = pending
	rc.SetReadDeadline(time.Time{})
	n.runSession(w, r, front, h, s)
}

// runSession has the handler serve the session, and ends the tunnel behind it.
func (n *Node) runSession(w http.ResponseWriter, r *http.Request, front string, h SessionHandler, s *Session) {
	s.out = &responseFrames{w, http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/octet-stream")
	var t *tunnel
	s.accept = func() *tunnel {
		t = newTunnel(r.Body, s.out, func() {}, n.pace, tunnelAddr(n.cfg.Region), tunnelAddr(string(s.From.Region)+"/"+s.Client))
		t.trusted = func() bool { return n.stillTrusted(r.TLS, x509.ExtKeyUsageClientAuth) }
		t.onDrain = func() { s.once.Do(func() { close(s.drained) }) }
		return t
	}
	err := h(r.Context(), s)
	if t == nil {
		if err == nil {
			err = domicile.E("serve a session", domicile.Unavailable, "it was not taken")
		}
		n.sessions.count(SessionForm{Front: front}, err)
		if domicile.KindOf(err) == domicile.Other {
			n.log.Error("a session failed", "front", front, "from", string(s.From.Region), "err", err)
		}
		if e := s.answer(envelope{Error: toWire(err)}); e != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	n.sessions.count(SessionForm{Front: front}, nil)
	t.Close()
	<-t.over
	if !t.wmu.TryLock() { // a frame that the other side does not take must not outlive the handler
		s.out.rc.SetWriteDeadline(time.Unix(1, 0))
		t.wmu.Lock()
	}
	t.wmu.Unlock()
}

// stillTrusted asks the catalog in force about the other side of a connection that lasts: one that leaves it ends open sessions too.
func (n *Node) stillTrusted(cs *tls.ConnectionState, usage x509.ExtKeyUsage) bool {
	if cs == nil {
		return false
	}
	_, err := n.trust.peer(cs.PeerCertificates, caNodes, usage)
	return err == nil
}

// Crossing describes what the session of an account that rests in home sends, for Guard.Permit.
func (s *Session) Crossing(account domicile.AccountID, home domicile.Region) placement.Crossing {
	return (&Conn{guard: s.node.cfg.Guard, to: s.to}).Crossing(account, home)
}

// Accept takes the session under the permit of who logged in, and returns its connection. Of a connection passed through p is
// nil: it is good for 64 KiB out, under a standing permit of class relay, until Attach, which also tells the front who logged in.
func (s *Session) Accept(p *Permit) (*Conn, error) {
	const op = "take a session"
	if s.accept == nil || (p == nil) != (s.Login == nil) {
		return nil, domicile.E(op, domicile.Conflict, "it was taken already, or whether it has a permit does not fit whether it is logged in")
	}
	c := &Conn{guard: s.node.cfg.Guard, left: sessionLogin, to: s.to}
	if p != nil {
		if _, err := c.attach(p); err != nil {
			return nil, domicile.W(op, err)
		}
		s.leave()
	}
	reply, err := json.Marshal(sessionTaken{s.Signature})
	if err == nil {
		err = s.answer(envelope{Reply: reply})
	}
	if err != nil {
		p.Close()
		return nil, domicile.W(op, err)
	}
	t := s.accept()
	s.accept, c.raw = nil, t
	if p == nil {
		c.attached = func(a domicile.AccountID) error {
			s.leave()
			return s.tell(t, a)
		}
	}
	go t.run()
	return c, nil
}

// Draining is closed when the front closes down: the session should end between two commands.
func (s *Session) Draining() <-chan struct{} { return s.drained }

func (s *Session) answer(e envelope) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := s.small(len(raw)); err != nil {
		return err
	}
	s.out.rc.SetWriteDeadline(time.Now().Add(s.node.pace.idle))
	defer s.out.rc.SetWriteDeadline(time.Time{})
	return newFrameWriter(s.out).header(raw)
}

// tell says in the tunnel who logged in.
func (s *Session) tell(t *tunnel, a domicile.AccountID) error {
	raw, err := json.Marshal(loginNote{a})
	if err != nil {
		return err
	}
	if err := s.small(len(raw)); err != nil {
		return err
	}
	return t.frame(lengthFrame(frameLogin, raw))
}

// small lets a frame of n bytes that are no mail out, to the region of the front.
func (s *Session) small(n int) error {
	p, err := s.node.cfg.Guard.standingFor(context.Background(), s.to)
	if err != nil {
		return err
	}
	return p.message(frameHead + int64(n))
}

// responseFrames sends frames at once.
type responseFrames struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (f *responseFrames) Write(b []byte) (int, error) {
	n, err := f.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, f.rc.Flush()
}

// tunnelAddr names the other side of a tunnel: the home's region, or the front's and the client's network.
type tunnelAddr string

func (a tunnelAddr) Network() string { return "tunnel" }
func (a tunnelAddr) String() string  { return string(a) }

// Relay puts a client's connection at a front, and the tunnel in which its session goes on, under permits for the session of an
// account that rests in home: both or neither.
func (g *Guard) Relay(ctx context.Context, client net.Conn, tunnel *Conn, account domicile.AccountID, home domicile.Region) error {
	front, ok := FrontConn(client)
	if !ok {
		return refusePermit(domicile.NoPermit, "the connection is not one of the region's front")
	}
	if err := g.attach(ctx, front, account, home); err != nil {
		return err
	}
	err := g.attach(ctx, tunnel, account, home)
	if err != nil {
		front.Detach() // the client stays at its door; if that cannot be written down nothing leaves there any more
	}
	return err
}

func (g *Guard) attach(ctx context.Context, c *Conn, account domicile.AccountID, home domicile.Region) error {
	p, err := g.Permit(ctx, Request{Crossing: c.Crossing(account, home)})
	if err != nil {
		return err
	}
	if err := c.Attach(p); err != nil {
		p.Close()
		return err
	}
	return nil
}

// Join carries bytes both ways between a client's connection and a tunnel until either ends, then closes both. What a client
// does not read within two minutes is not waited for. Both connections have their permits.
func (c *Conn) Join(client net.Conn) {
	client.SetDeadline(time.Time{})
	c.SetDeadline(time.Time{})
	up := make(chan struct{})
	go func() {
		defer close(up)
		if copyBytes(c, client) != nil {
			c.raw.Close()
			return
		}
		if h, ok := c.raw.(interface{ CloseWrite() error }); ok {
			h.CloseWrite() // the home still answers what it has
		}
	}()
	copyBytes(patient{client}, c)
	client.Close()
	c.Close()
	<-up
}

const joinWrite = 2 * time.Minute

// patient gives each write its own deadline.
type patient struct{ net.Conn }

func (p patient) Write(b []byte) (int, error) {
	p.SetWriteDeadline(time.Now().Add(joinWrite))
	return p.Conn.Write(b)
}

// copyBytes copies until the end of from, nil behind a good one.
func copyBytes(to io.Writer, from io.Reader) error {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Drain tells the home that this front closes down. Only for the tunnels of OpenSession.
func (c *Conn) Drain() {
	if t, ok := c.raw.(*tunnel); ok {
		t.frame([]byte{frameDrain})
	}
}
