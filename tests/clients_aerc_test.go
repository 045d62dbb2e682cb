package tests

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile/tests/harness"
)

// TestAerc opens the account in aerc over IMAPS, on a terminal: it reads a message, copies, flags, moves and deletes some, and sees
// new mail arrive by itself.
func TestAerc(t *testing.T) {
	aerc := harness.Need(t, "aerc", "apt-get install aerc")
	script := harness.Need(t, "script", "apt-get install bsdutils")
	p := newPerson(t, "aerc")
	stored := p.receive(letters()...)
	p.file(".config/aerc/accounts.conf", `[home]
source = imaps://`+url.QueryEscape(p.address)+`:`+url.QueryEscape(p.password)+`@localhost:$IMAPS
from = <$ADDRESS>
default = INBOX
copy-to = Sent
`)
	p.file(".config/aerc/aerc.conf", "[general]\nunsafe-accounts-conf=true\n")
	p.file(".config/aerc/binds.conf", "[messages]\n\n[view]\nq = :close<Enter>\n")
	k := p.terminal(script, "-qefc", "stty rows 40 cols 150; exec "+aerc, "/dev/null")

	k.until("the list is there", func() bool { return k.shows("letter 5") && k.shows("letter 1") })
	k.press(":sort from\r", ":select 0\r", ":pipe -b -m tee $DIR/piped\r") // the newest first
	k.until("a message was piped", func() bool { return len(readIfAny(filepath.Join(p.dir, "piped"))) > 0 })
	piped := readCRLF(t, filepath.Join(p.dir, "piped"))
	at := -1
	for i, m := range stored {
		if bytes.Equal(m, piped) {
			at = i
		}
	}
	if at < 0 {
		t.Fatalf("piped: %q", piped)
	}
	k.press(":flag\r", ":cp Archive\r")
	k.until("it was copied", func() bool { return len(p.mailbox("Archive")) == 1 })
	k.until("it was flagged", func() bool { return strings.Contains(p.flags("INBOX")[at], `\Flagged`) })
	same(t, "copied", p.mailbox("Archive"), stored[at:at+1])
	k.press(":mkdir Cases\r")
	k.until("a mailbox was made", func() bool { return len(p.imap("INBOX", `LIST "" Cases`)) == 1 })
	k.press(":cf INBOX\r")
	time.Sleep(time.Second)
	k.press(":select 0\r", ":mv Cases\r")
	k.until("it was moved", func() bool { return len(p.mailbox("INBOX")) == len(stored)-1 && len(p.mailbox("Cases")) == 1 })
	k.press(":delete\r")
	k.until("one was deleted", func() bool { return len(p.mailbox("INBOX")) == len(stored)-2 })
	p.receive([]byte("From: x@sender.example\r\nSubject: a thunderclap\r\nMessage-ID: <9@sender.example>\r\n\r\nnews\r\n"))
	k.until("new mail shows by itself", func() bool { return k.shows("thunderclap") })
	k.press(":quit -f\r")
	k.ended()
}

func readIfAny(path string) []byte {
	raw, _ := os.ReadFile(path)
	return raw
}

// terminal is a program that reads keys.
type terminal struct {
	p    *person
	in   io.Writer
	over chan error

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

// terminal starts a program on a terminal.
func (p *person) terminal(program string, args ...string) *terminal {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "TERM=xterm", "LC_ALL=C.UTF-8", "SSL_CERT_FILE="+p.ca, "XDG_CONFIG_HOME="+filepath.Join(p.dir, ".config"),
		"XDG_DATA_HOME="+filepath.Join(p.dir, ".local"), "XDG_CACHE_HOME="+filepath.Join(p.dir, ".cache"), "XDG_RUNTIME_DIR="+p.dir)
	cmd.Dir, cmd.WaitDelay = p.dir, 5*time.Second
	k := &terminal{p: p, over: make(chan error, 1)}
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	k.in, cmd.Stdout, cmd.Stderr = in, k, k
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { k.over <- cmd.Wait() }()
	p.t.Cleanup(func() {
		cancel()
		if p.t.Failed() {
			p.t.Logf("the end of what it showed: %.3000q", k.tail())
		}
	})
	return k
}

// Write takes what the program shows.
func (k *terminal) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.out.Write(b)
}

func (k *terminal) tail() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.out.Bytes()
	return bytes.Clone(all[max(0, len(all)-3000):])
}

// shows whether the program has shown a word since it was started.
func (k *terminal) shows(word string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Contains(k.out.Bytes(), []byte(word))
}

// press sends keys, in which words are replaced as in files.
func (k *terminal) press(all ...string) {
	k.p.t.Helper()
	for _, s := range all {
		if _, err := io.WriteString(k.in, k.p.fill(s)); err != nil {
			k.p.t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // as a person does: what was shown last is acted on
	}
}

func (k *terminal) until(what string, ok func() bool) {
	k.p.t.Helper()
	eventually(k.p.t, what, ok)
}

// ended waits for the program's own end.
func (k *terminal) ended() {
	k.p.t.Helper()
	select {
	case err := <-k.over:
		if err != nil {
			k.p.t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		k.p.t.Error("it did not end")
	}
}
