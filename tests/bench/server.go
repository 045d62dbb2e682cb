package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a mail store that is measured: where it is reached while it runs, and how it is started.
type server struct {
	name  string
	dir   string // everything that it keeps
	mail  string // the mail itself, of which the bytes are counted
	imap  string
	imaps string // within TLS
	lmtp  string
	flush string // an IMAP address where STORE is flushed before its answer, "" if there is none

	root, data string // of domicile alone: its root key and its data folder

	command []string // starts it in the foreground
	cmd     *exec.Cmd
	ended   chan error
	log     *os.File
}

// start runs the server, under the program wrap if there is one, and returns when it answers at both doors.
func (s *server) start(ctx context.Context, wrap ...string) (err error) {
	if s.log, err = os.OpenFile(filepath.Join(s.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return err
	}
	args := append(wrap, s.command...)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan error, 1)
	go func(cmd *exec.Cmd) { s.ended <- cmd.Wait() }(s.cmd)
	for _, addr := range []string{s.imap, s.lmtp} {
		if err := s.answers(ctx, addr); err != nil {
			s.stop()
			return fmt.Errorf("%s: %w; see %s", s.name, err, s.log.Name())
		}
	}
	return nil
}

// answers waits until a server greets at addr.
func (s *server) answers(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil {
			return nil
		}
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("nobody greets at %s: %w", addr, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// atRest and restless are how little of a processor a server uses when it is at rest, and how long that is waited for.
const (
	atRest   = 0.02
	restless = 90 * time.Second
)

// settle waits until a server has done what it does by itself: what it found to do at its start, or what came with an earlier load.
func (b *bench) settle(s *server) {
	begun := time.Now()
	for used := s.cpu(); time.Since(begun) < restless; {
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(time.Second):
		}
		now := s.cpu()
		if now-used < atRest {
			return
		}
		used = now
	}
	b.tell("%s is still busy after %s", s.name, restless)
}

// cpu is the seconds of processors that the server's processes have used.
func (s *server) cpu() (seconds float64) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, _ := os.ReadFile(path)
		f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:])) // behind the name: state, parent, group, ...
		if len(f) < 13 || f[2] != strconv.Itoa(s.pid()) {
			continue
		}
		for _, ticks := range f[11:13] { // utime, stime
			n, _ := strconv.ParseFloat(ticks, 64)
			seconds += n / 100 // USER_HZ
		}
	}
	return seconds
}

// stop ends the server and all of its processes.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		err = errors.New(s.name + " had to be killed")
	}
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // what is left of the group, if anything
	s.cmd = nil
	return errors.Join(err, s.log.Close())
}

// pid is the server's first process.
func (s *server) pid() int { return s.cmd.Process.Pid }

// bytesOnDisk is what the blocks of all files in dir take.
func bytesOnDisk(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	return n, err
}

// ports hands out ports of loopback below those that Linux gives to connections by default: a server that starts again must find its own free.
var ports = 20000 + os.Getpid()*64%8000

// freePort returns the next port that nobody listens at.
func freePort() (int, error) {
	for range 1000 {
		ports++
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", ports))
		if err == nil {
			return ports, l.Close()
		}
	}
	return 0, errors.New("no port is free")
}
