package move

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/residence"
	"domicile/store"
)

// TestOneRegionTakesNotAllRoom: a region that offers accounts without end leaves room for those of others, and one that
// offers and cancels without end is told to come back, so that it does not fill table and log.
func TestOneRegionTakesNotAllRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(false)
	m := w.sides[us].machine()
	offered := func(account domicile.AccountID, a domicile.Address, n int) error {
		id := fmt.Sprintf("%s.1-%d", account, n)
		_, err := m.offered(ctx, ie, offer{head: head{wireVersion, id}, Change: string(account) + ".1", Account: account,
			Name: w.digester.Digest(a), Domain: a.Domain(), Country: "US", Epoch: 2})
		return err
	}
	for n := range maxEnded {
		if err := offered(ann, annAt, n); err != nil {
			t.Fatal(n, err)
		}
		if err := m.abandon(ctx, ie, head{wireVersion, fmt.Sprintf("%s.1-%d", ann, n)}); err != nil {
			t.Fatal(n, err)
		}
	}
	if err := offered(ann, annAt, maxEnded); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("after %d cancelled moves: %v", maxEnded, err)
	}
	w.pass(time.Hour)
	for n := range maxIncomingEach + 1 {
		id, at := domicile.AccountID(fmt.Sprintf("acct-%d", n)), domicile.Address(fmt.Sprintf("u%d@example.com", n))
		s := w.sides[ie]
		if err := s.store.CreateAccount(ctx, "", store.Account{ID: id, Address: at, Residence: "IE"}); err != nil {
			t.Fatal(err)
		}
		if err := s.names.Claim(ctx, at, id, 1); err != nil {
			t.Fatal(err)
		}
		switch err := offered(id, at, 0); {
		case n < maxIncomingEach && err != nil:
			t.Fatal(n, err)
		case n == maxIncomingEach && domicile.KindOf(err) != domicile.Unavailable:
			t.Errorf("one more than a region may: %v", err)
		}
	}
}

// TestHalfALedgerIsForgotten: a ledger of which an entry cannot be kept leaves nothing behind when its move is cancelled.
func TestHalfALedgerIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.settle(true)
	entries, err := w.sides[ie].ledger.Carry(ann)
	if err != nil {
		t.Fatal(err)
	}
	last := &entries[len(entries)-1]
	last.Evidence = append(last.Evidence, residence.Evidence{Kind: residence.Bank, Country: "US", Source: strings.Repeat("x", store.MaxRecord)})
	body, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	m := w.sides[us].machine()
	if _, err := m.offered(ctx, ie, offer{head: head{wireVersion, id}, Change: id, Account: ann, Name: w.digester.Digest(annAt), Domain: annAt.Domain(), Country: "US", Epoch: 2}); err != nil {
		t.Fatal(err)
	}
	if err := m.residence(ctx, ie, head{wireVersion, id}, body); domicile.KindOf(err) != domicile.TooLarge {
		t.Fatalf("an entry that no record holds: %v", err)
	}
	if err := m.abandon(ctx, ie, head{wireVersion, id}); err != nil {
		t.Fatal(err)
	}
	err = m.rows.table.Each(func(key string, _ []byte) error {
		if isHistory(key) {
			t.Errorf("%s is left", key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
