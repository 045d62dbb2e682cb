package move

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/placement"
	"domicile/region"
	"domicile/residence"
	"domicile/store"
	"domicile/store/bolt"
)

const (
	ie = domicile.Region("eu-ireland")
	us = domicile.Region("us-east")
	de = domicile.Region("eu-frankfurt") // a stranger to the move

	ann   = domicile.AccountID("aann")
	annAt = domicile.Address("ann@example.com")
)

var ctx = context.Background()

// life is how a side dies: at its nth step, before or after it is done; from then on it does nothing until it is born again.
type life struct {
	mu    sync.Mutex
	n     int
	at    int // 0 = never
	after bool
	dead  bool
	seen  []string
}

var errDead = domicile.E("test", domicile.Unavailable, "the process is dead")

func (l *life) step(name string, do func() error) error {
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return errDead
	}
	l.n++
	l.seen = append(l.seen, name)
	die := l.n == l.at
	l.dead = die
	l.mu.Unlock()
	if die && !l.after {
		return errDead
	}
	err := do()
	if die {
		return errDead
	}
	return err
}

func (l *life) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (l *life) arm(at int, after bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n, l.at, l.after, l.dead, l.seen = 0, at, after, false, nil
}

// mortal is a store whose changes are steps of a life.
type mortal struct {
	store.Store
	l *life
}

func (s mortal) UpdateAccount(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	return s.l.step("update account", func() error { return s.Store.UpdateAccount(ctx, id, fn) })
}
func (s mortal) DeleteAccount(ctx context.Context, id domicile.AccountID) error {
	return s.l.step("delete account", func() error { return s.Store.DeleteAccount(ctx, id) })
}
func (s mortal) Import(ctx context.Context, id domicile.AccountID, p store.Part) error {
	return s.l.step("import", func() error { return s.Store.Import(ctx, id, p) })
}
func (s mortal) Activate(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	return s.l.step("activate", func() error { return s.Store.Activate(ctx, id, fn) })
}
func (s mortal) Abandon(ctx context.Context, id domicile.AccountID) error {
	return s.l.step("abandon", func() error { return s.Store.Abandon(ctx, id) })
}
func (s mortal) Table(name string) (store.Table, error) {
	t, err := s.Store.Table(name)
	return mortalTable{t, s.l, name}, err
}

type mortalTable struct {
	store.Table
	l    *life
	name string
}

func (t mortalTable) Put(key string, value []byte) error {
	return t.l.step("put in "+t.name, func() error { return t.Table.Put(key, value) })
}
func (t mortalTable) CompareAndSwap(key string, old, new []byte) (swapped bool, err error) {
	err = t.l.step("swap in "+t.name, func() error { swapped, err = t.Table.CompareAndSwap(key, old, new); return err })
	return swapped && err == nil, err
}

type mortalLog struct {
	Log
	l *life
}

func (g mortalLog) Append(ctx context.Context, e audit.Entry) (leaf audit.Leaf, err error) {
	err = g.l.step("leaf "+e.Kind, func() error { leaf, err = g.Log.Append(ctx, e); return err })
	return leaf, err
}

// side is one region with all that a machine stands on. Store and log live on when its machine dies.
type side struct {
	w        *world
	region   domicile.Region
	dir      string
	store    *bolt.Store
	log      *audit.Log
	guard    *region.Guard
	names    *placement.Directory
	life     *life
	logged   lines
	ledger   *residence.Ledger
	running  atomic.Pointer[Machine]
	cosigned atomic.Uint64 // the size of log that the other side has cosigned
	calls    sync.RWMutex  // held by calls that are being answered, and to end them all
	stop     context.CancelFunc
	done     chan struct{}
}

// lines keeps what a machine logs, for a test that fails.
type lines struct {
	mu   sync.Mutex
	last []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last = append(l.last, string(p)); len(l.last) > 20 {
		l.last = l.last[1:]
	}
	return len(p), nil
}

// world is two regions and a stranger. The registrar is its own, and cannot be reached while cut.
type world struct {
	t         testing.TB
	keys      map[domicile.Region]ed25519.PrivateKey
	registrar *placement.Registrar
	digester  *placement.Digester
	sides     map[domicile.Region]*side

	mu     sync.Mutex
	now    time.Time
	cut    func(from, to domicile.Region, method string) bool // before the call
	lost   func(from, to domicile.Region, method string) bool // its answer
	before func(method string)                                // each call reaches the other side; set before any runs
	alone  bool                                               // parts wait for none before them, as in an earlier release; set before any runs
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Millisecond)
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) Registrar(domain string) (domicile.Region, bool) {
	return "registrar", domain == "example.com"
}

func (w *world) VerifyRegion(r domicile.Region, msg, sig []byte) error {
	if key, ok := w.keys[r]; !ok || !ed25519.Verify(key.Public().(ed25519.PublicKey), msg, sig) {
		return errors.New("bad signature")
	}
	return nil
}

type edSigner struct{ key ed25519.PrivateKey }

func (s edSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, keys: map[domicile.Region]ed25519.PrivateKey{}, sides: map[domicile.Region]*side{}, now: time.Now()}
	for i, r := range []domicile.Region{ie, us, de} {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i + 1)
		w.keys[r] = ed25519.NewKeyFromSeed(seed)
	}
	var err error
	if w.digester, err = placement.NewDigester(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	w.registrar, err = placement.NewRegistrar(placement.RegistrarConfig{Region: "registrar", Trust: w, Table: &memTable{rows: map[string][]byte{}},
		Record: func(context.Context, string, placement.Ownership) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []domicile.Region{ie, us} {
		w.sides[r] = w.newSide(r)
	}
	return w
}

func (w *world) newSide(r domicile.Region) *side {
	t, dir := w.t, w.t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := &side{w: w, region: r, dir: dir, life: &life{}}
	signer, err := keys.CreateSigner(filepath.Join(dir, "signer"), "example.com/domicile/"+string(r))
	must(err)
	rootKey := filepath.Join(t.TempDir(), "root.key")
	must(keys.CreateRoot(rootKey))
	secret, err := keys.LoadSecret(rootKey, dir)
	must(err)
	s.log, err = audit.Open(audit.Config{Dir: filepath.Join(dir, "audit"), Origin: signer.Name(), Signer: signer, Sealer: secret.Box("audit")})
	must(err)
	journal, err := region.OpenJournal(filepath.Join(dir, "journal"), secret.Box("journal"), time.Hour, time.Now)
	must(err)
	s.guard, err = region.NewGuard(region.GuardConfig{Region: r, Log: s.log, Journal: journal})
	must(err)
	ring, err := keys.OpenRing(secret, filepath.Join(dir, "keys"))
	must(err)
	s.store, err = bolt.Open(bolt.Config{Dir: filepath.Join(dir, "store"), Region: r, Sealer: ring})
	must(err)
	s.names, err = placement.NewDirectory(placement.DirectoryConfig{Region: r, Digester: w.digester, Trust: w, Remote: wire{w, r}, Signer: edSigner{w.keys[r]}, Now: w.clock, Local: s.local})
	must(err)
	s.born()
	t.Cleanup(func() {
		s.halt()
		if err := s.store.Check(ctx); err != nil {
			t.Errorf("the store of %s: %v", r, err)
		}
		must(errors.Join(s.store.Close(), s.guard.Close(), journal.Close(), s.log.Close()))
	})
	return s
}

// local is what a node answers of its own accounts.
func (s *side) local(ctx context.Context, a domicile.Address) (domicile.AccountID, uint64, error) {
	acct, err := s.store.AccountByAddress(ctx, a)
	if err == nil {
		if _, _, gone := s.machine().HandedOver(acct.ID); gone {
			err = domicile.E("account", domicile.NotExist, "handed over")
		}
	}
	return acct.ID, acct.Epoch, err
}

// born makes a machine and a ledger over what the side has on disk.
func (s *side) born() {
	s.w.t.Helper()
	st := mortal{s.store, s.life}
	entries, err := st.Table("residence")
	if err == nil {
		s.ledger, err = residence.Open(residence.Config{Region: s.region, Table: entries, Now: s.w.clock, CoolDown: time.Nanosecond, Between: time.Nanosecond,
			Record: func(context.Context, residence.Entry) error { return nil }})
	}
	if err == nil {
		var m *Machine
		m, err = Open(Config{Region: s.region, Node: domicile.Node(s.region) + "-1", Store: st, Residence: s.ledger, Directory: s.names, Place: place,
			Network: link{s.w, s.region}, Guard: s.guard, Log: mortalLog{s.log, s.life}, Now: s.w.clock, Logger: slog.New(slog.NewTextHandler(&s.logged, nil)),
			TokenKey: func(a store.Account) ([]byte, error) {
				if a.TokenKey != nil {
					return a.TokenKey, nil
				}
				return []byte("key of " + s.region), nil
			},
			Quiet: func(context.Context, domicile.AccountID) error {
				return s.life.step("quiet", func() error { return nil })
			},
			Cosign: func(_ context.Context, by domicile.Region) error {
				return s.life.step("cosign", func() error {
					if s.w.isCut(s.region, by, "cosign") {
						return domicile.E("cosign", domicile.Unavailable, "no route")
					}
					s.cosigned.Store(s.log.Head().Size)
					return nil
				})
			}})
		if err == nil {
			m.pause = func(int) time.Duration { return time.Millisecond }
			s.running.Store(m)
		}
	}
	if err != nil {
		s.w.t.Fatal(err)
	}
}

// machine is the one that lives now.
func (s *side) machine() *Machine { return s.running.Load() }

func (s *side) run() {
	run, stop := context.WithCancel(ctx)
	s.stop, s.done = stop, make(chan struct{})
	go func() { defer close(s.done); s.machine().Run(run) }()
}

// again ends what runs and begins anew, as a process does: nobody is answered by the old one any more.
func (s *side) again() {
	s.w.t.Helper()
	s.halt()
	s.calls.Lock()
	s.life.arm(0, false)
	s.born()
	s.calls.Unlock()
	s.run()
}

func (s *side) halt() {
	if s.stop != nil {
		s.stop()
		<-s.done
		s.stop = nil
	}
	s.calls.Lock() // what it was answering has ended too
	defer s.calls.Unlock()
}

func place(c domicile.Country) (domicile.Region, error) {
	return placement.Place(c, []placement.RegionInfo{{Name: ie, Serves: []domicile.Country{"IE", "DE"}}, {Name: us, Serves: []domicile.Country{"US"}}})
}

// wire is the way to the registrar.
type wire struct {
	w    *world
	from domicile.Region
}

func (r wire) reach(method string) error {
	if r.w.isCut(r.from, "registrar", method) {
		return domicile.E("call", domicile.Unavailable, "cut")
	}
	return nil
}
func (r wire) LookupName(ctx context.Context, _ domicile.Region, n placement.NameDigest, domain string) (placement.Ownership, error) {
	if err := r.reach("lookup"); err != nil {
		return placement.Ownership{}, err
	}
	return r.w.registrar.Lookup(ctx, n, domain)
}
func (r wire) ClaimName(ctx context.Context, _ domicile.Region, o placement.Ownership) error {
	return errors.Join(r.reach("claim"), r.w.registrar.Claim(ctx, r.from, o))
}
func (r wire) ReleaseName(ctx context.Context, _ domicile.Region, o placement.Ownership) error {
	return r.w.registrar.Release(ctx, r.from, o)
}

func (w *world) isCut(from, to domicile.Region, method string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut != nil && w.cut(from, to, method)
}

func (w *world) isLost(from, to domicile.Region, method string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost != nil && w.lost(from, to, method)
}

// link is the network of one side: it calls the handlers of the other, as the guard and the wire would let it.
type link struct {
	w    *world
	from domicile.Region
}

func (l link) Ask(ctx context.Context, class domicile.EgressClass, to domicile.Region, method string, in, out any) error {
	if class != domicile.Move {
		return domicile.E("test", domicile.Other, "a call of another class")
	}
	return l.call(ctx, to, method, in, nil, out)
}

func (l link) Send(ctx context.Context, p *region.Permit, method string, in any, body []byte, out any) error {
	if err := l.w.sides[l.from].guard.Send(p, io.Discard, bytes.NewReader(body)); err != nil {
		return err
	}
	return l.call(ctx, "", method, in, body, out)
}

func (l link) call(ctx context.Context, to domicile.Region, method string, in any, body []byte, out any) error {
	if to == "" {
		to = map[domicile.Region]domicile.Region{ie: us, us: ie}[l.from]
	}
	me, other := l.w.sides[l.from], l.w.sides[to]
	if p, ok := in.(partHead); ok && l.w.alone {
		p.Before = 0
		in = p
	}
	header, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if me.life.isDead() || other.life.isDead() || l.w.isCut(l.from, to, method) {
		return domicile.E(method, domicile.Unavailable, "no route")
	}
	if in, ok := in.(handover); ok {
		if r, _, err := me.machine().rows.get("out/" + in.Move); err != nil || r.Leaves[HandedOver] >= me.cosigned.Load() {
			l.w.t.Errorf("%s learns of a handover whose leaf %d it has not cosigned: %v", to, r.Leaves[HandedOver], err)
		}
	}
	if l.w.before != nil {
		l.w.before(method)
	}
	other.calls.RLock()
	defer other.calls.RUnlock()
	reply, err := other.machine().handlers()[method](ctx, &region.Call{From: region.Peer{Region: l.from, Node: "n"}, Header: header, Body: bytes.NewReader(body)})
	if me.life.isDead() || other.life.isDead() || l.w.isLost(l.from, to, method) {
		return domicile.E(method, domicile.Unknown, "the answer was lost")
	}
	if err != nil || out == nil {
		return err
	}
	raw, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// settle makes ann's account in Ireland with mail, and has her move to the US approved.
func (w *world) settle(change bool) (id string) {
	w.t.Helper()
	s := w.sides[ie]
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	must(s.names.Claim(ctx, annAt, ann, 1))
	must(s.store.CreateAccount(ctx, "", store.Account{ID: ann, Address: annAt, Residence: "IE", Password: "$phc", Quota: 1 << 30}))
	must(s.ledger.Declare(ctx, residence.Declaration{Account: ann, Country: "IE", Evidence: []residence.Evidence{{Kind: residence.Billing, Country: "IE"}}}, residence.Actor{Name: "ops", Region: ie}))
	for n, size := range []int{10, 5 << 20, 0, 3000} { // the second takes two parts
		in, err := s.store.Incoming(ctx, ann, 10<<20)
		must(err)
		_, err = io.WriteString(in, strings.Repeat(fmt.Sprint(n), size))
		must(err)
		_, err = in.Commit(ctx, store.Token(fmt.Sprint("smtp-", n)), "INBOX", []string{"\\Seen", "kept"}, time.Time{})
		must(err)
	}
	inbox, err := s.store.MailboxByName(ctx, ann, "INBOX")
	must(err)
	_, _, _, err = s.store.Move(ctx, "", ann, inbox.ID, []store.UID{1}, "Archive")
	must(err)
	if !change {
		return ""
	}
	return w.approve(ie, "US")
}

// approve asks for a change and approves it, by two persons of the losing region.
func (w *world) approve(at domicile.Region, to domicile.Country) string {
	w.t.Helper()
	items := []residence.Evidence{{Kind: residence.Bank, Country: to}, {Kind: residence.Tax, Country: to}}
	c, err := w.sides[at].ledger.Request(ctx, residence.Request{Account: ann, Country: to, Evidence: items}, residence.Actor{Name: "ops", Region: at})
	if err == nil {
		w.pass(time.Second)
		_, err = w.sides[at].ledger.Approve(ctx, c.ID, residence.Actor{Name: "ops2", Region: at})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return c.ID
}

// serves says whether a side would serve ann now: as a front would ask.
func (s *side) serves() bool {
	a, err := s.store.Account(ctx, ann)
	if err != nil || a.State == store.Moving {
		return false
	}
	_, _, gone := s.machine().HandedOver(ann)
	return !gone
}

// portrait is all of ann's mail, with what a move must keep.
func (s *side) portrait() string {
	s.w.t.Helper()
	var b strings.Builder
	boxes, err := s.store.Mailboxes(ctx, ann)
	if err != nil {
		s.w.t.Fatalf("%s: %v", s.region, err)
	}
	for _, box := range boxes {
		c, err := s.store.Changes(ctx, ann, box.ID, 1, "", store.MaxPage)
		if err != nil {
			s.w.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v gone %v\n", box, c.Vanished)
		for _, m := range c.Changed {
			r, err := s.store.Body(ctx, ann, m.ID)
			if err != nil {
				s.w.t.Fatal(err)
			}
			body, err := io.ReadAll(r)
			r.Close()
			if err != nil {
				s.w.t.Fatal(err)
			}
			fmt.Fprintf(&b, "  %+v %d bytes of %.1q\n", m, len(body), body)
		}
	}
	return b.String()
}

// until waits for a condition.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s; %s", what, w.rows())
		}
	}
}

func (w *world) rows() string {
	var b strings.Builder
	for _, r := range []domicile.Region{ie, us} {
		list, err := w.sides[r].machine().Moves(ctx)
		fmt.Fprintf(&b, "%s: %+v %v\n", r, list, err)
		w.sides[r].logged.mu.Lock()
		for _, l := range w.sides[r].logged.last {
			b.WriteString(l)
		}
		w.sides[r].logged.mu.Unlock()
	}
	return b.String()
}

func (s *side) state(id string) State {
	i, err := s.machine().Move(ctx, id)
	if err != nil {
		return ""
	}
	return i.State
}

// kinds lists the leaves of moves in a log.
func (s *side) kinds() (out []string) {
	err := s.log.Leaves(0, func(_ uint64, raw []byte) error {
		_, e, err := audit.DecodeLeaf(raw)
		if kind, ok := strings.CutPrefix(e.Kind, "move."); ok {
			out = append(out, kind)
		}
		if bytes.Contains(raw, []byte(annAt)) || bytes.Contains(raw, []byte(ann)) {
			err = errors.New("a leaf names the account in the open")
		}
		return err
	})
	if err != nil {
		s.w.t.Fatal(err)
	}
	return slices.Compact(out)
}

// memTable is a table in memory.
type memTable struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (t *memTable) Get(key string) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.rows[key]
	return v, ok, nil
}
func (t *memTable) Put(key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[key] = value
	return nil
}
func (t *memTable) CompareAndSwap(key string, old, new []byte) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now, ok := t.rows[key]; ok != (old != nil) || !bytes.Equal(now, old) {
		return false, nil
	}
	if t.rows[key] = new; new == nil {
		delete(t.rows, key)
	}
	return true, nil
}
func (t *memTable) Each(func(string, []byte) error) error { return nil }
