// Mailnode is one node of domicile: serve runs it, check says what is wrong with its configuration, demo tells the
// whole story on loopback with real processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"domicile/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitInvalid = 2 // the words on the command line, or the configuration, are wrong
)

// errUsage marks errors in the words on the command line.
var errUsage = errors.New("see mailnode --help")

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := &cobra.Command{
		Use:           "mailnode",
		Short:         "One node of domicile, an e-mail store whose bytes rest where their owner lives",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\n%s%w", err, cmd.UsageString(), errUsage)
	})
	root.AddCommand(serveCommand(), healthCommand(), initCommand(), checkCommand(), demoCommand(), manCommand(), versionCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintln(errOut, problems) // a line each, as editors and scripts read them
		return exitInvalid
	}
	fmt.Fprintln(errOut, "mailnode:", err)
	if errors.Is(err, errUsage) || errors.Is(err, errConfig) {
		return exitInvalid
	}
	return exitFailed
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s does not know %q: %w", cmd.CommandPath(), args[0], errUsage)
	}
	return nil
}

// errConfig marks a configuration that could not be read at all.
var errConfig = errors.New("mailnode check --config FILE says all that is wrong with a configuration")

func load(path string) (*config.Node, error) {
	n, err := config.Load(path)
	if err == nil {
		return n, nil
	}
	if _, ok := errors.AsType[config.Problems](err); ok {
		return nil, err
	}
	return nil, fmt.Errorf("%w\n%w", err, errConfig)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  mailnode version",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "mailnode", version())
			return err
		},
	}
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version + " (" + info.GoVersion + ")"
}
