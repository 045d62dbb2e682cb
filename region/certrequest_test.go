package region

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
)

// TestRequestAndIssue: a key that never leaves its machine gets a certificate that the others believe.
func TestRequestAndIssue(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	ie := w.ca["eu-ireland"]
	alone := must(LoadAuthority(append(ie.Certificate(), ie.NodeIssuer()...), time.Now())) // no root key, no operators
	who := must(ParseWho("eu-ireland/node/ie-7", nil))
	key, asked, err := NewCertRequest(who, []string{"mx.example.com", "10.2.0.10"})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(asked, []byte("PRIVATE")) {
		t.Fatal("the key leaves with the request")
	}
	chain, err := alone.Issue(must(ReadCertRequest(asked)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := Identity(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	p, info, err := CheckIdentity(id, w.cat, time.Now())
	if err != nil || p.Node != "ie-7" || p.Region != "eu-ireland" || p.Who() != "eu-ireland/node/ie-7" {
		t.Fatalf("%+v, %v", p, err)
	}
	if len(info) != 3 || !slices.Equal(info[0].Hosts, []string{"mx.example.com", "10.2.0.10"}) || info[2].Fingerprint != ie.Fingerprint() {
		t.Errorf("%+v", info)
	}
	_, _, err = CheckIdentity(id, w.cat, time.Now().Add(3*365*24*time.Hour))
	wantReason(t, err, domicile.PeerUnverified)

	_, err = w.ca["us-east"].Issue(must(ReadCertRequest(asked)))
	wantReason(t, err, domicile.WrongRegion)
	other, _, _ := NewCertRequest(who, nil)
	_, err = Identity(other, chain)
	wantKind(t, err, domicile.Invalid)
	_, err = Identity(key, slices.Concat(chain[:bytes.LastIndex(chain, []byte("-----BEGIN"))], w.ca["us-east"].Certificate()))
	wantKind(t, err, domicile.Invalid)

	_, ops, err := NewCertRequest(must(ParseWho("eu-ireland/operator/anna", []string{"operator", "auditor"})), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = alone.Issue(must(ReadCertRequest(ops)))
	wantKind(t, err, domicile.Invalid)
	chain = must(ie.Issue(must(ReadCertRequest(ops))))
	if info := must(Certificates(chain)); !slices.Equal(info[0].Roles, []string{"operator", "auditor"}) || info[0].Name != "domicile://eu-ireland/operator/anna" {
		t.Errorf("%+v", info)
	}
}

// A certificate does not outlive what it hangs on.
func TestIssueNearTheEnd(t *testing.T) {
	ie := must(NewAuthority("eu-ireland", time.Now().Add(-caLife+24*time.Hour)))
	late := must(LoadAuthority(append(ie.Certificate(), ie.PrivateKey()...), time.Now()))
	info := must(Certificates(must(late.IssueNode("ie-1", nil))))
	if info[0].NotAfter.After(info[1].NotAfter) {
		t.Errorf("the leaf ends %s, its intermediate %s", info[0].NotAfter, info[1].NotAfter)
	}
}

func TestRequestsRefused(t *testing.T) {
	for _, text := range []string{"", "eu-ireland", "eu-ireland/node", "eu-ireland/ca/root", "eu-ireland/role/legal", "Eu/node/x1", "eu-ireland/node/a/b",
		"witness/w1/operator/ops", "witness/node/x1", "eu-ireland/node/x1?y", "eu-ireland/node/%78"} {
		if p, err := ParseWho(text, nil); err == nil {
			t.Errorf("%q is taken for %+v", text, p)
		}
	}
	node, ops := Peer{Region: "eu-ireland", Node: "ie-1"}, Peer{Region: "eu-ireland", Operator: "ops", Roles: []string{"legal"}}
	for name, c := range map[string]struct {
		who   Peer
		hosts []string
	}{
		"an unknown role":       {Peer{Region: "eu-ireland", Operator: "ops", Roles: []string{"king"}}, nil},
		"a role twice":          {Peer{Region: "eu-ireland", Operator: "ops", Roles: []string{"legal", "legal"}}, nil},
		"a node with a role":    {Peer{Region: "eu-ireland", Node: "ie-1", Roles: []string{"legal"}}, nil},
		"an operator of a host": {ops, []string{"mx.example.com"}},
		"both":                  {Peer{Region: "eu-ireland", Node: "ie-1", Operator: "ops"}, nil},
		"a wildcard":            {node, []string{"*.example.com"}},
		"no host":               {node, []string{""}},
		"too many hosts":        {node, slices.Repeat([]string{"mx.example.com"}, maxCertHosts+1)},
	} {
		if _, _, err := NewCertRequest(c.who, c.hosts); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, good, _ := NewCertRequest(node, nil)
	b, _ := pem.Decode(good)
	b.Bytes[len(b.Bytes)-10] ^= 1 // in the signature
	for name, text := range map[string][]byte{"nothing": nil, "prose": []byte("x"), "two": slices.Concat(good, good), "a forged signature": pem.EncodeToMemory(b),
		"a certificate": must(NewAuthority("eu-ireland", time.Now())).Certificate()} {
		if _, err := ReadCertRequest(text); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Another authority's intermediate beside a root is found when both are loaded.
func TestAuthorityOfTwo(t *testing.T) {
	a, b := must(NewAuthority("eu-ireland", time.Now())), must(NewAuthority("eu-ireland", time.Now()))
	for name, text := range map[string][]byte{
		"another's intermediate": slices.Concat(a.Certificate(), b.NodeIssuer()),
		"no intermediate":        slices.Concat(a.Certificate(), a.RootKey()),
		"no root":                a.NodeIssuer(),
		"two roots":              slices.Concat(a.Certificate(), b.Certificate(), a.NodeIssuer()),
		"no key":                 slices.Concat(a.Certificate(), certPEM(a.nodes.cert)),
	} {
		if _, err := LoadAuthority(text, time.Now()); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadCertRequest(f *testing.F) {
	_, node, _ := NewCertRequest(Peer{Region: "eu-ireland", Node: "ie-1"}, []string{"mx.example.com", "10.2.0.10"})
	_, ops, _ := NewCertRequest(Peer{Region: "eu-ireland", Operator: "ops", Roles: []string{"legal"}}, nil)
	f.Add(node)
	f.Add(ops)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadCertRequest(text)
		if err != nil {
			return
		}
		if _, err := x509.MarshalPKIXPublicKey(r.key); err != nil || r.Who.name() == "" || strings.Contains(r.Who.Who(), "//") {
			t.Errorf("%+v, %v", r.Who, err)
		}
	})
}
