package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/store"
	"domicile/store/bolt"
	"domicile/store/storetest"
)

const (
	ireland = domicile.Region("eu-ireland")
	useast  = domicile.Region("us-east")
	berlin  = domicile.Region("de-berlin")
	maxSize = 1 << 20
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// world is a home region with accounts, a front in it and a front in another region.
type world struct {
	t     testing.TB
	store store.Store
	seal  store.Sealer // of the store
	home  *Home
	away  *link
	here  string // address of the front at home
	there string // address of the front elsewhere
	srv   map[string]*Server
	mu    sync.Mutex
	down  error       // what Resolve says, if set
	tls   *tls.Config // of fronts started from now on
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, srv: map[string]*Server{}, seal: storetest.NewSealer("smtpd")}
	w.store = newStore(t, w.seal, ireland, "ann", "bob", "full")
	w.home = NewHome(w.store, maxSize, quiet())
	w.away = &link{home: w.home}
	w.here = w.front(ireland, w.home)
	w.there = w.front(useast, nil)
	return w
}

// newStore makes a region's store with these accounts; the one called full has next to no quota.
func newStore(t testing.TB, seal store.Sealer, r domicile.Region, names ...string) store.Store {
	st, err := bolt.Open(bolt.Config{Dir: t.TempDir(), Region: r, Sealer: seal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	for _, name := range names {
		a := store.Account{ID: domicile.AccountID("a-" + name), Address: domicile.Address(name + "@example.com"), Residence: "IE"}
		if name == "full" {
			a.Quota = 100
		}
		if err := st.CreateAccount(context.Background(), "", a); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// front starts a server and returns its address.
func (w *world) front(r domicile.Region, home *Home) string {
	return w.serve(w.door(MX, r, home))
}

// door makes a front that does not serve yet.
func (w *world) door(d Door, r domicile.Region, home *Home) *Server {
	srv := newServer(Config{Door: d, Region: r, Hostname: "mx." + string(r) + ".test", MaxSize: maxSize, Home: home, TLS: w.tls, Log: quiet()}, w.resolve)
	srv.route.other = w.away
	srv.tarpit = 0
	return srv
}

func (w *world) serve(srv *Server) string {
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
	w.srv[l.Addr().String()] = srv
	return l.Addr().String()
}

func (w *world) resolve(ctx context.Context, a domicile.Address) (placement.Location, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return placement.Location{}, w.down
	}
	if a.Domain() != "example.com" {
		return placement.Location{}, domicile.Refuse("resolve", domicile.DomainNotServed, "", "")
	}
	switch a.Local() {
	case "joe":
		return placement.Location{Account: "a-joe", Home: useast}, nil
	case "dora":
		return placement.Location{Account: "a-dora", Home: berlin}, nil
	}
	acct, err := w.store.AccountByAddress(ctx, a)
	return placement.Location{Account: acct.ID, Home: ireland}, err
}

func (w *world) setDown(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = err
}

// link stands for the network between two regions. It can fail at each step, before and after the other side acted.
type link struct {
	home           *Home
	other          *Home // of berlin; nil = out of reach
	stuck          bool  // berlin takes calls and reads nothing
	mu             sync.Mutex
	before, after  error
	beforeAnswered error
	answers        []answered
}

func (l *link) set(before, after error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before, l.after = before, after
}

func (l *link) store(ctx context.Context, home domicile.Region, d delivery, body io.Reader) (*accepted, error) {
	l.mu.Lock()
	before, after, to, stuck := l.before, l.after, l.home, l.stuck
	if home != ireland {
		to = l.other
	}
	l.mu.Unlock()
	switch {
	case home == berlin && stuck:
		<-ctx.Done()
		return nil, domicile.E("link", domicile.Unavailable, "it did not move")
	case before != nil:
		return nil, before
	case home != ireland && home != berlin || to == nil:
		return nil, domicile.E("link", domicile.Unavailable, "no such region")
	}
	text, _ := json.Marshal(d)
	var got delivery
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, err
	}
	out, err := to.deliver(ctx, useast, got, body)
	if after != nil {
		return nil, after
	}
	return out, err
}

func (l *link) answered(ctx context.Context, home domicile.Region, a answered) error {
	l.mu.Lock()
	before := l.beforeAnswered
	l.answers = append(l.answers, a)
	l.mu.Unlock()
	if before != nil {
		return before
	}
	if home == berlin {
		return l.other.answered(ctx, a)
	}
	return l.home.answered(ctx, a)
}

// inbox returns the messages of an account, oldest first.
func (w *world) inbox(name string) []string {
	w.t.Helper()
	return inbox(w.t, w.store, name)
}

func inbox(t testing.TB, st store.Store, name string) []string {
	t.Helper()
	ctx := context.Background()
	id := domicile.AccountID("a-" + name)
	m, err := st.MailboxByName(ctx, id, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := st.Messages(ctx, id, m.ID, 0, store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, msg := range msgs {
		r, err := st.Body(ctx, id, msg.ID)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil || int64(len(b)) != msg.Size {
			t.Fatalf("%d bytes, size %d: %v", len(b), msg.Size, err)
		}
		out = append(out, string(b))
	}
	return out
}

// behind cuts off the trace fields: Return-Path, and Received with its two folded lines.
func behind(t testing.TB, message string) string {
	t.Helper()
	lines := strings.SplitN(message, "\r\n", 5)
	if len(lines) < 5 || !strings.HasPrefix(lines[0], "Return-Path: <") || !strings.HasPrefix(lines[1], "Received: from ") || !strings.HasPrefix(lines[2], "\tby ") {
		t.Fatalf("no trace fields: %.200q", message)
	}
	return lines[4]
}

// client is a raw connection.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	k := &client{t, c, bufio.NewReader(c)}
	k.want("220 ")
	return k
}

// reply reads one answer with all its lines.
func (c *client) reply() string {
	c.t.Helper()
	var all string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return all + "CLOSED"
		}
		all += line
		if len(line) < 4 || line[3] != '-' {
			return all
		}
	}
}

func (c *client) want(prefix string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("got %q, want %q", got, prefix)
	}
	return got
}

// send writes raw bytes; do sends a line and wants an answer.
func (c *client) send(raw string) { io.WriteString(c.Conn, raw) }

func (c *client) do(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.want(want)
}

// begin opens a transaction up to 354.
func (c *client) begin(rcpt ...string) {
	c.t.Helper()
	c.do("EHLO there", "250")
	c.do("MAIL FROM:<s@sender.test>", "250")
	for _, r := range rcpt {
		c.do("RCPT TO:<"+r+"@example.com>", "250")
	}
	c.do("DATA", "354")
}

// corpus reads the shared corpus.
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

// crlf is the normal form of line ends, written in the plainest way.
func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	b = bytes.ReplaceAll(b, []byte("\r"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}
