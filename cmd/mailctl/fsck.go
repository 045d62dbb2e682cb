package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/region"
	"domicile/store/bolt"
)

func (a *app) fsckCommand() *cobra.Command {
	var rootKey, pins string
	cmd := &cobra.Command{
		Use:   "fsck DIR --root-key F",
		Short: "Check the data folder of a stopped node, offline",
		Long: `Check a data folder: every record of the index opens and agrees with the others, every body is there, opens and is as long
as it was, the journal's chain holds, and with --pins every leaf and tile of the audit log. What a crash left half done is
finished first, as a start of the node would. Exit 1 with all that is wrong.`,
		Example: "  mailctl fsck /var/lib/domicile/data --root-key /etc/domicile/root.key --pins pins.toml",
		Args:    args("DIR"),
		RunE: func(cmd *cobra.Command, dir []string) error {
			if err := needs(cmd, "root-key"); err != nil {
				return err
			}
			if err := named(cmd, "pins"); err != nil {
				return err
			}
			return a.fsck(cmd, dir[0], rootKey, pins)
		},
	}
	cmd.Flags().StringVar(&rootKey, "root-key", "", "the region's root key, a `file`")
	cmd.Flags().StringVar(&pins, "pins", "", "the pinned keys, a `file`: checks the audit log too")
	return cmd
}

func (a *app) fsck(cmd *cobra.Command, dir, rootKey, pins string) error {
	r, node, err := region.ReadStamp(dir)
	if err != nil {
		return err
	}
	release, err := region.Lock(dir)
	if err != nil {
		return err
	}
	defer release()
	secret, err := keys.LoadSecret(rootKey, dir)
	if err != nil {
		return err
	}
	v := struct {
		Valid   bool            `json:"valid"`
		Region  domicile.Region `json:"region"`
		Node    domicile.Node   `json:"node"`
		Checked []string        `json:"checked"`
	}{Valid: true, Region: r, Node: node}
	for _, part := range []struct {
		name  string
		check func(string) error
	}{
		{"store", func(path string) error { return fsckStore(cmd, path, filepath.Join(dir, "keys"), r, secret) }},
		{"journal", func(path string) error { return fsckJournal(path, secret) }},
		{"audit", func(path string) error { return a.fsckLog(path, pins) }},
	} {
		path := filepath.Join(dir, part.name)
		if _, err := os.Stat(path); os.IsNotExist(err) || part.name == "audit" && pins == "" {
			continue // a front has no store
		}
		if err := part.check(path); err != nil {
			return &unsound{part.name + " of " + dir + " is not sound", err}
		}
		v.Checked = append(v.Checked, part.name)
	}
	return a.show(v, func(t *table) {
		t.field("node", string(v.Node)+" in "+string(v.Region))
		t.field("checked", strings.Join(v.Checked, ", "))
		t.field("result", "sound")
	})
}

func fsckStore(cmd *cobra.Command, path, ringDir string, r domicile.Region, secret *keys.Secret) error {
	ring, err := keys.OpenRing(secret, ringDir)
	if err != nil {
		return err
	}
	defer ring.Close()
	s, err := bolt.Open(bolt.Config{Dir: path, Region: r, Sealer: ring})
	if err != nil {
		return err
	}
	defer s.Close()
	return errors.Join(ring.Check(), s.Check(cmd.Context()))
}

// fsckJournal opens the journal, which reads all of it and follows its chain.
func fsckJournal(path string, secret *keys.Secret) error {
	j, err := region.OpenJournal(path, secret.Box("journal"), keepAll, time.Now)
	if err != nil {
		return err
	}
	return j.Close()
}

// keepAll is a retention by which nothing is removed.
const keepAll = 100 * 365 * 24 * time.Hour

func (a *app) fsckLog(path, pins string) error {
	p, err := readPins(pins)
	if err != nil {
		return err
	}
	return audit.VerifyDir(path, p, a.errOut)
}
