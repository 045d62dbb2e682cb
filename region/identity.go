package region

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"domicile"
)

// Who a certificate says it is stands in its SAN URIs:
//
//	domicile://REGION/node/NAME                                   a node
//	domicile://REGION/operator/NAME, domicile://REGION/role/ROLE… an operator with roles
//	domicile://REGION/ca/root, /ca/nodes, /ca/operators           the authority and its two intermediates
//	domicile://witness/NAME/node/NAME                             a witness's node; /ca/root, /ca/nodes likewise

// Peer is who is on the other side, on the word of a certificate that chains to its own region's CA.
type Peer struct {
	Region   domicile.Region // "" for a witness
	Witness  string
	Node     domicile.Node
	Operator string
	Roles    []string // operator roles: operator, legal, auditor
}

// HasRole reports whether an operator's certificate carries the role.
func (p Peer) HasRole(role string) bool { return p.Operator != "" && slices.Contains(p.Roles, role) }

// owner is the peer's region, or "witness/NAME".
func (p Peer) owner() domicile.Region {
	if p.Witness != "" {
		return domicile.Region(witnessPrefix + p.Witness)
	}
	return p.Region
}

// The two intermediates of an authority.
const (
	caNodes     = "nodes"
	caOperators = "operators"
)

const (
	maxChain = 6  // certificates that a peer may present
	maxURIs  = 16 // SAN URIs of one certificate
)

// verifyPeer is the one check of who a peer is. chain is what it presented, leaf first; roots tells which CA fingerprints
// speak for an owner (a region, or "witness/NAME"). The leaf must name its owner, be in its time, and end, through the
// intermediate of its kind (caNodes or caOperators), in a root that speaks for that owner. Refused PeerUnverified.
func verifyPeer(chain []*x509.Certificate, kind string, usage x509.ExtKeyUsage, now time.Time, roots func(domicile.Region) []string) (Peer, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return Peer{}, unverifiedPeer("no certificate, or too long a chain of them, was presented")
	}
	p, err := leafPeer(chain[0], kind)
	if err != nil {
		return Peer{}, err
	}
	want := roots(p.owner())
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, c := range chain[1:] {
		if slices.Contains(want, fingerprint(c.Raw)) {
			opts.Roots.AddCert(c)
		} else {
			opts.Intermediates.AddCert(c)
		}
	}
	found, err := chain[0].Verify(opts)
	if err != nil {
		return Peer{}, unverifiedPeer(fmt.Sprintf("a certificate that claims %s does not verify against that one's own authority: %v", p.owner(), err))
	}
	for _, c := range found {
		if len(c) == 3 && caName(c[1]) == caURI(p.owner(), kind) && caName(c[2]) == caURI(p.owner(), "root") {
			return p, nil
		}
	}
	return Peer{}, unverifiedPeer(fmt.Sprintf("a certificate that claims %s was not made by its authority for %s", p.owner(), kind))
}

// leafPeer reads the SAN URIs of a leaf, strictly: exactly one name, of the wanted kind, and roles of the same region.
func leafPeer(leaf *x509.Certificate, kind string) (Peer, error) {
	if len(leaf.URIs) == 0 || len(leaf.URIs) > maxURIs || leaf.IsCA {
		return Peer{}, unverifiedPeer("the certificate names nobody")
	}
	var p Peer
	for i, u := range leaf.URIs {
		owner, what, name, ok := splitURI(u)
		switch {
		case !ok || i > 0 && owner != p.owner():
			return Peer{}, unverifiedPeer("the certificate has a name that is not understood")
		case i == 0 && kind == caNodes && what == "node":
			p.Node = domicile.Node(name)
		case i == 0 && kind == caOperators && what == "operator" && !strings.HasPrefix(string(owner), witnessPrefix): // a witness has none
			p.Operator = name
		case i > 0 && p.Operator != "" && what == "role":
			p.Roles = append(p.Roles, name)
		default:
			return Peer{}, unverifiedPeer("the certificate names something else than one of the " + kind + " it should")
		}
		if w, ok := strings.CutPrefix(string(owner), witnessPrefix); ok {
			p.Witness = w
		} else {
			p.Region = owner
		}
	}
	return p, nil
}

// splitURI reads domicile://OWNER/WHAT/NAME. The owner is a region or witness/NAME.
func splitURI(u *url.URL) (owner domicile.Region, what, name string, ok bool) {
	if u.Scheme != "domicile" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || u.RawPath != "" {
		return "", "", "", false
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if u.Host == "witness" && len(parts) == 3 {
		owner, parts = domicile.Region(witnessPrefix+parts[0]), parts[1:]
		_, err := domicile.ParseRegion(strings.TrimPrefix(string(owner), witnessPrefix))
		ok = err == nil
	} else if u.Host != "witness" {
		_, err := domicile.ParseRegion(u.Host)
		owner, ok = domicile.Region(u.Host), err == nil
	}
	if !ok || len(parts) != 2 {
		return "", "", "", false
	}
	if _, err := domicile.ParseRegion(parts[1]); err != nil {
		return "", "", "", false
	}
	return owner, parts[0], parts[1], true
}

// caName returns the one URI of a CA certificate, "" if it is none.
func caName(c *x509.Certificate) string {
	if !c.IsCA || len(c.URIs) != 1 {
		return ""
	}
	return c.URIs[0].String()
}

func caURI(owner domicile.Region, which string) string { return uri(owner, "ca", which) }

func uri(owner domicile.Region, what, name string) string {
	return "domicile://" + string(owner) + "/" + what + "/" + name
}

// fingerprint is the catalog's form of a certificate.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func unverifiedPeer(detail string) error {
	return domicile.Refuse("verify a peer", domicile.PeerUnverified, "house/peer-of-its-own-ca", detail)
}
