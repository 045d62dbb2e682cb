package imapd

import (
	"slices"
	"sync"
	"testing"
)

func TestCountsLogins(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var got []string
	w.cfg.Count = func(result string) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, result)
	}
	w.front(w.cfg)
	try := func(name, password, want string) {
		t.Helper()
		w.dial().do("a LOGIN "+name+" "+password, want)
	}
	try("ann@example.com", "pw", "a OK")
	try("ann@example.com", "guessed", "a NO")
	try("nobody@example.com", "pw", "a NO")
	try("off@example.com", "pw", "a NO")
	try("refused@example.com", "pw", "a NO")
	w.store.Close()
	try("ann@example.com", "pw", "a NO [UNAVAILABLE]")
	want := []string{LoginOK, LoginWrong, LoginWrong, LoginRefused, LoginRefused, LoginUnavailable}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
}
