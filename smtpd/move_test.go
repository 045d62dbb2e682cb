package smtpd

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
	"domicile/store/storetest"
)

// The retry of a message that was not answered is known at the next home, whose own key is another: the account brings its key.
func TestTokenKeyMovesAlong(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	far := NewHome(newStore(t, storetest.NewSealer("far"), useast, "ann"), maxSize, quiet())
	d := delivery{V: 1, ID: "q1", Sender: "a@b.example", Recipients: []domicile.AccountID{"a-ann"}, Trace: "Received: from x\r\n\tby y; now\r\n"}
	send := func(h *Home, d delivery) string {
		t.Helper()
		out, err := h.deliver(ctx, ireland, d, strings.NewReader("Subject: once\r\n\r\nonce\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return out.Tokens[0]
	}
	once := d
	once.Once = "word"
	for _, d := range []delivery{d, once} {
		first, other := send(w.home, d), send(far, d)
		if first == other {
			t.Fatal("two regions make the same tokens by themselves")
		}
		a, err := w.home.store.Account(ctx, "a-ann")
		if err != nil {
			t.Fatal(err)
		}
		key, err := w.home.TokenKey(a)
		if err == nil {
			err = far.store.UpdateAccount(ctx, "a-ann", func(a *store.Account) error { a.TokenKey = key; return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		far.waiting.settle("a-ann" + other)
		if moved := send(far, d); moved != first {
			t.Errorf("behind the move the token is %s, before it was %s", moved, first)
		}
		a.TokenKey = key
		if again, err := far.TokenKey(a); err != nil || !bytes.Equal(again, key) {
			t.Errorf("the next move takes another key: %v", err)
		}
		if err := far.store.UpdateAccount(ctx, "a-ann", func(a *store.Account) error { a.TokenKey = nil; return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// A freeze waits until the sender of a delivery was answered.
func TestSettled(t *testing.T) {
	w := newWorld(t)
	if !w.home.Settled("a-ann") {
		t.Error("nothing is under way, and it is not settled")
	}
	if err := w.home.waiting.claim(context.Background(), "a-ann"+"smtp-x"); err != nil {
		t.Fatal(err)
	}
	if w.home.Settled("a-ann") || !w.home.Settled("a-an") || !w.home.Settled("a-joe") {
		t.Error("a delivery is under way for one account")
	}
	w.home.waiting.settle("a-ann" + "smtp-x")
	if !w.home.Settled("a-ann") {
		t.Error("it does not settle")
	}
}

// Mail for an account that is not served where it was said to be is put off, never bounced, and its home is looked up again.
func TestHomeIsLookedUpAgain(t *testing.T) {
	w := newWorld(t)
	srv := w.door(MX, useast, nil)
	asked := make(chan domicile.Address, 10)
	srv.moved = func(a domicile.Address) { asked <- a }
	addr := w.serve(srv)
	if err := w.store.UpdateAccount(context.Background(), "a-ann", func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		t.Fatal(err)
	}
	c := dial(t, addr)
	c.do("EHLO x", "250")
	c.do("MAIL FROM:<a@b.example>", "250")
	c.do("RCPT TO:<Ann+list@example.com>", "250")
	c.do("DATA", "354")
	c.do("Subject: x\r\n\r\nx\r\n.", "451 4.4.1")
	select {
	case a := <-asked:
		if a != "ann@example.com" {
			t.Errorf("asked anew for %s", a)
		}
	case <-time.After(2 * time.Minute):
		t.Error("nobody asks anew")
	}
}

// A customer who submits at a front that still remembers the last home logs in at the next; one who is refused is not asked for anew.
func TestSubmissionFollowsAMove(t *testing.T) {
	for kind, want := range map[domicile.Kind][]domicile.Region{
		domicile.NotExist: {"us-east", "ap-sydney"}, domicile.Unavailable: {"us-east", "ap-sydney"}, domicile.Refused: {"us-east"}} {
		o := newOffice(t, false)
		at := placement.Location{Account: "a-joe", Home: "us-east", Epoch: 1}
		var asked []domicile.Region
		o.srv.resolve = func(context.Context, domicile.Address) (placement.Location, error) { return at, nil }
		o.srv.moved = func(domicile.Address) { at = placement.Location{Account: "a-joe", Home: "ap-sydney", Epoch: 2} }
		o.srv.open = func(_ context.Context, to domicile.Region, _ string, _ region.SessionRequest) (*region.Conn, error) {
			if asked = append(asked, to); to == "ap-sydney" {
				return nil, domicile.Refuse("login", domicile.AbroadRefused, "house/abroad", "")
			}
			return nil, domicile.E("open session", kind, "")
		}
		answer := o.within().do("AUTH PLAIN "+plain("joe@example.com", "pw"), "535")
		if !slices.Equal(asked, want) || strings.Contains(answer, string(domicile.AbroadRefused)) != (len(want) == 2) {
			t.Errorf("%v: homes asked %v, want %v; %s", kind, asked, want, answer)
		}
	}
}

// A message that a customer is sending when the freeze comes is waited for; one that begins behind it is put off.
func TestSubmissionAtTheFreeze(t *testing.T) {
	o := newOffice(t, false)
	first, late := o.login("ann"), o.login("ann")
	for _, c := range []*client{first, late} {
		c.do("MAIL FROM:<ann@example.com>", "250")
		c.do("RCPT TO:<bob@example.com>", "250")
	}
	first.do("DATA", "354")
	first.send("From: <ann@example.com>\r\nSubject: under way\r\n\r\n")
	for deadline := time.Now().Add(2 * time.Minute); o.q.Idle("a-ann"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a message comes in, and nobody waits for it")
		}
	}
	if err := o.store.UpdateAccount(t.Context(), "a-ann", func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		t.Fatal(err)
	}
	late.do("DATA", "354")
	late.do("From: <ann@example.com>\r\nSubject: late\r\n\r\nx\r\n.", "454")
	first.do("x\r\n.", "250")
	if list, err := o.q.List(10); err != nil || len(list) != 1 || o.q.Idle("a-ann") {
		t.Errorf("%d messages, %v", len(list), err)
	}
}

// A name under which a region delivers is used up by that region alone: another, which has the same message for recipients of its own
// and so knows the name, cannot have it taken for delivered elsewhere.
func TestOnceIsOfItsRegion(t *testing.T) {
	w := newWorld(t)
	d := delivery{V: wireVersion, ID: "q1", Once: "q1", Each: true, Sender: "a@b.example", Recipients: []domicile.AccountID{"a-ann"}, Trace: "Received: from x\r\n\tby y; now\r\n"}
	seen := map[string]bool{}
	for _, one := range []struct {
		from domicile.Region
		body string
	}{{useast, "false\r\n"}, {ireland, "true\r\n"}, {ireland, "true\r\n"}} {
		out, err := w.home.deliver(t.Context(), one.from, d, strings.NewReader(one.body))
		if err != nil || out.Failed != nil {
			t.Fatal(one.from, err, out)
		}
		seen[out.Tokens[0]] = true
	}
	inbox, err := w.home.store.MailboxByName(t.Context(), "a-ann", store.Inbox)
	if err != nil || inbox.Messages != 2 || len(seen) != 2 {
		t.Errorf("%d messages under %d tokens, want 2 under 2: %v", inbox.Messages, len(seen), err)
	}
}

// What a recipient's home says of its copy is quoted to clients and in notices: it can bring no words of its own.
func TestVerdictSpeaksInTheClosedList(t *testing.T) {
	v := verdict{Kind: domicile.Refused.String(), Reason: "x)\r\n250 2.0.0 (y"}
	if err := v.err(); domicile.KindOf(err) != domicile.Refused || domicile.ReasonOf(err) != "" || refusal(err, 1).Message != "Refused ()" {
		t.Errorf("%v: %q", err, refusal(err, 1).Message)
	}
	known := verdictOf(domicile.Refuse("x", domicile.AccountSuspended, "r", ""))
	if err := known.err(); domicile.ReasonOf(err) != domicile.AccountSuspended {
		t.Error(err)
	}
}
