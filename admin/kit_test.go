package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/disclosure"
	"domicile/keys"
	"domicile/move"
	"domicile/placement"
	"domicile/region"
	"domicile/residence"
	"domicile/store"
)

// kit is a server of eu-ireland with a real log, guard, ledger, engine, TLS and listener; store, directory and gossip are fakes.
type kit struct {
	t      *testing.T
	cfg    Config
	store  *fakeStore
	names  *fakeDirectory
	moves  *fakeMoves
	log    *bytes.Buffer
	addr   string
	ca     []byte
	issue  map[domicile.Region]*region.Authority
	server *Server
}

func newKit(t *testing.T, tune ...func(*Server)) *kit {
	t.Helper()
	dir := t.TempDir()
	k := &kit{t: t, moves: &fakeMoves{gone: map[domicile.AccountID]domicile.Region{}}, store: newFakeStore(), names: &fakeDirectory{owner: map[domicile.Address]domicile.AccountID{}}, log: &bytes.Buffer{}, issue: map[domicile.Region]*region.Authority{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cat := &region.Catalog{Version: 1, Issued: time.Now(), Quorum: 1, Cosigners: 1,
		Domains: []region.DomainInfo{{Name: "example.com", Registrar: "us-east"}}}
	var signer *keys.Signer
	for _, r := range []region.RegionInfo{{Name: "us-east", Country: "US", Entity: "us", Serves: []domicile.Country{"US"}},
		{Name: "eu-ireland", Country: "IE", Entity: "ie", Serves: []domicile.Country{"IE", "DE"}, Hosts: []string{"eu-ireland.example.com"}}} {
		ca, err := region.NewAuthority(string(r.Name), time.Now())
		must(err)
		signer, err = keys.CreateSigner(filepath.Join(dir, string(r.Name)+".key"), "example.com/domicile/"+string(r.Name))
		must(err)
		k.issue[r.Name] = ca
		r.Key, r.Cosign, r.CA = signer.VKey(), signer.CosignVKey(), []string{ca.Fingerprint()}
		cat.Regions = append(cat.Regions, r)
		cat.Entities = append(cat.Entities, region.EntityInfo{ID: r.Entity, Name: string(r.Entity), Country: r.Country})
	}
	rootKey := filepath.Join(t.TempDir(), "root.key")
	must(keys.CreateRoot(rootKey))
	secret, err := keys.LoadSecret(rootKey, dir)
	must(err)
	log, err := audit.Open(audit.Config{Dir: filepath.Join(dir, "audit"), Origin: signer.Name(), Signer: signer, Sealer: secret.Box("audit")})
	must(err)
	t.Cleanup(func() { log.Close() })
	journal, err := region.OpenJournal(filepath.Join(dir, "journal"), secret.Box("journal"), time.Hour, time.Now)
	must(err)
	t.Cleanup(func() { journal.Close() })
	guard, err := region.NewGuard(region.GuardConfig{Region: "eu-ireland", Log: log, Journal: journal})
	must(err)
	t.Cleanup(func() { guard.Close() })
	identity, err := k.issue["eu-ireland"].IssueNode("eu-ireland-1", []string{"127.0.0.1"})
	must(err)
	logger := slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	node, err := region.New(region.Config{Node: "eu-ireland-1", Region: "eu-ireland", Roles: []string{"front", "store", "admin"}, Catalog: func() *region.Catalog { return cat },
		Identity: identity, Guard: guard, RPCListen: "127.0.0.1:0", GossipListen: "127.0.0.1:0", GossipKeys: [][]byte{make([]byte, 32)}, Log: logger})
	must(err)
	t.Cleanup(func() { node.Close() })
	ledger, err := residence.Open(residence.Config{Region: "eu-ireland", Table: k.store.table("residence"), CoolDown: time.Nanosecond,
		Record: func(context.Context, residence.Entry) error { return nil }})
	must(err)
	registry, err := disclosure.MarshalRegistry(nil)
	must(err)
	must(os.WriteFile(filepath.Join(dir, "authorities.toml"), registry, 0o644))
	orders, err := disclosure.Open(disclosure.Config{Region: "eu-ireland", Node: "eu-ireland-1", Catalog: func() *region.Catalog { return cat }, Store: k.store, Log: log,
		Guard: guard, Notifier: node, Resolve: k.names.Resolve, Cosign: func(context.Context) (int, error) { return 0, nil }, Box: secret.Box("cases"),
		Dir: filepath.Join(dir, "productions"), Registry: filepath.Join(dir, "authorities.toml"), Bundles: []string{"gdpr-48", "mlat"}, Logger: logger})
	must(err)
	t.Cleanup(func() { orders.Close() })
	k.cfg = Config{Region: "eu-ireland", Node: "eu-ireland-1", Network: network{node}, Catalog: func() *region.Catalog { return cat }, Store: k.store,
		Directory: k.names, Residence: ledger, Moves: k.moves, Orders: orders, Audit: log, AuditDir: filepath.Join(dir, "audit"), Guard: guard, Queue: newFakeQueue(),
		Passwords: plainPasswords{}, Log: logger}
	k.server, err = New(k.cfg)
	must(err)
	for _, fn := range tune {
		fn(k.server)
	}
	l, err := node.ListenOperators("127.0.0.1:0")
	must(err)
	k.addr, k.ca = l.Addr().String(), k.issue["eu-ireland"].Certificate()
	done := make(chan error)
	go func() { done <- k.server.Serve(l) }()
	t.Cleanup(func() {
		if err := k.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return k
}

// network is a region.Node whose gossip is made up.
type network struct{ *region.Node }

func (network) Members() []region.Member {
	return []region.Member{{Name: "us-east-1", Region: "us-east", Alive: true}, {Name: "eu-ireland-1", Region: "eu-ireland", Admin: "127.0.0.1:20010", Alive: true}}
}

// client is an operator of a region with roles.
func (k *kit) client(r domicile.Region, roles ...string) *Client { return k.named("ops", r, roles...) }

// named is the operator of that name.
func (k *kit) named(name string, r domicile.Region, roles ...string) *Client {
	k.t.Helper()
	id, err := k.issue[r].IssueOperator(name, roles)
	if err != nil {
		k.t.Fatal(err)
	}
	c, err := NewClient(k.addr, id, k.ca)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(c.Close)
	return c
}

// leaves returns the raw leaves of a kind; "" = all.
func (k *kit) leaves(kind string) (out []string) {
	k.t.Helper()
	err := k.cfg.Audit.Leaves(0, func(_ uint64, raw []byte) error {
		var leaf struct{ Kind string }
		if err := json.Unmarshal(raw, &leaf); err != nil {
			return err
		}
		if kind == "" || leaf.Kind == kind {
			out = append(out, string(raw))
		}
		return nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// wantRefusal checks a refusal: its reason, and a receipt that stands on its own.
func (k *kit) wantRefusal(err error, want domicile.Reason) {
	k.t.Helper()
	if domicile.KindOf(err) != domicile.Refused || domicile.ReasonOf(err) != want {
		k.t.Errorf("got %v, want a refusal with %s", err, want)
		return
	}
	v, err := audit.VerifyReceipt(ReceiptOf(err), k.cfg.Catalog().Pins())
	if err != nil {
		k.t.Errorf("the receipt of %s: %v", want, err)
	} else if !strings.Contains(string(v.Leaf), string(want)) {
		k.t.Errorf("the leaf of the receipt is %s, and does not say %s", v.Leaf, want)
	}
}

// fakeMoves has one move, of which it remembers what was asked.
type fakeMoves struct {
	gone  map[domicile.AccountID]domicile.Region
	by    string
	woken int
}

func (m *fakeMoves) Moves(context.Context) ([]move.Info, error) {
	return []move.Info{{ID: "a1.1", Side: move.Source, State: move.Copying}}, nil
}
func (m *fakeMoves) Move(_ context.Context, id string) (move.Info, error) {
	if id != "a1.1" {
		return move.Info{}, domicile.E("move", domicile.NotExist, "")
	}
	return move.Info{ID: id, State: move.Copying}, nil
}
func (m *fakeMoves) Cancel(_ context.Context, id, by string) (move.Info, error) {
	if m.by != "" {
		return move.Info{}, domicile.Refuse("cancel", domicile.MovePastHandover, "move/one-writer", "")
	}
	m.by = by
	return move.Info{ID: id, State: move.Cancelled}, nil
}
func (m *fakeMoves) HandedOver(id domicile.AccountID) (domicile.Region, uint64, bool) {
	to, ok := m.gone[id]
	return to, 2, ok
}
func (m *fakeMoves) Wake() { m.woken++ }

// fakeDirectory is a registrar that everybody reaches.
type fakeDirectory struct {
	mu    sync.Mutex
	owner map[domicile.Address]domicile.AccountID
	fail  error // of Claim: before it is done
	lost  error // of Claim: after it was done
}

func (d *fakeDirectory) Resolve(_ context.Context, a domicile.Address) (placement.Location, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id, ok := d.owner[a]; ok {
		home := domicile.Region("eu-ireland")
		if strings.HasPrefix(string(a), "us") {
			home = "us-east"
		}
		return placement.Location{Account: id, Home: home, Epoch: 1}, nil
	}
	return placement.Location{}, domicile.E("resolve", domicile.NotExist, "")
}

func (d *fakeDirectory) Claim(_ context.Context, a domicile.Address, id domicile.AccountID, _ uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	if was, ok := d.owner[a]; ok && was != id {
		return domicile.Refuse("claim", domicile.NameTaken, "house/one-owner-a-name", "taken")
	}
	d.owner[a] = id
	return d.lost
}

func (d *fakeDirectory) Release(_ context.Context, a domicile.Address, _ domicile.AccountID, _ uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.owner, a)
	return nil
}

// fakeStore keeps accounts and mail in memory.
type fakeStore struct {
	store.Store // panics for what is not below
	mu          sync.Mutex
	accounts    map[domicile.AccountID]store.Account
	tables      map[string]*fakeTable
	boxes       map[domicile.AccountID][]store.Mailbox
	messages    map[domicile.MailboxID][]store.Message
	bodies      map[domicile.MessageID]string
	fail, lost  error         // of CreateAccount: before and after it is done
	slow        time.Duration // of Body
}

func newFakeStore() *fakeStore {
	return &fakeStore{accounts: map[domicile.AccountID]store.Account{}, tables: map[string]*fakeTable{}, boxes: map[domicile.AccountID][]store.Mailbox{},
		messages: map[domicile.MailboxID][]store.Message{}, bodies: map[domicile.MessageID]string{}}
}

func (s *fakeStore) table(name string) *fakeTable {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[name] == nil {
		s.tables[name] = &fakeTable{rows: map[string][]byte{}}
	}
	return s.tables[name]
}

func (s *fakeStore) Region() domicile.Region                { return "eu-ireland" }
func (s *fakeStore) Table(name string) (store.Table, error) { return s.table(name), nil }

func (s *fakeStore) CreateAccount(_ context.Context, _ store.Token, a store.Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if _, ok := s.accounts[a.ID]; !ok { // the token makes a second call do nothing
		a.State, a.Class = store.Active, "standard"
		s.accounts[a.ID] = a
	}
	return s.lost
}

func (s *fakeStore) Account(_ context.Context, id domicile.AccountID) (store.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.accounts[id]; ok {
		return a, nil
	}
	return store.Account{}, domicile.E("account", domicile.NotExist, "")
}

func (s *fakeStore) AccountByAddress(_ context.Context, addr domicile.Address) (store.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.accounts {
		if a.Address == addr {
			return a, nil
		}
	}
	return store.Account{}, domicile.E("account", domicile.NotExist, "")
}

func (s *fakeStore) UpdateAccount(_ context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[id]
	err := fn(&a)
	s.accounts[id] = a
	return err
}

func (s *fakeStore) DeleteAccount(_ context.Context, id domicile.AccountID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, id)
	return nil
}

func (s *fakeStore) Accounts(_ context.Context, after domicile.AccountID, _ int) ([]store.Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after != "" {
		return nil, nil
	}
	return slices.Collect(maps.Values(s.accounts)), nil
}

func (s *fakeStore) Mailboxes(_ context.Context, id domicile.AccountID) ([]store.Mailbox, error) {
	return s.boxes[id], nil
}

func (s *fakeStore) Messages(_ context.Context, _ domicile.AccountID, b domicile.MailboxID, after store.UID, limit int) (part []store.Message, err error) {
	for _, m := range s.messages[b] {
		if m.UID > after && len(part) < limit {
			part = append(part, m)
		}
	}
	return part, nil
}

func (s *fakeStore) Body(ctx context.Context, _ domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	time.Sleep(s.slow)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return io.NopCloser(strings.NewReader(s.bodies[id])), nil
}

// deliver puts a message into a mailbox of an account, made if absent.
func (s *fakeStore) deliver(id domicile.AccountID, mailbox, body string, flags ...string) {
	box := domicile.MailboxID("box " + mailbox)
	if !slices.ContainsFunc(s.boxes[id], func(b store.Mailbox) bool { return b.ID == box }) {
		s.boxes[id] = append(s.boxes[id], store.Mailbox{ID: box, Name: mailbox})
	}
	m := store.Message{ID: domicile.MessageID(domicile.NewID("m")), UID: store.UID(len(s.messages[box]) + 1), Flags: flags,
		Internal: time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC), Size: int64(len(body))}
	s.messages[box] = append(s.messages[box], m)
	s.bodies[m.ID] = body
}

type fakeTable struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (t *fakeTable) Get(key string) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.rows[key]
	return v, ok, nil
}

func (t *fakeTable) Put(key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[key] = value
	return nil
}

func (t *fakeTable) CompareAndSwap(key string, old, new []byte) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, ok := t.rows[key]
	if ok != (old != nil) || !bytes.Equal(now, old) {
		return false, nil
	}
	if t.rows[key] = new; new == nil {
		delete(t.rows, key)
	}
	return true, nil
}

func (t *fakeTable) Each(fn func(string, []byte) error) error {
	t.mu.Lock()
	rows := maps.Clone(t.rows)
	t.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		if err := fn(key, rows[key]); err != nil {
			return err
		}
	}
	return nil
}

// plainPasswords keeps passwords as they are.
type plainPasswords struct{}

func (plainPasswords) Hash(p string) (string, error) { return "hash of " + p, nil }
func (plainPasswords) Verifier(name, p string) (string, error) {
	return "verifier of " + name + " " + p, nil
}
func (plainPasswords) NewApp() (password, kept string) {
	password = "app " + domicile.NewID("")
	return password, "hash of " + password
}
