package login

import (
	"context"
	"time"

	"domicile"
	"domicile/store"
)

// FirstDelay is that of a wrong login at a front.
const FirstDelay = time.Second

const (
	handedDelay = FirstDelay / 2
	regionFree  = 200 // failures of a whole region within ten minutes that are no sign of guessing
)

// Handed delays wrong logins that other nodes hand over, by the region and by the client's network there. The delays are half of
// those of the fronts, which honest nodes wait for in any case: so they do not show there, and a node that does not wait must.
// Safe for concurrent use.
type Handed struct {
	clients, regions *Fails
}

// NewHanded makes one without failures.
func NewHanded() *Handed {
	return &Handed{clients: NewFails(handedDelay, 0), regions: NewFails(handedDelay, regionFree)}
}

// Wait counts a wrong login of a client's network in a region, and returns when both delays are over, or ctx ends. Whoever verifies holds
// the login's place meanwhile, also when the node that handed it over is gone: how often a region can guess is bounded by its
// places and these delays.
func (h *Handed) Wait(ctx context.Context, from domicile.Region, client string, began time.Time) {
	region := make(chan struct{})
	go func() {
		defer close(region)
		h.WaitRegion(ctx, from, began)
	}()
	h.clients.Wait(ctx, string(from)+"/"+client, began)
	<-region
}

// WaitRegion counts and delays by the region alone: where the client's network is counted elsewhere.
func (h *Handed) WaitRegion(ctx context.Context, from domicile.Region, began time.Time) {
	h.regions.Wait(ctx, string(from), began)
}

// MayServe says why an account gets no session, nil if it does: Refused (account_suspended), Unavailable while it moves.
func MayServe(a store.Account) error {
	switch a.State {
	case store.Active:
		return nil
	case store.Suspended:
		return domicile.Refuse("login", domicile.AccountSuspended, "house/suspended", "the account is suspended")
	}
	return domicile.E("login", domicile.Unavailable, "the account is on its way to another region")
}

// Abroad says why an account gets no session through a front of another region, by its owner's choice, and in words; "" if it does. To be
// asked once it is known that the owner asks.
func Abroad(a store.Account) (reason domicile.Reason, why string) {
	switch a.Abroad {
	case store.AbroadRelay:
		return "", ""
	case store.AbroadRefer:
		return domicile.ReadAtHome, "the owner wants to be referred to the home"
	}
	return domicile.AbroadRefused, "the owner wants no sessions through another region"
}
