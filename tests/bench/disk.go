package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// tracer is how a server is started under strace, which stops it at flushes alone and leaves its other calls in peace.
func tracer(log string, more ...string) []string {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil
	}
	return append([]string{"strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", log, "-e", "trace=fsync,fdatasync,sync_file_range,msync"}, more...)
}

// flushes counts fsync, fdatasync, sync_file_range and msync during the writes.
func (b *bench) flushes() error {
	if tracer("") == nil {
		fmt.Println("\nno strace: flushes are not counted, and none is made slower")
		return nil
	}
	t := newTable("flushes for an operation", b.servers)
	log := func(s *server) string { return filepath.Join(s.dir, "flushes") }
	err := b.all(func(s *server) error {
		for _, r := range writes(b.most / 2) {
			before, err := lines(log(s))
			if err != nil {
				return err
			}
			got, err := b.load(s, r.door, r.args...)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			time.Sleep(300 * time.Millisecond) // for what the answers do not wait for
			after, err := lines(log(s))
			if err != nil {
				return err
			}
			r.lower, r.unit, r.aim = true, "", ""
			t.add(r, s, float64(after-before)/float64(got.Ops))
		}
		return nil
	}, func(s *server) []string { return tracer(log(s)) })
	t.print(os.Stdout)
	return err
}

// lines counts the calls that strace has logged: one that others interrupted takes two lines, of which the first ends so.
func lines(log string) (int, error) {
	raw, err := os.ReadFile(log)
	return bytes.Count(raw, []byte("\n")) - bytes.Count(raw, []byte("<unfinished ...>")), err
}

// slowDisk runs the writes once more with a delay in each flush, as of a disk that has no cache to answer from.
func (b *bench) slowDisk() error {
	if b.delay == 0 || tracer("") == nil {
		return nil
	}
	t := newTable(fmt.Sprintf("speed with %s more for each flush", b.delay), b.servers)
	err := b.all(func(s *server) error {
		for _, r := range writes(b.most) {
			got, err := b.load(s, r.door, r.args...)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			t.add(r, s, r.value(got))
		}
		return nil
	}, func(s *server) []string {
		return tracer("/dev/null", fmt.Sprintf("--inject=fsync,fdatasync,sync_file_range,msync:delay_exit=%d", b.delay.Microseconds()))
	})
	t.print(os.Stdout)
	return err
}
