package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"domicile/config"
	"domicile/region"
)

// drainTime is how long a node waits at its end for calls and sessions under way.
const drainTime = 10 * time.Second

func serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve --config node.toml",
		Short: "Run one node until SIGTERM",
		Long: `Run one node. When everything listens, one JSON line on the standard output says so and where; the log goes to
the standard error as JSON. SIGTERM drains and exits 0. SIGHUP reads the catalog, the node's certificate and the gossip
keys again: a bad one is refused, and the old one stays.`,
		Example: "  mailnode serve --config eu-ireland-1/node.toml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(path)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&path, "config", "node.toml", "the configuration `file`")
	return cmd
}

// ready is the line that says that a node serves. Absent fronts are absent.
type ready struct {
	Ready       bool   `json:"ready"`
	Node        string `json:"node"`
	Region      string `json:"region,omitempty"`
	RPC         string `json:"rpc"`
	SMTP        string `json:"smtp,omitempty"`
	LMTP        string `json:"lmtp,omitempty"`
	Submission  string `json:"submission,omitempty"`
	Submissions string `json:"submissions,omitempty"`
	IMAP        string `json:"imap,omitempty"`
	IMAPS       string `json:"imaps,omitempty"`
	Admin       string `json:"admin,omitempty"`
	HTTP        string `json:"http,omitempty"`
}

// sealDefaults makes libraries that dial by themselves fail. Once: a test runs several nodes in one process.
var sealDefaults = sync.OnceFunc(region.SealDefaults)

// serve runs a node until ctx ends or a part fails.
func serve(ctx context.Context, cfg *config.Node, out, errOut io.Writer) error {
	sealDefaults()
	if err := noCoreDumps(); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return err
	}
	// Memory that is never touched takes none, but has the collector wait for as much garbage more: a node's heap is so small that it
	// would collect many times a second under load.
	ballast := make([]byte, 32<<20)
	defer runtime.KeepAlive(ballast)
	log := slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: level}))
	limitMemory(cfg.Memory, log)
	n := &node{cfg: cfg, log: log, failed: make(chan error, 8), counts: newCounts(), began: time.Now()}
	defer n.closeAll()
	if err := n.confirmRestored(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	if err := n.build(); err != nil {
		return err
	}
	at, err := n.start(ctx)
	if err != nil {
		return err
	}
	n.at.Store(&at)
	if err := json.NewEncoder(out).Encode(at); err != nil {
		return err
	}
	return n.wait(ctx)
}

// wait serves until ctx ends or a part fails, and reads catalog, certificate and gossip keys again at SIGHUP.
func (n *node) wait(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			n.log.Info("draining")
			return n.drain()
		case err := <-n.failed:
			return errors.Join(err, n.drain())
		case <-n.net.Done():
			return errors.Join(n.net.Err(), n.drain())
		case <-hup:
			n.reloadCatalog(ctx)
			n.reloadIdentity()
			n.reloadGossip()
		}
	}
}
