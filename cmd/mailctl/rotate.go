package main

import (
	"github.com/spf13/cobra"

	"domicile/keys"
	"domicile/region"
)

func (a *app) keysRotate() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use:   "rotate DIR --root-key F --new-root-key G",
		Short: "Put another root key in the place of a region's, offline; no mail is rewritten",
		Long: `Seal the secret of a stopped node's data folder, and the keys of periods, under another root key, which lies beside the old one. That is
some hundred bytes: no mail is rewritten. Do it for each node of the region, with the same new key, then name the new key in
root_key, or give it the old one's name. Interrupted, it is said again. What the old key opened it still opens in older copies
of the folder: destroy it, and keep a copy of the new one offline, in the region.`,
		Example: `  mailctl keys root --to /etc/domicile/next.key
  mailctl keys rotate /var/lib/domicile/data --root-key /etc/domicile/root.key --new-root-key /etc/domicile/next.key
  mv /etc/domicile/next.key /etc/domicile/root.key`,
		Args: args("DIR"),
		RunE: func(cmd *cobra.Command, dir []string) error {
			if err := needs(cmd, "root-key", "new-root-key"); err != nil {
				return err
			}
			return a.rotate(dir[0], from, to)
		},
	}
	cmd.Flags().StringVar(&from, "root-key", "", "the region's root key, a `file`")
	cmd.Flags().StringVar(&to, "new-root-key", "", "the root key that takes its place, a `file` in the same folder")
	return cmd
}

func (a *app) rotate(dir, from, to string) error {
	r, node, err := region.ReadStamp(dir)
	if err != nil {
		return err
	}
	release, err := region.Lock(dir)
	if err != nil {
		return err
	}
	defer release()
	old, err := keys.LoadRoot(from)
	if err != nil {
		return err
	}
	next, err := keys.LoadRoot(to)
	if err != nil {
		return err
	}
	if err := old.Rotate(next, dir); err != nil {
		return err
	}
	v := struct {
		Region string `json:"region"`
		Node   string `json:"node"`
		File   string `json:"file"`
	}{string(r), string(node), to}
	return a.show(v, func(t *table) {
		t.field("node", v.Node+" in "+v.Region)
		t.field("opens under", to)
		t.field("next", "name "+to+" in root_key, or give it the name "+from+"; destroy the old key and its copies")
	})
}

func (a *app) keysPeriods() *cobra.Command {
	group := &cobra.Command{Use: "period", Short: "The keys of backups: until when each can be read",
		Long: `A backup is sealed under the key of its period, the month in which it was made, which lies in the folder wraps beside the root key. It is
destroyed at the period's end, by the next backup, or here: then none of its backups can be read any more.`,
		Example: `  mailctl keys period ls --root-key /etc/domicile/root.key
  mailctl keys period destroy 2026-11-0f36d763 --root-key /etc/domicile/root.key`}
	group.AddCommand(a.periodList(), a.periodDestroy())
	strictGroup(group)
	return group
}

func (a *app) periodList() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use: "ls --root-key F", Short: "List the periods of which backups can be read", Args: args(),
		Example: "  mailctl keys period ls --root-key /etc/domicile/root.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "root-key"); err != nil {
				return err
			}
			return a.showPeriods(root)
		},
	}
	cmd.Flags().StringVar(&root, "root-key", "", "the region's root key, a `file`")
	return cmd
}

func (a *app) periodDestroy() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use: "destroy NAME --root-key F", Short: "Destroy the key of a period: its backups can never be read again",
		Long: `Destroy the key of a period. Nothing of its backups can be read from then on, of erased accounts or of others: make a new backup first if
there is to be one; it begins another period. Copies of the key's file that were kept elsewhere are yours to destroy.`,
		Example: "  mailctl keys period destroy 2026-11-0f36d763 --root-key /etc/domicile/root.key", Args: args("NAME"),
		RunE: func(cmd *cobra.Command, name []string) error {
			if err := needs(cmd, "root-key"); err != nil {
				return err
			}
			key, err := keys.LoadRoot(root)
			if err != nil {
				return err
			}
			if _, err := key.Period(name[0]); err != nil {
				return err
			}
			if err := key.DestroyPeriod(name[0]); err != nil {
				return err
			}
			return a.showPeriods(root)
		},
	}
	cmd.Flags().StringVar(&root, "root-key", "", "the region's root key, a `file`")
	return cmd
}

func (a *app) showPeriods(root string) error {
	key, err := keys.LoadRoot(root)
	if err != nil {
		return err
	}
	list, err := key.Periods()
	if err != nil {
		return err
	}
	if list == nil {
		list = []*keys.Period{}
	}
	return a.show(list, func(t *table) {
		t.row("PERIOD", "BEGAN", "ENDS")
		for _, p := range list {
			t.row(p.Name, when(p.Made), when(p.Ends))
		}
	})
}
