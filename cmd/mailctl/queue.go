package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"domicile/admin"
)

func (a *app) queueCommand() *cobra.Command {
	group := &cobra.Command{Use: "queue", Short: "What the region's customers sent and is not delivered yet",
		Long: `The outbound queue of a storing node. ls says how much waits, for how long and why, and not who writes to whom; the other verbs
take the ID that it shows, and say it. They need the role operator, and each is a leaf of the log.`,
		Example: `  mailctl queue ls
  mailctl queue show qexamplemessage`}
	group.AddCommand(a.queueList(),
		a.queueAct("show", "Show a message's sender and recipients, and what became of each", "", (*admin.Client).QueuedMessage),
		a.queueAct("retry", "Try a message at once, and end a hold", "to be tried", (*admin.Client).RetryQueued),
		a.queueAct("hold", "Keep a message from being tried, and from expiring", "held", (*admin.Client).HoldQueued),
		a.queueAct("drop", "Take a message out of the queue; its sender is told", "dropped; its sender is told", (*admin.Client).DropQueued))
	return group
}

func (a *app) queueList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the queue, the oldest first, without saying who writes to whom", Example: "  mailctl queue ls --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Queue(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("ID", "QUEUED", "BYTES", "WAITING", "TRIES", "NEXT", "ANSWER")
				for _, m := range all {
					t.row(m.ID, when(m.Queued), m.Bytes, m.Waiting, m.Tries, nextTry(m), m.Answer)
				}
			})
		},
	}
}

func nextTry(m admin.QueueEntry) string {
	switch {
	case m.Held:
		return "held"
	case !m.Next.After(time.Now()):
		return "now"
	}
	return when(m.Next)
}

// queueAct is a verb that names a message and answers with it. Each is on record, as it shows who writes to whom.
func (a *app) queueAct(verb, short, done string, act func(*admin.Client, context.Context, string) (admin.QueuedMessage, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Example: "  mailctl queue " + verb + " qexamplemessage", Args: args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			m, err := act(c, cmd.Context(), id[0])
			if err != nil {
				return err
			}
			if done != "" {
				a.note("%s", done)
			}
			return a.show(m, func(t *table) {
				t.field("message", m.ID)
				t.field("from", m.Sender)
				t.field("queued", when(m.Queued))
				t.field("bytes", m.Bytes)
				t.field("tries", m.Tries)
				t.field("next", nextTry(m.QueueEntry))
				t.row()
				t.row("TO", "STATE", "ANSWER")
				for _, r := range m.To {
					t.row(r.Address, r.State, r.Answer)
				}
			})
		},
	}
}
