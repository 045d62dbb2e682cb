package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
	"domicile/backup"
	"domicile/store/bolt"
)

func (a *app) makeSet(cmd *cobra.Command) error {
	j, err := a.backupJob(cmd, admin.BeginBackup{Kind: "create"})
	if err != nil || j.Set == nil {
		return err
	}
	return a.show(j.Set, func(t *table) {
		t.field("set", j.Set.Name)
		t.field("made", point(j.Set.Made))
	})
}

// backupJob begins a job of the node and waits for its end.
func (a *app) backupJob(cmd *cobra.Command, ask admin.BeginBackup) (j admin.BackupJob, err error) {
	c, err := a.client(cmd)
	if err != nil {
		return j, err
	}
	defer c.Close()
	if j, err = c.BeginBackup(cmd.Context(), ask); err != nil {
		return j, err
	}
	m := a.meter("backup " + ask.Kind)
	defer m.end()
	for failed := 0; j.State == "running"; {
		select {
		case <-cmd.Context().Done():
			return j, domicile.E("backup "+ask.Kind, domicile.Unavailable, "interrupted; the node goes on with it, and mailctl backup ls shows how far it is")
		case <-time.After(a.every / 5):
		}
		now, err := c.BackupJob(cmd.Context(), j.ID)
		switch k := domicile.KindOf(err); {
		case err == nil:
			j, failed = now, 0
			m.at(j.Done, j.Total)
		case (k == domicile.Unavailable || k == domicile.Unknown) && failed < watchTries:
			failed++
		default:
			return j, err
		}
	}
	if j.State == "failed" {
		return j, &domicile.Error{Op: "backup " + ask.Kind, Kind: domicile.Other, Detail: j.Error}
	}
	return j, nil
}

// point writes a time as restore --at takes it.
func point(t time.Time) string { return t.UTC().Format(backup.PointLayout) }

// span writes the ends of times that can be restored.
func span(from, until time.Time) string {
	switch {
	case until.IsZero():
		return point(from) + " to the newest that was copied"
	case until.Equal(from):
		return point(from)
	}
	return point(from) + " to " + point(until)
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
	points, err := backup.Points(dir)
	if err != nil {
		return err
	}
	v := struct {
		backup.About
		Sets   []backup.Set  `json:"sets"`
		Points []backup.Span `json:"points"`
	}{about, append([]backup.Set{}, sets...), append([]backup.Span{}, points...)}
	return a.show(v, func(t *table) {
		t.field("repository of", string(about.Node)+" in "+string(about.Region))
		t.field("begun", when(about.Made))
		for _, p := range points {
			t.field("points", span(p.From, p.Until))
		}
		for _, s := range sets {
			t.field("set", point(s.Made))
		}
	})
}

func showSets(t *table, s admin.BackupState) {
	t.field("repository", s.Repository+", "+people(s.Bytes))
	if !s.Copied.IsZero() {
		t.field("up to date", when(s.Copied))
	}
	if s.Failed != "" {
		t.field("behind since", s.Failed)
	}
	if s.Behind {
		t.field("warning", "behind for longer than warn_behind of [backup]")
	}
	if j := s.Job; j != nil {
		t.field("last job", strings.TrimSpace(fmt.Sprintf("%s %s %s", j.Kind, j.State, j.Error)))
		if j.State == "running" && j.Total > 0 {
			t.field("copied", people(j.Done)+" of "+people(j.Total))
		}
	}
	for _, p := range s.Points {
		t.field("points", span(p.From, p.Until))
	}
	for _, set := range s.Sets {
		t.field("set", point(set.Made))
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
	m := a.meter("backup restore")
	got, err := backup.RestoreFrom(cmd.Context(), n, backup.Recovery{Dir: dir, At: then, Rewind: bolt.Rewind, Progress: m.at})
	m.end()
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
		t.field("mail as of", point(got.State))
		t.field("began with", "the set of "+point(got.Made))
		t.field("leaves of the log", got.Leaves)
		t.field("where", n.Data)
	})
}
