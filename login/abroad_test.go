package login

import (
	"context"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// A wrong login that is handed over counts for its network in that region, and for the region; neither counts for others.
func TestHanded(t *testing.T) {
	h := NewHanded()
	ended, cancel := context.WithCancel(t.Context())
	cancel() // counted all the same, and not waited for
	now := time.Now()
	h.Wait(ended, "us-east", "192.0.2.0/24", now)
	h.Wait(ended, "us-east", "192.0.2.0/24", now)
	h.Wait(ended, "us-east", "198.51.100.0/24", now)
	h.WaitRegion(ended, "us-east", now)
	h.Wait(ended, "ap-sydney", "192.0.2.0/24", now)
	for source, want := range map[string]int{"us-east/192.0.2.0/24": 2, "us-east/198.51.100.0/24": 1, "ap-sydney/192.0.2.0/24": 1} {
		if got := h.clients.seen[source].n; got != want {
			t.Errorf("%s: %d failures, want %d", source, got, want)
		}
	}
	if us, sydney := h.regions.seen["us-east"].n, h.regions.seen["ap-sydney"].n; us != 4 || sydney != 1 {
		t.Errorf("%d failures of us-east and %d of ap-sydney, want 4 and 1", us, sydney)
	}
	if first, later := h.regions.count("x", now), h.clients.count("us-east/192.0.2.0/24", now); first != handedDelay || later != 4*handedDelay {
		t.Errorf("delays %v and %v", first, later)
	}
}

func TestWhoGetsASession(t *testing.T) {
	for state, want := range map[store.AccountState]domicile.Kind{store.Suspended: domicile.Refused, store.Moving: domicile.Unavailable, "": domicile.Unavailable} {
		if err := MayServe(store.Account{State: state}); domicile.KindOf(err) != want {
			t.Errorf("%q: %v", state, err)
		}
	}
	if err := MayServe(store.Account{State: store.Active}); err != nil {
		t.Error(err)
	}
	for choice, want := range map[store.Abroad]domicile.Reason{store.AbroadRelay: "", store.AbroadRefer: domicile.ReadAtHome,
		store.AbroadRefuse: domicile.AbroadRefused, "something new": domicile.AbroadRefused} {
		if got, _ := Abroad(store.Account{Abroad: choice}); got != want {
			t.Errorf("%q: %q", choice, got)
		}
	}
}
