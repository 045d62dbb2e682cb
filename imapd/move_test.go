package imapd

import (
	"context"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

func (w *world) state(s store.AccountState) {
	w.t.Helper()
	if err := w.store.UpdateAccount(context.Background(), ann, func(a *store.Account) error { a.State = s; return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// quiet waits until no session of ann is left.
func (w *world) quiet() {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); w.home.End(ann) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("sessions of the account do not end")
		}
	}
}

// When an account moves, its sessions end: one that waits, one that idles, and one that has something selected. None of them is
// told that a message is gone, and another account's session goes on.
func TestSessionsEndWithTheFreeze(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", "Subject: kept\r\n\r\nkept\r\n")
	if err := w.store.CreateAccount(context.Background(), "", store.Account{ID: "a-bob", Address: "bob@example.com", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	waits, idles, bob := w.login(), w.login(), w.dial()
	bob.do("a LOGIN bob@example.com pw", "a OK")
	for _, c := range []*client{waits, idles, bob} {
		c.do("b SELECT INBOX", "b OK")
	}
	idles.send("c IDLE\r\n")
	idles.want("+ ")
	if err := w.home.End("a-nobody"); err != nil {
		t.Error(err)
	}
	w.state(store.Moving)
	w.quiet()
	for what, c := range map[string]*client{"the one that waits": waits, "the one that idles": idles} {
		c.want("* BYE [UNAVAILABLE]")
		for rest := c.line(); rest != "CLOSED"; rest = c.line() {
			if strings.HasPrefix(rest, "* ") {
				t.Errorf("%s was told %q", what, rest)
			}
		}
	}
	bob.do("c NOOP", "c OK")
	w.dial().do("a LOGIN ann@example.com pw", "a NO [UNAVAILABLE]")
	w.state(store.Active)
	if got := w.login().do("b SELECT INBOX", "b OK"); !strings.Contains(got, "* 1 EXISTS") {
		t.Errorf("after the freeze: %q", got)
	}
}

// A login that a remembered home does not know, or not now, is tried at the home that the registrar names now.
func TestLoginFollowsAMove(t *testing.T) {
	for _, kind := range []domicile.Kind{domicile.NotExist, domicile.Unavailable, domicile.Refused} {
		w := newWorld(t)
		old := placement.Location{Account: ann, Home: "us-east", Epoch: 1}
		moved := false
		cfg := w.cfg
		cfg.Network = away{err: domicile.E("open session", kind, "")}
		cfg.Resolve = func(context.Context, domicile.Address) (placement.Location, error) {
			if moved {
				return placement.Location{Account: ann, Home: "eu-ireland", Epoch: 2}, nil
			}
			return old, nil
		}
		cfg.Moved = func(domicile.Address) { moved = true }
		w.front(cfg)
		want := "a OK"
		if kind == domicile.Refused {
			want = "a NO"
		}
		w.dial().do("a LOGIN ann@example.com pw", want)
		if moved != (kind != domicile.Refused) {
			t.Errorf("%v: asked anew %v", kind, moved)
		}
		moved = false
		cfg.Moved = func(domicile.Address) {} // the registrar says the same again
		w.front(cfg)
		w.dial().do("a LOGIN ann@example.com pw", "a NO")
	}
}

// away is a network whose homes answer all alike.
type away struct{ err error }

func (a away) OpenSession(context.Context, domicile.Region, string, region.SessionRequest) (*region.Conn, error) {
	return nil, a.err
}
