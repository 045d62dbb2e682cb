package region

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"domicile"
)

// TestSlowAndStuck: a slow source is kept alive, a stuck receiver and a missing answer are given up, each with its outcome.
func TestSlowAndStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	quick := pace{idle: 300 * time.Millisecond, keep: 50 * time.Millisecond, answer: 300 * time.Millisecond, ask: 300 * time.Millisecond}
	got := make(chan received, 1)
	hang := func(ctx context.Context, _ *Call) (any, error) {
		<-ctx.Done()
		return nil, domicile.E("x", domicile.Unavailable, "gone")
	}
	ie := w.unstarted("ie-1", "eu-ireland", []string{"store"}, nil)
	ie.pace = quick
	ie.Handle("keep", domicile.Delivery, 4096, keepBody(got))
	ie.Handle("hang", domicile.Delivery, 4096, hang)
	ie.Handle("hang-behind", domicile.Delivery, 4096, func(ctx context.Context, c *Call) (any, error) {
		io.Copy(io.Discard, c.Body)
		return hang(ctx, c)
	})
	if err := ie.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	us := w.unstarted("us-1", "us-east", []string{"front"}, []string{ie.GossipAddr()})
	us.pace = quick
	if err := us.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "join", knows(us, "ie-1"))
	permit := func() *Permit { return must(us.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", 64<<20))) }

	t.Run("slow source", func(t *testing.T) {
		pr, pw := io.Pipe()
		go func() {
			io.WriteString(pw, "slow ")
			time.Sleep(2 * quick.idle)
			io.WriteString(pw, "mail")
			pw.Close()
		}()
		if err := us.Stream(t.Context(), permit(), "keep", nil, pr, nil); err != nil {
			t.Fatal(err)
		}
		if in := <-got; string(in.body) != "slow mail" {
			t.Errorf("%q", in.body)
		}
	})
	t.Run("silent sender", func(t *testing.T) {
		us.pace.keep = time.Hour
		defer func() { us.pace.keep = quick.keep }()
		pr, pw := io.Pipe()
		gone := make(chan received)
		go func() {
			io.WriteString(pw, "half")
			in := <-got // cut by the receiver, while the sender would go on
			pw.Close()
			gone <- in
		}()
		wantKind(t, us.Stream(t.Context(), permit(), "keep", nil, pr, nil), domicile.Unavailable)
		if in := <-gone; in.err != io.ErrUnexpectedEOF || string(in.body) != "half" {
			t.Errorf("the receiver saw %q, %v", in.body, in.err)
		}
	})
	t.Run("stuck receiver", func(t *testing.T) {
		wantKind(t, us.Stream(t.Context(), permit(), "hang", nil, bytes.NewReader(make([]byte, 32<<20)), nil), domicile.Unavailable)
	})
	t.Run("no answer behind the end", func(t *testing.T) {
		wantKind(t, us.Stream(t.Context(), permit(), "hang-behind", nil, strings.NewReader("x"), nil), domicile.Unknown)
	})
	t.Run("no answer to a question", func(t *testing.T) {
		wantKind(t, us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "hang", nil, nil), domicile.Unavailable)
	})
}

// TestRateOfConnections: a network may open as many as its minute has, then as many as come back with time; another network
// and loopback are not held up by it, and what is remembered is bounded.
func TestRateOfConnections(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := newLimited(nil, Limits{Open: 1 << 20, OpenEach: 1 << 20, NewEachMinute: 60})
	l.now = func() time.Time { return now }
	from := func(ip string) netip.Prefix { return networkOf(must(net.ResolveTCPAddr("tcp", ip))) }
	taken := func(ip string, tries int) (n int) {
		for range tries {
			if l.enter(from(ip)) {
				n++
			}
		}
		return n
	}
	if n := taken("192.0.2.1:9", 100); n != 60 {
		t.Errorf("%d at once, want 60", n)
	}
	if n := taken("192.0.2.200:9", 1); n != 0 {
		t.Error("a neighbour in the same network has a rate of its own")
	}
	if n := taken("198.51.100.1:9", 10) + taken("127.0.0.1:9", 1000); n != 1010 {
		t.Errorf("%d of 1010 from elsewhere", n)
	}
	now = now.Add(10 * time.Second)
	if n := taken("192.0.2.1:9", 100); n != 10 {
		t.Errorf("%d after ten seconds, want 10", n)
	}
	if c := l.connections(); c.Taken != 60+10+1000+10 || c.Refused != 40+1+90 {
		t.Errorf("counted %+v", c)
	}
	now = now.Add(time.Hour)
	for i := range maxNetworks + 10 {
		taken(fmt.Sprintf("[2001:db8:%x:%x::1]:9", i>>16, i&0xffff), 1)
	}
	if len(l.spare) > maxNetworks {
		t.Errorf("%d networks are remembered", len(l.spare))
	}
}

func TestLimitedListener(t *testing.T) {
	l := newLimited(must(listenTCP("127.0.0.1:0")), Limits{Open: 2, OpenEach: 1})
	defer l.Close()
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn { return must(net.Dial("tcp", l.Addr().String())) }
	a, b, c := dial(), dial(), dial()
	defer a.Close()
	defer b.Close()
	first := <-accepted
	<-accepted
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the third was not closed: %v", err)
	}
	first.Close()
	first.Close() // counts once
	d := dial()
	defer d.Close()
	<-accepted
	for ip, want := range map[string]string{"192.0.2.77:5": "192.0.2.0/24", "[2001:db8::1]:5": "2001:db8::/64", "[::ffff:192.0.2.1]:5": "192.0.2.0/24", "127.0.0.1:5": "127.0.0.1/32"} {
		if got := networkOf(must(net.ResolveTCPAddr("tcp", ip))).String(); got != want {
			t.Errorf("%s counts by %s, want %s", ip, got, want)
		}
	}
}
