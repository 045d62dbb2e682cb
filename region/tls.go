package region

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
)

// OperatorTLS is the configuration with which mailctl, holding an identity file, talks to an admin address of its own
// region or another one of the same catalog. The server is verified as a node of the region whose CA is in the identity
// file or, if cas (PEM) is given, of those too. It is checked by its SAN URI and CA, not by the host name that was dialled.
func OperatorTLS(identity []byte, cas ...[]byte) (*tls.Config, error) {
	id, err := readIdentity(identity)
	if err != nil {
		return nil, err
	}
	trusted := map[string][]string{} // owner's root URI to fingerprints
	root, err := x509.ParseCertificate(id.Certificate[2])
	if err != nil {
		return nil, domicile.W("identity file", err)
	}
	roots := []*x509.Certificate{root}
	for _, text := range cas {
		more, keys, err := parsePEM(text)
		if err != nil || len(keys) > 0 {
			return nil, domicile.E("read a CA file", domicile.Invalid, "it is not PEM of certificates alone")
		}
		roots = append(roots, more...)
	}
	for _, c := range roots {
		trusted[caName(c)] = append(trusted[caName(c)], fingerprint(c.Raw))
	}
	return &tls.Config{
		Certificates:       []tls.Certificate{id},
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection below is the whole check
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := verifyPeer(cs.PeerCertificates, caNodes, x509.ExtKeyUsageServerAuth, time.Now(), func(o domicile.Region) []string {
				return trusted[caURI(o, "root")]
			})
			return err
		},
	}, nil
}

// trust verifies peers against the catalog in force. Each request asks again, so that a fingerprint that leaves the
// catalog ends open connections too; answers are kept per leaf and catalog.
type trust struct {
	catalog func() *Catalog
	now     func() time.Time

	mu    sync.Mutex
	of    *Catalog // guarded by mu: the catalog that known is about
	known map[trustKey]trusted
}

type trustKey struct {
	leaf  [32]byte
	kind  string
	usage x509.ExtKeyUsage
}

type trusted struct {
	peer  Peer
	until time.Time
}

// maxTrusted bounds what is kept; past it all is forgotten and verified anew.
const maxTrusted = 4096

func (t *trust) peer(chain []*x509.Certificate, kind string, usage x509.ExtKeyUsage) (Peer, error) {
	if len(chain) == 0 {
		return Peer{}, unverifiedPeer("no certificate was presented")
	}
	cat, now := t.catalog(), t.now()
	key := trustKey{sha256.Sum256(chain[0].Raw), kind, usage}
	t.mu.Lock()
	if t.of != cat || len(t.known) > maxTrusted {
		t.of, t.known = cat, map[trustKey]trusted{}
	}
	got, ok := t.known[key]
	t.mu.Unlock()
	if ok && now.Before(got.until) {
		return clonePeer(got.peer), nil
	}
	p, err := verifyPeer(chain, kind, usage, now, cat.fingerprints)
	if err != nil {
		return Peer{}, err
	}
	until := now.Add(time.Minute) // no later than the end of any certificate in the chain by more than that
	t.mu.Lock()
	if t.of == cat {
		t.known[key] = trusted{p, until}
	}
	t.mu.Unlock()
	return clonePeer(p), nil
}

func clonePeer(p Peer) Peer {
	p.Roles = slices.Clone(p.Roles)
	return p
}

// identity is the node's own certificate, which Reload replaces.
type identity struct {
	atomic.Pointer[tls.Certificate]
}

func (i *identity) server(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Load(), nil }

func (i *identity) client(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return i.Load(), nil
}

// nodeServer is the TLS side of a node that other nodes call: TLS 1.3, a node's certificate required.
func (t *trust) nodeServer(id *identity) *tls.Config {
	return &tls.Config{
		GetCertificate: id.server, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := t.peer(cs.PeerCertificates, caNodes, x509.ExtKeyUsageClientAuth)
			return err
		},
	}
}

// nodeClient is the side that calls a node of owner (a region or "witness/NAME"): whoever answers must be one.
func (t *trust) nodeClient(id *identity, owner domicile.Region) *tls.Config {
	return &tls.Config{
		GetClientCertificate: id.client, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		InsecureSkipVerify: true, // VerifyConnection below is the whole check
		VerifyConnection: func(cs tls.ConnectionState) error {
			p, err := t.peer(cs.PeerCertificates, caNodes, x509.ExtKeyUsageServerAuth)
			if err == nil && p.owner() != owner {
				err = unverifiedPeer("a node of " + string(p.owner()) + " answered where one of " + string(owner) + " was called")
			}
			return err
		},
	}
}
