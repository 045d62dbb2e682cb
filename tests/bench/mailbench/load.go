package main

import (
	"fmt"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

type latency struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

// summarize returns the figures of a set of durations in milliseconds.
func summarize(ds []time.Duration) latency {
	if len(ds) == 0 {
		return latency{}
	}
	sort.Slice(ds, func(i, j int) bool { return ds[i] < ds[j] })
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	q := func(p float64) float64 { return ms(ds[min(len(ds)-1, int(p*float64(len(ds))))]) }
	var sum time.Duration
	for _, d := range ds {
		sum += d
	}
	return latency{ms(ds[0]), ms(sum / time.Duration(len(ds))), q(.50), q(.95), q(.99), ms(ds[len(ds)-1])}
}

type result struct {
	Command  string  `json:"command"`
	Label    string  `json:"label,omitempty"`
	Addr     string  `json:"addr"`
	Conns    int     `json:"conns"`
	Users    int     `json:"users"`
	Ops      int     `json:"ops"`
	Errors   int     `json:"errors"`
	Seconds  float64 `json:"seconds"`
	PerSec   float64 `json:"per_sec"`
	MBPerSec float64 `json:"mb_per_sec,omitempty"`
	Bytes    int64   `json:"bytes"`
	Latency  latency `json:"latency_ms"`
	// CPU used by -pid, with opening of the connections.
	ServerCPU      float64 `json:"server_cpu_s,omitempty"`
	ServerCPUPerOp float64 `json:"server_cpu_ms_per_op,omitempty"`
	// Bytes that -pid caused to be sent to the disk, of files alone: what the file system writes of its own is not in it.
	WrittenPerOp float64 `json:"server_written_bytes_per_op,omitempty"`
	// CPU used by mailbench, and the share of the machine used by neither
	// server nor mailbench (noise, but also kernel threads).
	ClientCPU     float64        `json:"client_cpu_s"`
	OtherCPUShare float64        `json:"other_cpu_share"`
	Extra         map[string]any `json:"extra,omitempty"`
}

// session is one connection of a worker.
type session interface {
	close()
}

// load runs cfg.n operations on cfg.conns workers. open makes a worker's
// session; op does operation i on it and returns the bytes it moved. All
// sessions are open before the clock starts, unless perOp asks for a new
// session for each operation, whose opening is then part of its latency.
func load[S session](open func(worker, i int) (S, error), op func(s S, i int) (int64, error), perOp bool) (*result, error) {
	var (
		next, bytes, errs atomic.Int64
		wg, ready         sync.WaitGroup
		start             = make(chan struct{})
		lats              = make([][]time.Duration, cfg.conns)
		openErr           atomic.Pointer[error]
		begun             time.Time // set before start is closed
	)
	for w := range cfg.conns {
		wg.Add(1)
		ready.Add(1)
		go func() {
			defer wg.Done()
			var s S
			var err error
			isOpen := false
			if !perOp {
				if s, err = open(w, w); err != nil {
					openErr.Store(&err)
					ready.Done()
					return
				}
				isOpen = true
			}
			ready.Done()
			<-start
			done := 0
			for {
				i := int(next.Add(1) - 1)
				if i >= cfg.n || cfg.most > 0 && i > 0 && time.Since(begun) > cfg.most || openErr.Load() != nil || errs.Load() > 200 {
					break
				}
				t := time.Now()
				if !isOpen {
					if s, err = open(w, i); err != nil {
						report(errs.Add(1), err)
						continue
					}
					isOpen = true
				}
				nb, err := op(s, i)
				if err != nil {
					report(errs.Add(1), err)
					s.close()
					isOpen = false
					continue
				}
				bytes.Add(nb)
				done++
				if perOp || cfg.perConn > 0 && done%cfg.perConn == 0 {
					s.close()
					isOpen = false
				}
				lats[w] = append(lats[w], time.Since(t))
			}
			if isOpen {
				s.close()
			}
		}()
	}
	ready.Wait()
	begun = time.Now()
	t0 := begun
	close(start)
	wg.Wait()
	el := time.Since(t0)
	if e := openErr.Load(); e != nil {
		return nil, fmt.Errorf("open: %w", *e)
	}
	var all []time.Duration
	for _, l := range lats {
		all = append(all, l...)
	}
	r := &result{Conns: cfg.conns, Users: cfg.users, Ops: len(all), Errors: int(errs.Load()), Seconds: el.Seconds()}
	r.PerSec = float64(len(all)) / el.Seconds()
	r.Bytes = bytes.Load()
	r.MBPerSec = float64(bytes.Load()) / 1e6 / el.Seconds()
	r.Latency = summarize(all)
	return r, nil
}

func report(n int64, err error) {
	if n <= 5 {
		fmt.Fprintln(os.Stderr, "mailbench: error:", err)
	}
}
