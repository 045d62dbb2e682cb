package main

import (
	"errors"
	"fmt"
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

// fsck is one check of a data folder.
type fsck struct {
	*app
	cmd          *cobra.Command
	dir          string
	rootKey      string
	pins         string
	rebuildIndex bool
	repair       bool
	mended       []string
}

func (a *app) fsckCommand() *cobra.Command {
	f := &fsck{app: a}
	cmd := &cobra.Command{
		Use:   "fsck DIR --root-key F",
		Short: "Check the data folder of a stopped node, offline, and mend what can be derived",
		Long: `Check a data folder: every record of the index opens and agrees with the others, every body and frame of the log is there,
opens and is as long as it was, the journal's chain holds, and with --pins every leaf and tile of the audit log. What a crash left
half done is finished first, as a start of the node would. A damaged message is named by its account, mailbox id and UID.

--rebuild-index makes the store's index.db anew from its base and log, and keeps the old one as index.db.old. --repair makes anew
what records say twice: counters, names, addresses, references, used and living bytes. Neither changes a message.

Exit 0 if all is sound, 1 with all that is wrong, 4 if a node runs on the folder.`,
		Example: `  mailctl fsck /var/lib/domicile/data --root-key /etc/domicile/root.key --pins pins.toml
  mailctl fsck /var/lib/domicile/data --root-key /etc/domicile/root.key --rebuild-index --repair`,
		Args: args("DIR"),
		RunE: func(cmd *cobra.Command, dir []string) error {
			if err := needs(cmd, "root-key"); err != nil {
				return err
			}
			if err := named(cmd, "pins"); err != nil {
				return err
			}
			f.cmd, f.dir = cmd, dir[0]
			return f.run()
		},
	}
	cmd.Flags().StringVar(&f.rootKey, "root-key", "", "the region's root key, a `file`")
	cmd.Flags().StringVar(&f.pins, "pins", "", "the pinned keys, a `file`: checks the audit log too")
	cmd.Flags().BoolVar(&f.rebuildIndex, "rebuild-index", false, "make the store's index anew before the check")
	cmd.Flags().BoolVar(&f.repair, "repair", false, "mend what can be derived before the check")
	return cmd
}

func (f *fsck) run() error {
	r, node, err := region.ReadStamp(f.dir)
	if err != nil {
		return err
	}
	release, err := region.Lock(f.dir)
	if err != nil {
		return err
	}
	defer release()
	root, err := keys.LoadRoot(f.rootKey)
	if err != nil {
		return err
	}
	secret, err := root.Open(f.dir)
	if err != nil {
		return &unsound{"the keys of " + f.dir + " are not sound", err}
	}
	v := struct {
		Valid   bool            `json:"valid"`
		Region  domicile.Region `json:"region"`
		Node    domicile.Node   `json:"node"`
		Checked []string        `json:"checked"`
		Mended  []string        `json:"mended,omitempty"`
	}{Valid: true, Region: r, Node: node}
	for _, part := range []struct {
		name  string
		check func(string) error
	}{
		{"store", func(path string) error { return f.store(path, r, secret) }},
		{"journal", func(path string) error { return fsckJournal(path, secret) }},
		{"audit", func(path string) error { return f.fsckLog(path, f.pins) }},
	} {
		path := filepath.Join(f.dir, part.name)
		if _, err := os.Stat(path); os.IsNotExist(err) || part.name == "audit" && f.pins == "" {
			continue // a front has no store
		}
		if err := part.check(path); err != nil {
			return &unsound{part.name + " of " + f.dir + " is not sound", err}
		}
		v.Checked = append(v.Checked, part.name)
	}
	v.Mended = f.mended
	return f.show(v, func(t *table) {
		t.field("node", string(v.Node)+" in "+string(v.Region))
		t.field("checked", strings.Join(v.Checked, ", "))
		t.field("result", "sound")
	})
}

func (f *fsck) store(path string, r domicile.Region, secret *keys.Secret) error {
	ring, err := keys.OpenRing(secret, filepath.Join(f.dir, "keys"))
	if err != nil {
		return err
	}
	defer ring.Close()
	progress, done := f.progress()
	defer done()
	s, err := bolt.Open(bolt.Config{Dir: path, Region: r, Sealer: ring, NewIndex: f.rebuildIndex, Progress: progress})
	if err != nil {
		return err
	}
	defer s.Close()
	if f.repair {
		f.mended, err = s.Repair(f.cmd.Context())
		done()
		for _, line := range f.mended {
			fmt.Fprintln(f.errOut, "mended:", line)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(ring.Check(), s.Check(f.cmd.Context()))
}

// progress draws how far the work is, on one line of a terminal; done ends the line. Elsewhere nothing is drawn.
func (f *fsck) progress() (progress func(work string, done, of int64), done func()) {
	if !f.terminal() {
		return func(string, int64, int64) {}, func() {}
	}
	drawn := false
	progress = func(work string, done, of int64) {
		drawn = true
		if of > 0 {
			work += fmt.Sprintf(": %d of %d (%d %%)", done, of, 100*done/of)
		} else {
			work += fmt.Sprintf(": %d", done)
		}
		fmt.Fprintf(f.errOut, "\r\x1b[K%s", work)
	}
	return progress, func() {
		if drawn {
			fmt.Fprint(f.errOut, "\r\x1b[K")
			drawn = false
		}
	}
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
