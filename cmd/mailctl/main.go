// Mailctl is the tool of operators, legal officers and auditors, and of authorities and courts: it talks to the admin
// address of a node, and works offline on receipts, tokens and copied logs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"domicile/admin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program whatever it waits for
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// app is what every command has.
type app struct {
	node, identity   string
	ca               string
	output, receipts string
	in               io.Reader
	out, errOut      io.Writer
	cmd              *cobra.Command // the one that runs
	now              func() time.Time
	every            time.Duration // between two looks at what is watched
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, errOut: errOut, now: time.Now, every: watchEvery}
	root := a.command()
	root.SetArgs(args)
	return a.report(root.ExecuteContext(ctx))
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mailctl",
		Short: "Operate domicile, an e-mail store whose bytes rest where their owner lives",
		Long: `Operate domicile. Most verbs talk to the admin address of a node: say which by --node or DOMICILE_NODE, and who you
are by --identity or DOMICILE_IDENTITY. Exit codes: 0 done, 1 failed, 2 the words were wrong, 3 refused by rule,
4 unavailable, nothing done, try again.`,
		Example: `  export DOMICILE_NODE=127.0.0.1:20007 DOMICILE_IDENTITY=lab/operators/ops-ie.pem
  mailctl account ls`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err.Error()) })
	f := root.PersistentFlags()
	f.StringVar(&a.node, "node", os.Getenv("DOMICILE_NODE"), "admin address of a node, `HOST:PORT` (DOMICILE_NODE)")
	f.StringVar(&a.identity, "identity", os.Getenv("DOMICILE_IDENTITY"), "identity `file`: key, chain and CA (DOMICILE_IDENTITY)")
	f.StringVar(&a.ca, "ca", "", "CA certificate of the node's region, a `file`, if that is not the operator's own")
	f.StringVar(&a.output, "output", "text", "text or json")
	f.StringVar(&a.receipts, "receipts", ".", "`folder` to write receipts to")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.cmd = cmd
		if a.output != "text" && a.output != "json" {
			return usage(cmd, "--output must be text or json")
		}
		return nil
	}
	root.AddCommand(a.accountCommand(), a.residenceCommand(), a.moveCommand(), a.orderCommand(), a.bundleCommand(), a.authorityCommand(), a.tokenCommand(),
		a.receiptCommand(), a.auditCommand(), a.queueCommand(), a.catalogCommand(), a.regionCommand(), a.nodeCommand(), a.caCommand(), a.keysCommand(), a.backupCommand(), a.fsckCommand(), a.labCommand(), a.manCommand(), a.versionCommand())
	for _, c := range root.Commands() {
		strictGroup(c)
	}
	strictGroup(root)
	return root
}

// strictGroup makes a command that only groups verbs refuse words that are none of them.
func strictGroup(group *cobra.Command) {
	if group.Runnable() {
		return
	}
	group.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := strings.TrimSpace(fmt.Sprintf("%s does not know %q", words(cmd), args[0]))
		if words(cmd) == "" {
			text = fmt.Sprintf("there is no command %q", args[0])
		}
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return usage(cmd, text)
	}
	group.Args = cobra.ArbitraryArgs
}

// usageError is about the words on the command line; it ends in exit code 2.
type usageError struct{ text, usage string }

func (e *usageError) Error() string { return e.text }

func usage(cmd *cobra.Command, text string) error {
	return &usageError{text, cmd.UsageString()}
}

// args wants exactly the arguments that names names.
func args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, got []string) error {
		if len(got) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usage(cmd, fmt.Sprintf("%s takes no arguments, got %q", words(cmd), got[0]))
		}
		return usage(cmd, fmt.Sprintf("%s wants %s", words(cmd), strings.Join(names, " ")))
	}
}

// needs refuses a command whose flag was not given.
func needs(cmd *cobra.Command, flags ...string) error {
	for _, f := range flags {
		if !cmd.Flags().Changed(f) {
			return usage(cmd, "--"+f+" is needed")
		}
	}
	return named(cmd, flags...)
}

// named refuses a flag that was given without a value, as an unset variable of a shell leaves it.
func named(cmd *cobra.Command, flags ...string) error {
	for _, f := range flags {
		if cmd.Flags().Changed(f) && cmd.Flags().Lookup(f).Value.String() == "" {
			return usage(cmd, "--"+f+" is empty")
		}
	}
	return nil
}

// client connects to the node of the flags.
func (a *app) client(cmd *cobra.Command) (*admin.Client, error) {
	if a.node == "" {
		return nil, usage(cmd, "say which node: --node HOST:PORT or DOMICILE_NODE")
	}
	if a.identity == "" {
		return nil, usage(cmd, "say who you are: --identity FILE or DOMICILE_IDENTITY")
	}
	id, err := readFile(a.identity)
	if err != nil {
		return nil, err
	}
	if a.ca == "" {
		return admin.NewClient(a.node, id)
	}
	ca, err := readFile(a.ca)
	if err != nil {
		return nil, err
	}
	return admin.NewClient(a.node, id, ca)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  mailctl version",
		Args:    args(),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
			}{Version: "unknown"}
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				v.Version, v.Go = info.Main.Version, info.GoVersion
			}
			return a.show(v, func(t *table) { t.row("mailctl", v.Version, v.Go) })
		},
	}
}

// words is the command as typed, without the program's name, which every message begins with.
func words(cmd *cobra.Command) string {
	return strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "mailctl"))
}
