package disclosure

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"domicile"
	"domicile/store"
)

// hookStore does something before a body is read.
type hookStore struct {
	*fakeStore
	before func()
}

func (h *hookStore) Body(ctx context.Context, a domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	h.before()
	return h.fakeStore.Body(ctx, a, id)
}

// TestStayMidCollection: a stay ends a collection between two messages; after its lift the same use of the token goes on.
func TestStayMidCollection(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	me := b.officer(officer1)
	b.Engine.Close()
	hook := &hookStore{fakeStore: b.mail, before: func() {}}
	b.cfg.Store = hook
	b.open()
	_, a := treaty(t, w, b, nil)
	var once sync.Once
	hook.before = func() {
		once.Do(func() {
			if _, err := b.Stay(ctx, me, a.Case, []byte("paper")); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := b.Produce(ctx, me, a.Case, ""); domicile.ReasonOf(err) != domicile.Stayed {
		t.Fatalf("a stay mid-run: %v", err)
	}
	if ans, err := b.Lift(ctx, me, a.Case, []byte("paper")); err != nil || ans.State != "collecting" {
		t.Fatalf("%+v %v", ans, err)
	}
	// two officers at once: one archive, one use of the token
	var wg sync.WaitGroup
	sums := make([]string, 2)
	for i := range sums {
		wg.Go(func() {
			p, err := b.Produce(ctx, me, a.Case, "")
			if err != nil {
				t.Error(err)
			}
			sums[i] = p.SHA256
		})
	}
	wg.Wait()
	if sums[0] != sums[1] || sums[0] == "" {
		t.Fatal("two archives")
	}
	spending := 0
	info, err := b.Case(ctx, me, a.Case)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range info.History {
		if s.State == stateCollecting && (i == 0 || info.History[i-1].State == stateDecided) {
			spending++
		}
	}
	if spending != 1 {
		t.Fatalf("spent %d times: %+v", spending, info.History)
	}
}

// TestStatusRevokedMidCollection: what status lists say is read again while collecting.
func TestStatusRevokedMidCollection(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	for i := range 2 * recheck {
		b.mail.put("m-inbox", store.UID(100+i), issued.AddDate(0, -1, 0), fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	b.Engine.Close()
	n := 0
	hook := &hookStore{fakeStore: b.mail, before: func() {}}
	b.cfg.Store = hook
	b.open()
	c, a := treaty(t, w, b, nil)
	hook.before = func() {
		if n++; n == 10 {
			w.status(w.oia, map[string]string{c.JTI: "invalid"})
		}
	}
	if _, err := b.Produce(ctx, b.officer(officer1), a.Case, ""); domicile.ReasonOf(err) != domicile.Revoked {
		t.Fatalf("revoked mid-run: %v", err)
	}
	if n >= 2*recheck {
		t.Fatal("everything was read before the status was")
	}
}

// TestLargeSnapshot: a snapshot of several parts reads back whole and in order.
func TestLargeSnapshot(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	const more = 2 * partItems
	for i := range more {
		b.mail.list["m-sent"] = append(b.mail.list["m-sent"], store.Message{ID: "x", UID: store.UID(1000 + i)})
	}
	c := b.newCase(irish)
	c.Account = "acct-irish"
	var err error
	if c.Snapshot, err = b.snapshot(ctx, c); err != nil {
		t.Fatal(err)
	}
	if c.Snapshot.Parts != 3 || c.Snapshot.Items != more+4 {
		t.Fatalf("%+v", c.Snapshot)
	}
	n, last := 0, store.UID(0)
	err = b.eachPreserved(c, func(it snapItem) error {
		if it.Mailbox == "Sent" && it.UID <= last {
			t.Fatal("out of order")
		}
		if it.Mailbox == "Sent" {
			last = it.UID
		}
		n++
		return nil
	})
	if err != nil || n != more+4 {
		t.Fatal(n, err)
	}
	c.Snapshot.Parts++
	if err := b.eachPreserved(c, func(snapItem) error { return nil }); err == nil {
		t.Fatal("a missing part was not missed")
	}
}
