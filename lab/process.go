package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"domicile"
)

// How long a node may take to be ready, and to drain.
const (
	readyWithin = 30 * time.Second
	drainWithin = 15 * time.Second
)

// Process is one node that runs: "mailnode serve --config …" as a child of this program.
type Process struct {
	Name  domicile.Node
	Ready json.RawMessage // the line by which it said that it is ready
	Log   string          // file that its standard error is appended to

	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{} // closed behind err
	err    error
	once   sync.Once
}

// Start runs a node of the lab, or its witness, from the program self, and returns when it says that it is ready. env
// is added to this program's environment. A node that ends or stays silent before that is an error with the end of its
// log. On Linux the child dies with the thread that started it, so that nothing outlives this program.
func (l *Lab) Start(ctx context.Context, self string, name domicile.Node, env ...string) (*Process, error) {
	conf := l.Witness.Config
	if n := l.Node(name); n != nil {
		conf = n.Config
	} else if string(name) != l.Witness.Name {
		return nil, domicile.E("start a node", domicile.NotExist, "the lab has no node "+string(name))
	}
	self, err := filepath.Abs(self)
	if err != nil {
		return nil, domicile.W("start "+string(name), err)
	}
	p := &Process{Name: name, Log: filepath.Join(filepath.Dir(l.Path(conf)), "node.log"), exited: make(chan struct{})}
	if p.log, err = os.OpenFile(p.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, domicile.W("start "+string(name), err)
	}
	p.cmd = exec.Command(self, "serve", "--config", l.Path(conf))
	p.cmd.Dir = filepath.Dir(p.Log) // so that what it might write to no folder in particular is found
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	dieWithParent(p.cmd)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, domicile.W("start "+string(name), err)
	}
	ready := make(chan []byte, 1)
	begun := make(chan error, 1)
	go p.run(begun, bufio.NewReader(out), ready)
	if err := <-begun; err != nil {
		p.log.Close()
		return nil, domicile.W("start "+string(name), err)
	}
	return p, p.await(ctx, ready)
}

// run starts the child and waits for it on one thread that it keeps: the kernel ends the child when that thread ends.
func (p *Process) run(begun chan<- error, out *bufio.Reader, ready chan<- []byte) {
	unlock := lockThread()
	defer unlock()
	if err := p.cmd.Start(); err != nil {
		begun <- err
		return
	}
	begun <- nil
	for { // standard output is read to its end: Wait may be called only then
		line, err := out.ReadBytes('\n')
		if bytes.Contains(line, []byte(`"ready":true`)) {
			select {
			case ready <- bytes.TrimSpace(line):
			default:
			}
		}
		if err != nil {
			break
		}
	}
	p.err = p.cmd.Wait()
	p.log.Close()
	close(p.exited)
}

func (p *Process) await(ctx context.Context, ready <-chan []byte) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	select {
	case p.Ready = <-ready:
		return nil
	case <-p.exited:
		return domicile.E("start "+string(p.Name), domicile.Unavailable, fmt.Sprintf("it ended (%v); the end of %s:\n%s", p.err, p.Log, tail(p.Log)))
	case <-ctx.Done():
		p.Kill()
		return domicile.E("start "+string(p.Name), domicile.Unavailable, fmt.Sprintf("it was not ready within %s; the end of %s:\n%s", readyWithin, p.Log, tail(p.Log)))
	}
}

// Stop asks the node to drain, waits, and returns an error unless it exited with 0. Safe to repeat.
func (p *Process) Stop() error {
	p.once.Do(func() { p.cmd.Process.Signal(syscall.SIGTERM) })
	select {
	case <-p.exited:
	case <-time.After(drainWithin):
		p.Kill()
		return domicile.E("stop "+string(p.Name), domicile.Unavailable, fmt.Sprintf("it did not drain within %s and was killed", drainWithin))
	}
	if p.err != nil {
		return fmt.Errorf("stop %s: %w; the end of %s:\n%s", p.Name, p.err, p.Log, tail(p.Log))
	}
	return nil
}

// Kill ends the node as a power cut would, by SIGKILL, and waits until it is gone.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// PID is the node's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// tail returns the last lines of a log, for an error message.
func tail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	if len(raw) > most {
		raw = raw[len(raw)-most:]
	}
	return string(raw)
}
