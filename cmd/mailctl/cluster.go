package main

import (
	"strings"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
)

func (a *app) catalogCommand() *cobra.Command {
	group := &cobra.Command{Use: "catalog", Short: "The signed list of regions", Example: "  mailctl catalog show"}
	var pins bool
	show := &cobra.Command{
		Use: "show", Short: "Show the catalog in force, or the pins that follow from it", Args: args(),
		Example: "  mailctl catalog show\n  mailctl catalog show --pins > pins.toml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.Catalog(cmd.Context())
			if err != nil {
				return err
			}
			if pins && a.output == "json" {
				return a.json(v.Pins)
			}
			if pins {
				text, err := v.Pins.Marshal()
				if err != nil {
					return err
				}
				_, err = a.out.Write(text)
				return err
			}
			return a.showCatalog(v)
		},
	}
	show.Flags().BoolVar(&pins, "pins", false, "write the pins with which receipts are verified offline (TOML)")
	group.AddCommand(show)
	return group
}

func (a *app) showCatalog(v admin.CatalogView) error {
	return a.show(v, func(t *table) {
		c := v.Catalog
		t.field("version", c.Version)
		t.field("sha256", v.Hash)
		t.field("issued", when(c.Issued))
		t.field("quorum", c.Quorum)
		t.field("cosigners", c.Cosigners)
		t.row()
		t.row("REGION", "IN", "ENTITY", "SERVES")
		for _, r := range c.Regions {
			t.row(r.Name, r.Country, r.Entity, countries(r.Serves))
		}
		t.row()
		t.row("ENTITY", "IN", "NAME", "OWNERS")
		for _, e := range c.Entities {
			owners := make([]string, len(e.Owners))
			for i, o := range e.Owners {
				owners[i] = string(o)
			}
			t.row(e.ID, e.Country, e.Name, strings.Join(owners, ","))
		}
		t.row()
		t.row("DOMAIN", "REGISTRAR")
		for _, d := range c.Domains {
			t.row(d.Name, d.Registrar)
		}
		t.row()
		t.row("WITNESS", "COMPELLABLE BY")
		for _, w := range c.Witnesses {
			t.row(w.Name, countries(w.CompellableBy))
		}
	})
}

func countries(list []domicile.Country) string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = string(c)
	}
	return strings.Join(out, ",")
}

func (a *app) regionCommand() *cobra.Command {
	group := &cobra.Command{Use: "region", Short: "Regions of the cluster", Example: "  mailctl region ls"}
	group.AddCommand(&cobra.Command{
		Use: "ls", Short: "List the regions, and how many of their nodes are alive", Example: "  mailctl region ls --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Regions(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("REGION", "IN", "ENTITY", "SERVES", "NODES", "ALIVE")
				for _, r := range all {
					t.row(r.Name, r.Country, r.Entity, countries(r.Serves), r.Nodes, r.Alive)
				}
			})
		},
	})
	return group
}

func (a *app) nodeCommand() *cobra.Command {
	group := &cobra.Command{Use: "node", Short: "Nodes of the cluster", Example: "  mailctl node ls"}
	group.AddCommand(&cobra.Command{
		Use: "ls", Short: "List the nodes that gossip knows: a hint, never who owns what", Example: "  mailctl node ls --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Nodes(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("NODE", "REGION", "ROLES", "RPC", "ADMIN", "CATALOG", "ALIVE")
				for _, n := range all {
					t.row(n.Name, n.Region, strings.Join(n.Roles, ","), n.RPC, n.Admin, n.Catalog, yes(n.Alive))
				}
			})
		},
	})
	return group
}
