package main

import (
	"context"
	"strconv"

	"domicile"
	"domicile/audit"
	"domicile/region"
)

// readCatalog verifies the catalog, and that no newer one was in force here before.
func (n *node) readCatalog() (*region.Catalog, error) {
	c, err := region.LoadCatalog(n.cfg.Catalog.Dir, n.cfg.Catalog.Genesis)
	if err == nil {
		err = n.inCatalog(c)
	}
	if err == nil {
		err = region.AdvanceCatalog(n.cfg.Data, c)
	}
	return c, err
}

// inCatalog refuses a catalog that does not know this node's region, or as a witness this node.
func (n *node) inCatalog(c *region.Catalog) error {
	if n.cfg.Witness() {
		return nil
	}
	if _, ok := c.Region(n.region()); !ok {
		return domicile.Refuse("catalog", domicile.WrongRegion, "house/known-region", "it has no region "+n.cfg.Region)
	}
	return nil
}

// reloadCatalog reads the catalog again. A bad one changes nothing; a new one is in force once it is a leaf of the log.
func (n *node) reloadCatalog(ctx context.Context) {
	old := n.catalog.Load()
	now, err := n.readCatalog()
	if err == nil && now.Version != old.Version {
		err = n.recordCatalog(ctx, now)
	}
	if err == nil && n.cosigner != nil {
		err = n.cosigner.SetLogs(n.otherLogs(now))
	}
	if err != nil {
		n.log.Error("the catalog was not read again; the old one stays in force", "version", old.Version, "error", err)
		return
	}
	n.catalog.Store(now)
	n.log.Info("catalog in force", "version", now.Version)
}

// recordFirst makes a leaf of the catalog in force at the start.
func (n *node) recordFirst() error { return n.recordCatalog(context.Background(), n.catalog.Load()) }

// recordCatalog makes a leaf of a catalog that comes into force, at a start too. A witness has no log.
func (n *node) recordCatalog(ctx context.Context, c *region.Catalog) error {
	if n.audit == nil {
		return nil
	}
	_, err := n.audit.Append(ctx, audit.Entry{Kind: "catalog.in_force", Public: map[string]string{
		"node": n.cfg.Name, "version": strconv.FormatUint(c.Version, 10), "sha256": c.Hash()}})
	return domicile.W("record the catalog", err)
}

// trust answers package placement from the catalog in force.
type trust struct{ catalog func() *region.Catalog }

func (t trust) Registrar(domain string) (domicile.Region, bool) { return t.catalog().Registrar(domain) }

func (t trust) VerifyRegion(r domicile.Region, msg, sig []byte) error {
	return t.catalog().VerifyRegion(r, msg, sig)
}
