package region

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
)

type storeReply struct {
	Size int64
	From Peer
	In   string
}

// received is what one call brought.
type received struct {
	body []byte
	err  error // nil only behind a good end
}

// keepBody is a receiver: it commits only behind a good end.
func keepBody(got chan<- received) Handler {
	return func(ctx context.Context, c *Call) (any, error) {
		b, err := io.ReadAll(c.Body)
		got <- received{b, err}
		if err != nil {
			return nil, domicile.E("store", domicile.Unavailable, "cut short")
		}
		return storeReply{int64(len(b)), c.From, string(c.Header)}, nil
	}
}

func TestThreeNodesCallAndStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	got := make(chan received, 1)
	ie := w.node("ie-1", "eu-ireland", []string{"store"}, nil, func(n *Node) {
		n.Handle("delivery/store", domicile.Delivery, 4096, keepBody(got))
		n.Handle("move/part", domicile.Move, 4096, keepBody(got))
		n.Handle("whoami", domicile.Lookup, 4096, func(_ context.Context, c *Call) (any, error) { return c.From, nil })
		n.Handle("panic", domicile.Lookup, 4096, func(context.Context, *Call) (any, error) { panic("oops") })
		n.Handle("refuse", domicile.Lookup, 4096, func(context.Context, *Call) (any, error) {
			return nil, domicile.Refuse("x", domicile.NameTaken, "house/names", "taken")
		})
	})
	us := w.node("us-1", "us-east", []string{"front", "store"}, []string{ie.GossipAddr()}, nil)
	waitFor(t, "us-1 and ie-1 know each other", func() bool { return knows(us, "ie-1")() && knows(ie, "us-1")() })

	t.Run("ask", func(t *testing.T) {
		var p Peer
		if err := us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "whoami", "hello", &p); err != nil {
			t.Fatal(err)
		}
		if p.Region != "us-east" || p.Node != "us-1" {
			t.Errorf("the callee saw %+v", p)
		}
	})
	t.Run("errors cross by kind and reason", func(t *testing.T) {
		err := us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "refuse", nil, nil)
		wantKind(t, err, domicile.Refused)
		wantReason(t, err, domicile.NameTaken)
		if !strings.Contains(err.Error(), "taken") {
			t.Errorf("the detail is lost: %v", err)
		}
	})
	t.Run("unknown method, unknown region, wrong class", func(t *testing.T) {
		wantKind(t, us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "nope", nil, nil), domicile.Invalid)
		wantKind(t, us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "panic", nil, nil), domicile.Other)
		wantKind(t, us.Ask(t.Context(), domicile.Lookup, "atlantis", "whoami", nil, nil), domicile.Invalid)
		wantReason(t, us.Ask(t.Context(), domicile.Disclosure, "eu-ireland", "whoami", nil, nil), domicile.EgressNotAllowed)
		wantKind(t, us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "whoami", strings.Repeat("x", 65<<10), nil), domicile.TooLarge)
	})
	t.Run("stream", func(t *testing.T) {
		body := make([]byte, 3<<20+17)
		rand.NewChaCha8([32]byte{1}).Read(body)
		p := must(us.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", int64(len(body)))))
		var r storeReply
		if err := us.Stream(t.Context(), p, "delivery/store", "hello", bytes.NewReader(body), &r); err != nil {
			t.Fatal(err)
		}
		if in := <-got; in.err != nil || !bytes.Equal(in.body, body) || r.Size != int64(len(body)) || r.From.Region != "us-east" || r.In != `"hello"` {
			t.Errorf("the body, or the reply %+v, is not what was sent", r)
		}
		wantReason(t, us.Stream(t.Context(), p, "delivery/store", nil, bytes.NewReader(nil), nil), domicile.PermitSpent)
	})
	t.Run("sealed", func(t *testing.T) {
		part := func(body string) Request {
			return Request{Crossing: placement.Crossing{Class: domicile.Move, Kind: placement.Sealed, Party: placement.ToRegion, To: "eu-ireland",
				Account: "a1", Home: "us-east", Case: "a1.1", Approved: true, Ceiling: int64(len(body))}, Digest: sha256.Sum256([]byte(body))}
		}
		body := strings.Repeat("part", 50_000)
		var r storeReply
		if err := us.Send(t.Context(), must(us.cfg.Guard.Permit(t.Context(), part(body))), "move/part", "hello", []byte(body), &r); err != nil {
			t.Fatal(err)
		}
		if in := <-got; in.err != nil || string(in.body) != body || r.In != `"hello"` {
			t.Errorf("%d bytes arrived, %v, %+v", len(in.body), in.err, r)
		}
		for name, other := range map[string]string{"altered": "X" + body[1:], "shorter": body[1:], "longer": body + "x", "empty": ""} {
			p := must(us.cfg.Guard.Permit(t.Context(), part(body)))
			wantReason(t, us.Send(t.Context(), p, "move/part", nil, []byte(other), nil), domicile.PermitExceeded)
			wantReason(t, us.Send(t.Context(), p, "move/part", nil, []byte(body), nil), domicile.PermitSpent)
			if len(got) > 0 {
				t.Errorf("%s: something arrived", name)
			}
		}
		stream := must(us.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", 4)))
		wantReason(t, us.Send(t.Context(), stream, "delivery/store", nil, []byte("part"), nil), domicile.PermitForeign)
		wantReason(t, us.Send(t.Context(), nil, "move/part", nil, []byte("part"), nil), domicile.NoPermit)
	})
	t.Run("over the ceiling", func(t *testing.T) {
		p := must(us.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", 100<<10)))
		err := us.Stream(t.Context(), p, "delivery/store", nil, bytes.NewReader(make([]byte, 200<<10)), nil)
		wantReason(t, err, domicile.PermitExceeded)
		if in := <-got; in.err != io.ErrUnexpectedEOF || len(in.body) > 100<<10 {
			t.Errorf("%d bytes arrived, %v", len(in.body), in.err)
		}
	})
	t.Run("a body that breaks is no commit", func(t *testing.T) {
		broken := errors.New("client went away")
		p := must(us.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", 1<<20)))
		err := us.Stream(t.Context(), p, "delivery/store", nil, io.MultiReader(strings.NewReader("part"), errReader{broken}), nil)
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if in := <-got; in.err != io.ErrUnexpectedEOF {
			t.Errorf("the receiver saw %q, %v", in.body, in.err)
		}
	})
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestStreamOutcomes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	outcome := make(chan error, 1)
	proceed := make(chan struct{})
	ie := w.node("ie-1", "eu-ireland", []string{"store"}, nil, func(n *Node) {
		n.Handle("drop", domicile.Delivery, 4096, func(_ context.Context, c *Call) (any, error) { // reads all, then dies
			_, err := io.Copy(io.Discard, c.Body)
			outcome <- err
			<-proceed
			return nil, nil
		})
		n.Handle("early", domicile.Delivery, 4096, func(context.Context, *Call) (any, error) {
			return nil, domicile.E("store", domicile.TooLarge, "no room")
		})
		n.Handle("big", domicile.Delivery, 10, func(context.Context, *Call) (any, error) { return strings.Repeat("x", 100), nil })
	})
	us := w.node("us-1", "us-east", []string{"front"}, []string{ie.GossipAddr()}, nil)
	waitFor(t, "join", knows(us, "ie-1"))
	ie.pace.drain = 50 * time.Millisecond
	permit := func() *Permit { return must(us.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", 64<<20))) }

	t.Run("answered before the end", func(t *testing.T) {
		wantKind(t, us.Stream(t.Context(), permit(), "early", nil, bytes.NewReader(make([]byte, 16<<20)), nil), domicile.TooLarge)
	})
	t.Run("reply over its limit", func(t *testing.T) {
		wantKind(t, us.Stream(t.Context(), permit(), "big", nil, strings.NewReader("x"), nil), domicile.TooLarge)
	})
	t.Run("cancelled in the middle: cut there, Unavailable here", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pr, pw := io.Pipe()
		go func() {
			pw.Write([]byte("part"))
			time.Sleep(50 * time.Millisecond)
			cancel()
			time.Sleep(50 * time.Millisecond)
			pw.Close()
		}()
		wantKind(t, us.Stream(ctx, permit(), "drop", nil, pr, nil), domicile.Unavailable)
		if err := <-outcome; !errors.Is(err, io.ErrUnexpectedEOF) && err == nil {
			t.Errorf("the receiver saw a good end: %v", err)
		}
		proceed <- struct{}{}
	})
	t.Run("a permit to the wrong party", func(t *testing.T) {
		req := deliveryTo("eu-ireland", 10)
		req.Class, req.Party, req.To, req.Home = domicile.ClientSession, "client", "", "us-east"
		p := must(us.cfg.Guard.Permit(t.Context(), req))
		wantReason(t, us.Stream(t.Context(), p, "drop", nil, strings.NewReader("x"), nil), domicile.PermitForeign)
		wantReason(t, us.Stream(t.Context(), nil, "drop", nil, strings.NewReader("x"), nil), domicile.NoPermit)
	})
	t.Run("sent whole, answer lost: Unknown", func(t *testing.T) {
		done := make(chan error)
		go func() { done <- us.Stream(context.Background(), permit(), "drop", nil, strings.NewReader("all"), nil) }()
		if err := <-outcome; err != nil {
			t.Errorf("the receiver did not get all: %v", err)
		}
		go ie.Close()
		wantKind(t, <-done, domicile.Unknown)
		close(proceed)
	})
	t.Run("nobody there: Unavailable", func(t *testing.T) {
		wantKind(t, us.Stream(t.Context(), permit(), "drop", nil, strings.NewReader("x"), nil), domicile.Unavailable)
		wantKind(t, us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "drop", nil, nil), domicile.Unavailable)
	})
}

// A node of one region that answers at an address that gossip gives for another is found out by its certificate.
func TestAddressOfAnotherRegion(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	us2 := w.node("us-2", "us-east", []string{"store"}, nil, nil)
	us := w.node("us-1", "us-east", []string{"front"}, nil, nil)
	us.members.put(known{Member: Member{Name: "ie-9", Region: "eu-ireland", Roles: []string{"store"}, RPC: us2.RPCAddr(), Alive: true}})
	err := us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "x", nil, nil)
	wantKind(t, err, domicile.Unavailable)
	wantReason(t, err, domicile.PeerUnverified)
}

func TestListenFrontMetersAndAttaches(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	n := w.unstarted("us-1", "us-east", []string{"front"}, nil)
	l := must(n.ListenFront("127.0.0.1:0", 10))
	client := must(net.Dial("tcp", l.Addr().String()))
	defer client.Close()
	c := must(l.Accept())
	front, ok := FrontConn(wrapped{c})
	if !ok || front != c {
		t.Fatal("FrontConn does not find the connection")
	}
	if _, err := c.Write([]byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	_, err := c.Write([]byte("x"))
	wantReason(t, err, domicile.PermitExceeded)
	wantReason(t, front.Attach(nil), domicile.NoPermit)
	wantReason(t, front.Attach(must(n.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", 10)))), domicile.PermitForeign)
	req := deliveryTo("us-east", 5)
	req.Class, req.Party, req.To = domicile.ClientSession, "client", ""
	if err := front.Attach(must(n.cfg.Guard.Permit(t.Context(), req))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("abcde")); err != nil {
		t.Fatal(err)
	}
	_, err = c.Write([]byte("x"))
	wantReason(t, err, domicile.PermitExceeded)
	wantReason(t, front.Attach(must(n.cfg.Guard.Permit(t.Context(), req))), domicile.PermitForeign)
	c.Close()
	all, _ := io.ReadAll(client)
	if string(all) != "0123456789abcde" {
		t.Errorf("the client got %q", all)
	}
	if _, err := n.ListenFront("localhost:0", 10); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("a name was resolved: %v", err)
	}
}

// A client's connection that is detached has no permit, until it is attached anew; each permit is in the journal with its own bytes.
func TestDetach(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	n := w.unstarted("us-1", "us-east", []string{"front"}, nil)
	l := must(n.ListenFront("127.0.0.1:0", 10))
	client := must(net.Dial("tcp", l.Addr().String()))
	defer client.Close()
	c := must(l.Accept())
	front, _ := FrontConn(c)
	wantReason(t, front.Detach(), domicile.NoPermit)
	for i, account := range []domicile.AccountID{"a-ann", "a-ben"} {
		if _, err := c.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
		_, err := c.Write([]byte("x"))
		wantReason(t, err, domicile.PermitExceeded)
		p := must(n.cfg.Guard.Permit(t.Context(), Request{Crossing: front.Crossing(account, "us-east")}))
		if err := front.Attach(p); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(make([]byte, 100+i)); err != nil {
			t.Fatal(err)
		}
		if err := front.Detach(); err != nil {
			t.Fatal(err)
		}
		wantReason(t, front.Detach(), domicile.NoPermit)
		wantReason(t, front.Attach(p), domicile.PermitSpent)
	}
	tunnel := &Conn{guard: n.cfg.Guard, to: standingKey{domicile.Relay, placement.ToRegion, "eu-ireland"}, p: &permit{guard: n.cfg.Guard}}
	wantReason(t, tunnel.Detach(), domicile.NoPermit)
	c.Close()
	p := must(n.cfg.Guard.Permit(t.Context(), Request{Crossing: front.Crossing("a-ann", "us-east")}))
	wantReason(t, front.Attach(p), domicile.PermitForeign) // a login that comes too late
	p.Close()
	n.cfg.Guard.Close()
	n.cfg.Guard.journal.Close()
	sent := map[domicile.AccountID]int64{}
	for _, r := range readJournal(t, n.cfg.Guard.journal.dir) {
		if r.Type == recClose && r.Account != "" {
			sent[r.Account] += r.Bytes
		}
	}
	if sent["a-ann"] != 100 || sent["a-ben"] != 101 || len(sent) != 2 {
		t.Errorf("the journal has %v", sent)
	}
}

// Where the tunnel of a session gets no permit, its client's connection has none either.
func TestRelayIsBothOrNeither(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	n := w.unstarted("us-1", "us-east", []string{"front"}, nil)
	g := n.cfg.Guard
	l := must(n.ListenFront("127.0.0.1:0", 10))
	client := must(net.Dial("tcp", l.Addr().String()))
	defer client.Close()
	c := must(l.Accept())
	defer c.Close()
	tunnel := &Conn{guard: g, to: standingKey{domicile.Relay, placement.ToRegion, "eu-ireland"}, p: &permit{guard: g}}
	wantReason(t, g.Relay(t.Context(), c, tunnel, "a-ann", "eu-ireland"), domicile.PermitForeign)
	_, err := c.Write(make([]byte, 11))
	wantReason(t, err, domicile.PermitExceeded)
	tunnel.p = nil
	if err := g.Relay(t.Context(), c, tunnel, "a-ben", "eu-ireland"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, 11)); err != nil {
		t.Error(err)
	}
}

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }
