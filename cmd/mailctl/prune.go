package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"domicile/admin"
	"domicile/backup"
	"domicile/store/bolt"
)

func (a *app) backupPrune() *cobra.Command {
	var within time.Duration
	var daily, weekly int
	var dry bool
	cmd := &cobra.Command{
		Use: "prune [--keep-within D] [--keep-daily N] [--keep-weekly N]", Short: "Remove from a running node's repository what is no longer kept", Args: args(),
		Long: `Remove sets that are no longer kept, and what they alone need, from the repository of a running node. Without flags it is what the node's
configuration keeps (keep, keep_daily and keep_weekly of [backup]), which it also does by itself after each set; flags take the place of all
three for this once. Any time of --keep-within can be restored, and before it the newest set of each of so many days and weeks that
have one. The newest set always stays. It needs the role operator, and is a leaf of the log. Interrupted at any point, what is kept can be restored.`,
		Example: "  mailctl backup prune --dry-run\n  mailctl backup prune --keep-within 336h --keep-daily 30 --keep-weekly 12",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := admin.BeginBackup{Kind: "prune", DryRun: dry}
			f := cmd.Flags()
			if f.Changed("keep-within") || f.Changed("keep-daily") || f.Changed("keep-weekly") {
				if err := needs(cmd, "keep-within"); err != nil {
					return err
				}
				ask.Keep = &admin.BackupRetention{Within: within, Daily: daily, Weekly: weekly}
			}
			j, err := a.backupJob(cmd, ask)
			if err != nil || j.Pruned == nil {
				return err
			}
			return a.show(j.Pruned, func(t *table) {
				for _, s := range j.Pruned.Removed {
					t.field("removed", point(s.Made))
				}
				for _, s := range j.Pruned.Kept {
					t.field("kept", point(s.Made))
				}
				if !dry {
					t.field("came free", people(j.Pruned.Bytes))
				}
			})
		},
	}
	f := cmd.Flags()
	f.DurationVar(&within, "keep-within", 0, "keep any time of so long ago, a `duration` such as 336h")
	f.IntVar(&daily, "keep-daily", 0, "keep the newest set of so many `days` that have one")
	f.IntVar(&weekly, "keep-weekly", 0, "keep the newest set of so many `weeks` that have one")
	f.BoolVar(&dry, "dry-run", false, "only say what would go")
	return cmd
}

func (a *app) backupVerify() *cobra.Command {
	var conf string
	cmd := &cobra.Command{
		Use: "verify DIR --config node.toml", Short: "Read all of a repository, restoring nothing: seals, checksums, and that every point is whole", Args: args("DIR"),
		Long: `Read all of a repository without restoring it: the account keys and every seal open, every checksum of the log holds, each set has its base whole
and the log behind it without a gap, and the leaves of the audit log are those of one log. It reads as much as a restore and writes nothing; the node may run.
Exit code 1 says that something is wrong, and names it.`,
		Example: "  mailctl backup verify /mnt/backup --config /etc/domicile/node.toml",
		RunE: func(cmd *cobra.Command, dir []string) error {
			if err := needs(cmd, "config"); err != nil {
				return err
			}
			n, err := backupNode(conf)
			if err != nil {
				return err
			}
			m := a.meter("backup verify")
			got, err := backup.Verify(cmd.Context(), n, backup.Verification{Dir: dir[0], Segment: bolt.VerifySegment, Base: bolt.VerifyBase, Progress: m.at})
			m.end()
			if err != nil {
				return err
			}
			return a.showSound(got)
		},
	}
	cmd.Flags().StringVar(&conf, "config", "", "the node's configuration, a `file`")
	return cmd
}

func (a *app) showSound(got backup.Verified) error {
	v := struct {
		Valid bool `json:"valid"`
		backup.Verified
	}{len(got.Problems) == 0, got}
	err := a.show(v, func(t *table) {
		t.field("sets", got.Sets)
		for _, p := range got.Points {
			t.field("points", span(p.From, p.Until))
		}
		t.field("keys of accounts", got.Accounts)
		t.field("leaves of the log", got.Leaves)
		t.field("read", fmt.Sprintf("%d files, %s", got.Files, people(got.Bytes)))
		for _, p := range got.Problems {
			t.field("wrong", p)
		}
	})
	if err == nil && !v.Valid {
		err = exitError(exitFailed)
	}
	return err
}
