package region

import (
	"crypto/x509"
	"slices"
	"time"

	"domicile"
)

// CertInfo is what one certificate says, for people and for whoever watches for its end.
type CertInfo struct {
	Name        string    `json:"name"` // its first SAN URI: who it is
	Roles       []string  `json:"roles,omitempty"`
	Hosts       []string  `json:"hosts,omitempty"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint"` // in the catalog's form
}

// Certificates tells of each certificate in a PEM text of ours, in its order; keys in it are passed over.
func Certificates(text []byte) ([]CertInfo, error) {
	certs, _, err := parsePEM(text)
	if err != nil {
		return nil, domicile.W("read certificates", err)
	}
	var out []CertInfo
	for _, c := range certs {
		out = append(out, certInfo(c))
	}
	return out, nil
}

func certInfo(c *x509.Certificate) CertInfo {
	i := CertInfo{Hosts: slices.Clone(c.DNSNames), NotBefore: c.NotBefore, NotAfter: c.NotAfter, Fingerprint: fingerprint(c.Raw)}
	for n, u := range c.URIs {
		if _, what, role, ok := splitURI(u); n > 0 && ok && what == "role" {
			i.Roles = append(i.Roles, role)
		} else if n == 0 {
			i.Name = u.String()
		}
	}
	for _, ip := range c.IPAddresses {
		i.Hosts = append(i.Hosts, ip.String())
	}
	return i
}

// CheckIdentity holds the text of a node's identity file against a catalog as the other nodes would at the time now, and
// returns who it is and its certificates. What they would not believe is refused (PeerUnverified).
func CheckIdentity(text []byte, cat *Catalog, now time.Time) (Peer, []CertInfo, error) {
	if _, err := readIdentity(text); err != nil {
		return Peer{}, nil, err
	}
	certs, _, err := parsePEM(text)
	if err != nil {
		return Peer{}, nil, err
	}
	var info []CertInfo
	for _, c := range certs {
		info = append(info, certInfo(c))
	}
	p, err := verifyPeer(certs, caNodes, x509.ExtKeyUsageServerAuth, now, cat.fingerprints)
	return p, info, err
}
