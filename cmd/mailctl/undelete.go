package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
)

// undeleteBatch is how many messages one call brings back.
const undeleteBatch = 500

// undeleteWords are the flags of account undelete.
type undeleteWords struct {
	to, since string
	ids       []string
	dryRun    bool
}

// undeleted is what account undelete says.
type undeleted struct {
	Address  string   `json:"address"`
	Mailbox  string   `json:"mailbox"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Messages int      `json:"messages"`
	Bytes    int64    `json:"bytes"`
	Leaves   []uint64 `json:"leaves"` // the records of it
}

func (a *app) accountUndelete() *cobra.Command {
	var w undeleteWords
	cmd := &cobra.Command{
		Use:   "undelete ADDR",
		Short: "Bring back what the owner expunged",
		Long: `Put messages that the owner expunged into a mailbox of the account, which is made if absent: byte for byte, with the flags that they
had, but \Deleted, and their dates. Without --id it is all that account expunged lists. Run it again if it was cut off: what is back is
not brought back twice. There must be room for it in the quota.`,
		Example: `  mailctl account undelete anna@example.com --dry-run
  mailctl account undelete anna@example.com --since 2026-11-20T14:00:00Z
  mailctl account undelete anna@example.com --id mexamplemessage --to INBOX`,
		Args: args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			since, err := parseTime(cmd, "since", w.since)
			if err == nil {
				err = named(cmd, "to", "since")
			}
			if err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			return a.undelete(cmd.Context(), c, addr[0], since, w)
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.to, "to", "Restored", "the `mailbox` to put them into")
	f.StringVar(&w.since, "since", "", "only what was expunged at this `time` (2026-01-31 or RFC 3339) or later")
	f.StringArrayVar(&w.ids, "id", nil, "only the message of this `ID`; may be given again")
	f.BoolVar(&w.dryRun, "dry-run", false, "only count what would be brought back")
	return cmd
}

func (a *app) undelete(ctx context.Context, c *admin.Client, address string, since time.Time, w undeleteWords) error {
	found, err := expunged(ctx, c, address, since)
	if err != nil {
		return err
	}
	list, err := chosen(found.List, w.ids)
	if err != nil {
		return err
	}
	out := undeleted{Address: string(found.Address), Mailbox: w.to, DryRun: w.dryRun, Leaves: []uint64{}}
	if w.dryRun {
		for _, m := range list {
			out.Messages, out.Bytes = out.Messages+1, out.Bytes+m.Bytes
		}
		return a.showUndeleted(out)
	}
	for batch := range slices.Chunk(list, undeleteBatch) {
		in := admin.Undelete{Address: address, To: w.to, Token: undeleteToken(w.to, batch)}
		for _, m := range batch {
			in.IDs = append(in.IDs, m.ID)
		}
		done, err := c.Undelete(ctx, in)
		if err != nil {
			if out.Messages > 0 {
				a.note("%d messages are back, %d bytes; the rest is not", out.Messages, out.Bytes)
			}
			return err
		}
		out.Mailbox, out.Messages, out.Bytes = done.Mailbox, out.Messages+done.Messages, out.Bytes+done.Bytes
		if done.Leaf != nil {
			out.Leaves = append(out.Leaves, *done.Leaf)
		}
	}
	return a.showUndeleted(out)
}

// chosen are the messages of those ids, or all if none is named.
func chosen(all []admin.ExpungedMessage, ids []string) ([]admin.ExpungedMessage, error) {
	if len(ids) == 0 {
		return all, nil
	}
	var out []admin.ExpungedMessage
	missing := slices.Clone(ids)
	for _, m := range all {
		if slices.Contains(ids, string(m.ID)) {
			out = append(out, m)
			missing = slices.DeleteFunc(missing, func(id string) bool { return id == string(m.ID) })
		}
	}
	if len(missing) > 0 {
		return nil, domicile.E("account undelete", domicile.NotExist, fmt.Sprintf("account expunged lists no message %q: is it back already, or its time over?", missing[0]))
	}
	return out, nil
}

// undeleteToken is the same for the same act. A message that is expunged once more is another: the time tells.
func undeleteToken(to string, batch []admin.ExpungedMessage) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", to)
	for _, m := range batch {
		fmt.Fprintf(h, " %q %d", m.ID, m.Expunged.UnixMilli())
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (a *app) showUndeleted(v undeleted) error {
	return a.show(v, func(t *table) {
		t.field("address", v.Address)
		t.field("mailbox", v.Mailbox)
		what := "brought back"
		if v.DryRun {
			what = "would come back"
		}
		t.field(what, fmt.Sprintf("%d messages, %d bytes", v.Messages, v.Bytes))
		for _, l := range v.Leaves {
			t.field("leaf", l)
		}
	})
}
