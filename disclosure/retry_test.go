package disclosure

import (
	"errors"
	"testing"
	"time"

	"domicile"
)

// TestGoesOnByItself: a case that could not be preserved is not decided, and goes on when it can.
func TestGoesOnByItself(t *testing.T) {
	w := newWorld(t)
	b := w.at("eu-ireland", "gdpr-48", "mlat")
	b.Engine.Close()
	broken := make(chan struct{})
	b.cfg.Freeze = func(ctxType, domicile.AccountID, string) error {
		select {
		case <-broken:
			return nil
		default:
			return errors.New("the ledger is away")
		}
	}
	b.parts.retry = 20 * time.Millisecond
	b.open()
	if _, err := b.Submit(ctx, b.officer(officer1), w.sign(w.request(), w.treatySigners()...), irish, nil); err == nil {
		t.Fatal("submitted without preservation")
	}
	if list := mustCases(t, b); len(list) != 1 || list[0].State != "authenticated" {
		t.Fatalf("%+v", list)
	}
	close(broken)
	for range 300 {
		if list := mustCases(t, b); list[0].State == "decided" {
			return
		}
		sleep()
	}
	t.Fatal("it did not go on")
}
