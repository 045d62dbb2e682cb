// Mailbench is a server-neutral load generator for mail stores.
//
// It speaks just enough IMAP4rev1, LMTP and SMTP, by hand, to be much cheaper
// than any server it measures. Every sub-command prints one JSON object. It
// shares the machine with the server: where all processors are busy, the
// server's CPU for an operation says more than operations in a second.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

// config holds the flags of all sub-commands; each uses the ones it needs.
type config struct {
	addr, user, pass, rcpt, from, mailbox string
	users, conns, n, size                 int
	tls, starttls, srcSpread              bool
	proto, query, key, fetch, literal     string
	label                                 string
	perConn                               int
	timeout                               time.Duration
	seed                                  uint64
	fresh, noSelect, noPipeline, random   bool
	most                                  time.Duration

	idles, pid    int
	buffer        int // bytes that a connection reads at a time
	children      bool
	traffic       bool
	via, viaAddr  string
	pause, settle time.Duration
}

var cfg config

var commands = map[string]func() (*result, error){
	"deliver":       runDeliver,
	"append":        runAppend,
	"fetch-headers": runFetchHeaders,
	"fetch-bodies":  runFetchBodies,
	"store-flags":   runStoreFlags,
	"search":        runSearch,
	"login":         runLogin,
	"idle":          runIdle,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		var names []string
		for k := range commands {
			names = append(names, k)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "usage: mailbench {%s} [flags]\n", strings.Join(names, "|"))
		os.Exit(2)
	}
	name := os.Args[1]
	fs := flag.NewFlagSet(name, flag.ExitOnError)
	c := &cfg
	c.buffer = 64 << 10
	fs.StringVar(&c.addr, "addr", "127.0.0.1:143", "server host:port")
	fs.StringVar(&c.user, "user", "user%d", "login name; %d becomes 0..users-1")
	fs.StringVar(&c.pass, "pass", "pass", "password")
	fs.StringVar(&c.rcpt, "rcpt", "", "recipient address pattern for deliveries (default: -user)")
	fs.StringVar(&c.from, "from", "sender@localhost", "envelope and header sender of generated mail")
	fs.StringVar(&c.mailbox, "mailbox", "INBOX", "IMAP mailbox")
	fs.IntVar(&c.users, "users", 1, "number of accounts to spread over")
	fs.IntVar(&c.conns, "conns", 1, "concurrent connections")
	fs.IntVar(&c.n, "n", 100, "total operations")
	fs.DurationVar(&c.most, "most", 0, "begin no operation after this time, whatever -n says (0: no such limit)")
	fs.BoolVar(&c.random, "random", false, "deliver: recipients in random order, not in turn")
	fs.IntVar(&c.size, "size", 10240, "size of generated messages in bytes")
	fs.BoolVar(&c.tls, "tls", false, "TLS from the first byte (certificate not verified)")
	fs.BoolVar(&c.starttls, "starttls", false, "upgrade with STARTTLS (certificate not verified)")
	plain := fs.Bool("plain", false, "no TLS (the default; refuses -tls and -starttls)")
	fs.BoolVar(&c.srcSpread, "src-spread", false, "give each connection its own source address in 127.0.0.0/8, for servers that limit by address")
	fs.StringVar(&c.proto, "proto", "lmtp", "deliver: lmtp or smtp")
	fs.BoolVar(&c.noPipeline, "no-pipeline", false, "deliver: do not use PIPELINING even if offered")
	fs.IntVar(&c.perConn, "per-conn", 0, "deliver, append: reconnect after this many messages (0: never)")
	fs.StringVar(&c.literal, "literal", "auto", "append: auto (LITERAL+ if offered) or sync")
	fs.StringVar(&c.fetch, "fetch", "", "fetch-headers/-bodies: replace the fetch item list")
	fs.StringVar(&c.key, "key", "text", "search: text, body, subject, from, since, none")
	fs.StringVar(&c.query, "query", "", "search: argument of -key, or the whole search program with -key none")
	fs.BoolVar(&c.fresh, "fresh", false, "fetch-*, search: new connection for every operation (counted in its latency)")
	fs.BoolVar(&c.noSelect, "no-select", false, "login: do not select INBOX")
	fs.DurationVar(&c.timeout, "timeout", 5*time.Minute, "limit for one read or write")
	fs.Uint64Var(&c.seed, "seed", 1, "seed of generated text")
	fs.StringVar(&c.label, "label", "", "copied to the output")
	fs.IntVar(&c.idles, "idles", 100, "idle: connections in IDLE")
	fs.BoolVar(&c.traffic, "traffic", false, "idle: list the mailbox, search it and read a message before")
	fs.IntVar(&c.pid, "pid", 0, "server process: report its CPU use, and for idle its memory")
	fs.BoolVar(&c.children, "children", false, "add up -pid and all its descendants")
	fs.StringVar(&c.via, "via", "append", "idle: how to deliver: append, lmtp or smtp")
	fs.StringVar(&c.viaAddr, "via-addr", "", "idle: address for -via lmtp/smtp (append uses -addr)")
	fs.DurationVar(&c.pause, "pause", 20*time.Millisecond, "idle: pause between deliveries")
	fs.DurationVar(&c.settle, "settle", 2*time.Second, "idle: wait before memory is read")
	fs.Parse(os.Args[2:])
	if *plain && (c.tls || c.starttls) {
		fatal(fmt.Errorf("-plain with -tls or -starttls"))
	}
	if c.rcpt == "" {
		c.rcpt = c.user
	}
	initText(c.seed)
	var cpu float64
	var written int64
	all, own, t0 := machineCPU(), ownCPU(), time.Now()
	if c.pid != 0 {
		cpu, written = readCPU(c.pid, c.children), readWritten(c.pid, c.children)
	}
	r, err := commands[name]()
	if err != nil {
		fatal(err)
	}
	if c.pid != 0 {
		cpu = readCPU(c.pid, c.children) - cpu
		r.ServerCPU = cpu
		r.ServerCPUPerOp = cpu * 1000 / float64(max(1, r.Ops))
		r.WrittenPerOp = float64(readWritten(c.pid, c.children)-written) / float64(max(1, r.Ops))
	}
	all, own = machineCPU()-all, ownCPU()-own
	r.ClientCPU = own
	if c.pid != 0 {
		r.OtherCPUShare = max(0, all-own-cpu) / time.Since(t0).Seconds() / float64(runtime.NumCPU())
	}
	r.Command, r.Label, r.Addr = name, c.label, c.addr
	enc := json.NewEncoder(os.Stdout)
	if err := enc.Encode(r); err != nil {
		fatal(err)
	}
	if r.Errors > 0 {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "mailbench:", err)
	os.Exit(1)
}

// pat fills an account number into a pattern.
func pat(p string, i int) string {
	if strings.Contains(p, "%d") {
		return fmt.Sprintf(p, i)
	}
	return p
}

var connSeq atomic.Int64

// dial connects to addr, over TLS if tlsOn.
func dial(addr string, tlsOn bool) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second}
	if cfg.srcSpread {
		// One address per /21, so that per-network limits do not apply either.
		i := connSeq.Add(1)
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, byte(1+(i/32)%250), byte(i%32*8), 9)}
	}
	nc, err := d.DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	if tlsOn {
		return upgrade(nc)
	}
	return nc, nil
}

func upgrade(nc net.Conn) (net.Conn, error) {
	tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	tc.SetDeadline(time.Now().Add(30 * time.Second))
	if err := tc.Handshake(); err != nil {
		nc.Close()
		return nil, err
	}
	tc.SetDeadline(time.Time{})
	return tc, nil
}
