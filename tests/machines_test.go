package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile/lab"
	"domicile/tests/harness"
)

// stubs are the programs of a real machine that a test cannot have: a hand that carries a file from one machine to another, an
// init system, and users. Each runs in a machine's folder of ceremony.
var stubs = map[string]string{
	"carry": `set -eu
[ -d "$MACHINES/$2/ceremony" ] || { echo "carry: there is no machine $2" >&2; exit 1; }
cp "$1" "$MACHINES/$2/ceremony/"
printf '%s %s %s\n' "$MACHINE" "$2" "$1" >>"$MACHINES/carried"
cat "$1" >>"$MACHINES/carried.bytes"
`,
	"systemctl": `set -eu
at="$MACHINES/$MACHINE"
case "$*" in
"enable --now mailnode" | "start mailnode")
	mailnode serve --config "$at/etc/node.toml" >>"$at/out" 2>>"$at/node.log" &
	echo $! >"$at/pid"
	exec mailnode health --config "$at/etc/node.toml" --wait 1m ;;
"reload mailnode") # done when the node says that it has read all again; a person is slower than that
	before=$(grep -c '"gossip keys in force"' "$at/node.log" || :)
	kill -HUP "$(cat "$at/pid")"
	for i in $(seq 600); do
		[ "$(grep -c '"gossip keys in force"' "$at/node.log" || :)" -gt "$before" ] && exit 0
		sleep 0.1
	done
	echo "systemctl: mailnode did not read its files again" >&2
	exit 1 ;;
"stop mailnode")
	pid=$(cat "$at/pid")
	kill -TERM "$pid"
	for i in $(seq 600); do
		grep -qs '^State:.[RSD]' "/proc/$pid/status" || { rm "$at/pid"; exit 0; }
		sleep 0.1
	done
	echo "systemctl: mailnode does not end" >&2
	exit 1 ;;
*)
	echo "systemctl: $* is not known here" >&2
	exit 1 ;;
esac
`,
	"chown":   "exit 0\n",
	"runuser": "[ \"$1 $2 $3\" = '-u domicile --' ] && shift 3 && exec \"$@\"\n",
}

// machine is one of the walk: a folder of its own, and the variables of its shell so far.
type machine struct {
	name string
	vars []string
}

// walk follows the section "Three machines" of docs/OPERATING.md.
type walk struct {
	t        *testing.T
	dir      string
	machines map[string]*machine
	replace  *strings.Replacer
}

// online are the machines that run a node, with the third number of their addresses in the text.
var online = map[string]int{"us-east": 1, "eu-ireland": 2, "witness": 3}

func newWalk(t *testing.T) *walk {
	dir := t.TempDir()
	for name, text := range stubs {
		file := filepath.Join(dir, "bin", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w := &walk{t: t, dir: dir, machines: map[string]*machine{}}
	addresses := []string{}
	for _, n := range online {
		addresses = append(addresses, fmt.Sprintf("10.%d.0.10", n), w.address(n))
	}
	w.replace = strings.NewReplacer(addresses...)
	return w
}

// address is a machine's on this one: all of 127.0.0.0/8 is, so that each has all ports.
func (w *walk) address(n int) string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid/250%250, 1+pid%250, n)
}

var (
	walkBlock = regexp.MustCompile("(?ms)^```\n# on ([a-z, -]+)\n(.*?)^```$")
	assigned  = regexp.MustCompile(`(?m)^(export )?[A-Z_]+=.*$`)
)

// block runs one block of the text on one machine.
func (w *walk) block(name, text string) {
	w.t.Helper()
	m := w.machines[name]
	if m == nil {
		m = &machine{name: name}
		w.machines[name] = m
		for _, folder := range []string{"ceremony", "etc", "lib"} {
			if err := os.MkdirAll(filepath.Join(w.dir, name, folder), 0o700); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	text = w.here(name, text)
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", "umask 077; "+strings.Join(m.vars, "\n")+"\nset -x\n"+text)
	cmd.Dir = filepath.Join(w.dir, name, "ceremony")
	cmd.Env = w.env(name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // a node that was started keeps the pipes
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		w.t.Fatalf("on %s: %v\n%s", name, err, out.String())
	}
	w.t.Logf("on %s\n%s", name, out.String())
	m.vars = append(m.vars, assigned.FindAllString(text, -1)...)
}

// here puts a machine's own folders and this run's addresses into a text.
func (w *walk) here(name, text string) string {
	text = strings.ReplaceAll(text, "/etc/domicile", filepath.Join(w.dir, name, "etc"))
	return w.replace.Replace(strings.ReplaceAll(text, "/var/lib/domicile", filepath.Join(w.dir, name, "lib")))
}

func (w *walk) env(name string) []string {
	path := filepath.Join(w.dir, "bin") + ":" + filepath.Dir(harness.Program(w.t, "mailctl")) + ":" + os.Getenv("PATH")
	return append(os.Environ(), "PATH="+path, "MACHINES="+w.dir, "MACHINE="+name, "HOME="+filepath.Join(w.dir, name))
}

// desk runs mailctl as the operator at a desk does.
func (w *walk) desk(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), harness.Program(w.t, "mailctl"), append(args, "--output", "json")...)
	cmd.Dir = filepath.Join(w.dir, name, "ceremony")
	cmd.Env = w.env(name)
	for _, v := range w.machines[name].vars {
		if v, ok := strings.CutPrefix(v, "export "); ok {
			cmd.Env = append(cmd.Env, strings.Fields(v)...)
		}
	}
	out, err := cmd.Output()
	return string(out), err
}

// stop ends what still runs, by the pids that the machines have on file.
func (w *walk) stop() {
	for name := range online {
		if _, err := os.Stat(filepath.Join(w.dir, name, "pid")); err != nil {
			continue
		}
		cmd := exec.Command("sh", filepath.Join(w.dir, "bin", "systemctl"), "stop", "mailnode")
		cmd.Env = w.env(name)
		if out, err := cmd.CombinedOutput(); err != nil {
			w.t.Errorf("stop %s: %v\n%s", name, err, out)
		}
	}
}

// TestThreeMachines follows docs/OPERATING.md, "Three machines", with its commands as they stand: real processes, a folder for each
// machine, and nothing between them but what the text says is carried.
func TestThreeMachines(t *testing.T) {
	t.Parallel()
	for tool, how := range map[string]string{"shred": "apt-get install coreutils", "install": "apt-get install coreutils", "seq": "apt-get install coreutils"} {
		harness.Need(t, tool, how)
	}
	lowPorts(t)
	w := newWalk(t)
	t.Cleanup(w.stop)
	blocks := walkBlock.FindAllStringSubmatch(section(t, "docs/OPERATING.md", "## Three machines"), -1)
	if len(blocks) < 40 {
		t.Fatalf("only %d blocks were found", len(blocks))
	}
	for _, b := range blocks {
		for name := range strings.SplitSeq(b[1], ",") {
			w.block(strings.TrimSpace(name), b[2])
		}
	}
	w.checkCarried()
	w.checkRunning()
}

// lowPorts skips where the ports of mail cannot be bound.
func lowPorts(t *testing.T) {
	t.Helper()
	manyLoopbacks(t)
	if os.Geteuid() != 0 {
		absent(t, "the ports of mail are needed; run it as root")
	}
}

// manyLoopbacks skips where loopback is one address: machines of one test have each their own, with all ports.
func manyLoopbacks(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		absent(t, "several addresses of loopback are needed; run it on Linux")
	}
	l.Close()
}

// absent skips a test, or fails it under DOMICILE_REQUIRE=all.
func absent(t *testing.T, text string) {
	t.Helper()
	if os.Getenv("DOMICILE_REQUIRE") == "all" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// checkCarried wants no private key to have travelled, and nothing secret but the two keys that the text names.
func (w *walk) checkCarried() {
	raw, err := os.ReadFile(filepath.Join(w.dir, "carried.bytes"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, bad := range []string{"PRIVATE KEY", "PRIVATE+KEY", "domicile-root-key"} {
		if bytes.Contains(raw, []byte(bad)) {
			w.t.Errorf("a file with %q was carried", bad)
		}
	}
	log, err := os.ReadFile(filepath.Join(w.dir, "carried"))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		f := strings.Fields(line)
		if name := filepath.Base(f[2]); filepath.Ext(name) == ".key" && !slices.Contains([]string{"names.key", "gossip.key", "next.key"}, name) {
			w.t.Errorf("carried: %s", line)
		}
		if strings.HasPrefix(f[0], "ca-us") && strings.HasPrefix(f[1], "eu-") || strings.HasPrefix(f[0], "ca-eu") && strings.HasPrefix(f[1], "us-") {
			w.t.Errorf("one region's authority gave something to another region: %s", line)
		}
	}
}

// checkRunning: at the end all three know each other by the new gossip key, stand at the newest catalog, and deliver mail.
func (w *walk) checkRunning() {
	t := w.t
	harness.Eventually(t, 2*time.Minute, "three nodes at version 4", func() bool {
		out, err := w.desk("desk-ie", "node", "ls")
		var nodes []struct {
			Alive   bool
			Catalog uint64
		}
		if err != nil || json.Unmarshal([]byte(out), &nodes) != nil {
			return false
		}
		good := 0
		for _, n := range nodes {
			if n.Alive && n.Catalog == 4 {
				good++
			}
		}
		return good == 3
	})
	// Ireland was started last: as long as us-east has not seen it come back it answers 451, and a sender tries again.
	harness.Eventually(t, 2*time.Minute, "us-east to take mail for Ireland", func() bool {
		s, err := lab.DialSMTP(t.Context(), w.address(1)+":25")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Send("sender@sender.example", []byte("Subject: over three machines\r\n\r\nhello\r\n"), "aoife@example.com")
		if refused, ok := errors.AsType[*textproto.Error](err); err != nil && (!ok || refused.Code/100 != 4) {
			t.Fatal(err)
		}
		return err == nil
	})
	out, err := w.desk("desk-ie", "account", "show", "aoife@example.com")
	if err != nil || !strings.Contains(out, `"messages":1`) {
		t.Errorf("the message that us-east accepted is not in Ireland: %v, %s", err, out)
	}
	if out, err := w.desk("desk-us", "account", "show", "aoife@example.com"); err == nil {
		t.Errorf("us-east shows an Irish account: %s", out)
	}
	for name := range online {
		raw, err := os.ReadFile(filepath.Join(w.dir, name, "node.log"))
		if err != nil || bytes.Contains(raw, []byte("@example.com")) || bytes.Contains(raw, []byte(`"level":"ERROR"`)) {
			t.Errorf("the log of %s: %v\n%s", name, err, raw)
		}
	}
}
