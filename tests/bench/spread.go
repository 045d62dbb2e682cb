package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// manyAccounts delivers to many accounts in random order: no cache holds what the next one needs. Dovecot makes a mailbox at its first
// message; ours were made before.
func (b *bench) manyAccounts() error {
	if b.accounts <= loaded {
		return nil
	}
	t := newTable(fmt.Sprintf("%d accounts in random order", b.accounts), b.servers)
	err := b.all(func(s *server) error {
		most := 5 * b.most
		r := row{name: "deliver (LMTP), 16", unit: "/s", value: perSecond, aim: "2 x"}
		got, err := b.load(s, doorLMTP, "deliver", "-random", "-users", strconv.Itoa(b.accounts), "-conns", "16", "-per-conn", "1000", "-n", "1000000", "-most", most.String())
		if err != nil {
			return err
		}
		t.add(r, s, got.PerSec)
		t.add(row{name: "the server's CPU for one", unit: "ms", lower: true}, s, got.CPU)
		t.add(row{name: "bytes written for one", unit: "bytes", lower: true}, s, got.Written)
		return nil
	}, nil)
	t.print(os.Stdout)
	return err
}

// preface says what was measured on.
func (b *bench) preface(made time.Duration) {
	cpu := "unknown"
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(raw), "model name"); ok {
			cpu, _, _ = strings.Cut(strings.TrimLeft(rest, "\t :"), "\n")
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	fmt.Printf("%s; %d processors (%s), Linux %s, %s; %d rounds, %s a load, 10 KB messages, loopback without TLS; %d accounts made in %s each\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), cpu, strings.TrimSpace(string(kernel)), runtime.Version(), b.rounds, b.most, max(b.accounts, loaded+1), made)
}
