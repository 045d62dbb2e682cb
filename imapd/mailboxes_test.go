package imapd

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// manyMailboxes is a store in which ann has very many mailboxes.
type manyMailboxes struct {
	store.Store
	all []store.Mailbox
}

func (m *manyMailboxes) Mailboxes(context.Context, domicile.AccountID) ([]store.Mailbox, error) {
	return m.all, nil
}

func (m *manyMailboxes) Subscriptions(context.Context, domicile.AccountID) (names []string, err error) {
	for _, b := range m.all {
		if b.Subscribed {
			names = append(names, b.Name)
		}
	}
	return names, nil
}

// Ten thousand mailboxes are listed at once, and patterns that fit in many ways take no longer.
func TestManyMailboxes(t *testing.T) {
	w := newWorld(t)
	many := &manyMailboxes{Store: w.store, all: []store.Mailbox{{Name: "INBOX"}}}
	for i := range 10_000 {
		many.all = append(many.all, store.Mailbox{ID: "b1", Name: fmt.Sprintf("%s/%d/%d", strings.Repeat("a", 60), i/100, i), Subscribed: i%2 == 0, UIDNext: 1})
	}
	w.home.cfg.Store = many
	c := w.login()
	began := time.Now()
	if got := c.do("b LIST (SUBSCRIBED RECURSIVEMATCH) \"\" * RETURN (CHILDREN STATUS (MESSAGES UIDNEXT))", "b OK"); strings.Count(got, "* LIST") != 5000 || strings.Count(got, "* STATUS") != 5000 {
		t.Errorf("%d lines", strings.Count(got, "\n"))
	}
	if got := c.do("c LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %/%", "c OK"); strings.Count(got, `("CHILDINFO" ("SUBSCRIBED"))`) != 100 {
		t.Errorf("%d lines", strings.Count(got, "\n"))
	}
	if got := c.do("c LIST \"\" %", "c OK"); strings.Count(got, "* LIST") != 2 {
		t.Errorf("%q", got)
	}
	if got := c.do("d LIST \"\" "+strings.Repeat("*a", 50)+"*b", "d OK"); got != "" {
		t.Errorf("%.100q", got)
	}
	if took := time.Since(began); took > time.Minute { // it takes a second
		t.Error(took)
	}
	c.do("e LIST \"\" "+strings.Repeat("*", maxPatternBytes+1), "e BAD")
	c.do("f LIST \"\" ("+strings.Repeat("a ", maxPatterns)+"a)", "f BAD")
}

// failing is a store that refuses the commit of a message whose flags hold a word.
type failing struct{ store.Store }

type failingIncoming struct{ store.Incoming }

func (f failing) Incoming(ctx context.Context, id domicile.AccountID, limit int64) (store.Incoming, error) {
	in, err := f.Store.Incoming(ctx, id, limit)
	return failingIncoming{in}, err
}

func (f failingIncoming) Commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	if store.HasFlag(flags, "$Fail") {
		f.Incoming.Abort()
		return store.Message{}, domicile.E("commit", domicile.Unavailable, "as the test wants")
	}
	return f.Incoming.Commit(ctx, tok, mailbox, flags, internal)
}

// Whichever message of an APPEND fails, none is left; a quota that has room for the first ones only fails it, too.
func TestAppendAllOrNone(t *testing.T) {
	w := newWorld(t)
	w.home.cfg.Store = failing{w.store}
	c := w.login()
	for _, sent := range []string{"($Fail) {1+}\r\na {1+}\r\nb", "{1+}\r\na ($Fail) {1+}\r\nb {1+}\r\nc", "{1+}\r\na {1+}\r\nb ($Fail) {1+}\r\nc"} {
		c.do("b APPEND Archive "+sent, "b NO [UNAVAILABLE]")
		if got := c.do("c STATUS Archive (MESSAGES)", "c OK"); !strings.Contains(got, "(MESSAGES 0)") {
			t.Errorf("%q: %q", sent, got)
		}
	}
	w.home.cfg.Store = w.store
	if err := w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Quota = 10; return nil }); err != nil {
		t.Fatal(err)
	}
	c.do("d APPEND Archive {8+}\r\n12345678 {8+}\r\nabcdefgh", "d NO [OVERQUOTA]")
	c.do("e APPEND Archive {8+}\r\n12345678", "e OK [APPENDUID")
	if got := c.do("f STATUS Archive (MESSAGES)", "f OK"); !strings.Contains(got, "(MESSAGES 1)") {
		t.Error(got)
	}
}
