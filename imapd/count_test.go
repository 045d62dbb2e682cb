package imapd

import (
	"net"
	"slices"
	"testing"
)

func TestCountsLogins(t *testing.T) {
	w := newWorld(t)
	var got []string
	srv := newServer(w.srv.cfg)
	srv.fails, srv.attach = w.srv.fails, w.srv.attach
	srv.cfg.Count = func(result string) { got = append(got, result) }
	defer srv.cancel()
	try := func(name, password string) {
		t.Helper()
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		(&session{srv: srv, gate: newGate(here, 1<<20)}).Login(name, password)
	}
	try("ann@example.com", "pw")
	try("ann@example.com", "guessed")
	try("nobody@example.com", "pw")
	try("off@example.com", "pw")
	try("refused@example.com", "pw")
	w.store.Close()
	try("ann@example.com", "pw")
	want := []string{LoginOK, LoginWrong, LoginWrong, LoginRefused, LoginRefused, LoginUnavailable}
	if !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
}
