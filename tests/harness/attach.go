package harness

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	"domicile"
	"domicile/keys"
	"domicile/lab"
	"domicile/store/bolt"
)

// Attach speaks to the nodes of a lab that others run, in containers: their ports are those of lab.json, published on
// 127.0.0.1. root is the folder for what mailctl writes. Nothing of it is stopped or checked at the end.
func Attach(t testing.TB, l *lab.Lab, root string) *Cluster {
	t.Helper()
	for i := range l.Nodes {
		n := &l.Nodes[i]
		for _, addr := range []*string{&n.IMAP, &n.IMAPS, &n.SMTP, &n.LMTP, &n.Admin} {
			if *addr == "" {
				continue
			}
			_, port, err := net.SplitHostPort(*addr)
			if err != nil {
				t.Fatal(err)
			}
			*addr = net.JoinHostPort("127.0.0.1", port)
		}
	}
	return &Cluster{Lab: l, Root: root, mailnode: Program(t, "mailnode"), mailctl: Program(t, "mailctl"), running: map[domicile.Node]*lab.Process{}}
}

// Check holds the logs and the audit logs of nodes that are down against what must, and must not, be in them, as the end of
// a test does for the nodes that the harness runs.
func (c *Cluster) Check() error { return errors.Join(c.checkLogs(), c.checkAudit()) }

// CheckStore opens the store of a region whose node is down, and checks it whole.
func (c *Cluster) CheckStore(t testing.TB, n lab.Node) {
	t.Helper()
	s, done := c.OpenStore(t, n.Region, c.Path(n.Data))
	defer done()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// OpenStore opens the store in a data folder of a region, or in a copy of one, that no node has open.
func (c *Cluster) OpenStore(t testing.TB, r domicile.Region, data string) (s *bolt.Store, done func()) {
	t.Helper()
	secret, err := keys.LoadSecret(c.Path(string(r)+"/root.key"), data)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	s, err = bolt.Open(bolt.Config{Dir: filepath.Join(data, "store"), Region: r, Sealer: ring})
	if err != nil {
		ring.Close()
		t.Fatal(err)
	}
	return s, func() {
		s.Close()
		ring.Close()
	}
}
