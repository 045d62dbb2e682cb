package main

import (
	"crypto/tls"

	"domicile"
	"domicile/keys"
)

// loadIdentity reads the node's certificate for the fronts within TLS, and returns its text for package region.
func (n *node) loadIdentity() ([]byte, error) {
	const op = "node certificate"
	text, err := readSecret(n.cfg.Identity)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, domicile.E(op, domicile.Invalid, n.cfg.Identity+" must hold key, leaf, intermediate and root in PEM")
	}
	n.cert.Store(&cert)
	return text, nil
}

// reloadIdentity reads the certificate again. A bad one changes nothing between nodes; connections that are open stay as
// they are.
func (n *node) reloadIdentity() {
	old := n.cert.Load()
	text, err := n.loadIdentity()
	if err == nil {
		err = n.net.Reload(text)
	}
	if err != nil {
		n.cert.Store(old)
		n.log.Error("the certificate was not read again; the old one stays", "error", err)
	}
}

// reloadGossip reads the gossip keys again. The log names them by their ids, so that an operator sees which are in force.
func (n *node) reloadGossip() {
	ring, err := keys.LoadGossip(n.cfg.Gossip.KeyFile)
	if err == nil {
		err = n.net.SetGossipKeys(ring)
	}
	if err != nil {
		n.log.Error("the gossip keys were not read again; the old ones stay", "error", err)
		return
	}
	n.log.Info("gossip keys in force", "first_encrypts", ring.IDs())
}

// frontTLS is TLS towards mail programs and other servers, by the node's certificate as it is at each handshake.
func (n *node) frontTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.cert.Load(), nil },
	}
}
