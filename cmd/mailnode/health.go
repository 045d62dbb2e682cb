package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/region"
)

// Limits of a question about a node's health.
const (
	healthTime = 10 * time.Second
	checkTime  = 2 * time.Second
)

// health is what /readyz answers. Not names what keeps the node from serving, by words of troubles; Warn what an operator should look at although it
// serves: "backup" if the repository is behind for longer than the configuration says.
type health struct {
	Ready bool     `json:"ready"`
	Node  string   `json:"node"`
	Not   []string `json:"not,omitempty"`
	Warn  []string `json:"warn,omitempty"`
}

// troubles names what keeps the node from serving: starting, draining, network, log, journal, store, disk. The words are all
// that is told to somebody unknown; the node's log has the reasons.
func (n *node) troubles() []string {
	var out []string
	not := func(bad bool, what string) {
		if bad {
			out = append(out, what)
		}
	}
	not(n.at.Load() == nil, "starting")
	not(n.draining.Load(), "draining")
	select {
	case <-n.net.Done():
		not(true, "network")
	default:
	}
	not(n.audit != nil && n.audit.Err() != nil, "log")
	not(n.journal != nil && n.journal.Err() != nil, "journal")
	if n.store != nil {
		s := n.storeStats()
		not(s.Broken != nil || !n.storeReads(), "store")
		not(s.Broken == nil && s.Waiting != nil, "disk")
	}
	return out
}

// storeReads looks for an account that cannot be there.
func (n *node) storeReads() bool {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	_, err := n.store.Account(ctx, "none")
	return domicile.KindOf(err) == domicile.NotExist
}

// startHTTP tells health and metrics from here on, long before the node serves.
func (n *node) startHTTP() (string, error) {
	if n.cfg.HTTP.Listen == "" {
		return "", nil
	}
	l, err := n.net.ListenHTTP(n.cfg.HTTP.Listen)
	if err != nil {
		return "", err
	}
	n.measure()
	s := &http.Server{Handler: n.healthHandler(), ReadTimeout: healthTime, WriteTimeout: healthTime, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: log.New(io.Discard, "", 0)} // it would log addresses
	n.opened(s.Close)
	n.work.Go(func() {
		if err := s.Serve(l); err != nil && err != http.ErrServerClosed && !n.draining.Load() {
			n.failed <- err
		}
	})
	return l.Addr().String(), nil
}

func (n *node) healthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		h := health{Node: n.cfg.Name, Not: n.troubles()}
		if h.Ready = len(h.Not) == 0; n.backupBehind() {
			h.Warn = []string{"backup"}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !h.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(h)
	})
	mux.Handle("GET /metrics", n.counts.set.Handler())
	return mux
}

func healthCommand() *cobra.Command {
	var path string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "health --config node.toml",
		Short: "Ask a running node on this machine whether it serves",
		Long: `Ask the node of this configuration, at its http.listen, whether it serves. Exit 0 if it does; 1, and what keeps it from
serving, if it does not. What should be looked at although it serves, such as a backup repository that is behind (warn_behind), is told as a
warning on the standard error. For container health checks, and for start scripts with --wait.`,
		Example: "  mailnode health --config eu-ireland-1/node.toml\n  mailnode health --config /etc/domicile/node.toml --wait 1m",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(path)
			if err != nil {
				return err
			}
			if cfg.HTTP.Listen == "" {
				return fmt.Errorf("%s has no http.listen, where the node could be asked: %w", path, errConfig)
			}
			if wait < 0 || wait > time.Hour {
				return fmt.Errorf("--wait must be from 0 to 1h: %w", errUsage)
			}
			warn, err := waitHealthy(cmd.Context(), cfg.HTTP.Listen, wait)
			if err != nil {
				return err
			}
			for _, w := range warn {
				fmt.Fprintln(cmd.ErrOrStderr(), "mailnode: warning:", cmp.Or(warnings[w], w))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), cfg.Name, "serves")
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", "node.toml", "the configuration `file`")
	cmd.Flags().DurationVar(&wait, "wait", 0, "go on asking for so long")
	return cmd
}

// waitHealthy asks a node until it serves, for so long, once at least.
func waitHealthy(ctx context.Context, addr string, wait time.Duration) (warn []string, err error) {
	for deadline := time.Now().Add(wait); ; {
		warn, err = healthy(ctx, addr)
		if err == nil || time.Now().After(deadline) {
			return warn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// warnings is what the words of a warning mean.
var warnings = map[string]string{"backup": "the backup repository is behind; mailctl backup ls and the node's log say why"}

// healthy asks a node once, and returns its warnings.
func healthy(ctx context.Context, addr string) ([]string, error) {
	const op = "ask for a node's health"
	status, body, err := region.Probe(ctx, addr, "/readyz")
	if err != nil {
		return nil, err
	}
	var h health
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, domicile.E(op, domicile.Other, "what answers at "+addr+" is no node")
	}
	if status != http.StatusOK || !h.Ready {
		return nil, domicile.E(op, domicile.Unavailable, "it does not serve: "+strings.Join(h.Not, ", ")+"; its log has the reasons")
	}
	return h.Warn, nil
}
