package region

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"domicile"
)

func chainOf(t *testing.T, identity []byte) []*x509.Certificate {
	t.Helper()
	certs, _, err := parsePEM(identity)
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

// forge issues a leaf by any issuer with any name.
func forge(a *Authority, by *issuer, usage []x509.ExtKeyUsage, uris ...string) []*x509.Certificate {
	t := a.template("rogue", leafLife, uris...)
	t.ExtKeyUsage = usage
	leaf := must(by.issue(t))
	return []*x509.Certificate{leaf.cert, by.cert, a.root.cert}
}

// TestRogueCertificates: only Ireland can make an Irish node, and only its authority for nodes.
func TestRogueCertificates(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	us, ie := w.ca["us-east"], w.ca["eu-ireland"]
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	old := must(NewAuthority("eu-ireland", time.Now().Add(-25*365*24*time.Hour)))
	young := must(NewAuthority("eu-ireland", time.Now().Add(48*time.Hour)))
	stranger := must(NewAuthority("atlantis", time.Now()))
	late := must(LoadAuthority(append(ie.Certificate(), ie.PrivateKey()...), time.Now().Add(-3*365*24*time.Hour)))
	pins := func(o domicile.Region) []string {
		return append(w.cat.fingerprints(o), map[domicile.Region][]string{"eu-ireland": {old.Fingerprint(), young.Fingerprint()}}[o]...)
	}
	good := chainOf(t, must(ie.IssueNode("ie-1", nil)))
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		kind  string
		usage x509.ExtKeyUsage
		ok    bool
	}{
		"a node":                                    {good, caNodes, x509.ExtKeyUsageServerAuth, true},
		"an operator":                               {chainOf(t, must(ie.IssueOperator("ops", []string{"legal"}))), caOperators, x509.ExtKeyUsageClientAuth, true},
		"a reissue after loading":                   {chainOf(t, must(must(LoadAuthority(append(ie.Certificate(), ie.PrivateKey()...), time.Now())).IssueNode("ie-2", nil))), caNodes, x509.ExtKeyUsageServerAuth, true},
		"an Irish name from the US authority":       {forge(us, &us.nodes, both, "domicile://eu-ireland/node/ie-1"), caNodes, x509.ExtKeyUsageServerAuth, false},
		"that, with Ireland's root thrown in":       {append(forge(us, &us.nodes, both, "domicile://eu-ireland/node/ie-1"), ie.root.cert), caNodes, x509.ExtKeyUsageServerAuth, false},
		"an operator as a node":                     {chainOf(t, must(ie.IssueOperator("ops", nil))), caNodes, x509.ExtKeyUsageClientAuth, false},
		"a node as an operator":                     {good, caOperators, x509.ExtKeyUsageClientAuth, false},
		"a node's name by the operators' authority": {forge(ie, &ie.operators, both, "domicile://eu-ireland/node/ie-1"), caNodes, x509.ExtKeyUsageServerAuth, false},
		"a node straight from the root":             {[]*x509.Certificate{forge(ie, &ie.root, both, "domicile://eu-ireland/node/ie-1")[0], ie.root.cert}, caNodes, x509.ExtKeyUsageServerAuth, false},
		"two names":                                 {forge(ie, &ie.nodes, both, "domicile://eu-ireland/node/ie-1", "domicile://us-east/node/us-1"), caNodes, x509.ExtKeyUsageServerAuth, false},
		"two names of one region":                   {forge(ie, &ie.nodes, both, "domicile://eu-ireland/node/ie-1", "domicile://eu-ireland/node/ie-2"), caNodes, x509.ExtKeyUsageServerAuth, false},
		"a foreign role":                            {forge(ie, &ie.operators, both, "domicile://eu-ireland/operator/x", "domicile://us-east/role/legal"), caOperators, x509.ExtKeyUsageClientAuth, false},
		"an operator of a witness":                  {forge(w.ca["witness/w1"], &w.ca["witness/w1"].operators, both, "domicile://witness/w1/operator/ops"), caOperators, x509.ExtKeyUsageClientAuth, false},
		"no name":                                   {forge(ie, &ie.nodes, both), caNodes, x509.ExtKeyUsageServerAuth, false},
		"a scheme of its own":                       {forge(ie, &ie.nodes, both, "https://eu-ireland/node/ie-1"), caNodes, x509.ExtKeyUsageServerAuth, false},
		"the wrong use":                             {forge(ie, &ie.nodes, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, "domicile://eu-ireland/node/ie-1"), caNodes, x509.ExtKeyUsageServerAuth, false},
		"expired":                                   {chainOf(t, must(late.IssueNode("ie-1", nil))), caNodes, x509.ExtKeyUsageServerAuth, false},
		"an expired authority":                      {chainOf(t, must(old.IssueNode("ie-1", nil))), caNodes, x509.ExtKeyUsageServerAuth, false},
		"an authority of the day after tomorrow":    {chainOf(t, must(young.IssueNode("ie-1", nil))), caNodes, x509.ExtKeyUsageServerAuth, false},
		"a region that nobody knows":                {chainOf(t, must(stranger.IssueNode("x1", nil))), caNodes, x509.ExtKeyUsageServerAuth, false},
		"without the root":                          {good[:2], caNodes, x509.ExtKeyUsageServerAuth, false},
		"the root alone":                            {good[2:], caNodes, x509.ExtKeyUsageServerAuth, false},
		"nothing":                                   {nil, caNodes, x509.ExtKeyUsageServerAuth, false},
		"a long chain":                              {slices.Repeat(good, 3), caNodes, x509.ExtKeyUsageServerAuth, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := verifyPeer(c.chain, c.kind, c.usage, time.Now(), pins)
			if c.ok != (err == nil) {
				t.Fatalf("%+v, %v", p, err)
			}
			if !c.ok {
				wantReason(t, err, domicile.PeerUnverified)
			}
		})
	}
	p := must(verifyPeer(chainOf(t, must(w.ca["witness/w1"].IssueNode("w1-1", nil))), caNodes, x509.ExtKeyUsageServerAuth, time.Now(), w.cat.fingerprints))
	if p.Witness != "w1" || p.Region != "" || p.Node != "w1-1" {
		t.Errorf("%+v", p)
	}
}

func TestOperators(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	n := w.unstarted("ie-1", "eu-ireland", []string{"admin", "store"}, nil)
	l := must(n.ListenOperators("127.0.0.1:0"))
	saw := make(chan Peer, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				tc := c.(*tls.Conn)
				if tc.Handshake() != nil {
					return
				}
				p, _ := n.OperatorOf(tc.ConnectionState())
				saw <- p
				c.Write(make([]byte, 100<<10))
			}()
		}
	}()
	dial := func(identity []byte, cas ...[]byte) (int64, error) {
		cfg, err := OperatorTLS(identity, cas...)
		if err != nil {
			return 0, err
		}
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return 0, err
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(time.Minute))
		c := tls.Client(raw, cfg)
		if err := c.Handshake(); err != nil {
			return 0, err
		}
		got, err := io.Copy(io.Discard, c)
		return got, err
	}
	ie, us := w.ca["eu-ireland"], w.ca["us-east"]
	got, err := dial(must(ie.IssueOperator("ops-ie", []string{"operator", "legal"})))
	p := <-saw
	if err != nil || got != 100<<10 || p.Operator != "ops-ie" || p.Region != "eu-ireland" || !p.HasRole("legal") || p.HasRole("auditor") {
		t.Errorf("%d bytes, %+v, %v", got, p, err)
	}
	foreign := must(us.IssueOperator("ops-us", []string{"operator"}))
	if _, err := dial(foreign); domicile.ReasonOf(err) != domicile.PeerUnverified {
		t.Errorf("the server's authority is not among those of the identity file, and: %v", err)
	}
	got, _ = dial(foreign, ie.Certificate())
	if p := <-saw; p.Region != "us-east" || got > handshakeBytes {
		t.Errorf("an operator of another region, %+v, was sent %d bytes", p, got)
	}
	if got, err := dial(must(ie.IssueNode("ie-2", nil))); err == nil {
		t.Errorf("a node came in as an operator, and was sent %d bytes", got)
	}
	for _, bad := range [][]byte{nil, []byte("x"), ie.Certificate(), ie.PrivateKey()} {
		if _, err := OperatorTLS(bad); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("identity of %d bytes: %v", len(bad), err)
		}
	}
}

func TestNewRefusesAForeignIdentity(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	g, _, _ := testGuard(t, "us-east", nil)
	cfg := Config{Node: "us-1", Region: "us-east", Roles: []string{"store"}, Catalog: func() *Catalog { return w.cat }, Guard: g,
		RPCListen: "127.0.0.1:0", GossipListen: "127.0.0.1:0", GossipKeys: [][]byte{w.gossip}}
	for name, id := range map[string][]byte{"another region": must(w.ca["eu-ireland"].IssueNode("us-1", nil)), "another node": must(w.ca["us-east"].IssueNode("us-2", nil))} {
		cfg.Identity = id
		_, err := New(cfg)
		if domicile.ReasonOf(err) != domicile.WrongRegion {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg.Identity = must(must(NewAuthority("us-east", time.Now())).IssueNode("us-1", nil))
	_, err := New(cfg)
	wantReason(t, err, domicile.PeerUnverified)
}

// TestWhoMayCall: the RPC takes nodes of the catalog's regions alone, by TLS 1.3, and shows its own renewed certificate.
func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	n := w.node("ie-1", "eu-ireland", []string{"store"}, nil, nil)
	us := w.ca["us-east"]
	dial := func(cfg *tls.Config) (*tls.Conn, error) {
		cfg.InsecureSkipVerify = true
		c, err := tls.Dial("tcp", n.RPCAddr(), cfg)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		_, err = c.Read(make([]byte, 1)) // in TLS 1.3 the server's verdict comes behind the handshake
		return c, err
	}
	with := func(pem []byte, max uint16) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{must(readIdentity(pem))}, MaxVersion: max, NextProtos: []string{"h2"}}
	}
	rogue := must(NewAuthority("us-east", time.Now()))
	for name, cfg := range map[string]*tls.Config{
		"no certificate":              {NextProtos: []string{"h2"}},
		"an operator":                 with(must(us.IssueOperator("ops", []string{"operator"})), 0),
		"a node by another authority": with(must(rogue.IssueNode("us-1", nil)), 0),
		"TLS 1.2":                     with(must(us.IssueNode("us-1", nil)), tls.VersionTLS12),
	} {
		if _, err := dial(cfg); err == nil {
			t.Errorf("%s came in", name)
		}
	}
	c, err := dial(with(must(us.IssueNode("us-1", nil)), 0))
	if err != nil {
		t.Fatal(err)
	}
	before := c.ConnectionState().PeerCertificates[0]
	if err := n.Reload(must(w.ca["eu-ireland"].IssueNode("ie-1", nil))); err != nil {
		t.Fatal(err)
	}
	wantReason(t, n.Reload(must(w.ca["eu-ireland"].IssueNode("ie-2", nil))), domicile.WrongRegion)
	c, err = dial(with(must(us.IssueNode("us-1", nil)), 0))
	if err != nil || c.ConnectionState().PeerCertificates[0].Equal(before) {
		t.Errorf("the certificate was not renewed: %v", err)
	}
}

func TestSplitURI(t *testing.T) {
	for _, bad := range []string{"domicile://a/node/x", "domicile://eu-ireland/node", "domicile://eu-ireland/node/x1/y", "domicile://eu-ireland/node/X1",
		"domicile://u@eu-ireland/node/x1", "domicile://eu-ireland/node/x1?q", "domicile://eu-ireland/node/x1#f", "domicile:eu-ireland/node/x1",
		"domicile://witness/node/x1", "domicile://eu-ireland/n%6fde/x1%2f", "domicile://eu-ireland:1/node/x1"} {
		if _, _, _, ok := splitURI(must(url.Parse(bad))); ok {
			t.Errorf("%s was taken", bad)
		}
	}
}
