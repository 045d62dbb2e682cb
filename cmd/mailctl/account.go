package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"domicile/admin"
)

func (a *app) accountCommand() *cobra.Command {
	group := &cobra.Command{Use: "account", Short: "Accounts of a region", Example: "  mailctl account create anna@example.com --residence IE --password-stdin"}
	group.AddCommand(a.accountCreate(), a.accountList(), a.accountShow(), a.accountWhere(), a.accountPassword(), a.accountAppPassword(), a.accountQuota(), a.accountAbroad(), a.accountExport(), a.accountImport(),
		a.accountRemove(), a.accountExpunged(), a.accountUndelete(), a.accountPurge(),
		a.accountAct("suspend", "End logins; mail is still accepted", "suspended", (*admin.Client).SuspendAccount),
		a.accountAct("resume", "Allow logins again", "resumed", (*admin.Client).ResumeAccount))
	return group
}

func (a *app) accountCreate() *cobra.Command {
	var in admin.CreateAccount
	var stdin bool
	cmd := &cobra.Command{
		Use:   "create ADDR",
		Short: "Make an account, placed by its residence",
		Long: `Make an account in the region that serves its residence. Without --evidence your own statement is the one item.
Asked of another region than the one it belongs in, this is refused and says which one that is.`,
		Example: "  echo 'correct horse' | mailctl account create anna@example.com --residence IE --evidence billing=IE --password-stdin",
		Args:    args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			if err := needs(cmd, "residence"); err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			in.Address = addr[0]
			if in.Password, err = a.password(cmd, stdin); err != nil {
				return err
			}
			made, err := c.CreateAccount(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showAccount(made)
		},
	}
	cmd.Flags().StringVar(&in.Residence, "residence", "", "declared country of residence, ISO 3166-1 alpha-2 `CC`")
	cmd.Flags().StringArrayVar(&in.Evidence, "evidence", nil, "an item of evidence, `KIND=CC`; may be given again")
	cmd.Flags().Int64Var(&in.Quota, "quota", 0, "most `bytes` that it may hold; 0 = no limit")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the standard input")
	return cmd
}

func (a *app) showAccount(v admin.Account) error {
	return a.show(v, func(t *table) {
		t.field("address", v.Address)
		t.field("account", v.Account)
		t.field("region", v.Region)
		t.field("residence", v.Residence)
		t.field("class", v.Class)
		t.field("state", v.State)
		t.field("abroad", v.Abroad)
		t.field("epoch", v.Epoch)
		t.field("created", v.Created.Format("2006-01-02 15:04:05 MST"))
		t.field("quota", quota(v.Quota))
		if v.Messages != nil && v.Bytes != nil {
			t.field("holds", fmt.Sprintf("%d messages, %d bytes", *v.Messages, *v.Bytes))
		}
		if v.Leaf != nil {
			t.field("leaf", *v.Leaf)
		}
	})
}

func quota(n int64) string {
	if n == 0 {
		return "none"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

func (a *app) accountList() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the accounts of the node's region", Example: "  mailctl account ls --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Accounts(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("ADDRESS", "RESIDENCE", "REGION", "STATE", "CLASS", "CREATED")
				for _, v := range all {
					t.row(v.Address, v.Residence, v.Region, v.State, v.Class, v.Created.Format("2006-01-02"))
				}
			})
		},
	}
}

func (a *app) accountShow() *cobra.Command {
	cmd := a.accountAct("show", "Show an account, and how much it holds", "", (*admin.Client).Account)
	return cmd
}

// accountAct is a verb that names an account and answers with it.
func (a *app) accountAct(verb, short, done string, act func(*admin.Client, context.Context, string) (admin.Account, error)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ADDR", Short: short, Example: "  mailctl account " + verb + " anna@example.com", Args: args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := act(c, cmd.Context(), addr[0])
			if err != nil {
				return err
			}
			if done != "" {
				a.note("%s", done)
			}
			return a.showAccount(v)
		},
	}
}

func (a *app) accountRemove() *cobra.Command {
	cmd := a.accountAct("rm", "Remove an account: an operator asks, a legal officer completes it", "", (*admin.Client).RemoveAccount)
	cmd.Long = `Remove an account. It takes two persons: said by an operator, this ends logins and asks for the removal (state removing);
said then by a legal officer, it destroys the account's key and mail and gives its name up (state removed). Until then
account resume takes it back.`
	return cmd
}

func (a *app) accountPassword() *cobra.Command {
	var stdin, apps bool
	cmd := &cobra.Command{
		Use: "passwd ADDR", Short: "Replace an account's password", Args: args("ADDR"),
		Long: `Replace an account's password. Sessions that logged in with the one before end. App passwords, and what logged in with them, stay: each was made
for a device. --remove-app-passwords takes them away too, as behind a break-in.`,
		Example: "  mailctl account passwd anna@example.com --password-stdin < password.txt",
		RunE: func(cmd *cobra.Command, addr []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			word, err := a.password(cmd, stdin)
			if err != nil {
				return err
			}
			v, err := c.SetPassword(cmd.Context(), admin.SetPassword{Address: addr[0], Password: word, RemoveAppPasswords: apps})
			if err != nil {
				return err
			}
			if n := v.AppPasswords; n != nil && *n > 0 {
				a.note("%d app passwords let in as before; account app-password ls shows them", *n)
			}
			return a.showAccount(v)
		},
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the standard input")
	cmd.Flags().BoolVar(&apps, "remove-app-passwords", false, "take all app passwords away too")
	return cmd
}

func (a *app) accountQuota() *cobra.Command {
	var set int64
	cmd := &cobra.Command{
		Use: "quota ADDR", Short: "Show an account's quota, or set it", Args: args("ADDR"),
		Example: "  mailctl account quota anna@example.com --set 10737418240",
		RunE: func(cmd *cobra.Command, addr []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			in := admin.SetQuota{Address: addr[0]}
			if cmd.Flags().Changed("set") {
				in.Quota = &set
			}
			v, err := c.Quota(cmd.Context(), in)
			if err != nil {
				return err
			}
			return a.showAccount(v)
		},
	}
	cmd.Flags().Int64Var(&set, "set", 0, "most `bytes` that it may hold; 0 = no limit")
	return cmd
}

func (a *app) accountAbroad() *cobra.Command {
	return &cobra.Command{
		Use:   "abroad ADDR relay|refer|refuse",
		Short: "Say what happens where the owner logs in at a front of another region",
		Long: `Set the owner's choice for logins at fronts of other regions, to read and to send, once the home has verified the password:

  relay   the session goes on through that region, in its memory only (this is so unless another is chosen)
  refer   the client is told its home's host (IMAP: RFC 2221), which few mail programs follow by themselves
  refuse  the login is refused

Whoever reads by IMAPS under the home's host name is at home from wherever they connect: their TLS ends there, and no choice
is asked.`,
		Example: "  mailctl account abroad anna@example.com refuse", Args: args("ADDR", "relay|refer|refuse"),
		RunE: func(cmd *cobra.Command, words []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.SetAbroad(cmd.Context(), admin.SetAbroad{Address: words[0], Abroad: words[1]})
			if err != nil {
				return err
			}
			return a.showAccount(v)
		},
	}
}

func (a *app) accountWhere() *cobra.Command {
	return &cobra.Command{
		Use: "where ADDR", Short: "Say where an address lives, and why", Example: "  mailctl account where anna@example.com", Args: args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			v, err := c.Where(cmd.Context(), addr[0])
			if err != nil {
				return err
			}
			return a.show(v, func(t *table) {
				t.field("address", v.Address)
				t.field("home", v.Home)
				t.field("node", v.Node)
				t.field("account", v.Account)
				t.field("epoch", v.Epoch)
				t.field("residence", v.Residence)
				if v.Stale {
					t.field("stale", "the registrar is out of reach; this is what it said last")
				}
				t.field("why", v.Why)
			})
		},
	}
}
