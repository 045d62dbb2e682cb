//go:build linux

package disk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/lab"
	"domicile/tests/faultfs"
	"domicile/tests/harness"
)

const node = domicile.Node("eu-ireland-1")

const to = "aoife@example.com"

// post sends numbered letters to one account at the node, and remembers which were accepted.
type post struct {
	c        *harness.Cluster
	password string

	mu       sync.Mutex
	sent     int               // guarded by mu
	accepted map[string][]byte // guarded by mu: by subject
}

func (p *post) send(t *testing.T) error {
	p.mu.Lock()
	p.sent++
	subject := fmt.Sprintf("number %d", p.sent)
	text := fmt.Appendf(nil, "From: sender@sender.example\r\nTo: %s\r\nSubject: %s\r\n\r\n%s", to, subject, body("letter", p.sent%40))
	p.mu.Unlock()
	s, err := lab.DialSMTP(t.Context(), p.c.Node(node).SMTP)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send("sender@sender.example", text, to); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted[subject] = text
	return nil
}

// check reads what is there: everything accepted, once and byte for byte.
func (p *post) check(t *testing.T) {
	t.Helper()
	there := map[string]int{}
	for _, got := range p.c.Inbox(t, home, to, p.password) {
		_, rest, _ := bytes.Cut(got, []byte("\r\nSubject: "))
		line, _, _ := bytes.Cut(rest, []byte("\r\n"))
		subject := string(line)
		there[subject]++
		if want := p.accepted[subject]; want != nil {
			if err := lab.BehindTrace(got, want); err != nil {
				t.Errorf("%s: %v", subject, err)
			}
		}
	}
	for subject := range p.accepted {
		if there[subject] != 1 {
			t.Errorf("%s was accepted and is there %d times", subject, there[subject])
		}
	}
}

// storm sends until the node fails.
func (p *post) storm(t *testing.T) {
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 1000 {
				if p.send(t) != nil {
					return
				}
			}
			t.Error("the power did not fail")
		})
	}
	wg.Wait()
}

// TestNodeOnFailingDisk has a whole node live on the failing disk: its disk gets full and has room again, and the power
// fails, several times, while mail comes in. What was answered with 250 is read over IMAP afterwards, byte for byte.
func TestNodeOnFailingDisk(t *testing.T) {
	t.Parallel()
	needFUSE(t)
	c := harness.New(t, harness.TwoRegions...)
	data := c.Path(c.Node(node).Data)
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	disk, err := faultfs.Mount(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Unmount() })
	c.StartAll(t)
	p := &post{c: c, password: c.Account(t, home, to, "IE"), accepted: map[string][]byte{}}
	fillDisk(t, p, disk)
	fillAll(t, p, disk)

	cuts := 2
	if long() {
		cuts = 12
	}
	for i := range cuts {
		until := len(disk.Trace()) + 60 + i*97
		disk.SetFault(func(faultfs.Op) syscall.Errno {
			if disk.Len() >= until {
				return faultfs.Dead
			}
			return 0
		})
		p.storm(t)
		c.Kill9(t, node)
		trace, way := disk.Trace(), keeps(i)[i%3]
		if err := disk.Unmount(); err != nil {
			t.Fatal(err)
		}
		if disk, err = faultfs.Mount(data, trace.Crash(len(trace), way.keep, nil)); err != nil {
			t.Fatal(err)
		}
		c.Launch(t, node)
		p.check(t)
		t.Logf("after cut %d, which kept %s: %d of %d accepted", i+1, way.name, len(p.accepted), p.sent)
	}
	c.Halt(t, node)
	verifyLog(t, c, data)
}

// fillDisk has the store's disk full for one message, and wants the sender to be told to try again.
func fillDisk(t *testing.T, p *post, disk *faultfs.FS) {
	t.Helper()
	full := func(o faultfs.Op) syscall.Errno {
		if strings.HasPrefix(o.Path, "store") && (o.Kind == faultfs.Write || o.Kind == faultfs.Create) {
			return syscall.ENOSPC
		}
		return 0
	}
	for i, fault := range []faultfs.Fault{nil, full, nil} {
		disk.SetFault(fault)
		harness.Eventually(t, time.Minute, "the node to be ready, though nobody writes", func() bool { return fault != nil || p.ready(t) == "" })
		err := p.send(t)
		if fault == nil && err != nil || fault != nil && lab.Code(err)/100 != 4 {
			t.Errorf("message %d, disk full: %v: %v", i+1, fault != nil, err)
		}
		if not := p.ready(t); not != "" && fault == nil || not != "disk" && fault != nil {
			t.Errorf("message %d, disk full: %v: not ready: %q", i+1, fault != nil, not)
		}
	}
	p.check(t)
}

// fillAll has the whole disk full, log, journal and cosigner included: an act of an operator is refused, and so is mail. When there is
// room again the node does all of it, without a restart, and is cosigned and cosigns.
func fillAll(t *testing.T, p *post, disk *faultfs.FS) {
	t.Helper()
	create := func(name string) harness.Result {
		return p.c.Ctl(t, home, "operator", []byte("a-password\n"), "account", "create", name+"@example.com", "--residence", "IE", "--password-stdin")
	}
	disk.SetFault(func(o faultfs.Op) syscall.Errno {
		if strings.HasSuffix(o.Path, ".db") && o.Off < 2*4096 {
			return 0 // a meta page has had its place from the beginning
		}
		switch o.Kind {
		case faultfs.Write, faultfs.Create, faultfs.Mkdir, faultfs.Truncate:
			return syscall.ENOSPC
		}
		return 0
	})
	if r := create("while-full"); r.Code == 0 {
		t.Errorf("the disk is full, and an account was made: %s", r)
	}
	if err := p.send(t); err == nil || lab.Code(err)/100 == 5 {
		t.Errorf("the disk is full: %v", err)
	} else if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		t.Errorf("the disk is full, and the sender waits in vain: %v", err)
	}
	disk.SetFault(nil)
	n := 0
	harness.Eventually(t, 2*time.Minute, "the node to take accounts and mail again", func() bool {
		n++
		return create(fmt.Sprintf("again-%d", n)).Code == 0 && p.send(t) == nil
	})
	harness.Eventually(t, 2*time.Minute, "the node to be ready", func() bool { return p.ready(t) == "" })
	p.check(t)
}

// ready is what keeps the node from being ready, "" if nothing does.
func (p *post) ready(t *testing.T) string {
	t.Helper()
	res, err := http.Get("http://" + p.c.Node(node).HTTP + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var h struct {
		Ready bool
		Not   []string
	}
	if err := json.NewDecoder(res.Body).Decode(&h); err != nil || h.Ready != (res.StatusCode == http.StatusOK) {
		t.Fatalf("%+v, %s, %v", h, res.Status, err)
	}
	return strings.Join(h.Not, " ")
}

// verifyLog checks the log of the stopped node's folder.
func verifyLog(t *testing.T, c *harness.Cluster, data string) {
	t.Helper()
	raw, err := os.ReadFile(c.Path(c.Pins))
	if err != nil {
		t.Fatal(err)
	}
	pins, err := audit.ParsePins(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.VerifyDir(filepath.Join(data, "audit"), pins, io.Discard); err != nil {
		t.Error(err)
	}
}
