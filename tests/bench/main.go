// Bench measures domicile beside Dovecot, on one machine, in one run and in turn, and prints the tables of
// docs/PERFORMANCE.md. Timings decide nothing: it fails only where a server does not work.
//
//	go run ./tests/bench             all, some 25 minutes
//	go run ./tests/bench -short      a first look, some 3 minutes
//	go run ./tests/bench -parts idlers -accounts 0   ten thousand idle connections, some 20 minutes; with Dovecot some 10 GB of memory
//	go run ./tests/bench -parts slow,accounts
//
// What it is doing is told on standard error, the tables go to standard output as each part ends.
// It needs Linux; root for Dovecot and for cold page caches; strace for the flushes. What is not there is left out and said.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	dir, parts            string
	rounds, big, accounts int
	conns                 int
	most, delay, rest     time.Duration
	peers, short          bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "folder to work in, on the disk to measure (default: a temporary one)")
	flag.StringVar(&o.parts, "parts", strings.Join(partNames[:usualParts], ","), "which parts to run; there is "+strings.Join(partNames[usualParts:], ", ")+" besides")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds, of which the medians count")
	flag.IntVar(&o.big, "big", 10_000, "messages in the big mailbox, 10 KB each")
	flag.IntVar(&o.accounts, "accounts", 100_000, "accounts to deliver to in random order (0: leave that out)")
	flag.DurationVar(&o.most, "most", 1500*time.Millisecond, "time for one load")
	flag.IntVar(&o.conns, "conns", 10_000, "idle connections, in the part idlers")
	flag.DurationVar(&o.rest, "rest", 150*time.Second, "how long they idle before memory is read")
	flag.DurationVar(&o.delay, "delay", 5*time.Millisecond, "what is added to each flush in one part of it (0: leave that out)")
	flag.BoolVar(&o.peers, "peers", true, "measure Dovecot too, where it is installed")
	flag.BoolVar(&o.short, "short", false, "one round with little of all: -rounds 1 -big 2000 -accounts 2000 -most 1s")
	flag.Parse()
	if o.short {
		o.rounds, o.big, o.accounts, o.most = 1, 2000, 2000, time.Second
		flag.Parse() // what is said beside it counts
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// partNames are the parts of a run, in order; the last ones run only if asked for. That of the moves needs the big mailbox that rows makes.
var partNames = []string{"limits", "rows", "moves", "flushes", "slow", "accounts", "idlers"}

const usualParts = 6

// bench is a run: the servers and how they are loaded.
type bench struct {
	options
	ctx       context.Context
	mailbench string
	begun     time.Time
	servers   []*server       // domicile first
	long      map[string]bool // rows that took a server so long that one round must do
}

func (o options) run(ctx context.Context) (err error) {
	wanted := strings.Split(o.parts, ",")
	for _, p := range wanted {
		if !slices.Contains(partNames, p) {
			return fmt.Errorf("-parts: %q is none of %s", p, strings.Join(partNames, ", "))
		}
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "bench"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(o.dir, 0o755), os.Chmod(o.dir, 0o755)); err != nil { // Dovecot's users must get to theirs
		return err
	}
	b := &bench{options: o, ctx: ctx, mailbench: filepath.Join(o.dir, "bin", "mailbench"), begun: time.Now(), long: map[string]bool{}}
	if err := b.build(); err != nil {
		return err
	}
	accounts := max(o.accounts, loaded+1)
	if slices.Contains(wanted, "idlers") {
		accounts = max(accounts, idlerAccounts)
	}
	b.tell("domicile: %d accounts are made", accounts)
	ours, made, err := newOurs(ctx, filepath.Join(o.dir, "lab"), filepath.Join(o.dir, "bin", "mailnode"), accounts, o.conns)
	if err != nil {
		return err
	}
	b.servers = []*server{ours}
	if o.peers {
		peers, err := newDovecots(o.dir)
		if err != nil {
			return err
		}
		b.servers = append(b.servers, peers...)
	}
	b.preface(made)
	for i, part := range []func() error{b.limits, b.inTurn, b.moves, b.flushes, b.slowDisk, b.manyAccounts, b.idlers} {
		if !slices.Contains(wanted, partNames[i]) {
			continue
		}
		if err := part(); err != nil {
			return fmt.Errorf("%s: %w", partNames[i], err)
		}
	}
	return nil
}

// tell says on standard error what is being done, for whoever waits.
func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs "+format+"\n", append([]any{time.Since(b.begun).Seconds()}, args...)...)
}

// build makes the node and the generator from this tree.
func (b *bench) build() error {
	bin := filepath.Join(b.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-o", bin, "domicile/cmd/mailnode", "domicile/tests/bench/mailbench")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// all runs fn for every server in turn, while that one runs and no other.
func (b *bench) all(fn func(s *server) error, wrap func(s *server) []string) error {
	for _, s := range b.servers {
		var with []string
		if wrap != nil {
			with = wrap(s)
		}
		err := s.start(b.ctx, with...)
		if err == nil && with == nil {
			b.settle(s)
		}
		if err == nil {
			err = errors.Join(fn(s), s.stop())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// load runs mailbench against a server. Some operations that failed are an error: a figure beside them says nothing.
func (b *bench) load(s *server, d door, args ...string) (r result, err error) {
	args = append(slices.Clone(args), "-addr", s.at(d), "-pass", password, "-pid", strconv.Itoa(s.pid()), "-children")
	if !slices.Contains(args, "-user") {
		args = append(args, "-user", userPattern)
	}
	b.tell("%s: mailbench %s", s.name, strings.Join(args, " "))
	cmd := exec.CommandContext(b.ctx, b.mailbench, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("mailbench %s: %w", args[0], err)
	}
	return r, json.Unmarshal(out, &r)
}
