package move

import (
	"fmt"
	"testing"
	"time"

	"domicile"
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
