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

// failing is a store that refuses to commit messages of which one has $Fail.
type failing struct{ store.Store }

func (f failing) Commit(ctx context.Context, tok store.Token, id domicile.AccountID, to string, letters []store.Letter, instead *store.Instead) (uint32, []store.Message, error) {
	for _, l := range letters {
		if store.HasFlag(l.Flags, "$Fail") {
			return 0, nil, domicile.E("commit", domicile.Unavailable, "as the test wants")
		}
	}
	return f.Store.Commit(ctx, tok, id, to, letters, instead)
}

// Whichever message of an APPEND fails, none is left and no UID is gone; a quota that has room for the first ones only fails it, too, whatever flags they have.
func TestAppendAllOrNone(t *testing.T) {
	w := newWorld(t)
	w.home.cfg.Store = failing{w.store}
	c := w.login()
	for _, sent := range []string{"($Fail) {1+}\r\na {1+}\r\nb", "{1+}\r\na ($Fail) {1+}\r\nb {1+}\r\nc", "{1+}\r\na {1+}\r\nb ($Fail) {1+}\r\nc"} {
		c.do("b APPEND Archive "+sent, "b NO [UNAVAILABLE]")
		if got := c.do("c STATUS Archive (MESSAGES UIDNEXT)", "c OK"); !strings.Contains(got, "(MESSAGES 0 UIDNEXT 1)") {
			t.Errorf("%q: %q", sent, got)
		}
	}
	w.home.cfg.Store = w.store
	if err := w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Quota = 10; return nil }); err != nil {
		t.Fatal(err)
	}
	full := ""
	for i := range store.MaxFlags {
		full += fmt.Sprint(" k", i)
	}
	c.do("d APPEND Archive ("+full[1:]+") {4+}\r\n1234 {4+}\r\n5678 {4+}\r\nabcd", "d NO [OVERQUOTA]")
	c.do("e APPEND Archive {8+}\r\n12345678", "e OK [APPENDUID")
	if got := c.do("f STATUS Archive (MESSAGES UIDNEXT)", "f OK"); !strings.Contains(got, "(MESSAGES 1 UIDNEXT 2)") {
		t.Error(got)
	}
}

// While the bytes of an APPEND come its mailbox is made anew: APPENDUID tells the UIDVALIDITY of the one that it came into.
func TestAppendUIDOfMailboxMadeAnew(t *testing.T) {
	w := newWorld(t)
	c, other := w.login(), w.login()
	other.do("a CREATE Box", "a OK")
	was, err := w.store.MailboxByName(t.Context(), ann, "Box")
	if err != nil {
		t.Fatal(err)
	}
	c.send("b APPEND Box {4}\r\n")
	if got := c.line(); !strings.HasPrefix(got, "+") {
		t.Fatal(got)
	}
	other.do("b DELETE Box", "b OK")
	other.do("c CREATE Box", "c OK")
	now, err := w.store.MailboxByName(t.Context(), ann, "Box")
	if err != nil || now.UIDValidity == was.UIDValidity {
		t.Fatal(now, err)
	}
	c.send("four\r\n")
	if got, want := c.line(), fmt.Sprintf("b OK [APPENDUID %d 1]", now.UIDValidity); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}

	c.send("c APPEND Box {4}\r\n")
	c.line()
	other.do("d DELETE Box", "d OK")
	c.send("four\r\n")
	if got := c.line(); !strings.HasPrefix(got, "c NO [TRYCREATE]") {
		t.Error(got)
	}
}

// anew is a store in which a mailbox is deleted, and made anew if told, right before messages are copied or moved into it.
type anew struct {
	store.Store
	made  store.Mailbox // the last one
	moves int           // that are still let through as they are
	gone  bool          // it is not made anew
}

func (a *anew) instead(ctx context.Context, acct domicile.AccountID, name string) error {
	err := a.DeleteMailbox(ctx, "", acct, name)
	if err == nil && !a.gone {
		a.made, err = a.CreateMailbox(ctx, "", acct, name, "")
	}
	return err
}

func (a *anew) Copy(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	if err := a.instead(ctx, acct, to); err != nil {
		return 0, nil, nil, err
	}
	return a.Store.Copy(ctx, tok, acct, mbox, uids, to)
}

func (a *anew) Move(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	if a.moves--; a.moves < 0 {
		if err := a.instead(ctx, acct, to); err != nil {
			return 0, nil, nil, err
		}
	}
	return a.Store.Move(ctx, tok, acct, mbox, uids, to)
}

// COPYUID has the UIDVALIDITY of the mailbox that the messages came into, also where its name was another one's before, and where a MOVE went on in another one.
func TestCopyUIDOfMailboxMadeAnew(t *testing.T) {
	w, c := filled(t, actPage+1)
	st := &anew{Store: w.store, moves: 1}
	w.home.cfg.Store = st
	c.do("b CREATE Box", "b OK")
	c.send("c COPY 1:2 Box\r\n")
	if got, want := c.line(), fmt.Sprintf("c OK [COPYUID %d 1:2 1:2]", st.made.UIDValidity); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	before := st.made.UIDValidity
	got := c.do("d MOVE 1:* Box", "d OK")
	for _, want := range []string{fmt.Sprintf("* OK [COPYUID %d 1:%d 3:%d] ", before, actPage, actPage+2), fmt.Sprintf("* OK [COPYUID %d %d 1] ", st.made.UIDValidity, actPage+1)} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got[:min(len(got), 200)], want)
		}
	}
	w.put("INBOX", "Subject: x\r\n\r\n")
	c.do("e NOOP", "e OK")
	st.gone = true
	c.do("f COPY 1 Box", "f NO [TRYCREATE]")
	st.gone = false
	c.do("g CREATE Box", "g OK")
	st.gone = true
	c.do("h MOVE 1 Box", "h NO [TRYCREATE]")
}

// What a message that goes used of the quota is free for the one that comes in its place, unless a copy holds it.
func TestReplaceQuota(t *testing.T) {
	w := newWorld(t)
	if err := w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Quota = 10; return nil }); err != nil {
		t.Fatal(err)
	}
	c := w.login()
	c.do("a APPEND Drafts {8+}\r\n12345678", "a OK")
	c.do("b SELECT Drafts", "b OK")
	c.do("c APPEND Drafts {8+}\r\nabcdefgh", "c NO [OVERQUOTA]")
	c.do("d REPLACE 1 Drafts {11+}\r\nabcdefghijk", "d NO [OVERQUOTA]")
	if got := c.do("e REPLACE 1 Sent {10+}\r\nabcdefghij", "e OK"); !strings.HasPrefix(got, "* OK [APPENDUID") || !strings.HasSuffix(got, "* 1 EXPUNGE\r\n") {
		t.Errorf("%q", got)
	}
	c.do("f SELECT Sent", "f OK")
	c.do("g COPY 1 Archive", "g OK")
	c.do("h REPLACE 1 Sent {1+}\r\na", "h NO [OVERQUOTA]")
	if got := c.do("i STATUS Drafts (MESSAGES UIDNEXT)", "i OK") + c.do("i STATUS Sent (MESSAGES UIDNEXT)", "i OK"); !strings.Contains(got, `"Drafts" (MESSAGES 0 UIDNEXT 2)`) || !strings.Contains(got, `"Sent" (MESSAGES 1 UIDNEXT 2)`) {
		t.Errorf("%q", got)
	}
}
