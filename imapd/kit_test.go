package imapd

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/store"
	"domicile/store/bolt"
	"domicile/store/storetest"
)

const ann = domicile.AccountID("a-ann")

// script is a connection whose client says each piece in turn; an empty piece is a time-out.
type script struct {
	net.Conn // nil: what is not overridden must not be called
	pieces   []string
	out      bytes.Buffer
	closed   bool
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	piece := s.pieces[0]
	if piece == "" {
		s.pieces = s.pieces[1:]
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, piece)
	if s.pieces[0] = piece[n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { s.closed = true; return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// world is a front over a store with two accounts, ann and off (suspended). Passwords are "pw".
type world struct {
	t     testing.TB
	store store.Store
	home  *Home
	cfg   Config
	srv   *Server
	addr  string

	faults atomic.Int32 // lines of the log at level error
}

// faultCounter is a log that counts what an operator would have to look at.
type faultCounter struct {
	slog.Handler
	n *atomic.Int32
}

func (f faultCounter) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (f faultCounter) Handle(context.Context, slog.Record) error    { f.n.Add(1); return nil }

func newWorld(t testing.TB) *world { return newWorldIn(t, true) }

func newWorldIn(t testing.TB, lab bool) *world {
	st, err := bolt.Open(bolt.Config{Dir: t.TempDir(), Region: "eu-ireland", Sealer: storetest.NewSealer("imapd")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	ctx := context.Background()
	for _, a := range []store.Account{
		{ID: ann, Address: "ann@example.com", Residence: "IE", Password: "pw", Quota: 32 << 20},
		{ID: "a-off", Address: "off@example.com", Residence: "IE", Password: "pw", State: store.Suspended},
		{ID: "a-us", Address: "refused@example.com", Residence: "IE", Password: "pw"},
	} {
		if err := st.CreateAccount(ctx, "", a); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, store: st}
	log := slog.New(faultCounter{slog.DiscardHandler, &w.faults})
	check := &login.Checker{Accounts: st, Address: placement.ParseAddress, Kept: plainKept{}, Tries: login.NewGuesses(time.Millisecond, placement.ParseAddress)}
	w.home = newHome(HomeConfig{Region: "eu-ireland", Hostname: "imap.test", Store: st, MaxSize: 1 << 20, PerAccount: DefaultPerAccount, Check: check, Log: log})
	w.home.pace = time.Hour // tests that want to see it have it told more often
	w.home.attach = func(_ net.Conn, id domicile.AccountID) error {
		if id == "a-us" {
			return domicile.Refuse("permit", domicile.EgressNotAllowed, "", "")
		}
		return nil
	}
	w.home.detach = func(net.Conn) error { return nil }
	w.cfg = Config{Region: "eu-ireland", Hostname: "imap.test", Lab: lab, MaxSize: 1 << 20, Home: w.home, Resolve: w.home.resolve,
		Check: check, Log: log}
	w.front(w.cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.home.Shutdown(ctx)
	})
	return w
}

// plainKept keeps passwords as they are, behind "". A proof fits that is "proof of" the verifier.
type plainKept struct{}

func (plainKept) Check(kept, password string) (bool, error) { return kept == ""+password, nil }
func (plainKept) CheckApp(kept, password string) bool       { return kept == "app "+password }
func (plainKept) Salt(name string) ([]byte, int)            { return []byte("salt of " + name), 4096 }
func (plainKept) Verifier(_, password string) (string, error) {
	return "verifier of " + password, nil
}
func (plainKept) Proof(kept string, _ []byte, _ int, exchange string, proof []byte) ([]byte, bool) {
	return []byte("signature"), kept != "" && string(proof) == "proof of "+kept
}

// front puts a server before the world's home; clients dial it from now on.
func (w *world) front(cfg Config) *Server {
	srv := newServer(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { srv.Serve(l); close(done) }()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		srv.Shutdown(ctx)
		<-done
	})
	w.srv, w.addr = srv, l.Addr().String()
	return srv
}

// put delivers a message to a mailbox of ann.
func (w *world) put(mailbox, raw string, flags ...string) store.Message {
	w.t.Helper()
	return w.deliver(ann, mailbox, raw, flags...)
}

// deliver delivers a message to a mailbox of an account.
func (w *world) deliver(acct domicile.AccountID, mailbox, raw string, flags ...string) store.Message {
	ctx := context.Background()
	in, err := w.store.Incoming(ctx, acct, int64(len(raw)))
	if err != nil {
		w.t.Fatal(err)
	}
	io.WriteString(in, raw)
	m, err := in.Commit(ctx, "", mailbox, flags, time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC))
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// number gives a mailbox of ann its UIDVALIDITY and UIDNEXT.
func (w *world) number(name string, validity, next uint32) {
	w.t.Helper()
	m, err := w.store.MailboxByName(context.Background(), ann, name)
	if err == nil {
		err = w.store.NumberMailbox(context.Background(), ann, m.ID, validity, store.UID(next))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mailboxExists(name string) bool {
	_, err := w.store.MailboxByName(context.Background(), ann, name)
	return err == nil
}

// client is a raw connection.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (w *world) dial() *client {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(3 * time.Minute)) // on a busy machine
	k := newClient(w.t, c)
	k.want("* OK ")
	return k
}

func newClient(t testing.TB, c net.Conn) *client { return &client{t, c, bufio.NewReader(c)} }

// login dials and logs ann in.
func (w *world) login() *client {
	w.t.Helper()
	c := w.dial()
	c.do("a LOGIN ann@example.com pw", "a OK")
	return c
}

func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return line + "CLOSED"
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *client) want(prefix string) string {
	c.t.Helper()
	got := c.line()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("got %q, want %q", got, prefix)
	}
	return got
}

func (c *client) send(raw string) { io.WriteString(c.Conn, raw) }

// do sends a command and reads up to its tagged answer, which it wants; the untagged lines are returned, literals in them.
func (c *client) do(line, want string) string {
	c.t.Helper()
	tag, _, _ := strings.Cut(line, " ")
	c.send(line + "\r\n")
	var all strings.Builder
	for {
		got := c.line()
		if strings.HasPrefix(got, tag+" ") || strings.HasSuffix(got, "CLOSED") {
			if !strings.HasPrefix(got, want) {
				c.t.Fatalf("%s: got %q, want %q", line, got, want)
			}
			return all.String()
		}
		all.WriteString(got + "\r\n")
	}
}

func corpus(t testing.TB) map[string][]byte {
	dir := os.Getenv("DOMICILE_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	names, _ := filepath.Glob(filepath.Join(dir, "corpus", "*", "*.eml"))
	if len(names) == 0 {
		if _, err := os.Stat(dir); err == nil {
			t.Fatalf("%s is there, but has no corpus", dir)
		}
		t.Skip("the corpus of real messages is absent: set DOMICILE_SHARED to the folder that has corpus/")
	}
	out := map[string][]byte{}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(n)] = b
	}
	return out
}

// waitFor waits until something holds.
func waitFor(t testing.TB, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to hold")
		}
	}
}

// by are the means of a login to an account by its own password.
func (w *world) by(id domicile.AccountID) login.Means {
	a, err := w.store.Account(context.Background(), id)
	if err != nil {
		panic(err)
	}
	return login.Own(a)
}
