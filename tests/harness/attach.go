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
	data := c.Path(n.Data)
	secret, err := keys.LoadSecret(c.Path(string(n.Region)+"/root.key"), data)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	s, err := bolt.Open(bolt.Config{Dir: filepath.Join(data, "store"), Region: n.Region, Sealer: ring})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
