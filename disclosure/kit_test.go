package disclosure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// The cast of the story: a US parent that owns two entities, a region each, two customers, five authorities.
const (
	irish    = "aoife@example.com"
	american = "bob@example.com"
)

var (
	issued = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)   // of orders
	today  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // of the tests
)

// authority is a lab authority with its private keys.
type authority struct {
	Authority
	key, cert []byte
	identity  age.Identity
}

func (a *authority) as(role string) TokenSigner {
	return TokenSigner{KeyPEM: a.key, CertPEM: a.cert, Role: role, At: issued}
}

// world is what all regions of a test share.
type world struct {
	t       testing.TB
	dir     string
	court   *authority // US district court
	oia     *authority // US central authority
	central *authority // Irish central authority
	judge   *authority // Irish court
	german  *authority // German issuing authority
	list    []*authority
	catalog *region.Catalog
	logKeys map[domicile.Region]*keys.Signer
	cosign  map[domicile.Region]*keys.Signer
	witness *keys.Signer

	mu      sync.Mutex
	engines map[domicile.Region]*Engine
	handler map[domicile.Region]region.Handler
	cut     bool // the link between the regions
	lists   int  // status lists signed so far: each is a second newer
	now     time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), now: today, logKeys: map[domicile.Region]*keys.Signer{}, cosign: map[domicile.Region]*keys.Signer{},
		engines: map[domicile.Region]*Engine{}, handler: map[domicile.Region]region.Handler{}}
	us := []string{"us.sca.subpoena", "us.sca.order_2703d", "us.sca.warrant", "us.sca.preservation_2703f", "us.nondisclosure_2705b"}
	w.court = w.authority("us-sdny", "issuing", "US", us...)
	w.oia = w.authority("us-oia", "central", "US", "mlat.request")
	w.central = w.authority("ie-central", "central", "IE", "mlat.request")
	w.judge = w.authority("ie-court", "executing", "IE", "mlat.request", "ie.domestic_order")
	w.german = w.authority("de-ag", "issuing", "DE", "eu.epoc", "eu.epoc_pr")
	for _, r := range []domicile.Region{"us-east", "eu-ireland"} {
		w.logKeys[r] = w.signer("example.com/domicile/" + string(r))
		w.cosign[r] = w.signer("example.com/domicile/" + string(r) + "/cosigner")
	}
	w.witness = w.signer("witness.example.net")
	w.catalog = w.newCatalog("parent-us")
	return w
}

func (w *world) signer(name string) *keys.Signer {
	s, err := keys.CreateSigner(filepath.Join(w.dir, strings.ReplaceAll(name, "/", "_")+".key"), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// newCatalog makes a catalog in which owner owns the Irish entity.
func (w *world) newCatalog(owner domicile.Entity) *region.Catalog {
	info := func(r domicile.Region, c domicile.Country, e domicile.Entity, serves ...domicile.Country) region.RegionInfo {
		return region.RegionInfo{Name: r, Country: c, Entity: e, Serves: serves, Key: w.logKeys[r].VKey(), Cosign: w.cosign[r].CosignVKey()}
	}
	return &region.Catalog{Version: 1, Cosigners: 1,
		Entities: []region.EntityInfo{
			{ID: "parent-us", Name: "Parent Inc.", Country: "US"},
			{ID: "holding-ie", Name: "Holding DAC", Country: "IE"},
			{ID: "mail-us", Name: "Mail LLC", Country: "US", Owners: []domicile.Entity{"parent-us"}},
			{ID: "mail-ie", Name: "Mail Ireland Ltd", Country: "IE", Owners: []domicile.Entity{owner}},
		},
		Regions:   []region.RegionInfo{info("us-east", "US", "mail-us", "US"), info("eu-ireland", "IE", "mail-ie", "IE", "DE", "FR")},
		Witnesses: []region.WitnessInfo{{Name: "witness", Key: w.witness.CosignVKey(), CompellableBy: []domicile.Country{"CH"}}},
	}
}

func (w *world) authority(id, role string, c domicile.Country, types ...string) *authority {
	w.t.Helper()
	key, cert, ident, rec, err := NewAuthority(id, "Authority "+id, c, issued.AddDate(-1, 0, 0))
	if err != nil {
		w.t.Fatal(err)
	}
	identity, err := age.ParseX25519Identity(strings.TrimSpace(string(ident)))
	if err != nil {
		w.t.Fatal(err)
	}
	a := &authority{key: key, cert: cert, identity: identity, Authority: Authority{ID: id, Name: "Authority " + id, Role: role, Country: c,
		Certificate: string(cert), Recipient: rec, OrderTypes: types, Categories: categories, StatusList: "file:status/" + id + ".jwt", StatusAge: "720h"}}
	w.list = append(w.list, a)
	w.status(a, nil)
	return a
}

// status signs a fresh list of an authority's.
func (w *world) status(a *authority, set map[string]string) {
	w.t.Helper()
	w.lists++
	list, err := SignStatusList(nil, a.as(""), set, issued.Add(time.Duration(w.lists)*time.Second))
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, "status", a.ID+".jwt")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, list, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// registry writes authorities.toml.
func (w *world) registry() string {
	var list []Authority
	for _, a := range w.list {
		list = append(list, a.Authority)
	}
	text, err := MarshalRegistry(list)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.dir, "authorities.toml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// warrant is a good US content warrant, served on an entity at a region.
func (w *world) warrant(entity domicile.Entity, r domicile.Region, target string) Claims {
	return Claims{Issuer: w.court.ID, JTI: domicile.NewID("jti-"), Case: CourtCase{Court: "S.D.N.Y.", Docket: "13-mj-2814"},
		OrderType: "us.sca.warrant", Regime: "us.sca", IssuedUnder: "18 U.S.C. 2703(a)", Audience: Audience{Entity: entity, Region: r},
		Scope: Scope{Targets: []string{target}, Categories: []string{Subscriber, Traffic, Content},
			Window: Window{From: issued.AddDate(-1, 0, 0).Unix(), To: issued.Unix()}, MaxItems: 1000, MaxBytes: 1 << 24},
		IssuedAt: issued.Unix(), NotBefore: issued.Unix(), Expires: issued.AddDate(0, 3, 0).Unix(),
		DeliveryTo: w.court.Recipient, Document: digestOf([]byte("warrant"))}
}

// request is a good treaty request for the Irish account.
func (w *world) request() Claims {
	c := w.warrant("mail-ie", "eu-ireland", irish)
	c.Issuer, c.OrderType, c.Regime, c.IssuedUnder = w.oia.ID, "mlat.request", "mlat", "us-ie-mlat"
	c.Agreement, c.DeliveryTo = "us-ie-mlat", w.central.Recipient
	c.Domestic = &Domestic{SHA256: digestOf([]byte("domestic")), Court: "District Court", Docket: "2026/1"}
	return c
}

func (w *world) treatySigners() []TokenSigner {
	return []TokenSigner{w.oia.as("central"), w.central.as("validating"), w.judge.as("executing")}
}

func (w *world) sign(c Claims, signers ...TokenSigner) []byte {
	w.t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := SignToken(text, signers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// bench is one region's engine with what it stands on.
type bench struct {
	*Engine
	w      *world
	region domicile.Region
	mail   *fakeStore
	log    *audit.Log
	secret *keys.Secret
	cfg    Config
	parts  parts
	reach  bool // cosigners
}

var (
	officer1 = region.Peer{Operator: "legal-1", Roles: []string{"legal"}}
	officer2 = region.Peer{Operator: "legal-2", Roles: []string{"legal"}}
)

func (b *bench) officer(p region.Peer) region.Peer { p.Region = b.region; return p }

// at opens a region with some bundles in force.
func (w *world) at(r domicile.Region, bundles ...string) *bench {
	w.t.Helper()
	b := &bench{w: w, region: r, mail: newFakeStore(r), reach: true}
	dir := filepath.Join(w.dir, string(r))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	rootKey := filepath.Join(w.t.TempDir(), "root.key")
	if err := keys.CreateRoot(rootKey); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if b.secret, err = keys.LoadSecret(rootKey, dir); err != nil {
		w.t.Fatal(err)
	}
	now := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	signer := w.logKeys[r]
	if b.log, err = audit.Open(audit.Config{Dir: filepath.Join(dir, "audit"), Origin: signer.Name(), Signer: signer, Sealer: b.secret.Box("audit"), Now: now}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { b.log.Close() })
	journal, err := region.OpenJournal(filepath.Join(dir, "journal"), b.secret.Box("journal"), time.Hour, now)
	if err != nil {
		w.t.Fatal(err)
	}
	guard, err := region.NewGuard(region.GuardConfig{Region: r, Log: b.log, Journal: journal, Now: now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { guard.Close() })
	b.cfg = Config{Region: r, Node: domicile.Node(r) + "-1", Lab: true, Catalog: func() *region.Catalog { return w.catalog }, Store: b.mail,
		Log: b.log, Guard: guard, Notifier: link{w, r}, Resolve: w.resolve, Cosign: b.cosignNow, Box: b.secret.Box("cases"),
		Dir: filepath.Join(dir, "cases"), Registry: w.registry(), Bundles: bundles, Now: now, Logger: slog.New(slog.DiscardHandler)}
	b.parts = parts{log: b.log, guard: guard, box: b.cfg.Box, retry: time.Hour,
		verify: func(receipt []byte, pins audit.Pins) error { _, err := audit.VerifyReceipt(receipt, pins); return err }}
	b.open()
	return b
}

// open opens, or after a crash reopens, the engine.
func (b *bench) open() {
	b.w.t.Helper()
	e, err := open(b.cfg, b.parts)
	if err != nil {
		b.w.t.Fatal(err)
	}
	b.Engine = e
	b.w.t.Cleanup(func() { e.Close() })
}

// cosignNow has the witness cosign, if within reach.
func (b *bench) cosignNow(ctx context.Context) (int, error) {
	if !b.reach {
		return 0, domicile.E("cosign", domicile.Unavailable, "cut off")
	}
	wit, err := audit.OpenWitness(filepath.Join(b.w.dir, domicile.NewID("witness")), b.w.witness, map[string]string{b.w.logKeys[b.region].Name(): b.w.logKeys[b.region].VKey()}, b.cfg.Now)
	if err != nil {
		return 0, err
	}
	cp, err := b.log.Checkpoint()
	if err != nil {
		return 0, err
	}
	line, err := wit.AddCheckpoint(ctx, append([]byte("old 0\n\n"), cp...))
	if err != nil {
		return 0, err
	}
	return 1, b.log.AddCosignature(cp, line, b.w.witness.CosignVKey())
}

// resolve knows where everybody lives.
func (w *world) resolve(_ context.Context, a domicile.Address) (placement.Location, error) {
	switch a {
	case irish:
		return placement.Location{Account: "acct-irish", Home: "eu-ireland", Epoch: 1}, nil
	case american:
		return placement.Location{Account: "acct-american", Home: "us-east", Epoch: 1}, nil
	case "someone@elsewhere.net":
		return placement.Location{}, domicile.Refuse("resolve", domicile.DomainNotServed, "house/catalog-domains", "the domain is not in the catalog")
	case "lost@example.com":
		return placement.Location{}, domicile.E("resolve", domicile.Unavailable, "registrar out of reach")
	}
	return placement.Location{}, domicile.E("resolve", domicile.NotExist, "no such name")
}

// link is the network between the two regions.
type link struct {
	w    *world
	from domicile.Region
}

func (l link) Handle(_ string, _ domicile.EgressClass, _ int64, h region.Handler) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.handler[l.from] = h
}

func (l link) Ask(ctx context.Context, _ domicile.EgressClass, to domicile.Region, _ string, in, out any) error {
	l.w.mu.Lock()
	h, cut := l.w.handler[to], l.w.cut
	l.w.mu.Unlock()
	if cut || h == nil {
		return domicile.E("ask", domicile.Unavailable, "out of reach")
	}
	header, err := json.Marshal(in)
	if err != nil {
		return err
	}
	reply, err := h(ctx, &region.Call{From: region.Peer{Region: l.from, Node: domicile.Node(l.from) + "-1"}, Header: header})
	if err != nil {
		return err
	}
	text, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// fakeStore holds one account with a few messages, and tables, in memory.
type fakeStore struct {
	store.Store
	account store.Account
	boxes   []store.Mailbox
	list    map[domicile.MailboxID][]store.Message
	bodies  map[domicile.MessageID][]byte
	mu      sync.Mutex
	tables  map[string]*fakeTable
}

func newFakeStore(r domicile.Region) *fakeStore {
	s := &fakeStore{list: map[domicile.MailboxID][]store.Message{}, bodies: map[domicile.MessageID][]byte{}, tables: map[string]*fakeTable{}}
	s.account = store.Account{ID: "acct-irish", Address: irish, Residence: "IE", Class: "standard", State: store.Active, Epoch: 1, Password: "$argon2id$secret"}
	if r == "us-east" {
		s.account.ID, s.account.Address, s.account.Residence = "acct-american", american, "US"
	}
	s.boxes = []store.Mailbox{{ID: "m-inbox", Name: "INBOX"}, {ID: "m-sent", Name: "Sent"}}
	s.put("m-inbox", 1, issued.AddDate(0, -2, 0), "From: dealer@example.net\r\nTo: "+irish+"\r\nSubject: first\r\n\r\nOne.\r\n")
	s.put("m-inbox", 2, issued.AddDate(0, -1, 0), "From: friend@example.org\r\nTo: "+irish+"\r\nSubject: second\r\n\r\nTwo, with a \x00 byte.\r\n")
	s.put("m-sent", 1, issued.AddDate(-2, 0, 0), "From: "+irish+"\r\nTo: dealer@example.net\r\nSubject: too old\r\n\r\nOld.\r\n")
	s.put("m-sent", 2, issued.AddDate(0, 0, 1), "From: "+irish+"\r\nTo: dealer@example.net\r\nSubject: too new\r\n\r\nNew.\r\n")
	return s
}

func (s *fakeStore) put(box domicile.MailboxID, uid store.UID, at time.Time, body string) {
	id := domicile.MessageID(fmt.Sprintf("%s-%d", box, uid))
	s.bodies[id] = []byte(body)
	s.list[box] = append(s.list[box], store.Message{ID: id, UID: uid, Internal: at, Size: int64(len(body))})
}

func (s *fakeStore) Account(_ context.Context, id domicile.AccountID) (store.Account, error) {
	if id != s.account.ID {
		return store.Account{}, domicile.E("account", domicile.NotExist, "")
	}
	return s.account, nil
}

func (s *fakeStore) AccountByAddress(_ context.Context, a domicile.Address) (store.Account, error) {
	if a != s.account.Address {
		return store.Account{}, domicile.E("account", domicile.NotExist, "")
	}
	return s.account, nil
}

func (s *fakeStore) Mailboxes(context.Context, domicile.AccountID) ([]store.Mailbox, error) {
	return s.boxes, nil
}

func (s *fakeStore) Messages(_ context.Context, _ domicile.AccountID, id domicile.MailboxID, after store.UID, limit int) (part []store.Message, err error) {
	for _, m := range s.list[id] {
		if m.UID > after && len(part) < limit {
			part = append(part, m)
		}
	}
	return part, nil
}

func (s *fakeStore) Body(_ context.Context, _ domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	b, ok := s.bodies[id]
	if !ok {
		return nil, domicile.E("body", domicile.NotExist, "")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (s *fakeStore) Table(name string) (store.Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[name] == nil {
		s.tables[name] = &fakeTable{rows: map[string][]byte{}}
	}
	return s.tables[name], nil
}

// fakeTable can be told to fail, before or after the write.
type fakeTable struct {
	mu   sync.Mutex
	rows map[string][]byte
	fail func() (before, after error)
}

func (t *fakeTable) Get(key string) ([]byte, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.rows[key]
	return slices.Clone(v), ok, nil
}

func (t *fakeTable) Put(key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var before, after error
	if t.fail != nil {
		before, after = t.fail()
	}
	if before != nil {
		return before
	}
	if len(value) > store.MaxRecord {
		return domicile.E("put", domicile.TooLarge, "over 64 KiB")
	}
	t.rows[key] = slices.Clone(value)
	return after
}

func (t *fakeTable) CompareAndSwap(string, []byte, []byte) (bool, error) { panic("not used") }

func (t *fakeTable) Each(fn func(string, []byte) error) error {
	t.mu.Lock()
	rows := map[string][]byte{}
	names := []string{}
	for k, v := range t.rows {
		rows[k] = v
		names = append(names, k)
	}
	t.mu.Unlock()
	slices.Sort(names)
	for _, n := range names {
		if err := fn(n, rows[n]); err != nil {
			return err
		}
	}
	return nil
}
