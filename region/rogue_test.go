package region

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"domicile"
	"domicile/placement"
)

// rogueMember joins the gossip with the right key and no certificate, and says what it likes of itself.
func rogueMember(t *testing.T, w *world, name string, m meta, seed string) *memberlist.Memberlist {
	t.Helper()
	c := memberlist.DefaultLocalConfig()
	c.Name, c.Label, c.LogOutput, c.Logger = name, gossipLabel, nil, log.New(io.Discard, "", 0)
	c.BindAddr, c.BindPort, c.AdvertisePort = "127.0.0.1", 0, 0
	c.Keyring = must(memberlist.NewKeyring([][]byte{w.gossip}, w.gossip))
	c.Delegate = rogueMeta{must(json.Marshal(m))}
	list := must(memberlist.Create(c))
	t.Cleanup(func() { list.Shutdown() })
	if _, err := list.Join([]string{seed}); err != nil {
		t.Fatal(err)
	}
	return list
}

type rogueMeta struct{ raw []byte }

func (r rogueMeta) NodeMeta(int) []byte           { return r.raw }
func (rogueMeta) NotifyMsg([]byte)                {}
func (rogueMeta) GetBroadcasts(int, int) [][]byte { return nil }
func (rogueMeta) LocalState(bool) []byte          { return nil }
func (rogueMeta) MergeRemoteState([]byte, bool)   {}

// TestGossipMemberWithoutCertificate is a member with the gossip's key and no certificate: it says that it holds Ireland's
// store, at addresses that stay silent. No byte of mail goes there, and mail goes home, soon.
func TestGossipMemberWithoutCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	got := make(chan received, 10)
	ie := w.node("ie-9", "eu-ireland", []string{RoleStore}, nil, func(n *Node) {
		n.Handle("delivery/store", domicile.Delivery, 1000, keepBody(got))
		n.Handle("registrar/lookup", domicile.Lookup, 100, func(context.Context, *Call) (any, error) { return "ok", nil })
	})
	us := w.node("us-1", "us-east", []string{RoleStore}, []string{ie.GossipAddr()}, nil)
	waitFor(t, "us-1 knows ie-9", knows(us, "ie-9"))
	if err := us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "registrar/lookup", 1, nil); err != nil { // ie-9 has proved itself
		t.Fatal(err)
	}

	heard := make(chan string, 1000)
	var names []domicile.Node
	for i := range 4 { // they sort before the true one
		silent := must(net.Listen("tcp", "127.0.0.1:0"))
		t.Cleanup(func() { silent.Close() })
		go listenSilently(silent, heard)
		name := "ie-" + strconv.Itoa(i)
		rogueMember(t, w, name, meta{1, "eu-ireland", []string{RoleStore}, silent.Addr().String(), "", 1, 1, "", ""}, us.GossipAddr())
		names = append(names, domicile.Node(name))
	}
	waitFor(t, "us-1 knows the rogues", knows(us, names...))
	start := time.Now()
	for range 3 {
		p := must(us.cfg.Guard.Permit(t.Context(), deliveryTo("eu-ireland", 1<<20)))
		if err := us.Stream(t.Context(), p, "delivery/store", "h", strings.NewReader("the secret body"), nil); err != nil {
			t.Error(err)
		}
		if err := us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "registrar/lookup", 1, nil); err != nil {
			t.Error(err)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d deliveries arrived", len(got))
	}
	if c := us.candidates("eu-ireland"); len(c) != 5 || c[0] != ie.RPCAddr() {
		t.Errorf("candidates %v", c)
	}
	for range 2 { // one that failed is put behind those that are not known
		us.reached.note(us.candidates("eu-ireland")[1], false, time.Now())
	}
	if c := us.candidates("eu-ireland"); us.reached.rank(c[1], time.Now()) != 1 || us.reached.rank(c[4], time.Now()) != 2 {
		t.Errorf("candidates %v", c)
	}
	close(heard)
	for s := range heard {
		if strings.Contains(s, "secret") {
			t.Error("mail went to a member without a certificate")
		}
	}
	if took := time.Since(start); took > dialTimeout {
		t.Errorf("members that stay silent held mail up for %s", took)
	}
}

// listenSilently takes connections, and what is said there, and answers nothing.
func listenSilently(l net.Listener, heard chan<- string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { recover() }() // heard is closed at the end
			b := make([]byte, 1<<16)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				heard <- string(b[:n])
			}
		}()
	}
}

// TestFrontBehindTLS goes through TLS to a front with a real guard: a session of one account under one permit.
func TestFrontBehindTLS(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	ie := w.node("ie-1", "eu-ireland", []string{RoleFront}, nil, nil)
	cert := must(readIdentity(must(w.ca["eu-ireland"].IssueNode("ie-1", []string{"localhost"}))))
	plain := must(ie.ListenFront("127.0.0.1:0", 1<<16))
	if _, err := netip.ParseAddrPort(plain.Addr().String()); err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{cert}})
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.(*tls.Conn).Handshake()
		}
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	client := must(tls.Dial("tcp", plain.Addr().String(), &tls.Config{InsecureSkipVerify: true}))
	defer client.Close()
	server := <-accepted
	front, ok := FrontConn(server)
	if !ok {
		t.Fatal("the front's connection is not found under TLS")
	}
	if _, ok := FrontConn(client); ok {
		t.Error("a connection that is none of the front's passes for one")
	}
	guard := ie.cfg.Guard
	session := func(change func(*Request)) *Permit {
		r := Request{}
		r.Class, r.Kind, r.Party, r.Account, r.Home, r.Ceiling = domicile.ClientSession, placement.Stream, placement.ToClient, "a1", "eu-ireland", 4096
		if change != nil {
			change(&r)
		}
		return must(guard.Permit(t.Context(), r))
	}
	other, _, _ := testGuard(t, "eu-ireland", nil)
	r := Request{}
	r.Class, r.Kind, r.Party, r.Account, r.Home, r.Ceiling = domicile.ClientSession, placement.Stream, placement.ToClient, "a1", "eu-ireland", 4096
	foreign := must(other.Permit(t.Context(), r))
	spent := session(nil)
	spent.Close()
	wantReason(t, front.Attach(nil), domicile.NoPermit)
	wantReason(t, front.Attach(&Permit{}), domicile.NoPermit)
	wantReason(t, front.Attach(foreign), domicile.PermitForeign)
	wantReason(t, front.Attach(spent), domicile.PermitSpent)
	wantReason(t, front.Attach(must(guard.Permit(t.Context(), deliveryTo("us-east", 1)))), domicile.PermitForeign)
	good := session(nil)
	if err := front.Attach(good); err != nil {
		t.Fatal(err)
	}
	wantReason(t, front.Attach(session(nil)), domicile.PermitForeign)
	if _, err := server.Write(make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	if _, err := server.Write(make([]byte, 8000)); domicile.ReasonOf(err) != domicile.PermitExceeded {
		t.Errorf("past the ceiling: %v", err)
	}
	good.Close()
	if _, err := server.Write([]byte("x")); err == nil {
		t.Error("a byte left behind the end of the permit")
	}
}

// TestFrontIsClosedUnwritten: a client of a node whose journal cannot be written gets no answer, and no silence either.
func TestFrontIsClosedUnwritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east")
	n := w.unstarted("us-1", "us-east", []string{RoleFront}, nil)
	l := must(n.ListenFront("127.0.0.1:0", 1000))
	n.cfg.Guard.journal.broken.Store(true)
	client := must(net.Dial("tcp", l.Addr().String()))
	defer client.Close()
	server := must(l.Accept())
	if _, err := server.Write([]byte("220 hello\r\n")); domicile.ReasonOf(err) != domicile.JournalUnavailable {
		t.Errorf("%v", err)
	}
	client.SetReadDeadline(time.Now().Add(30 * time.Second))
	if got, err := client.Read(make([]byte, 100)); err != io.EOF {
		t.Errorf("the client gets %d bytes and %v", got, err)
	}
}
