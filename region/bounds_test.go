package region

import (
	"context"
	"testing"
	"time"

	"domicile"
)

func TestBounds(t *testing.T) {
	clock := newClock()
	b := newBounds(clock.now)
	enter := func(from domicile.Region, m string, class domicile.EgressClass) bool {
		ok := b.enter(from, m, class)
		if ok {
			b.leave(from)
		}
		return ok
	}
	for i := range noticesAtOnce {
		if !enter("us-east", "order/told", domicile.OrderNotice) {
			t.Fatalf("notice %d is refused", i+1)
		}
	}
	if enter("us-east", "order/told", domicile.OrderNotice) {
		t.Error("a flood of notices is taken")
	}
	if !enter("ap-japan", "order/told", domicile.OrderNotice) || !enter("us-east", "registrar/lookup", domicile.Lookup) {
		t.Error("one region's flood stops another, or another method")
	}
	clock.add(2 * time.Second)
	if !enter("us-east", "order/told", domicile.OrderNotice) || enter("us-east", "order/told", domicile.OrderNotice) {
		t.Error("not one notice in two seconds")
	}
	for range maxCallsEach {
		if !b.enter("us-east", "delivery/store", domicile.Delivery) {
			t.Fatal("refused below the bound")
		}
	}
	if b.enter("us-east", "delivery/store", domicile.Delivery) || !b.enter("ap-japan", "delivery/store", domicile.Delivery) {
		t.Error("one region takes every place")
	}
}

// TestFloodOfNotices has a peer tell of orders without end: it is stopped, and its other calls go on.
func TestFloodOfNotices(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	told := 0
	ie := w.node("eu-ireland-1", "eu-ireland", []string{RoleStore}, nil, func(n *Node) {
		n.Handle("order/told", domicile.OrderNotice, 100, func(context.Context, *Call) (any, error) { told++; return "ok", nil })
		n.Handle("registrar/lookup", domicile.Lookup, 100, func(context.Context, *Call) (any, error) { return "ok", nil })
	})
	us := w.node("us-east-1", "us-east", []string{RoleStore}, []string{ie.GossipAddr()}, nil)
	waitFor(t, "us-east to know eu-ireland", knows(us, "eu-ireland-1"))
	var err error
	for range 2 * noticesAtOnce {
		if err = us.Ask(WithCase(t.Context(), "c1"), domicile.OrderNotice, "eu-ireland", "order/told", 1, nil); err != nil {
			break
		}
	}
	wantKind(t, err, domicile.Unavailable)
	if told < noticesAtOnce || told > noticesAtOnce+10 {
		t.Errorf("%d notices were taken", told)
	}
	if err := us.Ask(t.Context(), domicile.Lookup, "eu-ireland", "registrar/lookup", 1, nil); err != nil {
		t.Error(err)
	}
}
