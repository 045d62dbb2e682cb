package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/backup"
	"domicile/config"
	"domicile/keys"
)

func (a *app) backupCommand() *cobra.Command {
	group := &cobra.Command{Use: "backup", Short: "Sealed copies of a storing node: of one that runs, and of one that is stopped",
		Long: `A node with [backup] in its configuration copies all that it holds into a repository, a folder, as it changes: create has it make a set
there now, from which a restore can begin, ls shows the sets and the times that can be restored, prune removes what is no longer kept, and verify
reads all of it. With --to, create copies the data folder of a stopped node into one sealed file,
on the node's machine, as the node's user, without any network. restore puts either back, in its own region only.`,
		Example: `  mailctl backup create
  mailctl backup ls
  mailctl backup restore /mnt/backup --config /etc/domicile/node.toml
  mailctl backup create --config /etc/domicile/node.toml --to monday.backup`}
	group.AddCommand(a.backupCreate(), a.backupList(), a.backupPrune(), a.backupVerify(), a.backupRestore(), a.backupShow())
	return group
}

// backupNode is the node of a configuration, with its keys.
func backupNode(path string) (n backup.Node, err error) {
	c, err := config.Load(path)
	if err != nil {
		return n, err
	}
	if !c.Has("store") {
		return n, domicile.E("backup", domicile.Invalid, c.Name+" holds no mail. A witness or a front that is lost is replaced by a new one, under a new name: "+
			"a witness that went back in time could cosign a forged log")
	}
	n = backup.Node{Data: c.Data, Region: domicile.Region(c.Region), Name: domicile.Node(c.Name)}
	if n.Root, err = keys.LoadRoot(c.RootKey); err != nil {
		return n, err
	}
	n.Signer, err = keys.LoadSigner(c.SigningKey)
	return n, err
}

func (a *app) backupCreate() *cobra.Command {
	var conf, to string
	var keep time.Duration
	cmd := &cobra.Command{
		Use:   "create [--config node.toml --to F]",
		Short: "Have a running node make a set, or copy a stopped one into a sealed file",
		Long: `Without --to: have the running node make a set in its repository now, and wait for it; interrupted, the node goes on, and ls shows how far it is.
If the node ends meanwhile, say it again: what was copied is not copied again. It needs the role operator, and is a leaf of the log.

With --to: copy the data folder of a stopped node, sealed under the key of this month's period, which lies in the folder wraps beside the root key and
not in the file. The first backup of a month begins a period, and says until when its backups can be read; each destroys the keys of the
periods that have ended. That it was made is a leaf of the log, and in the copy.`,
		Example: `  mailctl backup create
  mailctl backup create --config /etc/domicile/node.toml --to /var/backups/eu-ireland.backup`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if conf == "" && to == "" {
				return a.makeSet(cmd)
			}
			if err := needs(cmd, "config", "to"); err != nil {
				return err
			}
			n, err := backupNode(conf)
			if err != nil {
				return err
			}
			if n.Keep = keep; keep <= 0 {
				return usage(cmd, "--keep must be longer than nothing, such as 2160h")
			}
			info, err := createBackup(n, to, a)
			if err != nil {
				return err
			}
			return a.showBackup(info, to)
		},
	}
	cmd.Flags().StringVar(&conf, "config", "", "the node's configuration, a `file`")
	cmd.Flags().StringVar(&to, "to", "", "the backup, a new `file`")
	cmd.Flags().DurationVar(&keep, "keep", 90*24*time.Hour, "how long after its month a period that begins now goes on, a `duration`")
	return cmd
}

// createBackup writes the file whole or not at all.
func createBackup(n backup.Node, to string, a *app) (info backup.Info, err error) {
	const op = "backup create"
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return info, errors.Join(err, domicile.E(op, domicile.Exist, to+" exists already; a backup is never overwritten"))
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".tmp-*")
	if err != nil {
		return info, domicile.W(op, err)
	}
	defer os.Remove(f.Name())
	m := a.meter("backup create")
	defer m.end()
	info, err = backup.Create(n, io.MultiWriter(f, &metered{m: m, total: folderSize(n.Data)}), a.now)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(to))
	}
	return info, domicile.W(op, err)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (a *app) backupRestore() *cobra.Command {
	var conf, when, account, to string
	cmd := &cobra.Command{
		Use:   "restore F --config node.toml [--at TIME] [--account ADDR --to DIR]",
		Short: "Put a backup into the empty data folder of the same node, in the same region",
		Long: `Restore a backup: F is a file of backup create --to, or the folder of a repository, of which the newest state is taken, up to the last second before
the node was lost. With --at it is the mail as it was at that time, one of the points that ls and show list, to the millisecond; the log, and what the region has promised others (names, residences, moves, orders, spent tokens, erased
accounts) are never taken back.

With --account the mail of one account is written into a folder, below Restored/, with all that the account had of it: flags, keywords, dates,
UIDs, subscriptions, special uses and annotations of mailboxes. mailctl account import --from maildir:DIR brings that in; the data folder stays as it is, and its node may run.

In another region, and at another node, it is refused (wrong_region); if that one's own log is here, the
refusal is a leaf in it, with a receipt. The node then serves nothing until all who cosign its log have said that they
know no newer one, and gives every mailbox a new UIDVALIDITY, so that mail programs read their mailboxes anew.`,
		Example: `  mailctl backup restore /mnt/backup --config /etc/domicile/node.toml
  mailctl backup restore /mnt/backup --config /etc/domicile/node.toml --at 2026-11-26T08:30:00Z
  mailctl backup restore /var/backups/eu-ireland.backup --config /etc/domicile/node.toml`,
		Args: args("F"),
		RunE: func(cmd *cobra.Command, file []string) error {
			if err := needs(cmd, "config"); err != nil {
				return err
			}
			n, err := backupNode(conf)
			if err != nil {
				return err
			}
			if (account == "") != (to == "") {
				return usage(cmd, "--account and --to go together")
			}
			if account != "" {
				return a.restoreAccount(cmd, n, accountWords{file[0], when, account, to})
			}
			if info, err := os.Stat(file[0]); err == nil && info.IsDir() {
				return a.restoreFrom(cmd, n, file[0], when)
			}
			if when != "" {
				return usage(cmd, "--at needs the folder of a repository: a file is of one time")
			}
			f, err := os.Open(file[0])
			if err != nil {
				return &domicile.Error{Op: "backup restore", Kind: domicile.Invalid, Err: err}
			}
			defer f.Close()
			m := a.meter("backup restore")
			info, err := backup.Restore(n, io.TeeReader(f, &metered{m: m, total: sizeOf(f)}))
			m.end()
			if domicile.ReasonOf(err) == domicile.WrongRegion {
				return a.refusedBackup(n, info, err)
			}
			if err != nil {
				return err
			}
			return a.showBackup(info, n.Data)
		},
	}
	cmd.Flags().StringVar(&conf, "config", "", "the node's configuration, a `file`")
	cmd.Flags().StringVar(&account, "account", "", "the mail of this `address` alone, into the folder --to; the node may run")
	cmd.Flags().StringVar(&to, "to", "", "new or empty `folder` for the mail of --account")
	cmd.Flags().StringVar(&when, "at", "", "the mail as it was at this `time`, such as 2026-11-26T08:30:00Z; needs a repository")
	return cmd
}

// sizeOf is how long a file is, 0 if nobody knows.
func sizeOf(f *os.File) int64 {
	if info, err := f.Stat(); err == nil {
		return info.Size()
	}
	return 0
}

// refusedBackup puts the refusal on the record of the node at which it was tried, where it has one.
func (a *app) refusedBackup(n backup.Node, info backup.Info, why error) error {
	receipt, err := backup.RecordRefusal(n, info, why)
	switch {
	case err != nil:
		a.note("mailctl: the refusal could not be recorded here: %v", err)
	case receipt == nil:
		a.note("mailctl: the refusal is not on record: this node has no log yet")
	}
	return &recorded{why, receipt}
}

// recorded is a refusal with the receipt of its leaf, made here and not by a node that was asked.
type recorded struct {
	error
	receipt []byte
}

func (r *recorded) Unwrap() error { return r.error }

func (a *app) backupShow() *cobra.Command {
	return &cobra.Command{
		Use: "show F", Short: "Show what a file or a repository says of itself; nothing of it is proven before it is restored",
		Example: "  mailctl backup show /mnt/backup\n  mailctl backup show /var/backups/eu-ireland.backup", Args: args("F"),
		RunE: func(_ *cobra.Command, file []string) error {
			if info, err := os.Stat(file[0]); err == nil && info.IsDir() {
				return a.showRepository(file[0])
			}
			f, err := os.Open(file[0])
			if err != nil {
				return &domicile.Error{Op: "backup show", Kind: domicile.Invalid, Err: err}
			}
			defer f.Close()
			info, _, err := backup.Read(f)
			if err != nil {
				return err
			}
			return a.showBackup(info, file[0])
		},
	}
}

func (a *app) showBackup(info backup.Info, where string) error {
	v := struct {
		backup.Info
		Where string `json:"where"`
	}{info, where}
	return a.show(v, func(t *table) {
		t.field("backup of", string(info.Node)+" in "+string(info.Region))
		t.field("made", when(info.Made))
		if info.Period != "" {
			t.field("period", info.Period+", which ends "+when(info.Ends))
		}
		t.field("where", where)
	})
}
