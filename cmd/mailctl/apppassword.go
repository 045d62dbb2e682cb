package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"domicile/admin"
)

func (a *app) accountAppPassword() *cobra.Command {
	group := &cobra.Command{Use: "app-password", Short: "Passwords of single devices and programs", Long: `An app password lets one device or program of the owner in, beside the account's own password, until it is taken away. It is made by the node,
told once, and kept as a hash. A lost device then costs one of them, and the password stays out of all devices.`,
		Example: `  mailctl account app-password add anna@example.com --label "phone"`}
	group.AddCommand(a.appPasswordAdd(), a.appPasswordList(), a.appPasswordRemove())
	strictGroup(group)
	return group
}

func (a *app) appPasswordAdd() *cobra.Command {
	var in admin.AddAppPassword
	cmd := &cobra.Command{
		Use: "add ADDR", Short: "Make one; it is printed once", Args: args("ADDR"),
		Example: `  mailctl account app-password add anna@example.com --label "scanner in the hall" --scope smtp`,
		RunE: func(cmd *cobra.Command, addr []string) error {
			if err := needs(cmd, "label"); err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			in.Address = addr[0]
			v, err := c.AddAppPassword(cmd.Context(), in)
			if err != nil {
				return err
			}
			a.note("give it to the owner now: it cannot be shown again")
			return a.show(v, func(t *table) {
				t.field("address", v.Address)
				for _, p := range v.List {
					t.field("id", p.ID)
					t.field("label", p.Label)
					t.field("scope", cmp.Or(p.Scope, "imap, smtp"))
					t.field("password", p.Password)
				}
			})
		},
	}
	cmd.Flags().StringVar(&in.Label, "label", "", "what its owner calls it, a `text` of at most 64 bytes")
	cmd.Flags().StringVar(&in.Scope, "scope", "", "`imap|smtp`: good to read, or to send, alone")
	return cmd
}

func (a *app) appPasswordList() *cobra.Command {
	return &cobra.Command{
		Use: "ls ADDR", Short: "List them, and on which day each was used last", Args: args("ADDR"), Example: "  mailctl account app-password ls anna@example.com",
		RunE: func(cmd *cobra.Command, addr []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.AppPasswords(cmd.Context(), addr[0])
			if err != nil {
				return err
			}
			return a.showAppPasswords(v)
		},
	}
}

func (a *app) appPasswordRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm ADDR ID", Short: "Take one away: nobody logs in with it any more", Args: args("ADDR", "ID"),
		Long: `Take an app password away. From then on nobody logs in with it, and sessions that it began end, wherever they came in: those that read
mail between two commands, those that send it before the next message.`,
		Example: "  mailctl account app-password rm anna@example.com pexample",
		RunE: func(cmd *cobra.Command, words []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.RemoveAppPassword(cmd.Context(), admin.RemoveAppPassword{Address: words[0], ID: words[1]})
			if err != nil {
				return err
			}
			a.note("taken away")
			return a.showAppPasswords(v)
		},
	}
}

func (a *app) showAppPasswords(v admin.AppPasswords) error {
	return a.show(v, func(t *table) {
		t.row("ID", "LABEL", "SCOPE", "MADE", "USED")
		for _, p := range v.List {
			t.row(p.ID, p.Label, cmp.Or(p.Scope, "imap, smtp"), p.Made, cmp.Or(p.Used, "never"))
		}
	})
}
