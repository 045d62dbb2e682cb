package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// idlerAccounts are those that the idle connections are spread over: an account may have 100.
const idlerAccounts = 200

// peerConns are as many connections of Dovecot as the machine has room for: it takes a process for each, of some 700 KiB.
func peerConns(conns int) int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return conns
	}
	_, available, _ := bytes.Cut(b, []byte("MemAvailable:"))
	var kib int
	if _, err := fmt.Sscan(string(available), &kib); err != nil {
		return conns
	}
	return min(conns, kib>>10)
}

// idlers holds many connections that had something to do once and then idle, in the clear and within TLS: what memory each takes, and how soon they hear of
// mail. Of the peers one is enough: how it keeps its mail is nothing to them.
func (b *bench) idlers() error {
	if err := raiseFiles(b.conns); err != nil {
		return err
	}
	b.servers = b.servers[:min(2, len(b.servers))]
	peers := peerConns(b.conns)
	t := newTable(fmt.Sprintf("%d idle connections, of %d accounts; %d of Dovecot's", b.conns, idlerAccounts, peers), b.servers)
	for _, way := range []struct {
		name, aim string
		door      door
		args      []string
	}{{"in the clear", "20 KiB", doorIMAP, nil}, {"within TLS", "60 KiB", doorTLS, []string{"-tls"}}} {
		err := b.all(func(s *server) error {
			conns := b.conns
			if s != b.servers[0] {
				conns = peers
			}
			b.tell("%s: %d idle connections %s", s.name, conns, way.name)
			if _, err := b.load(s, doorLMTP, "deliver", "-users", strconv.Itoa(idlerAccounts), "-conns", "16", "-n", strconv.Itoa(10*idlerAccounts)); err != nil {
				return err
			}
			b.settle(s)
			// Behind two minutes a Go program has collected what it does not use any more, whether it needs memory or not, and given it back.
			got, err := b.load(s, way.door, append([]string{"idle", "-idles", strconv.Itoa(conns), "-users", strconv.Itoa(idlerAccounts), "-traffic", "-src-spread",
				"-via", "lmtp", "-via-addr", s.lmtp, "-n", "64", "-settle", b.rest.String()}, way.args...)...)
			if err != nil {
				return err
			}
			t.add(row{name: "memory of one, " + way.name, unit: "KiB", lower: true, aim: way.aim}, s, got.Extra.PSS)
			t.add(row{name: "notice after the OK, median, " + way.name, unit: "ms", lower: true}, s, got.Extra.AfterOK.P50)
			t.add(row{name: "notice after the OK, slowest of a hundred, " + way.name, unit: "ms", lower: true}, s, got.Extra.AfterOK.P99)
			t.add(row{name: "to open all, " + way.name, unit: "s", lower: true}, s, got.Extra.Open)
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
	t.print(os.Stdout)
	return nil
}

// raiseFiles lets this process, and those that it starts, have so many connections open; as root also past what it may by itself. Dovecot's processes watch
// files besides.
func raiseFiles(conns int) error {
	want := uint64(conns + 4096)
	var has syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &has); err != nil {
		return err
	}
	if has.Cur < want || has.Max < want {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: max(has.Max, want)}); err != nil {
			return fmt.Errorf("%d open files are needed (ulimit -n): %w", want, err)
		}
	}
	for file, n := range map[string]int{"/proc/sys/fs/inotify/max_user_instances": conns + 1024, "/proc/sys/fs/inotify/max_user_watches": 8 * conns} {
		if raw, err := os.ReadFile(file); err == nil {
			var has int
			if fmt.Sscan(string(raw), &has); has < n {
				_ = os.WriteFile(file, []byte(strconv.Itoa(n)), 0) // not as root: Dovecot looks at intervals then
			}
		}
	}
	return nil
}

// raiseLimits lets a node take so many connections.
func raiseLimits(conf string, conns int) error {
	f, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "\n[limits]\nconnections = %d\n", conns+1024)
	return err
}
