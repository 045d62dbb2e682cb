package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"domicile/lab"
)

// errStory marks a demo of which some step did not come out as promised.
var errStory = errors.New("the demo did not go as promised")

func demoCommand() *cobra.Command {
	opts := lab.DemoOptions{}
	var output string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Tell the whole story on loopback, with real nodes, then stay up",
		Long: `Make a lab of two regions and a witness, start one process for each node, and tell the story: real mail, a warrant
refused, a treaty honoured. Then stay up and print what to connect to and try; Ctrl-C leaves no process.`,
		Example: "  mailnode demo\n  mailnode demo --once --output json\n  mailnode demo --mail ~/Mail/inbox.mbox",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output must be text or json: %w", errUsage)
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			opts.JSON, opts.Out, opts.Err, opts.Self = output == "json", cmd.OutOrStdout(), cmd.ErrOrStderr(), self
			failed, err := lab.Demo(cmd.Context(), opts)
			if err == nil && failed > 0 {
				err = fmt.Errorf("%d steps: %w", failed, errStory)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.Once, "once", false, "exit when the story is told; 0 only if every step came out as promised")
	f.StringVar(&output, "output", "text", "text or json: one object a line")
	f.StringVar(&opts.Dir, "dir", "./domicile-demo", "keep the data in `folder`, made anew")
	f.StringVar(&opts.Mail, "mail", "", "load real messages from `path`: a folder of message files, or an mbox file")
	f.IntVar(&opts.BasePort, "base-port", 20000, "first port to use; a busy one picks another and says so")
	return cmd
}
