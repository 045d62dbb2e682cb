package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile"
	"domicile/admin"
	"domicile/lab"
)

// serving is a node that runs within the test, as "mailnode serve" would.
type serving struct {
	ready  ready
	stop   context.CancelFunc
	code   chan int
	errOut *bytes.Buffer // safe to read once code was received
}

func start(t *testing.T, conf string) *serving {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	s := &serving{stop: stop, code: make(chan int, 1), errOut: &bytes.Buffer{}}
	go func() {
		code := run(ctx, []string{"serve", "--config", conf}, w, s.errOut)
		w.Close()
		s.code <- code
	}()
	line, err := bufio.NewReader(r).ReadBytes('\n')
	go io.Copy(io.Discard, r)
	if err != nil || json.Unmarshal(line, &s.ready) != nil || !s.ready.Ready {
		stop()
		<-s.code
		t.Fatalf("not ready: %v\n%s", err, s.errOut)
	}
	return s
}

// end stops the node and returns its exit code.
func (s *serving) end(t *testing.T) int {
	t.Helper()
	s.stop()
	select {
	case code := <-s.code:
		return code
	case <-time.After(time.Minute):
		t.Fatal("the node does not end")
		return -1
	}
}

func oneRegion(t *testing.T, port int) *lab.Lab {
	t.Helper()
	l, err := lab.Init(lab.InitOptions{Dir: filepath.Join(t.TempDir(), "lab"), BasePort: port,
		Regions: []lab.RegionSpec{{Name: "eu-ireland", Country: "IE", Serves: []domicile.Country{"IE"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A node's life: it serves, keeps a second one out of its folder, outlives a bad catalog, drains, and comes up again with
// what it had.
func TestServe(t *testing.T) {
	l := oneRegion(t, 27000)
	n := l.Nodes[0]
	conf := l.Path(n.Config)
	s := start(t, conf)
	identity, err := os.ReadFile(l.Path(l.Who("eu-ireland", "operator").Identity))
	if err != nil {
		t.Fatal(err)
	}
	c, err := admin.NewClient(s.ready.Admin, identity)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.CreateAccount(t.Context(), admin.CreateAccount{Address: "anna@example.com", Residence: "IE", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}

	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--config", conf}, &out, &errOut); code != exitFailed || !strings.Contains(errOut.String(), "another node uses") {
		t.Errorf("a second node: exit %d: %s", code, errOut.String())
	}

	if err := os.WriteFile(filepath.Join(l.Dir, "catalog", "2.toml"), []byte("version = 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if v, err := c.Catalog(t.Context()); err != nil || v.Catalog.Version != 1 {
		t.Errorf("after a bad catalog: %+v, %v", v, err)
	}
	if code := s.end(t); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if log := s.errOut.String(); !strings.Contains(log, "the old one stays in force") || strings.Contains(log, "anna") || strings.Contains(log, "correct horse") {
		t.Errorf("the log says\n%s", log)
	}

	// A bad catalog does stop a start: nobody may come up by an unverified one.
	if code := run(t.Context(), []string{"serve", "--config", conf}, &out, &errOut); code != exitFailed {
		t.Errorf("started with a bad catalog: exit %d", code)
	}
	if err := os.Remove(filepath.Join(l.Dir, "catalog", "2.toml")); err != nil {
		t.Fatal(err)
	}
	s = start(t, conf)
	if w, err := c.Where(t.Context(), "anna@example.com"); err != nil || w.Home != "eu-ireland" {
		t.Errorf("after a restart: %+v, %v", w, err)
	}
	if code := s.end(t); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// The data folder of one region is not opened as another's.
func TestServeForeignData(t *testing.T) {
	l := oneRegion(t, 27100)
	conf := l.Path(l.Nodes[0].Config)
	data := l.Path(l.Nodes[0].Data)
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "domicile.stamp"), []byte(`{"format":1,"region":"us-east","node":"us-east-1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--config", conf}, &out, &errOut); code != exitFailed || !strings.Contains(errOut.String(), "wrong_region") {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
}

func TestServeWitness(t *testing.T) {
	l := oneRegion(t, 27200)
	s := start(t, l.Path(l.Witness.Config))
	if s.ready.Region != "" || s.ready.Admin != "" || s.ready.RPC == "" {
		t.Errorf("ready: %+v", s.ready)
	}
	if code := s.end(t); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestCheck(t *testing.T) {
	l := oneRegion(t, 27300)
	conf := l.Path(l.Nodes[0].Config)
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"check", "--config", conf, "--print"}, &out, &errOut); code != exitOK || !strings.Contains(out.String(), "cool_down = '336h'") {
		t.Errorf("exit %d: %s%s", code, out.String(), errOut.String())
	}
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(strings.Replace(string(text), "seeds", "sedes", 1), "name = ", "nane = ", 1)
	if err := os.WriteFile(conf, []byte(bad), 0o644); err != nil {
		t.Fatal(err)
	}
	errOut.Reset()
	code := run(t.Context(), []string{"check", "--config", conf}, &out, &errOut)
	if code != exitInvalid || !strings.Contains(errOut.String(), `did you mean "seeds"?`) || !strings.Contains(errOut.String(), `did you mean "name"?`) {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
}

func TestWords(t *testing.T) {
	for _, words := range []string{"frobnicate", "serve --frobnicate", "serve extra", "check --config /nowhere", "demo --output yaml", "demo extra"} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), strings.Fields(words), &out, &errOut); code != exitInvalid {
			t.Errorf("%s: exit %d: %s", words, code, errOut.String())
		}
	}
	for _, words := range []string{"", "--help", "serve --help", "version"} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), strings.Fields(words), &out, &errOut); code != exitOK || out.Len() == 0 {
			t.Errorf("%q: exit %d: %s", words, code, errOut.String())
		}
	}
}
