package bolt

import (
	"context"
	"testing"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// What is counted is bounded. Each case moves the counter to the bound, since counting up to it would take long.
func TestLimits(t *testing.T) {
	ctx := context.Background()
	s, err := openAt(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &storetest.Rig{Store: s, T: t}
	newPerson(r)
	r.MustDeliver(person, "INBOX", "x")

	edit(t, s, func(m *mailbox) { m.account.b.Put(kBoxes, number(store.MaxMailboxes-1)) })
	if _, err := s.CreateMailbox(ctx, "", person, "Last", ""); err != nil {
		t.Error(err)
	}
	if _, err := s.CreateMailbox(ctx, "", person, "One too many", ""); domicile.KindOf(err) != domicile.TooLarge {
		t.Error("mailboxes:", err)
	}

	edit(t, s, func(m *mailbox) { m.next = 1<<32 - 2; m.save() })
	if m := r.MustDeliver(person, "INBOX", "y"); m.UID != 1<<32-2 {
		t.Error("UID", m.UID)
	}
	if _, err := r.Deliver(person, "", "INBOX", "z"); domicile.KindOf(err) != domicile.TooLarge {
		t.Error("UIDs:", err)
	}
	if _, _, _, err := s.Copy(ctx, "", person, s.inboxOf(person), []store.UID{1}, "INBOX"); domicile.KindOf(err) != domicile.TooLarge {
		t.Error("UIDs of copies:", err)
	}
	if n := len(r.List(person, "INBOX")); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// Tokens are kept until TokenCount newer ones were used, and no longer than that when many come.
func TestTokenCount(t *testing.T) {
	r := storetest.New(t, open)
	s := r.Store.(*Store)
	newPerson(r)
	deliver := func(tok store.Token) {
		t.Helper()
		if _, err := r.Deliver(person, tok, "Archive", "x"); err != nil {
			t.Fatal(err)
		}
	}
	deliver("first")
	edit(t, s, func(m *mailbox) { m.account.b.Put(kSequence, number(store.TokenCount-1)) })
	deliver("as many as are kept")
	deliver("first")
	if n := len(r.List(person, "Archive")); n != 2 {
		t.Fatalf("%d messages: the token was forgotten too early", n)
	}
	deliver("one more")
	deliver("first")
	if n := len(r.List(person, "Archive")); n != 4 {
		t.Fatalf("%d messages: the token was not forgotten", n)
	}
}
