package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"domicile/admin"
)

func (a *app) accountExpunged() *cobra.Command {
	return &cobra.Command{
		Use:   "expunged ADDR",
		Short: "List what can be undeleted: ids, sizes and times, no word of what it says",
		Long: `List the messages that the owner expunged and account undelete can bring back: id, size, when it was expunged and when it is removed
for good. The node keeps them for the time "undelete" of its node.toml, which may be none. Each look is a leaf of the log.`,
		Example: "  mailctl account expunged anna@example.com --output json", Args: args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := expunged(cmd.Context(), c, addr[0], time.Time{})
			if err != nil {
				return err
			}
			return a.show(v, func(t *table) {
				t.field("address", v.Address)
				t.field("account", v.Account)
				t.field("kept for", keeps(v.Keeps))
				t.field("can be undeleted", fmt.Sprintf("%d messages, %d bytes", v.Messages, v.Bytes))
				if len(v.List) == 0 {
					return
				}
				t.row()
				t.row("ID", "BYTES", "EXPUNGED", "DUE")
				for _, m := range v.List {
					t.row(m.ID, m.Bytes, when(m.Expunged), when(m.Due))
				}
			})
		},
	}
}

func keeps(d string) string {
	if d == "0s" {
		return `nothing: "undelete" is not set in node.toml`
	}
	return d
}

// expunged asks for all of a list, page by page.
func expunged(ctx context.Context, c *admin.Client, address string, since time.Time) (admin.ExpungedMessages, error) {
	in := admin.ListExpunged{Address: address, Since: since}
	all, err := c.Expunged(ctx, in)
	for more := all.More; err == nil && more && len(all.List) > 0; {
		last := all.List[len(all.List)-1]
		in.Since, in.After = last.Expunged, last.ID
		var page admin.ExpungedMessages
		page, err = c.Expunged(ctx, in)
		all.List, more = append(all.List, page.List...), page.More && len(page.List) > 0
	}
	all.More = false
	return all, err
}

func (a *app) accountPurge() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge ADDR --yes",
		Short: "Remove for good what could be undeleted: an operator asks, a legal officer completes it",
		Long: `Remove for good what the owner expunged and account undelete could bring back, as where somebody has a right to have it erased. It takes
two persons: said by an operator, this asks for it (state asked); said then by a legal officer, it is done (state purged). Mail that
is in a mailbox stays. A copy of the data folder or a backup from before has it until its own end (docs/OPERATING.md, "Erasure").`,
		Example: "  mailctl account purge anna@example.com --yes", Args: args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			if !yes {
				return usage(cmd, "nothing was removed: this cannot be taken back, so say --yes too")
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.Purge(cmd.Context(), addr[0])
			if err != nil {
				return err
			}
			return a.show(v, func(t *table) {
				t.field("address", v.Address)
				t.field("account", v.Account)
				t.field("state", v.State)
				t.field("messages", fmt.Sprintf("%d, %d bytes", v.Messages, v.Bytes))
				if v.Leaf != nil {
					t.field("leaf", *v.Leaf)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, for good")
	return cmd
}
