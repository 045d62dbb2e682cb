package main

import (
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
	"domicile/backup"
	"domicile/store/bolt"
)

func (a *app) makeSet(cmd *cobra.Command) error {
	c, err := a.client(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	set, err := c.MakeBackup(cmd.Context())
	if err != nil {
		return err
	}
	return a.show(set, func(t *table) {
		t.field("set", set.Name)
		t.field("made", when(set.Made))
	})
}

func (a *app) backupList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "Show how a running node's repository fares, and its sets", Example: "  mailctl backup ls --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Backups(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(s, func(t *table) { showSets(t, s) })
		},
	}
}

// showRepository shows what is in the clear.
func (a *app) showRepository(dir string) error {
	about, err := backup.ReadRepository(dir)
	if err != nil {
		return err
	}
	sets, err := backup.Sets(dir)
	if err != nil {
		return err
	}
	v := struct {
		backup.About
		Sets []backup.Set `json:"sets"`
	}{about, append([]backup.Set{}, sets...)}
	return a.show(v, func(t *table) {
		t.field("repository of", string(about.Node)+" in "+string(about.Region))
		t.field("begun", when(about.Made))
		for _, s := range sets {
			t.field("set", when(s.Made))
		}
	})
}

func showSets(t *table, s admin.BackupState) {
	t.field("repository", s.Repository)
	if !s.Copied.IsZero() {
		t.field("up to date", when(s.Copied))
	}
	if s.Failed != "" {
		t.field("behind since", s.Failed)
	}
	for _, set := range s.Sets {
		t.field("set", when(set.Made))
	}
}

// restoreFrom puts a repository's state into the node's empty data folder.
func (a *app) restoreFrom(cmd *cobra.Command, n backup.Node, dir, at string) error {
	var then time.Time
	if at != "" {
		var err error
		if then, err = parseTime(cmd, "at", at); err != nil {
			return err
		}
	}
	got, err := backup.RestoreFrom(n, dir, then, bolt.Rewind)
	if domicile.ReasonOf(err) == domicile.WrongRegion {
		about, rerr := backup.ReadRepository(dir)
		if rerr != nil {
			return rerr
		}
		return a.refusedBackup(n, backup.Info{Region: about.Region, Node: about.Node}, err)
	}
	if err != nil {
		return err
	}
	v := struct {
		backup.Recovered
		Where string `json:"where"`
	}{got, n.Data}
	return a.show(v, func(t *table) {
		t.field("began with", "the set of "+when(got.Made))
		t.field("leaves of the log", got.Leaves)
		t.field("where", n.Data)
	})
}
