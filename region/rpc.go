package region

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/placement"
)

// Call is one request from a peer, as a Handler sees it.
type Call struct {
	From   Peer
	Case   string          // of an order notice
	Header json.RawMessage // the caller's in
	Body   io.Reader       // a stream's bytes; io.EOF only behind a closing frame whose digest and length are right, else io.ErrUnexpectedEOF
}

// Handler answers a call. Errors cross as kind, reason, rule and detail. The reply is at most maxReply bytes of JSON.
// ctx ends when the caller goes away.
type Handler func(ctx context.Context, c *Call) (reply any, err error)

type method struct {
	class    domicile.EgressClass
	maxReply int64
	handler  Handler
}

// Limits of the RPC. A call is small, or a stream that makes progress.
const (
	rpcPrefix   = "/rpc/1/"
	caseHeader  = "Domicile-Case"
	maxSmall    = 64<<10 - 256 // of JSON each way: with its frame or envelope it fits the 64 KiB of a standing permit
	maxCalls    = 512          // answered at once
	maxRPCConns = 1024
	dialTimeout = 4 * time.Second
	maxUnread   = 4<<20 - 1 // bytes that a node may send ahead of who reads them, of one call half as many: as fast as that within a round trip and no faster. net/http takes no more
)

// pace is how long a node waits for what. Tests shorten it.
type pace struct {
	idle   time.Duration // a stream that does not move is cut
	keep   time.Duration // a sender whose own source is slow says so this often
	answer time.Duration // from the closing frame of a stream to its answer
	ask    time.Duration // one try of a small call
	drain  time.Duration // at Close, for calls that are being answered
	pulse  time.Duration // an end of a tunnel that has nothing to say says so this often
	quiet  time.Duration // a tunnel whose other end says nothing at all is cut
}

var usualPace = pace{idle: 30 * time.Second, keep: 10 * time.Second, answer: time.Minute, ask: 10 * time.Second, drain: 5 * time.Second,
	pulse: 30 * time.Second, quiet: 2 * time.Minute}

// Handle registers a method, such as "delivery/store", before Start; later, or twice, it panics. class is the egress class
// of the answer, which leaves under a standing permit to the caller's region that is there before h is called.
func (n *Node) Handle(name string, class domicile.EgressClass, maxReply int64, h Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, twice := n.methods[name]; twice || n.running || h == nil {
		panic("region: method " + name + " registered twice, without a handler, or after Start")
	}
	n.methods[name] = method{class, maxReply, h}
}

// listenRPC starts the server that other nodes call. The caller holds mu.
func (n *Node) listenRPC() error {
	l, err := listenTCP(n.cfg.RPCListen)
	if err != nil {
		return err
	}
	n.rpcAddr = n.cfg.RPCAdvertise
	if n.rpcAddr == "" {
		n.rpcAddr = l.Addr().String()
	}
	var h2 http.Protocols
	h2.SetHTTP2(true)
	n.rpc = &http.Server{
		Handler: http.HandlerFunc(n.serve), TLSConfig: n.trust.nodeServer(&n.id), Protocols: &h2,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: stdLog(n.log, "rpc"),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 250, SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second,
			MaxReceiveBufferPerConnection: maxUnread, MaxReceiveBufferPerStream: maxUnread / 2},
	}
	limited := newLimited(l, Limits{Open: maxRPCConns, OpenEach: maxRPCConns})
	n.background.Go(func() {
		if err := n.rpc.ServeTLS(limited, "", ""); !errors.Is(err, http.ErrServerClosed) {
			n.fail(domicile.W("serve other nodes", err))
		}
	})
	return nil
}

// envelope is the answer on the wire: a reply or an error, never both.
type envelope struct {
	Reply json.RawMessage `json:"reply,omitempty"`
	Error *wireError      `json:"error,omitempty"`
}

type wireError struct {
	Kind   string          `json:"kind"`
	Reason domicile.Reason `json:"reason,omitempty"`
	Rule   string          `json:"rule,omitempty"`
	Detail string          `json:"detail,omitempty"`
}

// serve answers one call. Every status other than 200 says that nothing was done.
func (n *Node) serve(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	from, err := n.trust.peer(r.TLS.PeerCertificates, caNodes, x509.ExtKeyUsageClientAuth)
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, rpcPrefix)
	if front, session := strings.CutPrefix(name, sessionPrefix); ok && session {
		n.serveSession(w, r, from, front)
		return
	}
	m, known := n.methods[name]
	if !ok || !known || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !n.bounds.enter(from.owner(), name, m.class) {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	defer n.bounds.leave(from.owner())
	select {
	case n.calls <- struct{}{}:
		defer func() { <-n.calls }()
	default:
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	caseID := r.Header.Get(caseHeader)
	if caseID != "" && m.class != domicile.OrderNotice { // no other answer carries one: its permit would be refused, at the price of a record
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer, err := n.answerPermit(r.Context(), m.class, from, caseID)
	if err != nil {
		n.log.Warn("a call is not answered: its answer may not leave", "method", name, "from", string(from.owner()), "err", err)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	defer answer.release()
	header, body, err := readHeaderFrame(&progressReader{r.Body, http.NewResponseController(w), n.pace.idle})
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n.reply(w, name, m, answer, n.handle(r.Context(), name, m, &Call{From: from, Case: caseID, Header: header, Body: body}))
}

func (n *Node) handle(ctx context.Context, name string, m method, c *Call) (e envelope) {
	defer func() {
		if p := recover(); p != nil { // one call's fault must not end the others; the caller learns that nothing is promised
			n.log.Error("a call panicked", "method", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			e = envelope{Error: &wireError{Kind: domicile.Other.String(), Detail: "the call failed unexpectedly"}}
		}
	}()
	v, err := m.handler(ctx, c)
	if err == nil {
		raw, err := json.Marshal(v)
		if err == nil && int64(len(raw)) <= min(m.maxReply, maxSmall) {
			return envelope{Reply: raw}
		}
		n.log.Error("a reply is too large or cannot be written", "method", name, "size", len(raw), "err", err)
		return envelope{Error: &wireError{Kind: domicile.TooLarge.String(), Detail: "the reply is over its limit"}}
	}
	if domicile.KindOf(err) == domicile.Other {
		n.log.Error("a call failed", "method", name, "from", string(c.From.owner()), "err", err)
	}
	return envelope{Error: toWire(err)}
}

// reply lets the answer out under its permit.
func (n *Node) reply(w http.ResponseWriter, name string, m method, answer *oneAnswer, e envelope) {
	raw, err := json.Marshal(e)
	if err == nil {
		err = answer.message(int64(len(raw)))
	}
	if err != nil {
		// The call may have been done and its answer is lost: cutting the stream tells the caller just that.
		n.log.Error("an answer may not leave", "method", name, "err", err)
		panic(http.ErrAbortHandler)
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(n.pace.idle))
	w.Header().Set("Content-Type", "application/json")
	w.Write(raw)
}

// oneAnswer is the standing permit under which an answer leaves; nil inside for a witness, which is no region.
type oneAnswer struct {
	p    *permit
	once bool // opened for this call
}

func (a *oneAnswer) message(n int64) error {
	if a.p == nil {
		return nil
	}
	return a.p.message(n)
}

func (a *oneAnswer) release() {
	if a.p != nil && a.once {
		a.p.close()
	}
}

// answerPermit finds the standing permit for small messages of a class to a peer. One that carries a case is opened anew.
func (n *Node) answerPermit(ctx context.Context, class domicile.EgressClass, to Peer, caseID string) (*oneAnswer, error) {
	return n.standing(ctx, class, to.owner(), caseID)
}

func (n *Node) standing(ctx context.Context, class domicile.EgressClass, to domicile.Region, caseID string) (*oneAnswer, error) {
	if n.cfg.Guard == nil {
		return &oneAnswer{}, nil
	}
	k := standingKey{class, placement.ToRegion, to}
	if strings.HasPrefix(string(to), witnessPrefix) {
		k.party = placement.ToWitness
	}
	if caseID != "" {
		p, err := n.cfg.Guard.openStanding(ctx, k, caseID)
		return &oneAnswer{p, true}, err
	}
	p, err := n.cfg.Guard.standingFor(ctx, k)
	return &oneAnswer{p, false}, err
}

// progressReader gives each read its own deadline: a stream may last, but not rest.
type progressReader struct {
	r    io.Reader
	rc   *http.ResponseController
	idle time.Duration
}

func (p *progressReader) Read(b []byte) (int, error) {
	if err := p.rc.SetReadDeadline(time.Now().Add(p.idle)); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// toWire keeps of an error what may cross: its kind, reason, rule and the details written for others. The text of an error
// that is not ours stays here.
func toWire(err error) *wireError {
	w := &wireError{Kind: domicile.KindOf(err).String(), Reason: domicile.ReasonOf(err)}
	var details []string
	for e := (*domicile.Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Detail != "" {
			details = append(details, e.Detail)
		}
		if e.Rule != "" {
			w.Rule = e.Rule
		}
	}
	w.Rule, w.Detail = cut(w.Rule), cut(strings.Join(details, ": "))
	return w
}

// fromWire makes the error of a peer's answer. A reason that is not in the closed list is dropped.
func fromWire(op string, w *wireError) error {
	e := &domicile.Error{Op: op, Kind: domicile.ParseKind(w.Kind), Rule: cut(w.Rule), Detail: cut(w.Detail)}
	if slices.Contains(domicile.Reasons, w.Reason) {
		e.Reason = w.Reason
	}
	return e
}

// cut bounds what a peer, or an error, can put into a text.
func cut(s string) string {
	if len(s) > 512 {
		s = s[:512]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
