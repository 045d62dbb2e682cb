package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"domicile/admin"
	"domicile/residence"
)

func (a *app) residenceCommand() *cobra.Command {
	group := &cobra.Command{Use: "residence", Short: "Where customers live, and changes of it",
		Example: "  mailctl residence declare anna@example.com --country DE --evidence billing=DE --evidence bank=DE"}
	group.AddCommand(a.residenceDeclare("declare"), a.residenceDeclare("reassign"), a.residenceList(), a.residenceShow(),
		a.residenceReview("approve", "Approve a change, as a second person, when it has rested", (*admin.Client).ApproveChange),
		a.residenceReview("reject", "Close a change; the residence stays as it is", (*admin.Client).RejectChange),
		a.residenceReview("contest", "Mark a change as disputed; the mail stays where it is", (*admin.Client).ContestChange))
	return group
}

func (a *app) residenceDeclare(verb string) *cobra.Command {
	var in admin.DeclareResidence
	cmd := &cobra.Command{
		Use:   verb + " ADDR --country CC --evidence KIND=CC ...",
		Short: "Ask for a change of residence, on two independent items of evidence",
		Long: `Ask for a change of residence. It needs two items of different kinds that agree; kinds are billing, bank, sim, ip, tax,
wallet, document and operator. It then rests, and a second person approves it.`,
		Example: "  mailctl residence " + verb + " anna@example.com --country DE --evidence billing=DE --evidence bank=DE",
		Args:    args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			if err := needs(cmd, "country"); err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			in.Address = addr[0]
			change, err := c.DeclareResidence(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showChange(change)
		},
	}
	cmd.Flags().StringVar(&in.Country, "country", "", "the new country, ISO 3166-1 alpha-2 `CC`")
	cmd.Flags().StringArrayVar(&in.Evidence, "evidence", nil, "an item of evidence, `KIND=CC`; give it again for another")
	return cmd
}

func (a *app) showChange(c residence.Change) error {
	return a.show(c, func(t *table) {
		t.field("change", c.ID)
		t.field("account", c.Account)
		t.field("from", c.From)
		t.field("to", c.To)
		t.field("state", c.State)
		t.field("requested", when(c.Requested)+" by "+c.By.Name)
		t.field("reviewer", c.Reviewer)
		t.field("reason", c.Reason)
	})
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

func (a *app) residenceList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the changes of residence asked for in the region", Example: "  mailctl residence ls", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Changes(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("ID", "FROM", "TO", "STATE", "REQUESTED", "BY", "REVIEWER")
				for _, v := range all {
					t.row(v.ID, v.From, v.To, v.State, when(v.Requested), v.By.Name, v.Reviewer)
				}
			})
		},
	}
}

func (a *app) residenceShow() *cobra.Command {
	var at, known string
	cmd := &cobra.Command{
		Use: "show ADDR", Short: "Show an account's residence, now or as of a time, as was known at a time", Args: args("ADDR"),
		Example: "  mailctl residence show anna@example.com --at 2026-01-31 --known-at 2026-06-30T12:00:00Z",
		RunE: func(cmd *cobra.Command, addr []string) (err error) {
			in := admin.ShowResidence{Address: addr[0]}
			if in.At, err = parseTime(cmd, "at", at); err != nil {
				return err
			}
			if in.KnownAt, err = parseTime(cmd, "known-at", known); err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.Residence(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showResidence(v)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "what held at this `time` (2026-01-31 or RFC 3339)")
	cmd.Flags().StringVar(&known, "known-at", "", "as far as was known at this `time`")
	return cmd
}

func (a *app) showResidence(v admin.ResidenceView) error {
	return a.show(v, func(t *table) {
		t.field("address", v.Address)
		t.field("residence", v.Country)
		t.field("since", when(v.Since))
		t.field("state", v.State)
		for _, c := range v.Cases {
			t.field("frozen by", c)
		}
		t.row()
		t.row("KNOWN AT", "ACT", "COUNTRY", "VALID FROM", "BY", "CHANGE")
		for _, e := range v.History {
			t.row(when(e.KnownAt), e.Act, e.Country, when(e.ValidFrom), e.By.Name, e.Change)
		}
	})
}

// parseTime reads a day (its first moment, UTC) or an RFC 3339 time; "" is no time.
func parseTime(cmd *cobra.Command, flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(cmd, "--"+flag+" must be a day such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z")
}

func (a *app) residenceReview(verb, short string, act func(*admin.Client, context.Context, string) (residence.Change, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Example: "  mailctl residence " + verb + " aexampleaccount.1", Args: args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			change, err := act(c, cmd.Context(), id[0])
			if err != nil {
				return err
			}
			return a.showChange(change)
		},
	}
}
