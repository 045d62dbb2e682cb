package login

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"sync"
	"time"

	"domicile"
)

// How much is free before failures of many count together, and what becomes of a name that many guess at.
const (
	wideFree  = 20              // failures within ten minutes of a /24 or /56
	nameFree  = 10              // of a name, wherever they come from
	nameLimit = 100             // of a name, behind which strangers are let try one at a time,
	nameRest  = 5 * time.Second // this far apart
	homeLife  = 30 * 24 * time.Hour
	maxHomes  = 1 << 16
)

// Guesses slows down whoever guesses passwords at a front: by the client's network, by the one around it, and by the name. Names that
// exist and names that do not are treated alike. Nobody is locked out of where they log in from: a network from which a name has logged
// in is never refused for what others do with the name. All fronts of a node share one. Safe for concurrent use.
type Guesses struct {
	Handed *Handed // those whom other nodes hand over, by whichever service

	near, wide, names *Fails
	address           func(string) (domicile.Address, error)

	mu    sync.Mutex
	homes map[[sha256.Size]byte]time.Time // guarded by mu: when a name last logged in from a network, as a digest of both
}

// NewGuesses makes one without failures; step is the delay of a first one, see NewFails. address brings the ways to write a name together.
func NewGuesses(step time.Duration, address func(name string) (domicile.Address, error)) *Guesses {
	return &Guesses{Handed: NewHanded(), near: NewFails(step, 0), wide: NewFails(step, wideFree), names: NewFails(step, nameFree), address: address, homes: map[[sha256.Size]byte]time.Time{}}
}

// May says whether a login may be tried now: Unavailable while too many try the name from where it has never logged in.
func (g *Guesses) May(network, name string) error {
	name = g.fold(name)
	g.mu.Lock()
	last, home := g.homes[place(network, name)]
	g.mu.Unlock()
	now := time.Now()
	if home && now.Sub(last) < homeLife || g.names.may(name, now) {
		return nil
	}
	return domicile.E("login", domicile.Unavailable, "too many try this name")
}

// Wait counts a wrong login and returns when its answer is due, counted from when the login began, or when ctx ends.
func (g *Guesses) Wait(ctx context.Context, network, name string, began time.Time) {
	now := time.Now()
	delay := max(g.near.count(network, now), g.wide.count(around(network), now), g.names.count(g.fold(name), now))
	wait(ctx, delay-now.Sub(began))
}

// Right notes where a name has logged in from.
func (g *Guesses) Right(network, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.homes) >= maxHomes {
		for other := range g.homes { // any: it costs them no more than being a stranger again
			delete(g.homes, other)
			break
		}
	}
	g.homes[place(network, g.fold(name))] = time.Now()
}

func place(network, name string) [sha256.Size]byte {
	return sha256.Sum256([]byte(network + "\x00" + name))
}

// fold makes one of the ways to write a name, whether it is one or not. It is a digest, since names may be long.
func (g *Guesses) fold(name string) string {
	if a, err := g.address(name); err == nil {
		name = string(a)
	}
	sum := sha256.Sum256([]byte(strings.ToLower(name)))
	return string(sum[:])
}

// around is the network around one: the /24 or /56 that it is in.
func around(network string) string {
	head, last := "", network
	if i := strings.LastIndexByte(network, '/'); i >= 0 {
		head, last = network[:i+1], network[i+1:]
	}
	a, err := netip.ParseAddr(last)
	if err != nil {
		return network
	}
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return network
	}
	return head + p.String()
}
