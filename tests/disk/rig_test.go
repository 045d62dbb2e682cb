//go:build linux

package disk

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"domicile/tests/faultfs"
	"domicile/tests/harness"
)

// How the test binary becomes a child: what it does, with what; and whether the disk is going to refuse things.
const (
	childDoes   = "DOMICILE_DISK_CHILD"
	childFaults = "DOMICILE_DISK_FAULTS"
)

func TestMain(m *testing.M) {
	switch words := strings.Split(os.Getenv(childDoes), "\n"); words[0] {
	case "work":
		rounds, err := strconv.Atoi(words[4])
		end(errors.Join(err, work(words[1], words[2], words[3], rounds)))
	case "map":
		end(mapped(filepath.Join(words[1], "file")))
	case "check":
		serveChecks(words[1])
	default:
		harness.Main(m)
	}
}

func end(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// long says whether everything is tried, or a part that takes seconds.
func long() bool { return os.Getenv("DOMICILE_LONG") == "1" }

// needFUSE skips where a file system cannot be mounted, and fails there if nothing may skip.
func needFUSE(t *testing.T) {
	t.Helper()
	err := faultfs.Available()
	switch {
	case err == nil:
	case os.Getenv("DOMICILE_REQUIRE") == "all":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// rig is one failing disk with the keys that lie elsewhere.
type rig struct {
	*faultfs.FS
	dir, secrets string
	killed       faultfs.Op
}

// newSecrets makes the keys that lie on a sound disk.
func newSecrets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := makeSecrets(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func newRig(t *testing.T, secrets string) *rig {
	t.Helper()
	needFUSE(t)
	r := &rig{dir: t.TempDir(), secrets: secrets}
	var err error
	if r.FS, err = faultfs.Mount(r.dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func self(t testing.TB, does ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = append(os.Environ(), childDoes+"="+strings.Join(does, "\n"))
	return cmd
}

// live runs one life on the disk as a process of its own and returns what it printed.
func (r *rig) live(t *testing.T, name string, rounds int, env ...string) (string, error) {
	t.Helper()
	return r.run(t, "work", append([]string{r.secrets, name, fmt.Sprint(rounds)}, env...)...)
}

// run runs a child in the mounted folder. What follows its words are settings of its environment.
func (r *rig) run(t *testing.T, does string, words ...string) (string, error) {
	t.Helper()
	cut := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "DOMICILE_") })
	if cut < 0 {
		cut = len(words)
	}
	cmd := self(t, append([]string{does, r.dir}, words[:cut]...)...)
	cmd.Env = append(cmd.Env, words[cut:]...)
	cmd.WaitDelay = 10 * time.Second
	timer := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// claims are those of the first n operations.
func claims(t testing.TB, trace faultfs.Trace, n int) (list []claim) {
	t.Helper()
	for _, o := range trace[:n] {
		if o.Kind != faultfs.Note || act(o) != "" {
			continue
		}
		var c claim
		if err := json.Unmarshal(o.Data, &c); err != nil {
			t.Fatalf("%q: %v", o.Data, err)
		}
		list = append(list, c)
	}
	return list
}

// act is the name of the act of a life that begins at an operation, "" if none does.
func act(o faultfs.Op) string {
	var c claim
	if o.Kind != faultfs.Note || json.Unmarshal(o.Data, &c) != nil || c.Kind != "act" {
		return ""
	}
	return c.ID
}

// question is one power cut, to be held against what was acknowledged before it.
type question struct {
	trace   faultfs.Trace
	n       int // operations before the cut
	way     way
	without func(int) bool
}

func (q question) String() string {
	next := "the end"
	if q.n < len(q.trace) {
		next = q.trace[q.n].String()
	}
	return fmt.Sprintf("power cut after operation %d of %d, before %s, kept: %s", q.n, len(q.trace), next, q.way.name)
}

// key is the same for two questions of one trace, and one set of fsyncs that are left out, of which both have one answer: where nothing is kept
// that was not synced, an operation that syncs nothing and says nothing changes nothing.
func (q question) key() any {
	k := struct {
		way  string
		n    int
		lose bool
	}{q.way.name, q.n, q.losesFirst()}
	for q.way.name == nothing && k.n > 0 && q.trace[k.n-1].Kind != faultfs.Sync && q.trace[k.n-1].Kind != faultfs.Note {
		k.n--
	}
	return k
}

// losesFirst says that what is left is opened without the store's index before it is opened as it is.
func (q question) losesFirst() bool { return q.n%3 == 0 }

// nothing is the way of a disk that keeps nothing but what was synced.
const nothing = "nothing"

// way is how a disk forgets.
type way struct {
	name string // what is kept
	keep faultfs.Keep
}

func keeps(seed int) []way {
	return []way{{nothing, faultfs.Drop}, {"the newest", faultfs.Newest}, {fmt.Sprintf("some (%d)", seed), faultfs.Some(seed)}}
}

// checker asks child processes: what a broken disk holds may crash whoever maps it.
type checker struct {
	t       testing.TB
	secrets string
	room    string
	made    atomic.Int64
	idle    chan *asked
}

type asked struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *bytes.Buffer
}

const checkers = 2

func newChecker(t testing.TB, secrets string) *checker {
	t.Helper()
	c := &checker{t: t, secrets: secrets, idle: make(chan *asked, checkers)}
	var err error
	if c.room, err = os.MkdirTemp("", "domicile-disk-"); err != nil { // harness.Main has it in memory
		t.Fatal(err)
	}
	for range checkers {
		c.idle <- nil
	}
	t.Cleanup(func() {
		for range checkers {
			(<-c.idle).end()
		}
		os.RemoveAll(c.room)
	})
	return c
}

func (a *asked) end() {
	if a != nil {
		a.in.Close()
		a.cmd.Wait()
	}
}

func (c *checker) start() (*asked, error) {
	a := &asked{cmd: self(c.t, "check", c.secrets), err: &bytes.Buffer{}}
	a.cmd.Env = append(a.cmd.Env, "GOGC=400") // it makes much that lives shortly
	var err error
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.out, a.cmd.Stderr = bufio.NewReader(out), a.err
	return a, a.cmd.Start()
}

// ask returns what is wrong after a power cut, "" if all that was acknowledged is there. Safe for concurrent use.
func (c *checker) ask(q question) (wrong string, err error) {
	a := <-c.idle
	defer func() { c.idle <- a }()
	if a == nil {
		if a, err = c.start(); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(c.room, fmt.Sprint(c.made.Add(1)))
	defer os.RemoveAll(dir)
	left := q.trace.Crash(q.n, q.way.keep, q.without)
	if err := errors.Join(left.Save(filepath.Join(dir, "tree")), left.SaveNameless(filepath.Join(dir, "nameless"))); err != nil {
		return "", err
	}
	raw, err := json.Marshal(claims(c.t, q.trace, q.n))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "claims"), raw, 0o600)
	}
	if err == nil && q.losesFirst() {
		err = os.WriteFile(filepath.Join(dir, "lose"), nil, 0o600)
	}
	if err == nil {
		_, err = fmt.Fprintln(a.in, dir)
	}
	if err != nil {
		return "", err
	}
	stuck := time.AfterFunc(2*time.Minute, func() { a.cmd.Process.Signal(syscall.SIGQUIT) })
	line, err := a.out.ReadString('\n')
	stuck.Stop()
	if err != nil { // it crashed: that is an answer too
		a.end()
		text := a.err.String()
		text, _, _ = strings.Cut(text[max(0, strings.LastIndex(text, "panic: ")):], "\n\n")
		a = nil
		return "whoever opens it crashes: " + text, nil
	}
	return strings.TrimPrefix(strings.TrimSpace(line), "ok"), nil
}

// serveChecks answers questions until its standard input ends.
func serveChecks(secrets string) {
	g, given := loadGiven(secrets)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var list []claim
		raw, err := os.ReadFile(filepath.Join(lines.Text(), "claims"))
		if err = errors.Join(given, err); err == nil {
			err = json.Unmarshal(raw, &list)
		}
		if err == nil {
			_, lose := os.Stat(filepath.Join(lines.Text(), "lose"))
			err = check(filepath.Join(lines.Text(), "tree"), filepath.Join(lines.Text(), "nameless"), g, list, lose == nil)
		}
		if err == nil {
			fmt.Println("ok")
			continue
		}
		fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// each does something n times, as many at once as there are children to ask, and returns what came of each. After an error it does no more.
func (c *checker) each(n int, do func(i int) (string, error)) ([]string, error) {
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Bool
	out, errs := make([]string, n), make([]error, n)
	for range checkers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if out[i], errs[i] = do(i); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// all asks many questions at once and returns each that was answered with something wrong, up to some.
func (c *checker) all(list []question) (wrong []string, err error) {
	var found atomic.Int64
	answers, err := c.each(len(list), func(i int) (string, error) {
		if found.Load() >= 20 {
			return "", nil
		}
		answer, err := c.ask(list[i])
		if answer != "" {
			found.Add(1)
		}
		return answer, err
	})
	for i, answer := range answers {
		if answer != "" {
			wrong = append(wrong, list[i].String()+":\n    "+answer)
		}
	}
	return wrong, err
}

// points are the places of a trace, from one on, where a power cut differs from one a step earlier: bytes that follow one
// another into one file count once, and the beginning of an act changes nothing.
func points(trace faultfs.Trace, from int) (list []int) {
	for n := from; n <= len(trace); n++ {
		if n > 0 && n < len(trace) && trace[n].Kind == faultfs.Write && trace[n-1].Kind == faultfs.Write && trace[n].Inode == trace[n-1].Inode {
			continue
		}
		if n > from && act(trace[n-1]) != "" {
			continue
		}
		list = append(list, n)
	}
	return list
}
