package main

import (
	"github.com/spf13/cobra"

	"domicile/man"
)

func (a *app) manCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "man --to DIR", Short: "Write the manual pages of this program, one for each command", Example: "  mailctl man --to /usr/local/share/man/man1", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "to"); err != nil {
				return err
			}
			return man.Commands(to, cmd.Root())
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`folder` for the pages")
	return cmd
}
