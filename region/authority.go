package region

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"domicile"
)

// How long what an Authority makes is good for, from the time it was told. Backdated by an hour for clocks that differ.
const (
	rootLife     = 20 * 365 * 24 * time.Hour
	caLife       = 10 * 365 * 24 * time.Hour
	leafLife     = 2 * 365 * 24 * time.Hour
	backdateLife = time.Hour
)

// operatorRoles is the closed list of what an operator's certificate may carry.
var operatorRoles = []string{"operator", "legal", "auditor"}

// Authority is a region's (or witness's) certificate authority with its two intermediates: ECDSA P-256 throughout. What it was
// loaded without, it cannot do: the root's key is needed to make the intermediates only, each intermediate to issue for its
// kind. Safe for concurrent use.
type Authority struct {
	owner     domicile.Region // "witness/NAME" for a witness
	now       time.Time
	root      issuer
	nodes     issuer
	operators issuer
}

// issuer is a CA certificate with its key.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes the CA of a region; for a witness name is "witness/NAME". Certificates start at now.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	const op = "make a certificate authority"
	if _, err := domicile.ParseRegion(strings.TrimPrefix(name, witnessPrefix)); err != nil || name == "witness" {
		return nil, domicile.E(op, domicile.Invalid, "the name must be a region's, or witness/NAME")
	}
	a := &Authority{owner: domicile.Region(name), now: now}
	for _, c := range []struct {
		which string
		to    *issuer
		by    *issuer
		life  time.Duration
	}{{"root", &a.root, &a.root, rootLife}, {caNodes, &a.nodes, &a.root, caLife}, {caOperators, &a.operators, &a.root, caLife}} {
		t := a.template(c.which+" of "+name, c.life, caURI(a.owner, c.which))
		t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		t.MaxPathLen, t.MaxPathLenZero = 0, c.to != &a.root
		if c.to == &a.root {
			t.MaxPathLen = 1
		}
		var err error
		if *c.to, err = c.by.issue(t); err != nil {
			return nil, domicile.W(op, err)
		}
	}
	return a, nil
}

// LoadAuthority reads what Certificate, RootKey and Issuer wrote, in one PEM text, to issue more from now on: the root's
// certificate and one intermediate with its key at least. Invalid for anything that is not all of one authority.
func LoadAuthority(text []byte, now time.Time) (*Authority, error) {
	const op = "load a certificate authority"
	a := &Authority{now: now}
	certs, keys, err := parsePEM(text)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	for _, c := range certs {
		if len(c.URIs) != 1 {
			continue
		}
		owner, what, which, ok := splitURI(c.URIs[0])
		to := map[string]*issuer{"root": &a.root, caNodes: &a.nodes, caOperators: &a.operators}[which]
		key := keyOf(c, keys)
		if !ok || what != "ca" || to == nil || key == nil && which != "root" || a.owner != "" && a.owner != owner || to.cert != nil {
			return nil, domicile.E(op, domicile.Invalid, "it holds a certificate that is not one authority's, or whose key is absent")
		}
		a.owner, *to = owner, issuer{c, key}
	}
	if a.root.cert == nil || a.nodes.key == nil && a.operators.key == nil {
		return nil, domicile.E(op, domicile.Invalid, "the root's certificate is needed, and an intermediate's with its key")
	}
	for _, i := range []issuer{a.nodes, a.operators} {
		if i.cert != nil && i.cert.CheckSignatureFrom(a.root.cert) != nil {
			return nil, domicile.E(op, domicile.Invalid, "an intermediate is not signed by the root beside it")
		}
	}
	return a, nil
}

// Owner is the region, or "witness/NAME", that the authority speaks for.
func (a *Authority) Owner() domicile.Region { return a.owner }

// Certificate is the root in PEM.
func (a *Authority) Certificate() []byte { return certPEM(a.root.cert) }

// Fingerprint is the root's in the catalog's form, "sha256:<hex>".
func (a *Authority) Fingerprint() string { return fingerprint(a.root.cert.Raw) }

// RootKey is the root's key in PEM. It belongs offline; whoever holds it is the region, to the others.
func (a *Authority) RootKey() []byte { return keyPEM(a.root.key) }

// NodeIssuer and OperatorIssuer are an intermediate in PEM, key and certificate: whoever holds it makes nodes, or operators.
func (a *Authority) NodeIssuer() []byte {
	return slices.Concat(keyPEM(a.nodes.key), certPEM(a.nodes.cert))
}

func (a *Authority) OperatorIssuer() []byte {
	return slices.Concat(keyPEM(a.operators.key), certPEM(a.operators.cert))
}

// PrivateKey is all of these in one text, as a lab keeps it.
func (a *Authority) PrivateKey() []byte {
	return slices.Concat(a.RootKey(), a.NodeIssuer(), a.OperatorIssuer())
}

// IssueNode makes a key and returns one PEM file for a node: private key, leaf, intermediate, root. hosts are names and IP
// addresses that mail clients and browsers know the node by.
func (a *Authority) IssueNode(n domicile.Node, hosts []string) ([]byte, error) {
	return a.identity(Peer{Node: n}, hosts)
}

// IssueOperator returns the same for an operator, with roles out of operator, legal and auditor.
func (a *Authority) IssueOperator(name string, roles []string) ([]byte, error) {
	return a.identity(Peer{Operator: name, Roles: roles}, nil)
}

// identity asks and answers at once.
func (a *Authority) identity(who Peer, hosts []string) ([]byte, error) {
	who.Region = a.owner
	if w, ok := strings.CutPrefix(string(a.owner), witnessPrefix); ok {
		who.Region, who.Witness = "", w
	}
	key, request, err := NewCertRequest(who, hosts)
	if err != nil {
		return nil, err
	}
	r, err := ReadCertRequest(request)
	if err != nil {
		return nil, err
	}
	chain, err := a.Issue(r)
	return append(key, chain...), err
}

func (a *Authority) template(name string, life time.Duration, uris ...string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: a.now.Add(-backdateLife), NotAfter: a.now.Add(life), URIs: parseURIs(uris)}
}

func parseURIs(texts []string) (out []*url.URL) {
	for _, s := range texts {
		u, err := url.Parse(s)
		if err != nil {
			panic(err) // made of names that were checked
		}
		out = append(out, u)
	}
	return out
}

// issue makes a key and has i certify it; an i without a certificate certifies itself.
func (i *issuer) issue(t *x509.Certificate) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, err
	}
	by := i
	if i.cert == nil {
		by = &issuer{t, key}
	}
	cert, err := by.certify(t, key.Public())
	return issuer{cert, key}, err
}

// certify signs a certificate for a key that somebody else holds.
func (i *issuer) certify(t *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, i.cert, key, i.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(k *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err) // a P-256 key always has this form
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// parsePEM reads the certificates and keys of a PEM text of ours; nothing else may be in it.
func parsePEM(text []byte) (certs []*x509.Certificate, keys []*ecdsa.PrivateKey, err error) {
	const limit = 64
	malformed := domicile.E("identity file", domicile.Invalid, "it is not PEM of certificates and ECDSA keys")
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil || len(certs)+len(keys) > limit {
			return nil, nil, malformed
		}
		switch b.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, nil, domicile.W("identity file", err)
			}
			certs = append(certs, c)
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
			ec, ok := k.(*ecdsa.PrivateKey)
			if err != nil || !ok {
				return nil, nil, malformed
			}
			keys = append(keys, ec)
		default:
			return nil, nil, malformed
		}
	}
	return certs, keys, nil
}

func keyOf(c *x509.Certificate, keys []*ecdsa.PrivateKey) *ecdsa.PrivateKey {
	for _, k := range keys {
		if k.PublicKey.Equal(c.PublicKey) {
			return k
		}
	}
	return nil
}

// readIdentity parses an identity file: one key, then leaf, intermediate and root.
func readIdentity(text []byte) (tls.Certificate, error) {
	certs, keys, err := parsePEM(text)
	if err != nil {
		return tls.Certificate{}, err
	}
	if len(keys) != 1 || len(certs) != 3 || keyOf(certs[0], keys) == nil {
		return tls.Certificate{}, domicile.E("identity file", domicile.Invalid, "it must hold a private key, its certificate, the intermediate and the root")
	}
	id := tls.Certificate{PrivateKey: keys[0], Leaf: certs[0]}
	for _, c := range certs {
		id.Certificate = append(id.Certificate, c.Raw)
	}
	return id, nil
}
