package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
	"domicile/move"
)

func (a *app) moveCommand() *cobra.Command {
	group := &cobra.Command{Use: "move", Short: "Accounts on their way to another region", Example: "  mailctl move ls",
		Long: `Accounts on their way to another region. An approved change of residence becomes a move by itself; its id is that of the
change, with -2, -3 behind it where it was tried again. Ask either region: each tells its own side.`}
	group.AddCommand(a.moveList(), a.moveShow(), a.moveWatch(), a.moveCancel())
	return group
}

func (a *app) moveList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the moves out of and into the node's region", Example: "  mailctl move ls --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Moves(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("ID", "SIDE", "FROM", "TO", "STATE", "SINCE", "COPIED")
				for _, v := range all {
					t.row(v.ID, v.Side, v.From, v.To, v.State, when(v.Changed), copied(v))
				}
			})
		},
	}
}

// moveCall is a verb that names a move and answers with it.
func (a *app) moveCall(verb, short, long string, act func(*admin.Client, context.Context, string) (move.Info, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Long: long, Example: "  mailctl move " + verb + " aexampleaccount.1", Args: args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := act(c, cmd.Context(), id[0])
			if err != nil {
				return err
			}
			return a.showMove(v)
		},
	}
}

func (a *app) moveShow() *cobra.Command {
	return a.moveCall("show", "Show one move, with its leaves of the log", "", (*admin.Client).Move)
}

func (a *app) moveCancel() *cobra.Command {
	return a.moveCall("cancel", "End a move before its handover", `End a move out of the node's region, before its handover: the account serves again where it is, and the change of residence
rests anew. After the handover this is refused (move_past_handover).`, (*admin.Client).CancelMove)
}

func (a *app) showMove(v move.Info) error {
	return a.show(v, func(t *table) {
		t.field("move", v.ID)
		t.field("side", v.Side)
		t.field("account", v.Account)
		t.field("change", v.Change)
		t.field("from", v.From)
		t.field("to", v.To)
		t.field("residence", v.Country)
		t.field("epoch", v.Epoch)
		t.field("state", string(v.State)+" since "+when(v.Changed))
		t.field("code", v.Code)
		t.field("copied", copied(v))
		for _, s := range slices.SortedFunc(maps.Keys(v.Leaves), func(x, y move.State) int { return int(v.Leaves[x]) - int(v.Leaves[y]) }) {
			t.field("leaf", fmt.Sprintf("%d %s", v.Leaves[s], s))
		}
		if v.Receipt != nil {
			t.field("erased", fmt.Sprintf("leaf %d of %s, leaf %d of %s", v.Receipt.Source, v.From, v.Receipt.Target, v.To))
		}
	})
}

// copied is how far the bodies are.
func copied(v move.Info) string {
	if v.Total == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d bytes", v.Bytes, v.Total)
}

// Patience of watch.
const (
	watchEvery = time.Second
	watchTries = 30 // that a node may fail to answer, one after another
	watchBegun = 5  // that a move may not be there yet: it begins a moment after the approval
)

func (a *app) moveWatch() *cobra.Command {
	return &cobra.Command{
		Use: "watch ID", Short: "Follow a move to its end", Args: args("ID"), Example: "  mailctl move watch aexampleaccount.1",
		Long: `Follow a move to its end, and print it. On a terminal a bar is drawn, else a line for each change, both on the standard error.
A node that does not answer is asked again for a while. Exit code 0 says that the account has moved, 1 that the move was cancelled.`,
		RunE: func(cmd *cobra.Command, id []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := a.watch(cmd.Context(), id[0], c.Move)
			if err != nil {
				return err
			}
			if err := a.showMove(v); err != nil {
				return err
			}
			if v.State != move.Erased {
				return exitError(exitFailed)
			}
			return nil
		},
	}
}

// watch asks until the move has ended on this side.
func (a *app) watch(ctx context.Context, id string, ask func(context.Context, string) (move.Info, error)) (move.Info, error) {
	draw := a.lines()
	if a.terminal() {
		draw = a.bar()
	}
	for failed, seen := 0, false; ; {
		v, err := ask(ctx, id)
		switch k := domicile.KindOf(err); {
		case err == nil:
			failed, seen = 0, true
			if draw(v); v.Done || v.State == move.Cancelled || v.State == move.Abandoned {
				return v, nil
			}
		case (k == domicile.Unavailable || k == domicile.Unknown) && failed < watchTries && ctx.Err() == nil:
			failed++
		case k == domicile.NotExist && !seen && failed < watchBegun && ctx.Err() == nil:
			failed++
		default:
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, domicile.E("watch a move", domicile.Unavailable, "interrupted; the move goes on")
		case <-time.After(a.every):
		}
	}
}

// lines tells each change on a line of its own.
func (a *app) lines() func(move.Info) {
	last := ""
	return func(v move.Info) {
		line := string(v.State)
		if c := copied(v); c != "" && v.State == move.Copying {
			line += ", " + c
		}
		if v.Code != "" {
			line += " (" + v.Code + ")"
		}
		if line != last {
			a.note("%s", line)
			last = line
		}
	}
}

// bar draws how far a move is, over the line before.
func (a *app) bar() func(move.Info) {
	const width = 40
	return func(v move.Info) {
		filled := 0
		switch {
		case v.State == move.HandedOver || v.State == move.Serving || v.State == move.Erased:
			filled = width
		case v.Total > 0:
			filled = int(int64(width) * v.Bytes / v.Total)
		}
		fmt.Fprintf(a.errOut, "\r\x1b[K[%s%s] %s %s", strings.Repeat("#", filled), strings.Repeat(".", width-filled), v.State, printable(v.Code))
		if v.Done || v.State == move.Cancelled || v.State == move.Abandoned {
			fmt.Fprintln(a.errOut)
		}
	}
}

// terminal says whether somebody looks at the standard error.
func (a *app) terminal() bool {
	f, ok := a.errOut.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
