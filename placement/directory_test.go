package placement

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"domicile"
)

// office is Ireland's directory, with example.com's registrar in us-east behind a wire, and example.ie's in Ireland.
type office struct {
	*cluster
	d     *Directory
	w     *wire
	us    *Registrar
	local map[domicile.Address]domicile.AccountID
	err   error // of the local accounts
}

func newOffice(t testing.TB, size int) *office {
	c := newCluster(t)
	o := &office{cluster: c, us: c.registrar(t, newTable(), &leaves{}), local: map[domicile.Address]domicile.AccountID{}}
	o.w = &wire{from: ie, to: o.us}
	own, err := NewRegistrar(RegistrarConfig{Region: ie, Trust: c, Table: newTable(), Record: (&leaves{}).record, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	o.d, err = NewDirectory(DirectoryConfig{Region: ie, Digester: c.names, Trust: c, Remote: o.w, Registrar: own, Signer: signer{c.keys[ie]}, Now: c.Now, CacheSize: size,
		Local: func(_ context.Context, a domicile.Address) (domicile.AccountID, uint64, error) {
			if o.err != nil {
				return "", 0, o.err
			}
			if id, ok := o.local[a]; ok {
				return id, 1, nil
			}
			return "", 0, domicile.E("account", domicile.NotExist, "")
		}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var cut = domicile.E("call", domicile.Unavailable, "no route")

// expect resolves a and compares kind or reason, home and staleness.
func (o *office) expect(t *testing.T, a domicile.Address, want string) {
	t.Helper()
	loc, err := o.d.Resolve(ctx, a)
	got := string(domicile.ReasonOf(err))
	switch {
	case err == nil:
		got = string(loc.Home) + " " + string(loc.Account)
		if loc.Stale {
			got += " stale"
		}
	case got == "":
		got = domicile.KindOf(err).String()
	}
	if got != want {
		t.Errorf("Resolve: %q (%v), want %q", got, err, want)
	}
}

func (o *office) claimUS(t testing.TB, a domicile.Address, id domicile.AccountID) Ownership {
	t.Helper()
	rec := o.record(a, id, 1, us, us)
	if err := o.us.Claim(ctx, us, rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestDirectoryAnswersForItsOwn(t *testing.T) {
	o := newOffice(t, 0)
	o.w.set(cut, nil)
	o.local[anna] = "a1"
	o.expect(t, anna, "eu-ireland a1")
	if o.w.count() != 0 {
		t.Error("another region was asked about an account of this one")
	}
	o.err = errors.New("disk")
	o.expect(t, anna, "unavailable") // never "no such user" for a broken disk
	o.expect(t, "anna@elsewhere.example", "domain_not_served")
}

func TestDirectoryLives(t *testing.T) {
	o := newOffice(t, 0)
	o.expect(t, "bob@example.com", "not_exist")
	o.claimUS(t, "bob@example.com", "b1")
	o.expect(t, "bob@example.com", "not_exist") // in the same instant
	o.pass(time.Second)
	o.expect(t, "bob@example.com", "us-east b1") // and a second later no more
	asked := o.w.count()
	o.pass(59 * time.Second)
	o.w.set(cut, nil)
	o.expect(t, "bob@example.com", "us-east b1")
	if o.w.count() != asked {
		t.Error("a fresh answer was asked for again")
	}
	o.pass(time.Second)
	o.expect(t, "bob@example.com", "us-east b1 stale")
	o.pass(24*time.Hour - time.Minute - time.Second)
	o.expect(t, "bob@example.com", "us-east b1 stale")
	o.pass(time.Second)
	o.expect(t, "bob@example.com", "unavailable")
	o.expect(t, "nobody@example.com", "unavailable") // cannot be known: never "no such user"
	o.w.set(domicile.Refuse("call", domicile.EgressNotAllowed, "", ""), nil)
	o.expect(t, "nobody@example.com", "unavailable") // a refused question is no answer about the name
	o.w.set(domicile.Refuse("call", domicile.DomainNotServed, "", ""), nil)
	o.expect(t, "nobody@example.com", "unavailable") // nor is a registrar with another catalog
	o.w.set(nil, nil)
	o.expect(t, "bob@example.com", "us-east b1")
}

func TestDirectoryForgetsWhatIsGone(t *testing.T) {
	o := newOffice(t, 0)
	rec := o.claimUS(t, "bob@example.com", "b1")
	o.expect(t, "bob@example.com", "us-east b1")
	if err := o.us.Release(ctx, us, rec); err != nil {
		t.Fatal(err)
	}
	o.pass(time.Minute)
	o.expect(t, "bob@example.com", "not_exist")
	o.w.set(cut, nil)
	o.pass(time.Minute)
	o.expect(t, "bob@example.com", "unavailable") // not the stale answer from before
}

func TestDirectoryCatchesALyingRegistrar(t *testing.T) {
	o := newOffice(t, 0)
	const bob = domicile.Address("bob@example.com")
	first := o.claimUS(t, bob, "b1")
	o.expect(t, bob, "us-east b1")
	moved := o.record(bob, "b1", 2, de, de, us)
	for name, lie := range map[string]Ownership{
		"another account":        o.record(bob, "b2", 1, us, us),
		"unsigned":               o.record(bob, "b1", 1, us),
		"signed by another":      o.record(bob, "b1", 1, us, de),
		"another home":           o.record(bob, "b1", 1, de, de),
		"seized":                 o.record(bob, "b1", 2, de, de),
		"seized by two":          o.record(bob, "b1", 2, de, de, ie),
		"another name":           o.record("eve@example.com", "b1", 1, us, us),
		"another domain":         o.record("bob@example.ie", "b1", 1, us, us),
		"epoch 0":                o.record(bob, "b1", 0, us, us),
		"a record without bones": {},
	} {
		o.pass(time.Minute)
		o.w.set(nil, &lie)
		loc, err := o.d.Resolve(ctx, bob)
		if domicile.ReasonOf(err) != domicile.OwnershipUnverified {
			t.Errorf("%s: %+v, %v", name, loc, err)
		}
	}
	stranger := o.record("eve@example.com", "e1", 1, us, us)
	o.w.set(nil, &stranger) // for a name of which nothing is known yet
	o.expect(t, "carol@example.com", "ownership_unverified")
	o.w.set(nil, &moved)
	o.expect(t, bob, "eu-frankfurt b1")
	o.pass(time.Minute)
	o.w.set(nil, &first) // a rollback
	o.expect(t, bob, "ownership_unverified")
	// As long as the name may rest in quarantine, a new owner is a lie. Later it is possible.
	late := o.record(bob, "b9", 1, us, us)
	o.w.set(nil, &late)
	o.pass(DefaultQuarantine - 2*time.Minute)
	o.expect(t, bob, "ownership_unverified")
	o.pass(2 * time.Minute)
	o.expect(t, bob, "us-east b9")
}

func TestDirectoryClaims(t *testing.T) {
	o := newOffice(t, 0)
	for _, a := range []domicile.Address{anna, "anna@example.ie"} { // at the other region's registrar, and at the own one
		for range 2 {
			if err := o.d.Claim(ctx, a, "a1", 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := o.d.Claim(ctx, a, "a2", 1); domicile.ReasonOf(err) != domicile.NameTaken {
			t.Error(err)
		}
		o.expect(t, a, "unavailable") // claimed for this region, which has no account yet: mail waits
		o.local[a] = "a1"
		o.expect(t, a, "eu-ireland a1")
		delete(o.local, a)
		if err := o.d.Release(ctx, a, "a1", 1); err != nil {
			t.Fatal(err)
		}
		o.expect(t, a, "not_exist")
		if err := o.d.Claim(ctx, a, "a2", 1); domicile.ReasonOf(err) != domicile.NameTaken {
			t.Errorf("a name given up a moment ago: %v", err)
		}
	}
	if err := o.d.Claim(ctx, "anna@elsewhere.example", "a1", 1); domicile.ReasonOf(err) != domicile.DomainNotServed {
		t.Error(err)
	}
	o.w.set(cut, nil)
	if err := o.d.Claim(ctx, "c@example.com", "c1", 1); domicile.KindOf(err) != domicile.Unavailable {
		t.Error(err)
	}
	if err := o.d.Claim(ctx, "c@example.ie", "c1", 1); err != nil {
		t.Errorf("the own registrar needs nobody else: %v", err)
	}
}

func TestDirectoryCacheIsBounded(t *testing.T) {
	o := newOffice(t, 3)
	names := make([]domicile.Address, 5)
	for i := range names {
		names[i] = domicile.Address(fmt.Sprintf("n%d@example.com", i))
		o.claimUS(t, names[i], "b1")
		o.expect(t, names[i], "us-east b1")
		o.expect(t, names[0], "us-east b1") // the first stays in use
	}
	if n := len(o.d.cache.names); n != 3 || o.d.cache.order.Len() != 3 {
		t.Errorf("%d names are remembered, 3 allowed", n)
	}
	asked := o.w.count()
	o.expect(t, names[0], "us-east b1")
	if o.w.count() != asked {
		t.Error("the name in use was forgotten")
	}
	o.expect(t, names[1], "us-east b1")
	if o.w.count() != asked+1 {
		t.Error("the name longest unused was not")
	}
}

// Many ask for one name at once: one question goes out. One that gives up takes nobody along.
func TestDirectoryAsksOnce(t *testing.T) {
	o := newOffice(t, 0)
	o.claimUS(t, "bob@example.com", "b1")
	o.w.gate = make(chan struct{})
	hasty, cancel := context.WithCancel(ctx)
	first := make(chan error)
	go func() { _, err := o.d.Resolve(hasty, "bob@example.com"); first <- err }()
	for o.w.count() == 0 {
		time.Sleep(time.Millisecond)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { o.expect(t, "bob@example.com", "us-east b1") })
	}
	time.Sleep(50 * time.Millisecond) // let them come to wait for the same answer
	cancel()
	if err := <-first; domicile.KindOf(err) != domicile.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up: %v", err)
	}
	close(o.w.gate)
	wg.Wait()
	if n := o.w.count(); n > 2 {
		t.Errorf("%d questions for one name", n)
	}
}

func TestDirectoryRace(t *testing.T) {
	o := newOffice(t, 8)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 40 {
				a := domicile.Address(fmt.Sprintf("n%d@example.com", (i*7+n)%16))
				if n%8 == 0 {
					_ = o.d.Claim(ctx, a, "a1", 1)
				}
				_, _ = o.d.Resolve(ctx, a)
				if n%16 == 0 {
					o.pass(10 * time.Second)
				}
			}
		})
	}
	wg.Wait()
}

// A node without the store fronts for its region: its own accounts, too, are where the registrar says.
func TestDirectoryWithoutAStore(t *testing.T) {
	o := newOffice(t, 0)
	if err := o.d.Claim(ctx, anna, "a1", 1); err != nil {
		t.Fatal(err)
	}
	cfg := o.d.cfg
	cfg.Region, cfg.Local, cfg.Registrar = us, nil, nil // in the registrar's own region
	front, err := NewDirectory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	asked := o.w.count()
	for range 2 {
		if loc, err := front.Resolve(ctx, anna); err != nil || loc.Home != ie {
			t.Errorf("%+v, %v", loc, err)
		}
	}
	if o.w.count() != asked+1 {
		t.Error("the answer of the node that keeps the names was not remembered")
	}
	cfg.Region = ie // and in the account's home
	if front, err = NewDirectory(cfg); err != nil {
		t.Fatal(err)
	}
	if loc, err := front.Resolve(ctx, anna); err != nil || loc.Home != ie || loc.Account != "a1" {
		t.Errorf("%+v, %v", loc, err)
	}
}

// A front asks the node with its region's store first, so that mail for its own region's accounts needs no other region;
// that node's silence is no answer, and its "no such account" does not outweigh a registrar that names the region.
func TestDirectoryAsksNearby(t *testing.T) {
	o := newOffice(t, 0)
	o.claimUS(t, "sam@example.com", "s1")
	if err := o.d.Claim(ctx, anna, "a1", 1); err != nil {
		t.Fatal(err)
	}
	cfg := o.d.cfg
	cfg.Nearby, cfg.Local, cfg.Registrar = cfg.Local, nil, nil
	front, err := NewDirectory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	o.d = front
	o.local[anna] = "a1"
	o.w.set(cut, nil)
	asked := o.w.count()
	o.expect(t, anna, "eu-ireland a1")
	if o.w.count() != asked {
		t.Error("another region was asked about an account of this one")
	}
	o.expect(t, "sam@example.com", "unavailable")
	o.w.set(nil, nil)
	o.expect(t, "sam@example.com", "us-east s1")
	o.expect(t, "nobody@example.com", "not_exist")
	o.err = cut
	o.expect(t, anna, "eu-ireland a1") // on the registrar's word
	o.err = nil
	delete(o.local, anna)
	o.expect(t, anna, "unavailable")
}

func TestNewDirectoryNeedsItsParts(t *testing.T) {
	o := newOffice(t, 0)
	for name, spoil := range map[string]func(*DirectoryConfig){
		"region":   func(c *DirectoryConfig) { c.Region = "" },
		"digester": func(c *DirectoryConfig) { c.Digester = nil },
		"trust":    func(c *DirectoryConfig) { c.Trust = nil },
		"remote":   func(c *DirectoryConfig) { c.Remote = nil },
		"signer":   func(c *DirectoryConfig) { c.Signer = nil },
		"fresh":    func(c *DirectoryConfig) { c.Fresh = -1 },
	} {
		cfg := o.d.cfg
		spoil(&cfg)
		if _, err := NewDirectory(cfg); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
