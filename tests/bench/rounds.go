package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// inTurn fills the big mailbox of every server, and then runs every row at every server in turn, round after round.
func (b *bench) inTurn() error {
	used := newTable("bytes on disk", b.servers)
	err := b.all(func(s *server) error { return b.fill(s, used) }, nil)
	if err != nil {
		return err
	}
	rows := append(writes(b.most), reads(b.most, b.accounts)...)
	var tables rowTables
	tables.speed, tables.cpu, tables.written = newTable("speed", b.servers), newTable("the server's CPU for an operation", b.servers), newTable("bytes written for an operation", b.servers)
	tables.own, tables.busy = newTable("the generator's own CPU for an operation", b.servers), newTable("how busy the processors were with both", b.servers)
	for range b.rounds {
		err := b.all(func(s *server) error {
			for _, r := range rows {
				if err := b.measure(s, r, tables); err != nil {
					return fmt.Errorf("%s: %w", r.name, err)
				}
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
	for _, t := range []*table{tables.speed, tables.cpu, tables.own, tables.busy, tables.written, used} {
		t.print(os.Stdout)
	}
	return nil
}

// fill delivers the big mailbox and notes what it takes on disk.
func (b *bench) fill(s *server, used *table) error {
	before, err := bytesOnDisk(s.mail)
	if err != nil {
		return err
	}
	// Dovecot makes a mailbox at its first message, and refuses a second one that comes meanwhile.
	if _, err := b.load(s, doorLMTP, "deliver", "-users", strconv.Itoa(loaded+1), "-conns", "1", "-n", strconv.Itoa(loaded+1)); err != nil {
		return err
	}
	r, err := b.load(s, doorLMTP, "deliver", "-user", bigUser, "-conns", "8", "-per-conn", "1000", "-n", fmt.Sprint(b.big))
	if err != nil {
		return err
	}
	rest := 2 * time.Second // for what the answers do not wait for
	if s.data != "" {
		rest = 25 * time.Second // it tidies up every 20 s
	}
	time.Sleep(rest)
	if err := s.stop(); err != nil { // so that nothing is only in memory
		return err
	}
	after, err := bytesOnDisk(s.mail)
	if err != nil {
		return err
	}
	each := func(name, aim string, n int64) {
		used.add(row{name: name + " for a byte of mail", lower: true, aim: aim}, s, float64(n)/float64(r.Bytes))
	}
	each("bytes on disk", "", after-before)
	if s.data != "" {
		index, err := searchBytes(b.ctx, s)
		if err != nil {
			return err
		}
		each("without the search index", "0.6", after-before-index)
		each("of the search index", "", index)
	}
	return s.start(b.ctx)
}

// tooLong is after how many loads' time a row is not run again for a server: a slow peer would take most of the run.
const tooLong = 4

// rowTables are what is printed of the rows. Where the processors are busy, the generator takes a share of them that no server can save.
type rowTables struct {
	speed, cpu, own, busy, written *table
}

func (b *bench) measure(s *server, r row, t rowTables) error {
	if b.long[r.name+"\x00"+s.name] || s.at(r.door) == "" {
		return nil
	}
	if r.cold {
		syscall.Sync()
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return nil // only root can: the row stays empty
		}
	}
	var got result
	var err error
	if r.warm > 0 {
		got, err = b.load(s, r.door, append(slices.Clone(r.args), "-n", strconv.Itoa(r.warm))...)
	}
	if err == nil && got.Seconds < tooLong*b.most.Seconds() {
		got, err = b.load(s, r.door, r.args...)
	}
	if err != nil {
		return err
	}
	b.long[r.name+"\x00"+s.name] = got.Seconds >= tooLong*b.most.Seconds()
	t.speed.add(r, s, r.value(got))
	if r.unit == "/s" {
		each := r
		each.lower, each.unit, each.aim = true, "ms", ""
		t.cpu.add(each, s, got.CPU)
		each.apart = true
		t.own.add(each, s, 1000*got.OwnCPU/float64(max(1, got.Ops)))
		each.unit = "%"
		t.busy.add(each, s, 100*(got.AllCPU+got.OwnCPU)/got.Seconds/float64(runtime.NumCPU()))
	}
	if r.unit == "/s" && !strings.HasPrefix(r.name, "login") {
		each := r
		each.lower, each.unit, each.aim = true, "bytes", ""
		t.written.add(each, s, got.Written)
	}
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
