package main

import (
	"strings"

	"github.com/spf13/cobra"

	"domicile"
)

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
