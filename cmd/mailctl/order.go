package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
	"domicile/disclosure"
)

func (a *app) orderCommand() *cobra.Command {
	group := &cobra.Command{Use: "order", Short: "Orders of authorities: cases from receipt to delivery",
		Example: "  mailctl order submit --token warrant.token --target anna@example.com --document warrant.pdf"}
	group.AddCommand(a.orderSubmit(), a.orderList(), a.orderShow(), a.orderExplain(), a.orderJudge(), a.orderProduce(), a.orderRelease(),
		a.orderCourt("stay", "Enter a court's stay: nothing leaves after it", (*admin.Client).StayOrder),
		a.orderCourt("lift", "Enter that a stay was lifted", (*admin.Client).LiftOrder),
		a.orderCourt("withdraw", "Enter that the order was withdrawn", (*admin.Client).WithdrawOrder))
	return group
}

// orderAnswer is an answer of the engine, its receipt a file; a refusal adds what every refusal has.
type orderAnswer struct {
	Case     string          `json:"case"`
	Decision string          `json:"decision"`
	Code     domicile.Reason `json:"code"`
	Rule     string          `json:"rule"`
	Awaiting string          `json:"awaiting"`
	State    string          `json:"state,omitempty"`
	Receipt  string          `json:"receipt"`
	Refused  domicile.Reason `json:"refused,omitempty"`
	Detail   string          `json:"detail,omitempty"`
}

// showAnswer prints an answer and keeps its receipt; a refusal ends in exit code 3.
func (a *app) showAnswer(in disclosure.Answer) error {
	what := string(in.Code)
	if what == "" {
		what = in.Decision
	}
	path := a.keepReceipt(what, in.Receipt)
	v := orderAnswer{Case: in.Case, Decision: in.Decision, Code: in.Code, Rule: in.Rule, Awaiting: in.Awaiting, State: in.State, Receipt: path, Detail: in.Detail}
	if in.Decision == "refuse" {
		v.Refused = in.Code
	}
	err := a.show(v, func(t *table) {
		t.field("case", v.Case)
		t.field("decision", v.Decision)
		t.field("code", v.Code)
		t.field("rule", v.Rule)
		t.field("state", v.State)
		t.field("awaiting", v.Awaiting)
		t.field("detail", v.Detail)
		t.field("receipt", v.Receipt)
	})
	if err == nil && v.Refused != "" {
		err = exitError(exitRefused)
	}
	return err
}

func (a *app) orderSubmit() *cobra.Command {
	var in admin.SubmitOrder
	var token, document string
	cmd := &cobra.Command{
		Use:   "submit --target ADDR",
		Short: "Open a case for an order served on this region, and say how it is decided",
		Long: `Open a case for an order served on this region: authenticate its token, preserve, decide by the region's law. Exit 0 if
it is to be executed, referred or waits; 3 if it is refused, with a receipt that anyone can check offline.`,
		Example: "  mailctl order submit --token warrant.token --target anna@example.com --document warrant.pdf --receipts receipts",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := needs(cmd, "target"); err != nil {
				return err
			}
			if err := named(cmd, "token", "document"); err != nil { // a shell's unset variable must not open a case without a token
				return err
			}
			if token != "" {
				if in.Token, err = readFile(token); err != nil {
					return err
				}
			}
			if document != "" {
				if in.Document, err = readFile(document); err != nil {
					return err
				}
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := writable(cmd, "--receipts", a.receipts); err != nil {
				return err
			}
			answer, err := c.SubmitOrder(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showAnswer(answer)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "legal-basis token, a `file`; without one the order is refused (no_token)")
	cmd.Flags().StringVar(&in.Target, "target", "", "the `address` that the order is about")
	cmd.Flags().StringVar(&document, "document", "", "the order as people read it, a `file`")
	return cmd
}

func (a *app) orderList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the region's cases", Example: "  mailctl order ls", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Cases(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("CASE", "RECEIVED", "ORDER", "ISSUER", "STATE", "DECISION", "CODE", "AWAITING")
				for _, v := range all {
					t.row(v.Case, when(v.Received), v.OrderType, v.Issuer, v.State, v.Decision, v.Code, v.Awaiting)
				}
			})
		},
	}
}

func (a *app) orderShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a case and its history", Example: "  mailctl order show cexamplecase", Args: args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.Case(cmd.Context(), id[0])
			if err != nil {
				return err
			}
			return a.show(v, func(t *table) {
				t.field("case", v.Case)
				t.field("order", v.OrderType)
				t.field("issuer", v.Issuer)
				t.field("docket", v.Docket)
				t.field("target", v.Target)
				t.field("received", when(v.Received))
				t.field("state", v.State)
				t.field("decision", v.Decision)
				t.field("code", v.Code)
				t.field("rule", v.Rule)
				t.field("awaiting", v.Awaiting)
				t.row()
				t.row("TIME", "STATE", "BY", "LEAF", "NOTE")
				for _, h := range v.History {
					t.row(when(h.Time), h.State, h.By, h.Leaf, h.Note)
				}
			})
		},
	}
}

func (a *app) orderExplain() *cobra.Command {
	var in admin.ExplainOrder
	var token, date, facts string
	cmd := &cobra.Command{
		Use:   "explain ID | explain --token F --target ADDR",
		Short: "Say what would be answered, by which rule and fact; nothing changes",
		Example: `  mailctl order explain cexamplecase
  mailctl order explain --token warrant.token --target anna@example.com --bundle us-2014 --date 2014-05-01`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, id []string) (err error) {
			if (len(id) == 1) == (token != "") {
				return usage(cmd, "name a case, or a token by --token and a target by --target")
			}
			if len(id) == 1 {
				in.Case = id[0]
			} else if err := needs(cmd, "target"); err != nil {
				return err
			} else if in.Token, err = readFile(token); err != nil {
				return err
			}
			if in.Date, err = parseTime(cmd, "date", date); err != nil {
				return err
			}
			if in.Facts, err = readFacts(cmd, facts); err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.ExplainOrder(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showExplanation(v)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "legal-basis token, a `file`")
	cmd.Flags().StringVar(&in.Target, "target", "", "the `address` that the order is about")
	cmd.Flags().StringVar(&in.Bundle, "bundle", "", "ask this `bundle` alone, in force or not")
	cmd.Flags().StringVar(&date, "date", "", "as of this `day`")
	cmd.Flags().StringVar(&facts, "facts", "", "a JSON `file` of facts to put in place of the real ones")
	return cmd
}

func readFacts(cmd *cobra.Command, path string) (map[string]json.RawMessage, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var facts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &facts); err != nil {
		return nil, usage(cmd, path+" must hold one JSON object: "+err.Error())
	}
	return facts, nil
}

func (a *app) showExplanation(v disclosure.Explanation) error {
	return a.show(v, func(t *table) {
		t.field("decision", v.Decision)
		t.field("code", v.Code)
		t.field("rule", v.Rule)
		t.field("detail", v.Detail)
		for _, r := range v.Rules {
			t.field("determined by", r)
		}
		t.row("questions:", "preserve", v.Preserve, "execute", v.Execute, "refer", v.Refer, "notify", v.Notify)
		for _, b := range v.Bundles {
			t.field("bundle", b)
		}
		t.field("bundle hash", v.BundleHash)
		var facts map[string]json.RawMessage
		if json.Unmarshal(v.Facts, &facts) == nil && len(facts) > 0 {
			t.row()
			t.row("FACT", "VALUE")
			for _, name := range sortedKeys(facts) {
				t.row(name, string(facts[name]))
			}
		}
	})
}

func (a *app) orderJudge() *cobra.Command {
	in := admin.JudgeOrder{}
	cmd := &cobra.Command{
		Use: "judge ID --decision D --reason TEXT", Short: "Record a person's judgement on a referred case", Args: args("ID"),
		Example: `  mailctl order judge cexamplecase --decision refuse --reason "GDPR 48: no agreement cited; the treaty path is open"`,
		RunE: func(cmd *cobra.Command, id []string) error {
			if err := needs(cmd, "decision", "reason"); err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := writable(cmd, "--receipts", a.receipts); err != nil {
				return err
			}
			in.ID = id[0]
			answer, err := c.JudgeOrder(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showJudged(answer)
		},
	}
	cmd.Flags().StringVar(&in.Decision, "decision", "", "execute, object or refuse")
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in `words` for the record")
	return cmd
}

// showJudged prints an answer to a person's own act: a refusal that a person decided is that act done, not this call refused.
func (a *app) showJudged(answer disclosure.Answer) error {
	err := a.showAnswer(answer)
	if err == exitError(exitRefused) {
		return nil
	}
	return err
}

func (a *app) orderCourt(verb, short string, act func(*admin.Client, context.Context, admin.CourtAct) (disclosure.Answer, error)) *cobra.Command {
	var document string
	cmd := &cobra.Command{
		Use: verb + " ID --document F", Short: short, Example: "  mailctl order " + verb + " cexamplecase --document paper.pdf", Args: args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			if err := needs(cmd, "document"); err != nil {
				return err
			}
			paper, err := readFile(document)
			if err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			answer, err := act(c, cmd.Context(), admin.CourtAct{ID: id[0], Document: paper})
			if err != nil {
				return err
			}
			return a.showJudged(answer)
		},
	}
	cmd.Flags().StringVar(&document, "document", "", "the court's paper, a `file`")
	return cmd
}
