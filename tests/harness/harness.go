package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/lab"
	"domicile/store/storetest"
	"domicile/tests/scan"
)

// programs are built once for a run of the tests.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

var shared struct {
	once    sync.Once
	cluster *Cluster
}

// Main runs the tests and removes what they built. TestMain calls it.
func Main(m *testing.M) {
	flag.Parse()
	sideBySide()
	freed := storetest.InMemory()
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.end(); err != nil {
			fmt.Fprintln(os.Stderr, "the shared lab:", err)
			code = max(code, 1)
		}
		os.RemoveAll(shared.cluster.Root)
	}
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	freed()
	os.Exit(code)
}

// sideBySide lets more tests run at a time than there are processors, unless the command says how many: they mostly wait, for
// nodes that start, links that stall and deadlines that pass.
func sideBySide() {
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		atOnce := 12
		if Race { // it takes processors and memory
			atOnce = 6
		}
		flag.Set("test.parallel", fmt.Sprint(max(atOnce, runtime.GOMAXPROCS(0))))
	}
}

// Program returns the path of mailnode or mailctl, built from this tree.
func Program(t testing.TB, name string) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "domicile-bin-"); programs.err != nil {
			return
		}
		cmd := exec.Command("go", "build", raceFlag, "-o", programs.dir, "domicile/cmd/mailnode", "domicile/cmd/mailctl")
		cmd.Dir = Root(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// Root is the project's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test's folder")
	return ""
}

// Need skips the test where a tool is not installed, and says how to install it; under DOMICILE_REQUIRE=all it fails instead.
// It returns the tool's path.
func Need(t testing.TB, tool, how string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err == nil {
		return path
	}
	text := fmt.Sprintf("%s is not installed; install it with: %s", tool, how)
	if os.Getenv("DOMICILE_REQUIRE") == "all" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// Cluster is a lab whose nodes can be started and stopped.
type Cluster struct {
	*lab.Lab
	Root              string // holds the lab, and the folders that HOME and TMPDIR of the nodes point to
	mailnode, mailctl string

	mu      sync.Mutex
	running map[domicile.Node]*lab.Process
	secrets []string // passwords, which no log may hold
}

// Ports of labs are taken from blocks, of which each process has one of its own: nodes that are killed and started again leave theirs free for a moment.
const (
	firstPort = 21000
	blockSize = 2000
	blocks    = 4
	labPorts  = 60
)

var ports struct {
	once  sync.Once
	claim net.Listener // on a port of the block's: it lasts as long as the process
	block int
	next  atomic.Int32
}

// BasePort returns the port above which the next lab of this run takes its own.
func BasePort() int {
	ports.once.Do(func() {
		ports.block = os.Getpid() % blocks // if more run on this machine than there are blocks
		for i := range blocks {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort-1-i))
			if err == nil {
				ports.claim, ports.block = l, i
				break
			}
		}
	})
	return firstPort + ports.block*blockSize + int(ports.next.Add(1)-1)*labPorts%blockSize
}

// New makes a lab of the regions ("us-east=US") with mailctl lab init. Nothing runs yet. At the end of the test all nodes are
// stopped, each must exit with 0, and the logs are checked.
func New(t testing.TB, args ...string) *Cluster {
	t.Helper()
	c := build(t, t.TempDir(), args...)
	t.Cleanup(func() {
		if err := c.end(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TwoRegions are the arguments for the lab of the story.
var TwoRegions = []string{"--region", "us-east=US", "--region", "eu-ireland=IE,DE,FR"}

// Shared returns the lab of the story with all nodes running, one for all tests that break nothing.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "domicile-lab-")
		if err != nil {
			t.Fatal(err)
		}
		c := build(t, dir, TwoRegions...)
		shared.cluster = c
		c.StartAll(t)
	})
	if shared.cluster == nil {
		t.Fatal("the shared lab could not be made; see the first test that needed it")
	}
	return shared.cluster
}

func build(t testing.TB, root string, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{Root: root, mailnode: Program(t, "mailnode"), mailctl: Program(t, "mailctl"), running: map[domicile.Node]*lab.Process{}}
	dir := filepath.Join(root, "lab")
	args = append([]string{"lab", "init", "--dir", dir, "--base-port", fmt.Sprint(BasePort())}, args...)
	if out, err := exec.Command(c.mailctl, args...).CombinedOutput(); err != nil {
		t.Fatalf("mailctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	var err error
	if c.Lab, err = lab.Load(dir); err != nil {
		t.Fatal(err)
	}
	c.logAll(t)
	return c
}

// logAll has every node log all there is, so that checkLogs looks at every line that a node can write.
func (c *Cluster) logAll(t testing.TB) {
	t.Helper()
	configs := []string{c.Witness.Config}
	for _, n := range c.Nodes {
		configs = append(configs, n.Config)
	}
	for _, name := range configs {
		f, err := os.OpenFile(c.Path(name), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("\n[log]\nlevel = 'debug'\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Outside returns the folder that HOME and TMPDIR of a node lie in: what a node writes outside its own folder is there.
func (c *Cluster) Outside(name domicile.Node) string {
	return filepath.Join(c.Root, "outside", string(name))
}

// Launch starts a node and waits until it is ready.
func (c *Cluster) Launch(t testing.TB, names ...domicile.Node) {
	t.Helper()
	for _, name := range names {
		home, tmp := filepath.Join(c.Outside(name), "home"), filepath.Join(c.Outside(name), "tmp")
		for _, dir := range []string{home, tmp} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		p, err := c.Start(t.Context(), c.mailnode, name, "HOME="+home, "TMPDIR="+tmp)
		if err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.running[name] = p
		c.mu.Unlock()
	}
}

// StartAll starts the witness and every node, and waits until all know each other.
func (c *Cluster) StartAll(t testing.TB) {
	t.Helper()
	names := []domicile.Node{domicile.Node(c.Witness.Name)}
	for _, n := range c.Nodes {
		names = append(names, n.Name)
	}
	c.Launch(t, names...)
	c.Met(t, len(names))
}

// Met waits until the node of every region with an admin address that runs knows want nodes to be alive.
func (c *Cluster) Met(t testing.TB, want int) {
	t.Helper()
	for _, n := range c.Nodes {
		if n.Admin == "" || !c.Runs(n.Name) {
			continue
		}
		Eventually(t, 2*time.Minute, fmt.Sprintf("%s to know %d nodes", n.Name, want), func() bool {
			var nodes []struct{ Alive bool }
			r := c.Ctl(t, n.Region, "operator", nil, "node", "ls")
			alive := 0
			if r.Code == 0 && json.Unmarshal(r.Out, &nodes) == nil {
				for _, n := range nodes {
					if n.Alive {
						alive++
					}
				}
			}
			return alive == want
		})
	}
}

// Runs reports whether the harness runs a node.
func (c *Cluster) Runs(name domicile.Node) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[name] != nil
}

// Strays returns the files outside the cluster's folder that running nodes have open, each with its node. Linux only.
func (c *Cluster) Strays(t testing.TB) (strays []string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, p := range c.running {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID()))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			to, err := os.Readlink(l)
			kernel := slices.ContainsFunc([]string{"/dev/", "/proc/", "/sys/"}, func(dir string) bool { return strings.HasPrefix(to, dir) })
			if err == nil && strings.HasPrefix(to, "/") && !kernel && !strings.HasPrefix(to, c.Root+"/") {
				strays = append(strays, string(name)+": "+to)
			}
		}
	}
	return strays
}

// Memory returns how many bytes of memory a running node holds, and the most since the last call. Linux only.
func (c *Cluster) Memory(t testing.TB, name domicile.Node) (now, most int64) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.running[name]
	if p == nil {
		t.Fatalf("%s does not run", name)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmRSS: %d kB", &now)
		fmt.Sscanf(line, "VmHWM: %d kB", &most)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID()), []byte("5"), 0); err != nil || now == 0 {
		t.Fatal(now, err)
	}
	return now << 10, most << 10
}

func (c *Cluster) take(t testing.TB, name domicile.Node) *lab.Process {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.running[name]
	if p == nil {
		t.Fatalf("%s does not run", name)
	}
	delete(c.running, name)
	return p
}

// Halt stops a node by SIGTERM; it must exit with 0.
func (c *Cluster) Halt(t testing.TB, name domicile.Node) {
	t.Helper()
	if err := c.take(t, name).Stop(); err != nil {
		t.Fatal(err)
	}
}

// Kill9 ends a node as a power cut would.
func (c *Cluster) Kill9(t testing.TB, name domicile.Node) {
	t.Helper()
	c.take(t, name).Kill()
}

// end stops what runs and checks the logs.
func (c *Cluster) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for name, p := range c.running {
		errs = append(errs, p.Stop())
		delete(c.running, name)
	}
	return errors.Join(append(errs, c.checkLogs(), c.checkAudit())...)
}

// checkAudit verifies the audit log of every region, as an auditor with a copy of it would.
func (c *Cluster) checkAudit() error {
	if c.Lab == nil {
		return nil
	}
	raw, err := os.ReadFile(c.Path(c.Pins))
	if err != nil {
		return err
	}
	pins, err := audit.ParsePins(raw)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range c.Nodes {
		dir := filepath.Join(c.Path(n.Data), "audit")
		if _, err := os.Stat(dir); n.Admin == "" || err != nil {
			continue // a front, or a node that never ran
		}
		if err := audit.VerifyDir(dir, pins, io.Discard); err != nil {
			errs = append(errs, fmt.Errorf("the log of %s: %w", n.Region, err))
		}
	}
	return errors.Join(errs...)
}

// checkLogs wants no address, no password, no panic and no data race in any node's log.
func (c *Cluster) checkLogs() error {
	if c.Lab == nil {
		return nil
	}
	logs, err := filepath.Glob(filepath.Join(c.Dir, "*", "node.log"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range logs {
		raw, err := os.ReadFile(path)
		errs = append(errs, err)
		for _, bad := range append([]string{"@" + c.Domain, "panic:", "DATA RACE"}, c.secrets...) {
			if len(scan.Bytes(raw, bad)) == 0 {
				continue
			}
			line := ""
			for l := range bytes.Lines(raw) {
				if bytes.Contains(l, []byte(bad)) {
					line = string(l)
					break
				}
			}
			errs = append(errs, fmt.Errorf("%s has %q in its log: %.600s", filepath.Base(filepath.Dir(path)), bad, line))
		}
	}
	return errors.Join(errs...)
}

// Result is what a run of mailctl came to.
type Result struct {
	Code int
	Out  []byte // standard output
	Err  string // standard error
}

// Get returns a field of the JSON object on the standard output, "" if there is none.
func (r Result) Get(key string) string {
	var v map[string]any
	if json.Unmarshal(r.Out, &v) != nil || v[key] == nil {
		return ""
	}
	return fmt.Sprint(v[key])
}

func (r Result) String() string { return fmt.Sprintf("exit %d\n%s%s", r.Code, r.Out, r.Err) }

// Ctl runs mailctl with --output json as a region's first operator with the role, against that region's admin address. in is
// its standard input.
func (c *Cluster) Ctl(t testing.TB, r domicile.Region, role string, in []byte, args ...string) Result {
	t.Helper()
	who := c.Who(r, role)
	if who == nil || c.Home(r) == nil {
		t.Fatalf("the lab has no %s in %s", role, r)
	}
	flags := []string{"--node", c.Home(r).Admin, "--identity", c.Path(who.Identity), "--receipts", c.Receipts(), "--output", "json"}
	return c.Run(t, in, append(args, flags...)...)
}

// Receipts is the folder that receipts are written to.
func (c *Cluster) Receipts() string { return filepath.Join(c.Root, "receipts") }

// Run runs mailctl with these words and no others, in the cluster's root folder.
func (c *Cluster) Run(t testing.TB, in []byte, args ...string) Result {
	t.Helper()
	os.MkdirAll(c.Receipts(), 0o755)
	cmd := exec.CommandContext(t.Context(), c.mailctl, args...)
	cmd.Dir, cmd.Stdin = c.Root, bytes.NewReader(in)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("mailctl %s: %v", strings.Join(args, " "), err)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Out: out.Bytes(), Err: errOut.String()}
}

// Account makes an account in its home region and returns its password.
func (c *Cluster) Account(t testing.TB, r domicile.Region, address, residence string) string {
	t.Helper()
	password := domicile.NewID("pw-")
	c.mu.Lock()
	c.secrets = append(c.secrets, password)
	c.mu.Unlock()
	if got := c.Ctl(t, r, "operator", []byte(password+"\n"), "account", "create", address, "--residence", residence, "--password-stdin"); got.Code != 0 {
		t.Fatalf("account create in %s: %s", r, got)
	}
	return password
}

// Deliver sends messages by SMTP at a node; each must be accepted.
func (c *Cluster) Deliver(t testing.TB, at domicile.Node, to string, texts ...[]byte) {
	t.Helper()
	s, err := lab.DialSMTP(t.Context(), c.Node(at).SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, text := range texts {
		if err := s.Send("sender@sender.example", text, to); err != nil {
			t.Fatalf("message %d at %s: %v", i+1, at, err)
		}
	}
}

// Inbox reads an account's INBOX over IMAP at home.
func (c *Cluster) Inbox(t testing.TB, r domicile.Region, address, password string) [][]byte {
	t.Helper()
	got, err := lab.ReadMail(t.Context(), c.Home(r).IMAP, address, password, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Eventually waits for a condition that other processes bring about.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s", within, what)
		}
	}
}
