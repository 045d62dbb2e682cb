package harness

import (
	"syscall"
	"testing"

	"domicile"
)

// Reload tells a node by SIGHUP to read its catalog and certificate again.
func (c *Cluster) Reload(t testing.TB, name domicile.Node) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.running[name]
	if p == nil {
		t.Fatalf("%s does not run", name)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}
