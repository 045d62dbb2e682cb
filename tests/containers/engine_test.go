package containers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
)

// Times of the whole test and of what it waits for. They bound a failure, and decide nothing.
const (
	wholeTest  = 15 * time.Minute
	tearDown   = 90 * time.Second // kept back from go test's own deadline
	oneCommand = 2 * time.Minute
	patience   = 2 * time.Minute
)

// engine is the project of docker-compose.yml as this run has it.
type engine struct {
	ctx     context.Context
	project string
	image   string
	dir     string // holds the compose file, the lab and what mailctl writes
	net     string // the first half of all addresses
	ports   string // the first digits of all ports
	env     []string
	*harness.Cluster
}

// need skips where containers cannot be run, and says what is missing; under DOMICILE_REQUIRE=all it fails there.
func need(t *testing.T) {
	t.Helper()
	if os.Getenv("DOMICILE_CONTAINERS") != "1" {
		t.Skip("the containers take some minutes: set DOMICILE_CONTAINERS=1")
	}
	harness.Need(t, "docker", "apt-get install docker.io")
	harness.Need(t, "docker-compose", "apt-get install docker-compose")
	harness.NeedRoot(t, "what a container writes on the host is root's")
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		text := fmt.Sprintf("no Docker engine answers; start dockerd: %s", out)
		if os.Getenv("DOMICILE_REQUIRE") == "all" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
}

// start builds the image and brings everything up. Whatever happens then, it is torn down again: a time limit of our own comes
// before go test's, which would end the test without a word to the engine, and so does Ctrl-C.
func start(t *testing.T) *engine {
	t.Helper()
	need(t)
	end := time.Now().Add(wholeTest)
	if d, ok := t.Deadline(); ok && d.Add(-tearDown).Before(end) {
		end = d.Add(-tearDown)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithDeadline(ctx, end)
	t.Cleanup(func() { cancel(); stop() })

	dir, name := t.TempDir(), fmt.Sprintf("domicile-test-%d", os.Getpid())
	e := &engine{ctx: ctx, project: name, image: name + ":dev", dir: dir, net: freeNetwork(t), ports: freePorts(t)}
	e.env = append(os.Environ(), "COMPOSE_PROJECT_NAME="+name, "COMPOSE_FILE="+filepath.Join(dir, "docker-compose.yml"),
		"DOMICILE_IMAGE="+e.image, "DOMICILE_LAB="+filepath.Join(dir, "lab"), "DOMICILE_NET="+e.net, "DOMICILE_PORTS="+e.ports)
	compose, err := os.ReadFile(filepath.Join(harness.Root(t), "docker-compose.yml"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "docker-compose.yml"), compose, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.tearDown(t) })
	e.build(t)
	e.must(t, "docker-compose", "up", "-d")
	l, err := lab.Load(filepath.Join(dir, "lab"))
	if err != nil {
		t.Fatal(err)
	}
	e.Cluster = harness.Attach(t, l, dir)
	e.healthy(t)
	e.together(t)
	return e
}

// build makes the image of the project's Dockerfile, as make images does, and the program rogue.
func (e *engine) build(t *testing.T) {
	t.Helper()
	root := harness.Root(t)
	for to, packages := range map[string][]string{"bin/": {"./cmd/mailnode", "./cmd/mailctl"}, "rogue/": {"./tests/containers/rogue"}} {
		cmd := exec.CommandContext(e.ctx, "go", append([]string{"build", "-trimpath", "-o", filepath.Join(e.dir, to) + "/"}, packages...)...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	e.must(t, "docker", "build", "-q", "-t", e.image, "-f", filepath.Join(root, "Dockerfile"), e.dir)
}

// tearDown removes all that bears the project's name. After a failure it first tells what the nodes said last.
func (e *engine) tearDown(t *testing.T) {
	e.ctx = context.Background()
	if t.Failed() {
		out, _ := e.run("docker-compose", "logs", "--no-color", "--tail=60")
		t.Logf("what the nodes said last:\n%s", out)
	}
	var errs []error
	remove := func(what ...string) {
		if _, err := e.run("docker", what...); err != nil {
			errs = append(errs, err)
		}
	}
	label := "label=com.docker.compose.project=" + e.project
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq", "--filter", label}, []string{"rm", "-fv"}},
		{[]string{"ps", "-aq", "--filter", "label=" + e.project}, []string{"rm", "-fv"}}, // extras
		{[]string{"network", "ls", "-q", "--filter", label}, []string{"network", "rm"}},
		{[]string{"volume", "ls", "-q", "--filter", label}, []string{"volume", "rm"}},
	} {
		ids, err := e.run("docker", kind.list...)
		errs = append(errs, err)
		if ids != "" {
			remove(append(kind.remove, strings.Fields(ids)...)...)
		}
	}
	if _, err := e.run("docker", "image", "inspect", e.image); err == nil {
		remove("image", "rm", "-f", e.image)
	}
	if err := errors.Join(errs...); err != nil {
		t.Errorf("something of %s is left: %v", e.project, err)
	}
}

// run runs docker, docker-compose or a shell for this project, in its folder.
func (e *engine) run(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(e.ctx, oneCommand)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = e.dir, e.env
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

func (e *engine) must(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := e.run(program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// container is the id of a service's container, whatever name this release of docker-compose gave it; "" if there is none.
func (e *engine) container(service domicile.Node) string {
	id, err := e.run("docker", "ps", "-aq", "--filter", "label=com.docker.compose.project="+e.project, "--filter", "label=com.docker.compose.service="+string(service))
	if err != nil {
		return ""
	}
	return id
}

// names are the lab's nodes and its witness: the services of the compose file but for the lab itself.
func (e *engine) names() []domicile.Node {
	names := []domicile.Node{domicile.Node(e.Witness.Name)}
	for _, n := range e.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// healthy waits until these nodes, or all of them, serve, by the health check of the compose file.
func (e *engine) healthy(t testing.TB, names ...domicile.Node) {
	t.Helper()
	if names == nil {
		names = e.names()
	}
	for _, n := range names {
		e.eventually(t, string(n)+" to be healthy", func() bool {
			out, err := e.run("docker", "inspect", "-f", "{{.State.Status}} {{.State.Health.Status}}", e.container(n))
			return err == nil && out == "running healthy"
		})
	}
}

// together waits until the storing node of every region knows all nodes to be alive.
func (e *engine) together(t testing.TB) {
	t.Helper()
	for _, n := range e.Nodes {
		if n.Admin != "" {
			e.eventually(t, string(n.Name)+" to know all nodes", func() bool { return len(e.alive(t, n.Region)) == len(e.Nodes)+1 })
		}
	}
}

// eventually is harness.Eventually that ends with the test's time.
func (e *engine) eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	harness.Eventually(t, patience, what, func() bool {
		if err := e.ctx.Err(); err != nil {
			t.Fatalf("out of time while waiting for %s: %v", what, err)
		}
		return ok()
	})
}

// halt stops a node as docker-compose does, by SIGTERM; it must end with 0.
func (e *engine) halt(t testing.TB, names ...domicile.Node) {
	t.Helper()
	for _, n := range names {
		e.must(t, "docker", "stop", "-t", "60", e.container(n))
		if code := e.must(t, "docker", "inspect", "-f", "{{.State.ExitCode}}", e.container(n)); code != "0" {
			t.Errorf("%s ended with %s after SIGTERM", n, code)
		}
	}
}

// kill9 ends nodes as a power cut would.
func (e *engine) kill9(t testing.TB, names ...domicile.Node) {
	t.Helper()
	for _, n := range names {
		e.must(t, "docker", "kill", "-s", "KILL", e.container(n))
	}
}

func (e *engine) launch(t testing.TB, names ...domicile.Node) {
	t.Helper()
	for _, n := range names {
		e.must(t, "docker", "start", e.container(n))
	}
	e.healthy(t, names...)
}

// aside runs the image in a container beside those of the compose file, once: its words and its exit code.
func (e *engine) aside(t testing.TB, args ...string) (string, int) {
	t.Helper()
	out, err := e.run("docker", append([]string{"run", "--rm", "--label", e.project}, args...)...)
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return out, 0
	case failed:
		return out, exit.ExitCode()
	}
	t.Fatal(err)
	return "", 0
}

// freeNetwork returns the first half of addresses that neither this machine nor any of its containers has.
func freeNetwork(t *testing.T) string {
	t.Helper()
	var taken []netip.Prefix
	ids, err := exec.Command("docker", "network", "ls", "-q").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range strings.Fields(string(ids)) {
		out, err := exec.Command("docker", "network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", id).Output()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, s := range strings.Fields(string(out)) {
			taken = append(taken, netip.MustParsePrefix(s))
		}
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		taken = append(taken, netip.MustParsePrefix(a.String()))
	}
	for i := range 100 {
		half := fmt.Sprintf("10.%d", 100+(os.Getpid()+i)%100)
		p := netip.MustParsePrefix(half + ".0.0/16")
		if !slices.ContainsFunc(taken, p.Overlaps) {
			return half
		}
	}
	t.Fatal("no network of 10.100.0.0/16 to 10.199.0.0/16 is free")
	return ""
}

// freePorts returns the first digits of a hundred ports of which all are free.
func freePorts(t *testing.T) string {
	t.Helper()
	for i := range 20 {
		digits := 300 + (os.Getpid()+i)%20
		free := true
		for port := digits * 100; free && port < digits*100+100; port++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return strconv.Itoa(digits)
		}
	}
	t.Fatal("no hundred ports from 30000 to 32000 are free")
	return ""
}
