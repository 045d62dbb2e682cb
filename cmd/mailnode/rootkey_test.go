package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"domicile/audit"
	"domicile/config"
	"domicile/keys"
)

// TestRootReplaced: a root key that took another's place is a leaf of the log at the next start, once.
func TestRootReplaced(t *testing.T) {
	l := oneRegion(t, 27320)
	cfg, err := config.Load(l.Path(l.Nodes[0].Config))
	if err != nil {
		t.Fatal(err)
	}
	leaves := func() (found []map[string]string) {
		t.Helper()
		n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler), failed: make(chan error, 8), counts: newCounts()}
		defer n.closeAll()
		if err := n.build(); err != nil {
			t.Fatal(err)
		}
		err := n.audit.Leaves(0, func(_ uint64, raw []byte) error {
			if _, e, err := audit.DecodeLeaf(raw); err == nil && e.Kind == "keys.root_replaced" {
				found = append(found, e.Public)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := leaves(); len(got) != 0 {
		t.Errorf("the first key took nobody's place: %v", got)
	}
	next := filepath.Join(filepath.Dir(cfg.RootKey), "next.key")
	if err := keys.CreateRoot(next); err != nil {
		t.Fatal(err)
	}
	old, err := keys.LoadRoot(cfg.RootKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.LoadRoot(next)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Rotate(other, cfg.Data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, cfg.RootKey); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := leaves()
		if len(got) != 1 || got[0]["before"] != old.ID() || got[0]["key"] != other.ID() || got[0]["node"] != cfg.Name {
			t.Errorf("leaves: %v", got)
		}
	}
}
