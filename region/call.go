package region

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"

	"domicile"
	"domicile/placement"
)

type caseKey struct{}

// WithCase gives the calls made under the returned context the number of a case. An order notice needs one: the table of
// package placement lets none out without.
func WithCase(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, caseKey{}, id)
}

func caseOf(ctx context.Context) string {
	id, _ := ctx.Value(caseKey{}).(string)
	return id
}

// Ask makes a small call of a class with a standing permit (lookup, claim, checkpoint, catalog, order; the last with
// WithCase). to is a region, this one included, or a witness as "witness/NAME". in and out are JSON, at most 64 KiB each
// way; out may be nil. Every method behind Ask can be repeated safely, so that an answer that was lost is Unavailable
// too, as is a region with no storing node that answers.
func (n *Node) Ask(ctx context.Context, class domicile.EgressClass, to domicile.Region, method string, in, out any) error {
	op := "ask " + string(to) + " for " + method
	if n.cfg.Guard == nil {
		return domicile.Refuse(op, domicile.NoPermit, "egress: a witness answers and asks nothing", "this node is a witness")
	}
	header, err := json.Marshal(in)
	if err != nil {
		return domicile.W(op, err)
	}
	if len(header) > maxSmall {
		return domicile.E(op, domicile.TooLarge, "the question is over 64 KiB")
	}
	if err := n.reachable(op, to); err != nil {
		return err
	}
	permit, err := n.standing(ctx, class, to, caseOf(ctx))
	if err != nil {
		return domicile.W(op, err)
	}
	defer permit.release()
	var frames bytes.Buffer
	f := newFrameWriter(&frames)
	if err := f.header(header); err != nil {
		return err
	}
	f.end()
	last := domicile.E(op, domicile.Unavailable, "gossip knows no living node of it")
	for _, addr := range n.candidates(to) {
		if err := permit.message(int64(frames.Len())); err != nil {
			return domicile.W(op, err)
		}
		answered, err := n.askOne(ctx, op, to, addr, method, frames.Bytes(), out)
		if answered {
			return err
		}
		last = err
	}
	return last
}

// askOne tries one node. answered is false if another may be tried.
func (n *Node) askOne(ctx context.Context, op string, to domicile.Region, addr, method string, frames []byte, out any) (answered bool, err error) {
	try, cancel := context.WithTimeout(ctx, n.pace.ask)
	defer cancel()
	res, err := n.post(try, to, addr, method, bytes.NewReader(frames))
	if err == nil || ctx.Err() == nil { // a caller that gave up says nothing of the address
		n.reached.note(addr, err == nil, time.Now())
	}
	if err != nil {
		return false, gone(op, domicile.Unavailable, err)
	}
	defer res.Body.Close()
	e, err := readAnswer(op, res)
	if err != nil {
		return res.StatusCode == http.StatusNotFound, err
	}
	return true, decodeAnswer(op, e, out)
}

// Stream sends body to a storing node of the region that p names, spending p, and decodes the answer. A read error of
// body, or ctx ending, breaks the stream without its closing frame. Unavailable: the other side did not commit. Unknown:
// sent whole, answer lost. The header in (at most 64 KiB of JSON) travels under the same permit, above its ceiling.
//
// Stream does not return while body is being read: a caller whose body can block for ever must be able to unblock it.
func (n *Node) Stream(ctx context.Context, p *Permit, method string, in any, body io.Reader, out any) error {
	op := "stream " + method
	header, err := json.Marshal(in)
	if err != nil {
		return domicile.W(op, err)
	}
	if len(header) > maxHeader {
		return domicile.E(op, domicile.TooLarge, "the header is over 64 KiB")
	}
	permit, err := n.cfg.Guard.spend(p, placement.Stream, func(c placement.Crossing) bool {
		return c.Party == placement.ToRegion && c.Class != domicile.Relay // a session is no message
	})
	if err != nil {
		return err
	}
	return n.stream(ctx, op, permit, method, header, body, out)
}

// Send is Stream for bytes that are known: it spends a sealed permit, and sends nothing unless body is exactly what the permit was
// given for.
func (n *Node) Send(ctx context.Context, p *Permit, method string, in any, body []byte, out any) error {
	op := "send " + method
	header, err := json.Marshal(in)
	if err != nil {
		return domicile.W(op, err)
	}
	if len(header) > maxHeader {
		return domicile.E(op, domicile.TooLarge, "the header is over 64 KiB")
	}
	permit, err := n.cfg.Guard.spend(p, placement.Sealed, func(c placement.Crossing) bool { return c.Party == placement.ToRegion })
	if err != nil {
		return err
	}
	if int64(len(body)) != permit.req.Ceiling || sha256.Sum256(body) != permit.req.Digest {
		permit.close()
		return refusePermit(domicile.PermitExceeded, "these are not the bytes that the permit was given for")
	}
	return n.stream(ctx, op, permit, method, header, bytes.NewReader(body), out)
}

// stream sends body under a permit that was spent for it, to the first node that takes it.
func (n *Node) stream(ctx context.Context, op string, permit *permit, method string, header []byte, body io.Reader, out any) error {
	defer permit.close()
	permit.digestFromHere()
	to := permit.req.To
	if err := n.reachable(op, to); err != nil {
		return err
	}
	last := domicile.E(op, domicile.Unavailable, "gossip knows no living node of "+string(to))
	for _, addr := range n.candidates(to) {
		s := &outStream{node: n, op: op, to: to, addr: addr, method: method, header: header, body: body, permit: permit}
		err := s.run(ctx, out)
		if err == nil || s.begun {
			return err
		}
		last = err
	}
	return last
}

// reachable refuses a destination that the catalog does not know.
func (n *Node) reachable(op string, to domicile.Region) error {
	if !n.cfg.Catalog().knows(to) {
		return domicile.E(op, domicile.Invalid, "the catalog does not know it")
	}
	return nil
}

// post sends one request to a node that must prove to be of to.
func (n *Node) post(ctx context.Context, to domicile.Region, addr, method string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+rpcPrefix+method, body)
	if err != nil {
		return nil, err
	}
	if id := caseOf(ctx); id != "" {
		req.Header.Set(caseHeader, id)
	}
	return n.transport(route{to: to}).RoundTrip(req)
}

// route is where connections lead. Sessions have their own: what slows them down does not slow calls.
type route struct {
	to       domicile.Region
	sessions bool
}

// transport returns the connections of a route. A new catalog begins new ones, so that it decides who is believed.
func (n *Node) transport(r route) *http.Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.cfg.Catalog(); n.forCatalog != c {
		for _, t := range n.transports {
			t.CloseIdleConnections()
		}
		n.forCatalog, n.transports = c, map[route]*http.Transport{}
	}
	t := n.transports[r]
	if t == nil {
		var h2 http.Protocols
		h2.SetHTTP2(true)
		t = &http.Transport{
			DialContext:     (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig: n.trust.nodeClient(&n.id, r.to), TLSHandshakeTimeout: dialTimeout, Protocols: &h2,
			DisableCompression: true, IdleConnTimeout: 5 * time.Minute, MaxResponseHeaderBytes: 8 << 10,
			HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		}
		n.transports[r] = t
	}
	return t
}

// readAnswer reads the envelope of a 200. Any other status says that nothing was done.
func readAnswer(op string, res *http.Response) (envelope, error) {
	var e envelope
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return e, domicile.E(op, domicile.Invalid, "the other node has no such method")
	case http.StatusForbidden:
		return e, domicile.E(op, domicile.Unavailable, "the other node may not answer this one")
	case http.StatusTooManyRequests:
		return e, domicile.E(op, domicile.Unavailable, "the other node is busy")
	default:
		return e, domicile.E(op, domicile.Unavailable, "the other node did not take the call")
	}
	const limit = maxSmall + 4096 // the envelope around a reply of 64 KiB
	raw, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && len(raw) > limit {
		err = domicile.E(op, domicile.TooLarge, "the answer is over 64 KiB")
	}
	if err == nil {
		err = json.Unmarshal(raw, &e)
	}
	if err == nil && (e.Error == nil) == (e.Reply == nil) {
		err = domicile.E(op, domicile.Other, "the answer is malformed")
	}
	if err != nil {
		return e, gone(op, domicile.Unavailable, err)
	}
	return e, nil
}

func decodeAnswer(op string, e envelope, out any) error {
	if e.Error != nil {
		return fromWire(op, e.Error)
	}
	if out == nil {
		return nil
	}
	return domicile.W(op, json.Unmarshal(e.Reply, out))
}

// gone is an outcome without an answer, of the stated kind whatever the cause's own.
func gone(op string, k domicile.Kind, cause error) error {
	e := &domicile.Error{Op: op, Kind: k, Reason: domicile.ReasonOf(cause), Detail: "no answer", Err: cause}
	if k == domicile.Unknown {
		e.Detail = "sent whole, but the answer was lost"
	}
	return e
}
