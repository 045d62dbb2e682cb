package login

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// accounts is a store with one account.
type accounts struct {
	known store.Account
	err   error
}

func (a accounts) AccountByAddress(_ context.Context, addr domicile.Address) (store.Account, error) {
	if a.err != nil {
		return store.Account{}, a.err
	}
	if addr != a.known.Address {
		return store.Account{}, domicile.E("account", domicile.NotExist, "no such account: "+string(addr))
	}
	return a.known, nil
}

// Unknown and wrong are one error, and each costs one check of a password.
func TestUnknownIsWrong(t *testing.T) {
	checks := 0
	password := func(phc, pw string) (bool, error) {
		checks++
		if phc == "" {
			return false, errors.New("no hash")
		}
		return phc == "hash of "+pw, nil
	}
	ann := store.Account{ID: "a-1", Address: "ann@example.com", Password: "hash of pw"}
	for _, c := range []struct {
		who, password string
		at            Accounts
		kind          domicile.Kind
	}{
		{"Ann+x@Example.com", "pw", accounts{known: ann}, 0},
		{"ann@example.com", "pq", accounts{known: ann}, domicile.NotExist},
		{"bob@example.com", "pw", accounts{known: ann}, domicile.NotExist},
		{"no address", "pw", accounts{known: ann}, domicile.NotExist},
		{"ann@example.com", "", accounts{known: store.Account{Address: "ann@example.com"}}, domicile.NotExist},
		{"ann@example.com", "pw", nil, domicile.NotExist},
		{"ann@example.com", "pw", accounts{err: domicile.E("disk", domicile.Unavailable, "")}, domicile.Unavailable},
	} {
		checks = 0
		var failed []domicile.AccountID
		check := Checker{Accounts: c.at, Address: parse, Password: password, Failed: func(_ context.Context, id domicile.AccountID) { failed = append(failed, id) }}
		a, err := check.Account(context.Background(), c.who, c.password)
		var want []domicile.AccountID
		if c.kind == domicile.NotExist {
			want = []domicile.AccountID{""}
			if c.at != nil && c.who == "ann@example.com" {
				want[0] = c.at.(accounts).known.ID
			}
		}
		if !slices.Equal(failed, want) {
			t.Errorf("%s %q: written down: %q, want %q", c.who, c.password, failed, want)
		}
		switch {
		case c.kind == 0 && (err != nil || a.ID != ann.ID), c.kind != 0 && (domicile.KindOf(err) != c.kind || a.ID != ""):
			t.Errorf("%s %q: %v, %v", c.who, c.password, a.ID, err)
		case c.kind == domicile.NotExist && (err.Error() != Wrong().Error() || checks != 1):
			t.Errorf("%s %q: %v after %d checks", c.who, c.password, err, checks)
		}
	}
}

// parse stands for placement.ParseAddress.
func parse(s string) (domicile.Address, error) {
	switch s {
	case "no address":
		return "", domicile.E("address", domicile.Invalid, "")
	case "Ann+x@Example.com":
		return "ann@example.com", nil
	}
	return domicile.Address(s), nil
}

// Failed logins become slower for their network, and are forgotten.
func TestFailuresSlowDown(t *testing.T) {
	f := NewFails(time.Second, 0)
	now := time.Now()
	for i, want := range []time.Duration{1, 2, 4, 8, 8} {
		if got := f.count("n", now); got != want*time.Second {
			t.Errorf("failure %d: %v", i+1, got)
		}
	}
	if got := f.count("other", now); got != time.Second {
		t.Errorf("another network: %v", got)
	}
	if got := f.count("n", now.Add(memory+time.Second)); got != time.Second {
		t.Errorf("later: %v", got)
	}
	for i := range 2 * maxFailed {
		f.count(string(rune(i)), now)
	}
	if len(f.seen) > maxFailed {
		t.Errorf("%d networks are remembered", len(f.seen))
	}
	kept := NewFails(time.Second, 0)
	for range 8 {
		kept.count("guesser", now)
	}
	for i := range maxFailed + 100 { // one who makes up networks does not wash away the others
		kept.count("made up "+strconv.Itoa(i), now)
	}
	if len(kept.seen) != maxFailed {
		t.Errorf("%d networks are remembered", len(kept.seen))
	}
	free := NewFails(time.Second, 2)
	for i, want := range []time.Duration{1, 1, 1, 2, 4} {
		if got := free.count("n", now); got != want*time.Second {
			t.Errorf("failure %d with two free: %v", i+1, got)
		}
	}
}

// The delay counts from when the login began: work that took longer in one case than in another does not show.
func TestWaitCountsFromTheBeginning(t *testing.T) {
	f := NewFails(time.Hour, 0)
	f.Wait(context.Background(), "n", time.Now().Add(-slowest*time.Hour)) // returns: it was due already
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Wait(ctx, "n", time.Now()) // returns: nobody waits any more
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.7:5": "192.0.2.7", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::", "[::ffff:192.0.2.7]:1": "192.0.2.7"} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Network(a); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := Network(&net.UnixAddr{Name: "x"}); got != "x" {
		t.Errorf("%s", got)
	}
}
