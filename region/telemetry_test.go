package region

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"domicile"
	"domicile/placement"
)

// monitored serves text at a node's ListenHTTP address.
func monitored(t *testing.T, n *Node, text string) (addr string) {
	t.Helper()
	l := must(n.ListenHTTP("127.0.0.1:0"))
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

func TestListenHTTP(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	n := w.unstarted("us-east-1", "us-east", []string{RoleStore}, nil)
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", "localhost:0", ""} {
		if l, err := n.ListenHTTP(addr); domicile.KindOf(err) != domicile.Invalid && err == nil {
			l.Close()
			t.Errorf("listens at %q", addr)
		}
	}
	text := strings.Repeat("ready ", 1000)
	addr := monitored(t, n, text)
	for range 3 {
		status, body, err := Probe(t.Context(), addr, "/x")
		if err != nil || status != 200 || string(body) != text {
			t.Fatalf("%d, %d bytes, %v", status, len(body), err)
		}
	}
	if c := n.Connections()[addr]; c.Taken != 3 || c.Refused != 0 {
		t.Errorf("%+v", c)
	}
	g := n.cfg.Guard
	if live := g.Live()[PermitForm{domicile.Telemetry, placement.Standing}]; live != 1 {
		t.Errorf("%d permits", live)
	}
	p, err := g.standingFor(t.Context(), monitors)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := p.total(); r.Bytes < int64(3*len(text)) || r.Account != "" || r.Party != "monitor" {
		t.Errorf("metered: %+v", r)
	}

	// A broken journal can still be told of, and nothing more.
	g.journal.fsync = func(*os.File) error { return errors.New("disk on fire") }
	if err := g.journal.Err(); err != nil {
		t.Errorf("before: %v", err)
	}
	g.journal.write(Record{Type: recRefused, Count: 1})
	if err := g.journal.Err(); domicile.ReasonOf(err) != domicile.JournalUnavailable {
		t.Errorf("a broken journal: %v", err)
	}
	if status, body, err := Probe(t.Context(), monitored(t, n, "journal"), "/x"); err != nil || status != 200 || string(body) != "journal" {
		t.Errorf("a short answer: %d %q %v", status, body, err)
	}
	if _, body, err := Probe(t.Context(), addr, "/x"); err == nil {
		t.Errorf("%d bytes left uncounted", len(body))
	}
}

// Nothing is told to monitors if that cannot be written down first.
func TestListenHTTPUnwritten(t *testing.T) {
	w := newWorld(t, "us-east")
	n := w.unstarted("us-east-1", "us-east", []string{RoleStore}, nil)
	n.cfg.Guard.journal.fsync = func(*os.File) error { return errors.New("disk on fire") }
	_, err := n.ListenHTTP("127.0.0.1:0")
	wantReason(t, err, domicile.JournalUnavailable)
}

func TestListenHTTPIsBounded(t *testing.T) {
	w := newWorld(t, "us-east")
	n := w.unstarted("us-east-1", "us-east", []string{RoleStore}, nil)
	addr := monitored(t, n, "ready")
	for range maxMonitorConns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	waitFor(t, "all to be taken", func() bool { return n.Connections()[addr].Open == maxMonitorConns })
	if _, _, err := Probe(t.Context(), addr, "/x"); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("one more: %v", err)
	}
	if c := n.Connections()[addr]; c.Refused != 1 {
		t.Errorf("%+v", c)
	}
}

func TestCountsPermits(t *testing.T) {
	g, _, _ := testGuard(t, "us-east", nil)
	var got []string
	g.count = func(c domicile.EgressClass, err error) {
		got = append(got, string(c)+" "+string(domicile.ReasonOf(err)))
	}
	p, err := g.Permit(t.Context(), deliveryTo("eu-ireland", 100))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	r := deliveryTo("eu-ireland", 100)
	r.Home = "us-east"
	g.Permit(t.Context(), r)
	if s := strings.Join(got, ","); s != "delivery ,delivery egress_not_allowed" {
		t.Errorf("counted %s", s)
	}
}
