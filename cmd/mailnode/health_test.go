package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/config"
	"domicile/region"
)

// ask reads what a node says of itself.
func ask(t *testing.T, addr string) (status int, h health) {
	t.Helper()
	status, body, err := region.Probe(t.Context(), addr, "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &h); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return status, h
}

// A node says which of its parts is not well, one after the other.
func TestReadyNamesWhatIsNot(t *testing.T) {
	l := oneRegion(t, 27300)
	cfg, err := config.Load(l.Path(l.Nodes[0].Config))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler), failed: make(chan error, 8), counts: newCounts(), began: time.Now()}
	defer n.closeAll()
	if err := n.build(); err != nil {
		t.Fatal(err)
	}
	at, err := n.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want ...string) {
		t.Helper()
		status, h := ask(t, at.HTTP)
		if !slices.Equal(h.Not, want) || h.Ready != (len(want) == 0) || (status == 200) != h.Ready || !h.Ready && status != 503 || h.Node != cfg.Name {
			t.Errorf("%d %+v, want %q", status, h, want)
		}
	}
	expect("starting")
	n.at.Store(&at)
	expect()
	if _, err := healthy(t.Context(), at.HTTP); err != nil {
		t.Error(err)
	}
	n.orders.Close()
	n.store.Close()
	expect("store")
	n.journal.Close()
	expect("journal", "store")
	n.audit.Close()
	expect("log", "journal", "store")
	n.draining.Store(true)
	expect("draining", "log", "journal", "store")
	if _, err := healthy(t.Context(), at.HTTP); domicile.KindOf(err) != domicile.Unavailable || !strings.Contains(err.Error(), "draining, log, journal, store") {
		t.Errorf("%v", err)
	}
	if status, body, err := region.Probe(t.Context(), at.HTTP, "/healthz"); err != nil || status != 200 || string(body) != "alive\n" {
		t.Errorf("alive: %d %q %v", status, body, err)
	}
}

func TestHealthCommand(t *testing.T) {
	l := oneRegion(t, 27400)
	conf := l.Path(l.Nodes[0].Config)
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"health", "--config", conf}, &out, &errOut); code != exitFailed || !strings.Contains(errOut.String(), "does not answer") {
		t.Errorf("nobody is there: exit %d: %s", code, errOut.String())
	}
	began := time.Now()
	if code := run(t.Context(), []string{"health", "--config", conf, "--wait", "500ms"}, &out, &errOut); code != exitFailed || time.Since(began) < 500*time.Millisecond {
		t.Errorf("nobody came: exit %d after %s", code, time.Since(began))
	}
	s := start(t, conf)
	if code := run(t.Context(), []string{"health", "--config", conf, "--wait", "10s"}, &out, &errOut); code != exitOK || out.String() != "eu-ireland-1 serves\n" {
		t.Errorf("exit %d: %s", code, out.String())
	}
	if code := s.end(t); code != exitOK {
		t.Errorf("exit %d", code)
	}
	for _, args := range [][]string{{"--wait", "2h"}, {"--wait", "-1s"}, {"more"}} {
		if code := run(t.Context(), append([]string{"health", "--config", conf}, args...), &out, &errOut); code != exitInvalid {
			t.Errorf("%q: exit %d", args, code)
		}
	}
}
