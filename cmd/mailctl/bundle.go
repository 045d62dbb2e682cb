package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) bundleCommand() *cobra.Command {
	group := &cobra.Command{Use: "bundle", Short: "Policy bundles: the law that the region decides by", Example: "  mailctl bundle ls"}
	group.AddCommand(&cobra.Command{
		Use: "ls", Short: "List the bundles that exist, and which are in force", Example: "  mailctl bundle ls --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Bundles(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("NAME", "IN FORCE", "TITLE", "HASH")
				for _, b := range all {
					t.row(b.Name, yes(b.InForce), b.Title, b.Hash)
				}
			})
		},
	})
	return group
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *app) authorityCommand() *cobra.Command {
	group := &cobra.Command{Use: "authority", Short: "Authorities that the region believes", Example: "  mailctl authority ls"}
	group.AddCommand(&cobra.Command{
		Use: "ls", Short: "List the region's registry of authorities", Example: "  mailctl authority ls", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Authorities(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("ID", "ROLE", "COUNTRY", "NAME", "ORDERS", "CATEGORIES", "UNTIL")
				for _, v := range all {
					t.row(v.ID, v.Role, v.Country, v.Name, strings.Join(v.OrderTypes, ","), strings.Join(v.Categories, ","), when(v.NotAfter))
				}
			})
		},
	})
	return group
}
