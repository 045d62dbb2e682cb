package main

import (
	"fmt"
	"strconv"
	"time"
)

// The accounts that are loaded, with the one that has a big mailbox after them, and what all have in common.
const (
	password    = "benchbench"
	userPattern = "user%d@example.com"
	loaded      = 16
	bigUser     = "user16@example.com"
)

// row is one line of the table: a load, and which of its figures counts.
type row struct {
	name, unit string
	args       []string // of mailbench
	door       door
	warm       int  // after so many operations that do not count
	cold       bool // with the page cache emptied before
	lower      bool // less is better
	apart      bool // tells of the run, not of a server: nothing is compared
	value      func(result) float64
	aim        string // as a multiple of the best peer's, or in the row's own unit
}

type door int

const (
	doorIMAP door = iota
	doorLMTP
	doorFlushed // IMAP, where STORE is flushed before its answer
	doorTLS     // IMAP within TLS
)

func (s *server) at(d door) string {
	return map[door]string{doorIMAP: s.imap, doorLMTP: s.lmtp, doorFlushed: s.flush, doorTLS: s.imaps}[d]
}

// result is what mailbench prints, as far as it is of use here.
type result struct {
	Ops     int     `json:"ops"`
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
	PerSec  float64 `json:"per_sec"`
	CPU     float64 `json:"server_cpu_ms_per_op"`
	AllCPU  float64 `json:"server_cpu_s"`
	OwnCPU  float64 `json:"client_cpu_s"` // the generator's
	Written float64 `json:"server_written_bytes_per_op"`
	Latency struct {
		P50 float64 `json:"p50"`
	} `json:"latency_ms"`
	Extra struct {
		Messages   float64                    `json:"messages_per_sec"`
		MB         float64                    `json:"literal_mb_per_sec"`
		PSS        float64                    `json:"pss_kib_per_conn"`
		AfterOK    struct{ P50, P99 float64 } `json:"latency_from_ok_ms"`
		Open       float64                    `json:"open_seconds"`
		SearchHits int                        `json:"hits"`
	} `json:"extra"`
}

func perSecond(r result) float64 { return r.PerSec }
func latency(r result) float64   { return r.Latency.P50 }

// writes are the rows that change a store, in the order in which they run.
func writes(most time.Duration) (out []row) {
	load := func(name string, d door, conns int, command ...string) row {
		args := append(command, "-users", strconv.Itoa(loaded), "-conns", strconv.Itoa(conns), "-n", "1000000", "-most", most.String())
		return row{name: fmt.Sprint(name, ", ", conns), unit: "/s", args: args, door: d, value: perSecond, aim: "2 x"}
	}
	for _, conns := range []int{1, 16, 64} {
		out = append(out, load("deliver (LMTP)", doorLMTP, conns, "deliver", "-per-conn", "1000"))
	}
	for _, conns := range []int{1, 16} {
		out = append(out, load("APPEND", doorIMAP, conns, "append", "-per-conn", "1000"))
	}
	for _, conns := range []int{1, 16} {
		out = append(out, load("STORE, flushed", doorFlushed, conns, "store-flags"))
	}
	return out
}

// reads are the rows that read the big mailbox, and those of connections.
func reads(most time.Duration, accounts int) []row {
	big := func(name, unit string, value func(result) float64, aim string, command ...string) row {
		return row{name: name, unit: unit, args: append(command, "-user", bigUser, "-n", "1000", "-most", most.String()), value: value, aim: aim, lower: unit == "ms", warm: 1}
	}
	search := func(name, aim string, query ...string) row {
		return big("SEARCH "+name, "ms", latency, aim, append([]string{"search"}, query...)...)
	}
	login := func(name, aim string, d door, warm int, args ...string) row {
		return row{name: name, warm: warm, unit: "/s", value: perSecond, aim: aim, door: d, args: append([]string{"login", "-conns", "16", "-n", "1000000", "-most", most.String()}, args...)}
	}
	bodies := func(r result) float64 { return r.Extra.MB }
	cold := big("all bodies, cold", "MB/s", bodies, "1 x sealed", "fetch-bodies")
	cold.warm, cold.cold, cold.args = 0, true, []string{"fetch-bodies", "-user", bigUser, "-n", "1", "-fresh"}
	store := row{name: "STORE, not flushed by Dovecot, 16", unit: "/s", value: perSecond,
		args: []string{"store-flags", "-users", strconv.Itoa(loaded), "-conns", "16", "-n", "1000000", "-most", most.String()}}
	return []row{
		big("listing, warm", "msg/s", func(r result) float64 { return r.Extra.Messages }, "2 x", "fetch-headers"),
		big("all bodies, warm", "MB/s", bodies, "1 x sealed", "fetch-bodies"),
		cold, store,
		search("TEXT, 1 % hits", "20 ms", "-key", "text"),
		search("TEXT, no hit", "", "-key", "text", "-query", "qqxqqxqq"),
		search("TEXT, all hit", "", "-key", "text", "-query", "mailbench"),
		search("TEXT, two characters", "", "-key", "text", "-query", "zz"),
		search("TEXT, CJK, 1 % hits", "", "-key", "none", "-query", "CHARSET UTF-8 TEXT \"\u610f\u898b\""),
		search("TEXT, CJK, no hit", "", "-key", "none", "-query", "CHARSET UTF-8 TEXT \"\u96fb\u8a71\""),
		search("SUBJECT, 2 % hits", "10 ms", "-key", "subject"),
		login("login + SELECT + logout, 16", "2 x", doorIMAP, loaded, "-users", strconv.Itoa(loaded)),
		login("login + SELECT + logout, 16, TLS", "2 x", doorTLS, loaded, "-users", strconv.Itoa(loaded), "-tls"),
		login("login + logout, 16, each another user", "", doorIMAP, 0, "-users", strconv.Itoa(max(accounts, loaded)), "-no-select"),
		{name: "memory of an idle connection", unit: "KiB", lower: true, value: func(r result) float64 { return r.Extra.PSS }, aim: "20 KiB", args: idle},
		{name: "notice in IDLE after the OK", unit: "ms", lower: true, value: func(r result) float64 { return r.Extra.AfterOK.P50 }, aim: "1 ms", args: idle},
	}
}

// idle has fewer connections than the 128 processes of one user that Linux lets watch files at a time, by default.
var idle = []string{"idle", "-idles", "96", "-users", strconv.Itoa(loaded), "-n", "16", "-settle", "1s"}
