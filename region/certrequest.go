package region

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"slices"
	"strings"

	"domicile"
)

const (
	requestType  = "CERTIFICATE REQUEST"
	maxRequest   = 64 << 10 // bytes of one, in PEM
	maxCertHosts = 64
)

// CertRequest is what somebody asks a certificate for, who holds the key: made where the key rests, so that the key never
// leaves that machine.
type CertRequest struct {
	Who   Peer     // what it claims; an authority issues for its own owner only
	Hosts []string // names and IP addresses that mail programs know a node by
	key   *ecdsa.PublicKey
}

// NewCertRequest makes a private key, and a request (PKCS #10, RFC 2986) that it signs; both are PEM. A node's Peer has Region or
// Witness and Node, an operator's Region, Operator and Roles.
func NewCertRequest(who Peer, hosts []string) (key, request []byte, err error) {
	const op = "ask for a certificate"
	if err := checkAsked(who, hosts); err != nil {
		return nil, nil, domicile.W(op, err)
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, domicile.W(op, err)
	}
	t := &x509.CertificateRequest{Subject: pkix.Name{CommonName: who.name()}, URIs: parseURIs(who.uris())}
	t.DNSNames, t.IPAddresses = splitHosts(hosts)
	der, err := x509.CreateCertificateRequest(rand.Reader, t, k)
	if err != nil {
		return nil, nil, domicile.W(op, err)
	}
	return keyPEM(k), pem.EncodeToMemory(&pem.Block{Type: requestType, Bytes: der}), nil
}

// ReadCertRequest reads what NewCertRequest made, and checks that whoever made it holds the key.
func ReadCertRequest(text []byte) (*CertRequest, error) {
	const op = "read a request for a certificate"
	malformed := domicile.E(op, domicile.Invalid, "it is not one request in PEM, with a P-256 key, signed by that key")
	b, rest := pem.Decode(text)
	if b == nil || b.Type != requestType || len(text) > maxRequest || strings.TrimSpace(string(rest)) != "" {
		return nil, malformed
	}
	r, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil || r.CheckSignature() != nil {
		return nil, malformed
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, malformed
	}
	kind := caNodes
	if len(r.URIs) > 0 {
		if _, what, _, _ := splitURI(r.URIs[0]); what == "operator" {
			kind = caOperators
		}
	}
	who, err := leafPeer(&x509.Certificate{URIs: r.URIs}, kind)
	if err != nil {
		return nil, domicile.E(op, domicile.Invalid, "it does not say who asks, in the form of FORMATS, Certificates")
	}
	out := &CertRequest{Who: who, Hosts: slices.Clone(r.DNSNames), key: key}
	for _, ip := range r.IPAddresses {
		out.Hosts = append(out.Hosts, ip.String())
	}
	return out, domicile.W(op, checkAsked(who, out.Hosts))
}

// Issue returns the certificate that r asks for and what it hangs on, in PEM: leaf, intermediate, root. It is good for two
// years, and no longer than its authority. WrongRegion is refused: an authority speaks for its own owner alone.
func (a *Authority) Issue(r *CertRequest) ([]byte, error) {
	const op = "issue a certificate"
	if r.Who.owner() != a.owner {
		return nil, domicile.Refuse(op, domicile.WrongRegion, "house/peer-of-its-own-ca",
			"it is asked for "+string(r.Who.owner())+", and this is the authority of "+string(a.owner))
	}
	by, usages := &a.nodes, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if r.Who.Operator != "" {
		by, usages = &a.operators, usages[1:]
	}
	if by.key == nil {
		return nil, domicile.E(op, domicile.Invalid, "the intermediate for this kind of certificate was not given")
	}
	t := a.template(r.Who.name(), leafLife, r.Who.uris()...)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, usages
	t.DNSNames, t.IPAddresses = splitHosts(r.Hosts)
	for _, above := range []*x509.Certificate{by.cert, a.root.cert} {
		if above.NotAfter.Before(t.NotAfter) {
			t.NotAfter = above.NotAfter
		}
	}
	leaf, err := by.certify(t, r.key)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return slices.Concat(certPEM(leaf), certPEM(by.cert), certPEM(a.root.cert)), nil
}

// Identity joins a key and the chain that was issued for it to an identity file, after checking that they belong together.
func Identity(key, chain []byte) ([]byte, error) {
	const op = "make an identity file"
	text := slices.Concat(key, chain)
	id, err := readIdentity(text)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	certs, _, err := parsePEM(chain)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	for i, c := range certs[:len(certs)-1] {
		if c.CheckSignatureFrom(certs[i+1]) != nil {
			return nil, domicile.E(op, domicile.Invalid, "the certificates do not follow from each other: leaf, intermediate, root")
		}
	}
	if len(certs) != len(id.Certificate) {
		return nil, domicile.E(op, domicile.Invalid, "the key must lie in one file, the certificates in the other")
	}
	return text, nil
}

// name is the peer's own, without its region.
func (p Peer) name() string {
	if p.Operator != "" {
		return p.Operator
	}
	return string(p.Node)
}

// uris are the peer's names as a certificate has them.
func (p Peer) uris() []string {
	if p.Operator == "" {
		return []string{uri(p.owner(), "node", string(p.Node))}
	}
	out := []string{uri(p.owner(), "operator", p.Operator)}
	for _, r := range p.Roles {
		out = append(out, uri(p.owner(), "role", r))
	}
	return out
}

// checkAsked refuses what no certificate may say.
func checkAsked(p Peer, hosts []string) error {
	bad := func(s string) error { return domicile.E("a certificate's names", domicile.Invalid, s) }
	if _, err := domicile.ParseRegion(strings.TrimPrefix(string(p.owner()), witnessPrefix)); err != nil || p.owner() == "witness" {
		return bad("the region, or the witness, is malformed")
	}
	if _, err := domicile.ParseRegion(p.name()); err != nil {
		return bad("the name of a node or operator has 2 to 32 characters of a-z, 0-9 and inner '-'")
	}
	if (p.Node == "") == (p.Operator == "") || p.Operator != "" && len(hosts) > 0 {
		return bad("it is for a node, with host names, or for an operator, with roles")
	}
	if p.Operator != "" && p.Witness != "" {
		return bad("a witness has no operators")
	}
	if p.Operator == "" && len(p.Roles) > 0 || len(p.Roles) != len(slices.Compact(slices.Sorted(slices.Values(p.Roles)))) {
		return bad("roles are an operator's, each once")
	}
	for _, r := range p.Roles {
		if !slices.Contains(operatorRoles, r) {
			return bad("a role is one of " + strings.Join(operatorRoles, ", "))
		}
	}
	if len(hosts) > maxCertHosts {
		return bad("too many host names")
	}
	for _, h := range hosts {
		if net.ParseIP(h) == nil && !isHost(h) {
			return bad("a host is a name in lower case, or an IP address")
		}
	}
	return nil
}

// isHost wants labels of a-z, 0-9 and inner '-'.
func isHost(h string) bool {
	for l := range strings.SplitSeq(h, ".") {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(h) <= 253
}

func splitHosts(hosts []string) (names []string, ips []net.IP) {
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, h)
		}
	}
	return names, ips
}

// ParseWho reads the name of a node or operator as its certificate has it, "domicile://" left out:
// "eu-ireland/node/eu-ireland-1", "witness/witness-1/node/witness-1", or "eu-ireland/operator/anna", with roles.
func ParseWho(text string, roles []string) (Peer, error) {
	bad := domicile.E("read a name", domicile.Invalid, text+" is no REGION/node/NAME, witness/NAME/node/NAME or REGION/operator/NAME")
	u, err := url.Parse("domicile://" + text)
	if err != nil {
		return Peer{}, bad
	}
	owner, what, name, ok := splitURI(u)
	if !ok || what != "node" && what != "operator" {
		return Peer{}, bad
	}
	p := Peer{Region: owner, Roles: roles}
	if w, ok := strings.CutPrefix(string(owner), witnessPrefix); ok {
		p.Region, p.Witness = "", w
	}
	if what == "node" {
		p.Node = domicile.Node(name)
	} else {
		p.Operator = name
	}
	return p, checkAsked(p, nil)
}

// Who is the inverse of ParseWho, without the roles.
func (p Peer) Who() string { return strings.TrimPrefix(p.uris()[0], "domicile://") }
