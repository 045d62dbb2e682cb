package login

import (
	"context"
	"testing"
	"time"

	"domicile"
)

// Whoever guesses is slowed down by the network, by what is around it, and by the name, however that is written and whether it exists or not.
func TestGuessesSlowDown(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel() // counted all the same, and not waited for
	g := NewGuesses(time.Second, parse)
	now := time.Now()
	for range 3 {
		g.Wait(ended, "192.0.2.7", "ann@example.com", now)
	}
	g.Wait(ended, "192.0.2.8", "Ann+x@Example.com", now)
	g.Wait(ended, "eu-ireland/192.0.2.8", "no address", now)
	for source, want := range map[string]int{"192.0.2.7": 3, "192.0.2.8": 1, "eu-ireland/192.0.2.8": 1} {
		if got := g.near.seen[source].n; got != want {
			t.Errorf("%s: %d failures, want %d", source, got, want)
		}
	}
	if got := g.wide.seen["192.0.2.0/24"].n; got != 4 {
		t.Errorf("the /24: %d failures", got)
	}
	if got := g.names.seen[g.fold("ANN@example.com")].n; got != 4 || len(g.names.seen) != 2 {
		t.Errorf("the name: %d failures, of %d names", got, len(g.names.seen))
	}
	for range wideFree + nameFree {
		g.Wait(ended, "192.0.2.9", "ann@example.com", now)
	}
	for what, f := range map[string]time.Duration{"a neighbour": g.wide.count("192.0.2.0/24", now), "the name": g.names.count(g.fold("ann@example.com"), now)} {
		if f != slowest*time.Second {
			t.Errorf("%s waits %v", what, f)
		}
	}
}

// A name at which many guess is still tried from where it has logged in, and now and then from elsewhere.
func TestOwnerIsNotLockedOut(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"ann@example.com", "unknown@example.com", "no address"} {
		g := NewGuesses(time.Second, parse)
		g.Right("198.51.100.1", name)
		for range nameLimit {
			if err := g.May("192.0.2.7", name); err != nil {
				t.Fatal(err)
			}
			g.Wait(ended, "192.0.2.7", name, time.Now())
		}
		first, second := g.May("192.0.2.7", name), g.May("203.0.113.1", name)
		if first != nil || domicile.KindOf(second) != domicile.Unavailable {
			t.Errorf("%s: strangers: %v, %v", name, first, second)
		}
		for range 3 {
			if err := g.May("198.51.100.1", name); err != nil {
				t.Errorf("%s: at home: %v", name, err)
			}
		}
		if err := g.May("192.0.2.7", "another@example.com"); err != nil {
			t.Errorf("another name: %v", err)
		}
		if !g.names.may(g.fold(name), time.Now().Add(nameRest)) {
			t.Errorf("%s: no stranger is let try behind the rest", name)
		}
	}
}

func TestHomesAreBounded(t *testing.T) {
	g := NewGuesses(time.Second, parse)
	for i := range maxHomes + 10 {
		g.Right("n", string(rune('a'+i%26))+time.Duration(i).String())
	}
	if len(g.homes) > maxHomes {
		t.Errorf("%d are remembered", len(g.homes))
	}
}

func TestAround(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.7": "192.0.2.0/24", "2001:db8:1:2::": "2001:db8:1::/56", "us-east/192.0.2.7": "us-east/192.0.2.0/24", "x": "x", "": ""} {
		if got := around(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
