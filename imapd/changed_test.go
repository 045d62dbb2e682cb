package imapd

import (
	"net"
	"slices"
	"testing"

	"domicile"
	"domicile/store"
)

// A session ends when what it began with lets nobody in any more: between two commands, and in IDLE. Others go on.
func TestChanged(t *testing.T) {
	w := newWorld(t)
	change := func(fn func(*store.Account)) {
		t.Helper()
		if err := w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { fn(a); return nil }); err != nil {
			t.Fatal(err)
		}
		a, err := w.store.Account(t.Context(), ann)
		if err != nil {
			t.Fatal(err)
		}
		w.home.Changed(a)
	}
	change(func(a *store.Account) {
		a.AppPasswords = []store.AppPassword{{ID: "p1", Kept: "app phone"}, {ID: "p2", Kept: "app desk"}}
	})
	login := func(password string) *client {
		t.Helper()
		c := w.dial()
		c.do("a LOGIN ann@example.com "+password, "a OK")
		return c
	}
	own, phone, idling, desk, bob := login("pw"), login("phone"), login("phone"), login("desk"), w.withBob()
	idling.send("b IDLE\r\n")
	idling.want("+ idling")

	change(func(a *store.Account) { a.AppPasswords = slices.Clone(a.AppPasswords[1:]) })
	phone.want("* BYE")
	idling.want("* BYE")
	for _, c := range []*client{own, desk, bob} {
		c.do("c NOOP", "c OK")
	}
	change(func(a *store.Account) { a.Password = "pw2" })
	own.want("* BYE")
	desk.do("d NOOP", "d OK")
	own = login("pw2")
	change(func(a *store.Account) { a.State = store.Suspended })
	own.want("* BYE")
	desk.want("* BYE")
	bob.do("e NOOP", "e OK")
}

// A session whose password was taken away between the check of the login and its beginning does not begin.
func TestChangedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.home.attach = func(net.Conn, domicile.AccountID) error { // behind the check
		return w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Password = "pw2"; return nil })
	}
	c := w.dial()
	c.do("a LOGIN ann@example.com pw", "a OK")
	c.want("* BYE")
}
