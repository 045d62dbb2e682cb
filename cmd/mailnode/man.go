package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"domicile/config"
	"domicile/man"
)

func manCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "man --to DIR", Short: "Write the manual pages of this program and of node.toml", Example: "  mailnode man --to man", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return fmt.Errorf("--to is needed: %w", errUsage)
			}
			return errors.Join(man.Commands(to, cmd.Root()), writeConfigPage(to))
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`folder` for the pages")
	return cmd
}

// writeConfigPage writes node.toml(5), of which every word is that of a declaration.
func writeConfigPage(dir string) error {
	return man.Write(dir, "node.toml", 5, "the configuration of a node of domicile", func(p *man.Page) {
		p.Section("DESCRIPTION")
		p.Text(`TOML. A key that is not listed here is an error. Paths are relative to the file's folder; keys and certificates are names of files that nobody but their owner may read.
mailnode init writes a commented file to begin with, mailnode check says all that is wrong with one, and mailnode check --print shows it with its defaults.`)
		p.Section("KEYS")
		for _, e := range config.Manual() {
			if e.Table {
				p.Section("[" + e.Key + "]")
				p.Text(e.Text)
				continue
			}
			p.Item(e.Key+" ("+e.Kind+")", e.Text)
		}
		p.Section("SEE ALSO")
		p.Text("mailnode(1), mailnode-check(1), mailctl(1)")
	})
}
