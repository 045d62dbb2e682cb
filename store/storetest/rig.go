package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// At says where and as what a store is opened.
type At struct {
	Dir    string // a store's own; a copy of it, while nobody writes, is what a killed process leaves
	Region domicile.Region
	Sealer *Sealer
	Now    func() time.Time
}

// Open opens the store that lies at a place, or makes one.
type Open func(At) (store.Store, error)

// Rig is an open store in a folder of its own, with a clock that tests move.
// Its store is checked and closed when the test ends.
type Rig struct {
	store.Store
	T    testing.TB
	At   At
	open Open
	wrap func(store.Store) store.Store // what stands between the test and each store that is opened; nil = nothing
	bare store.Store                   // what was opened, for Check

	mu  sync.Mutex
	now time.Time // guarded by mu
}

// Region is where a Rig's store is.
const Region domicile.Region = "eu-ireland"

// New opens a new store.
func New(t testing.TB, open Open) *Rig {
	return newRig(t, open, Region, "storetest", nil)
}

func newRig(t testing.TB, open Open, region domicile.Region, seed string, wrap func(store.Store) store.Store) *Rig {
	r := &Rig{T: t, open: open, wrap: wrap, now: time.Unix(1_800_000_000, 0)}
	r.At = At{Dir: t.TempDir(), Region: region, Sealer: NewSealer(seed), Now: r.clock}
	r.mustOpen()
	t.Cleanup(func() {
		r.Check()
		r.no(r.Close())
	})
	return r
}

func (r *Rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// Pass moves the clock.
func (r *Rig) Pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *Rig) mustOpen() {
	r.T.Helper()
	s, err := r.open(r.At)
	if err != nil {
		r.T.Fatalf("open: %v", err)
	}
	r.Store, r.bare = s, s
	if r.wrap != nil {
		r.Store = r.wrap(s)
	}
}

// Reopen closes the store and opens it again.
func (r *Rig) Reopen() {
	r.T.Helper()
	r.no(r.Close())
	r.mustOpen()
}

// Check runs the driver's consistency check, if it has one.
func (r *Rig) Check() {
	r.T.Helper()
	s := r.bare
	if s == nil { // a rig that a test put around a store of its own
		s = r.Store
	}
	if c, ok := s.(interface{ Check(context.Context) error }); ok {
		if err := c.Check(context.Background()); err != nil && domicile.KindOf(err) != domicile.Unavailable {
			r.T.Errorf("the store is not consistent: %v", err)
		}
	}
}

// Person makes an account without quota and returns its id.
func (r *Rig) Person(name string) domicile.AccountID {
	r.T.Helper()
	id := domicile.AccountID(domicile.NewID("a"))
	r.no(r.CreateAccount(ctx, "", store.Account{ID: id, Address: domicile.Address(name + "@example.com"), Residence: "IE"}))
	return id
}

// accounts returns the ids of all accounts, ascending.
func (r *Rig) accounts() (ids []domicile.AccountID) {
	r.T.Helper()
	for a, err := range store.AllAccounts(ctx, r) {
		r.no(err)
		ids = append(ids, a.ID)
	}
	slices.Sort(ids)
	return ids
}

// Deliver puts a message into a mailbox.
func (r *Rig) Deliver(acct domicile.AccountID, tok store.Token, mailbox, body string, flags ...string) (store.Message, error) {
	in, err := r.Incoming(ctx, acct, 64<<20)
	if err != nil {
		return store.Message{}, err
	}
	defer in.Abort()
	if _, err := io.WriteString(in, body); err != nil {
		return store.Message{}, err
	}
	return in.Commit(ctx, tok, mailbox, flags, time.Time{})
}

// MustDeliver is Deliver without a token that must succeed.
func (r *Rig) MustDeliver(acct domicile.AccountID, mailbox, body string, flags ...string) store.Message {
	r.T.Helper()
	m, err := r.Deliver(acct, "", mailbox, body, flags...)
	r.no(err)
	return m
}

// ReadBody returns the bytes of a message.
func (r *Rig) ReadBody(acct domicile.AccountID, id domicile.MessageID) (string, error) {
	b, err := r.Body(ctx, acct, id)
	if err != nil {
		return "", err
	}
	defer b.Close()
	var buf bytes.Buffer
	_, err = io.Copy(&buf, b)
	return buf.String(), err
}

// Box finds a mailbox by name.
func (r *Rig) Box(acct domicile.AccountID, name string) store.Mailbox {
	r.T.Helper()
	m, err := r.MailboxByName(ctx, acct, name)
	r.no(err)
	return m
}

// List returns the messages of a mailbox by name.
func (r *Rig) List(acct domicile.AccountID, name string) []store.Message {
	r.T.Helper()
	var all []store.Message
	for m, err := range store.AllMessages(ctx, r, acct, r.Box(acct, name).ID) {
		r.no(err)
		all = append(all, m)
	}
	return all
}

var ctx = context.Background()

func (r *Rig) no(err error) {
	r.T.Helper()
	if err != nil {
		r.T.Fatal(err)
	}
}

// is fails unless err has the kind.
func (r *Rig) is(kind domicile.Kind, err error) {
	r.T.Helper()
	if err == nil || domicile.KindOf(err) != kind {
		r.T.Fatalf("error is %v, want kind %v", err, kind)
	}
}

func (r *Rig) same(what string, got, want any) {
	r.T.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		r.T.Fatalf("%s: got %s, want %s", what, g, w)
	}
}

func uidsOf(messages []store.Message) []store.UID {
	out := make([]store.UID, len(messages))
	for i, m := range messages {
		out[i] = m.UID
	}
	return out
}

// ascending says whether uids rise strictly.
func ascending(uids []store.UID) bool {
	return slices.IsSorted(uids) && len(slices.Compact(slices.Clone(uids))) == len(uids)
}
