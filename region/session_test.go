package region

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
)

const patience = 30 * time.Second

// pipePair joins two ends of a tunnel in memory.
func pipePair(t *testing.T, p pace) (front, home *tunnel) {
	t.Helper()
	up, upw := io.Pipe()
	down, downw := io.Pipe()
	ends := func(r *io.PipeReader, w *io.PipeWriter) func() {
		return func() { r.CloseWithError(io.ErrUnexpectedEOF); w.CloseWithError(io.ErrUnexpectedEOF) }
	}
	front = newTunnel(down, upw, ends(down, upw), p, tunnelAddr("us-east"), tunnelAddr("eu-ireland"))
	home = newTunnel(up, downw, ends(up, downw), p, tunnelAddr("eu-ireland"), tunnelAddr("us-east/192.0.2.7"))
	t.Cleanup(func() { front.stop(net.ErrClosed); home.stop(net.ErrClosed) })
	return front, home
}

func start(ts ...*tunnel) {
	for _, t := range ts {
		go t.run()
	}
}

// Bytes go both ways at once, whole, whatever the sizes of the pieces; each direction ends by itself.
func TestTunnelCarriesBothWays(t *testing.T) {
	front, home := pipePair(t, usualPace)
	start(front, home)
	up, down := make([]byte, 3<<20+17), make([]byte, 2<<20+5)
	rand.NewChaCha8([32]byte{1}).Read(up)
	rand.NewChaCha8([32]byte{2}).Read(down)
	send := func(to *tunnel, b []byte) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(to, struct{ io.Reader }{bytes.NewReader(b)})
			done <- errors.Join(err, to.CloseWrite())
		}()
		return done
	}
	sentUp, sentDown := send(front, up), send(home, down)
	read := func(from *tunnel, want []byte) {
		t.Helper()
		got, err := io.ReadAll(from)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d arrived: %v", len(got), len(want), err)
		}
	}
	fromFront := make(chan struct{})
	go func() { read(home, up); close(fromFront) }()
	read(front, down)
	<-fromFront
	if err := errors.Join(<-sentUp, <-sentDown); err != nil {
		t.Error(err)
	}
	if _, err := front.Write([]byte("x")); err == nil {
		t.Error("bytes behind the end were taken")
	}
}

// A side that does not read holds no more than the window, and stops the writer, whose deadline works.
func TestTunnelBackPressure(t *testing.T) {
	front, home := pipePair(t, usualPace)
	start(front, home)
	home.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := home.Write(make([]byte, 4*tunnelWindow))
	if !errors.Is(err, os.ErrDeadlineExceeded) || n != tunnelWindow {
		t.Fatalf("%d bytes were taken from one that nobody reads: %v", n, err)
	}
	front.mu.Lock()
	held := len(front.held)
	front.mu.Unlock()
	if held > tunnelWindow {
		t.Errorf("%d bytes are held", held)
	}
	home.SetWriteDeadline(time.Time{})
	if _, err := io.CopyN(io.Discard, front, tunnelWindow); err != nil {
		t.Fatal(err)
	}
	if _, err := home.Write([]byte("on")); err != nil {
		t.Error("the session does not go on once its client reads:", err)
	}
}

// What a peer sends against the rules ends its own tunnel, and is never more than the window in memory.
func TestTunnelHostilePeer(t *testing.T) {
	data := func(n int) []byte { return lengthFrame(frameData, make([]byte, n)) }
	for name, raw := range map[string][]byte{
		"more than its credit":         bytes.Repeat(data(maxChunk), tunnelWindow/maxChunk+1),
		"a piece of 4 GiB":             {frameData, 0xff, 0xff, 0xff, 0xff},
		"an empty piece":               data(0),
		"credit for nothing":           {frameCredit, 0, 0, 0, 1},
		"credit without end":           {frameCredit, 0xff, 0xff, 0xff, 0xff},
		"bytes behind the end":         append([]byte{frameFin}, data(1)...),
		"a login where none is asked":  lengthFrame(frameLogin, []byte(`{"account":"a1"}`)),
		"a long login":                 lengthFrame(frameLogin, bytes.Repeat([]byte(" "), maxLoginNote+1)),
		"no frame":                     []byte("GET / HTTP/1.1\r\n"),
		"half a frame":                 data(100)[:50],
		"a closing of what is no home": {frameDrain},
	} {
		t.Run(name, func(t *testing.T) {
			var ended bool
			tun := newTunnel(bytes.NewReader(raw), io.Discard, func() { ended = true }, usualPace, nil, nil)
			tun.run()
			if !ended || tun.cause() == nil || len(tun.held) > tunnelWindow {
				t.Errorf("ended %v, %v, %d bytes held", ended, tun.cause(), len(tun.held))
			}
			if _, err := io.Copy(io.Discard, tun); err == nil && name != "bytes behind the end" {
				t.Error("it ended well")
			}
		})
	}
}

func FuzzTunnel(f *testing.F) {
	f.Add(append(lengthFrame(frameData, []byte("hello")), frameKeep, frameFin))
	f.Add(lengthFrame(frameLogin, []byte(`{"account":"a1"}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tun := newTunnel(bytes.NewReader(raw), io.Discard, func() {}, usualPace, nil, nil)
		tun.onLogin = func(domicile.AccountID) error { return nil }
		tun.run()
		got, _ := io.ReadAll(tun)
		if len(got) > len(raw) || len(got) > tunnelWindow {
			t.Errorf("%d bytes out of %d", len(got), len(raw))
		}
	})
}

// A peer that the catalog in force does not know any more is cut off, also in the middle of a session.
func TestTunnelEndsWithTrust(t *testing.T) {
	p := usualPace
	p.pulse = 5 * time.Millisecond
	front, home := pipePair(t, p)
	var left atomic.Bool
	home.trusted = func() bool { return !left.Load() }
	start(front, home)
	if _, err := front.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	left.Store(true)
	front.SetReadDeadline(time.Now().Add(patience))
	if _, err := front.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the session goes on: %v", err)
	}
}

// A silent peer is given up; one that lives and has nothing to say is not.
func TestTunnelSilence(t *testing.T) {
	p := usualPace
	p.pulse, p.quiet = 10*time.Millisecond, 30*time.Second
	front, home := pipePair(t, p)
	home.pace.quiet = 5 * time.Second
	start(front, home)
	time.Sleep(50 * time.Millisecond)
	if home.cause() != nil {
		t.Error("a living peer was given up")
	}
	deaf := newTunnel(blocked{}, io.Discard, func() {}, pace{idle: patience, pulse: time.Hour, quiet: 20 * time.Millisecond}, nil, nil)
	go deaf.run()
	if _, err := deaf.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

type blocked struct{}

func (blocked) Read([]byte) (int, error) { select {} }

// sessionWorld is a front in us-east and a store in eu-ireland that takes sessions.
func sessionWorld(t *testing.T, h SessionHandler) (us, ie *Node) {
	t.Helper()
	w := newWorld(t, "us-east", "eu-ireland")
	ie = w.node("ie-1", "eu-ireland", []string{"store"}, nil, func(n *Node) { n.ServeSessions("imap", h) })
	us = w.node("us-1", "us-east", []string{"front"}, []string{ie.GossipAddr()}, nil)
	waitFor(t, "us-1 and ie-1 know each other", func() bool { return knows(us, "ie-1")() && knows(ie, "us-1")() })
	return us, ie
}

// accept takes a session as account a1 of Ireland.
func accept(s *Session) (*Conn, error) {
	if s.Login == nil {
		c, err := s.Accept(nil)
		if err == nil {
			err = attach(c)
		}
		return c, err
	}
	p, err := s.node.cfg.Guard.Permit(context.Background(), Request{Crossing: s.Crossing("a1", "eu-ireland")})
	if err != nil {
		return nil, err
	}
	return s.Accept(p)
}

// attach puts a connection under a permit for account a1 of Ireland.
func attach(c *Conn) error {
	p, err := c.guard.Permit(context.Background(), Request{Crossing: c.Crossing("a1", "eu-ireland")})
	if err != nil {
		return err
	}
	return c.Attach(p)
}

var login = &Credential{Name: "ann@example.com", Password: "pw"}

func TestSession(t *testing.T) {
	t.Parallel()
	cut := make(chan error, 1)
	us, ie := sessionWorld(t, func(ctx context.Context, s *Session) error {
		switch {
		case s.From.Region != "us-east" || s.From.Node != "us-1" || s.Client == "":
			return domicile.E("session", domicile.Other, "who?")
		case s.Login != nil && s.Login.Password != "pw":
			return domicile.E("login", domicile.NotExist, "wrong")
		}
		c, err := accept(s)
		if err != nil {
			return err
		}
		defer c.Close()
		if s.Tag == "drain" {
			<-s.Draining()
			io.WriteString(c, "bye")
			return nil
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, c); err != nil {
			if s.Tag == "cut" {
				cut <- err
			}
			return nil
		}
		_, err = c.Write(sum.Sum(nil))
		return err
	})
	open := func(r SessionRequest) (*Conn, error) {
		r.Client = "192.0.2.7"
		return us.OpenSession(t.Context(), "eu-ireland", "imap", r)
	}
	t.Run("bytes", func(t *testing.T) {
		c := must(open(SessionRequest{Login: login}))
		if err := attach(c); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 1<<20+3)
		rand.NewChaCha8([32]byte{3}).Read(body)
		if _, err := c.Write(body); err != nil {
			t.Fatal(err)
		}
		c.raw.(*tunnel).CloseWrite()
		want := sha256.Sum256(body)
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want[:]) {
			t.Errorf("%x, %v", got, err)
		}
		c.Close()
	})
	t.Run("a small allowance before the login", func(t *testing.T) {
		c := must(open(SessionRequest{Login: login}))
		defer c.Close()
		if _, err := c.Write(make([]byte, sessionLogin)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Write([]byte("x"))
		wantReason(t, err, domicile.PermitExceeded)
	})
	t.Run("cut at the front", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := must(us.OpenSession(ctx, "eu-ireland", "imap", SessionRequest{Client: "x", Login: login, Tag: "cut"}))
		io.WriteString(c, "half")
		cancel()
		select {
		case err := <-cut:
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("home saw %v", err)
			}
		case <-time.After(patience):
			t.Error("home does not learn that the session was cut")
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the front reads on")
		}
	})
	t.Run("passed through", func(t *testing.T) {
		var who domicile.AccountID
		c := must(open(SessionRequest{LoggedIn: func(_ *Conn, a domicile.AccountID) error { who = a; return nil }}))
		defer c.Close()
		c.raw.(*tunnel).CloseWrite()
		if got, err := io.ReadAll(c); err != nil || len(got) != sha256.Size || who != "a1" {
			t.Errorf("%d bytes, %v, logged in: %q", len(got), err, who)
		}
	})
	t.Run("a login that the front cannot allow", func(t *testing.T) {
		c := must(open(SessionRequest{LoggedIn: func(*Conn, domicile.AccountID) error { return errors.New("no") }}))
		defer c.Close()
		if got, err := io.ReadAll(c); err == nil || len(got) > 0 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("drained", func(t *testing.T) {
		c := must(open(SessionRequest{Login: login, Tag: "drain"}))
		defer c.Close()
		c.Drain()
		if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		_, err := open(SessionRequest{Login: &Credential{Name: "ann@example.com", Password: "no"}})
		wantKind(t, err, domicile.NotExist)
		_, err = us.OpenSession(t.Context(), "eu-ireland", "gopher", SessionRequest{Login: login})
		wantKind(t, err, domicile.Invalid)
		_, err = us.OpenSession(t.Context(), "atlantis", "imap", SessionRequest{Login: login})
		wantKind(t, err, domicile.Invalid)
		_, err = us.OpenSession(t.Context(), "us-east", "imap", SessionRequest{Login: login}) // no node of it holds a store
		wantKind(t, err, domicile.Unavailable)
		_, err = open(SessionRequest{Login: &Credential{Name: strings.Repeat("x", sessionHeader)}})
		wantKind(t, err, domicile.TooLarge)
	})
	waitFor(t, "no tunnel is left", func() bool {
		out, _, _ := us.Sessions()
		_, served, _ := ie.Sessions()
		return out == 0 && served == 0
	})
	_, _, began := ie.Sessions()
	if form := (SessionForm{Front: "imap"}); began[SessionOutcome{form, "ok"}] < 5 || began[SessionOutcome{form, domicile.NotExist.String()}] != 1 {
		t.Errorf("%v", began)
	}
}

// One session whose client does not read leaves the others, and calls, alone.
func TestSessionsDoNotBlockEachOther(t *testing.T) {
	t.Parallel()
	us, _ := sessionWorld(t, func(_ context.Context, s *Session) error {
		c, err := accept(s)
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				return err
			}
		}
	})
	open := func() *Conn {
		return must(us.OpenSession(t.Context(), "eu-ireland", "imap", SessionRequest{Client: "192.0.2.7", Login: login}))
	}
	for range 12 { // together more than the window of the connection below
		defer open().Close()
	}
	c := open()
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.CopyN(io.Discard, c, 8<<20); err != nil {
		t.Error(err)
	}
}

// Sessions that are not logged in are few, of one client's network and of one region: delays of wrong logins then bound how
// often a region can guess.
func TestPendingSessionsAreBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	us, _ := sessionWorld(t, func(ctx context.Context, s *Session) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return domicile.E("login", domicile.NotExist, "wrong")
	})
	answers := make(chan error, 64)
	open := func(client string) {
		go func() {
			_, err := us.OpenSession(t.Context(), "eu-ireland", "imap", SessionRequest{Client: client, Login: login})
			answers <- err
		}()
	}
	for range maxPendingEach + 1 {
		open("192.0.2.7")
	}
	wantKind(t, <-answers, domicile.Unavailable) // one too many
	open("192.0.2.8")
	close(release)
	for range maxPendingEach + 1 {
		wantKind(t, <-answers, domicile.NotExist)
	}
	var s sessions
	var leave func()
	for i := range maxVerified {
		var ok bool
		if leave, ok = s.wait(pendingKey{"us-east", false, string(rune('a' + i))}); !ok {
			t.Fatal("too few places")
		}
	}
	if _, ok := s.wait(pendingKey{"us-east", false, "another"}); ok {
		t.Error("a region takes more places than it has")
	}
	leave()
	leave()
	if _, ok := s.wait(pendingKey{"us-east", false, "another"}); !ok {
		t.Error("a place is not given back")
	}
	if _, ok := s.wait(pendingKey{"us-east", true, "another"}); !ok {
		t.Error("logins take the places of connections passed through")
	}
	if _, ok := s.wait(pendingKey{"eu-ireland", false, "another"}); !ok {
		t.Error("one region takes the places of another")
	}
	for range maxTunnelsEach {
		s.enter(false, "us-east")
	}
	if _, ok := s.enter(false, "us-east"); ok {
		t.Error("a region takes more tunnels than it may")
	}
	if _, ok := s.enter(false, "eu-ireland"); !ok {
		t.Error("one region takes the tunnels of another")
	}
}

// A witness relays nobody, and a permit of a session is good for its own connection alone.
func TestRelayMisuse(t *testing.T) {
	t.Parallel()
	us, ie := sessionWorld(t, func(_ context.Context, s *Session) error {
		c, err := accept(s)
		if err != nil {
			return err
		}
		defer c.Close()
		io.Copy(io.Discard, c)
		return nil
	})
	g := us.cfg.Guard
	relay := Request{Crossing: placement.Crossing{Class: domicile.Relay, Kind: placement.Stream, Party: placement.ToRegion, To: "eu-ireland",
		Account: "a1", Home: "eu-ireland", Ceiling: 100}}
	out := relay
	out.Party, out.To = placement.ToClient, ""
	permit := func(r Request) *Permit { return must(g.Permit(t.Context(), r)) }
	var sent bytes.Buffer
	_, err := g.Writer(permit(relay), &sent)
	wantReason(t, err, domicile.PermitForeign)
	wantReason(t, us.Stream(t.Context(), permit(relay), "delivery/store", nil, strings.NewReader("x"), nil), domicile.PermitForeign)
	c := must(us.OpenSession(t.Context(), "eu-ireland", "imap", SessionRequest{Client: "x", Login: login}))
	defer c.Close()
	wantReason(t, c.Attach(permit(out)), domicile.PermitForeign)
	wantReason(t, c.Attach(permit(deliveryTo("eu-ireland", 100))), domicile.PermitForeign)
	elsewhere := relay
	elsewhere.To, elsewhere.Home = "us-east", "us-east"
	wantReason(t, c.Attach(permit(elsewhere)), domicile.PermitForeign)
	wantReason(t, c.Attach(must(ie.cfg.Guard.Permit(t.Context(), relay))), domicile.PermitForeign)
	good := permit(relay)
	if err := c.Attach(good); err != nil {
		t.Fatal(err)
	}
	_, err = c.Write(make([]byte, 101))
	wantReason(t, err, domicile.PermitExceeded)
	wantReason(t, c.Attach(permit(relay)), domicile.PermitForeign)
	other := must(us.OpenSession(t.Context(), "eu-ireland", "imap", SessionRequest{Client: "x", Login: login}))
	defer other.Close()
	wantReason(t, other.Attach(good), domicile.PermitSpent)
	err = g.Refuse(t.Context(), relay, domicile.EgressNotAllowed, "house/test", "no")
	wantReason(t, err, domicile.EgressNotAllowed)
	wantKind(t, err, domicile.Refused)
}

// What the layer above refuses is in the journal like the guard's own refusals; if it cannot be, the answer is no all the same.
func TestRefuseIsWrittenDown(t *testing.T) {
	g, _, dir := testGuard(t, "eu-ireland", nil)
	r := Request{Crossing: placement.Crossing{Class: domicile.Relay, Kind: placement.Stream, Party: placement.ToRegion, To: "us-east",
		Account: "a1", Home: "eu-ireland", Ceiling: 100}}
	wantReason(t, g.Refuse(t.Context(), r, domicile.AbroadRefused, "house/abroad", "no"), domicile.AbroadRefused)
	g.Close()
	g.journal.Close()
	found := false
	for _, rec := range readJournal(t, dir) {
		found = found || rec.Type == recRefused && rec.Reason == domicile.AbroadRefused && rec.Account == "a1" && rec.To == "us-east" && rec.Rule == "house/abroad"
	}
	if !found {
		t.Error("no record of the refusal")
	}
	err := g.Refuse(t.Context(), r, domicile.AbroadRefused, "house/abroad", "no")
	wantKind(t, err, domicile.Unavailable)
	wantReason(t, err, domicile.JournalUnavailable)
}
