package region

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile"
	"domicile/audit"
	"domicile/placement"
)

// testSealer seals with AES-GCM under a fixed key; keys.Box does the same in a node.
type testSealer struct{}

func (testSealer) aead() cipher.AEAD {
	b, _ := aes.NewCipher(make([]byte, 32))
	a, _ := cipher.NewGCM(b)
	return a
}

func (s testSealer) Seal(plain, ad []byte) ([]byte, error) {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	return s.aead().Seal(nonce, nonce, plain, ad), nil
}

func (s testSealer) Open(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < 12 {
		return nil, errors.New("short")
	}
	return s.aead().Open(nil, sealed[:12], sealed[12:], ad)
}

// testSigner is a note key; keys.Signer is the real one.
type testSigner struct {
	name string
	key  ed25519.PrivateKey
}

func newSigner(name string) testSigner {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	return testSigner{name, key}
}

func (s testSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }
func (s testSigner) Public() []byte                  { return s.key.Public().(ed25519.PublicKey) }
func (s testSigner) Name() string                    { return s.name }

func (s testSigner) vkey() string {
	v, _ := note.NewEd25519VerifierKey(s.name, s.Public())
	return v
}

func (s testSigner) cosignKey() string {
	raw := append([]byte{algCosign}, s.Public()...)
	sum := sha256.Sum256(append([]byte(s.name+"\n"), raw...))
	return s.name + "+" + hex.EncodeToString(sum[:4]) + "+" + base64.StdEncoding.EncodeToString(raw)
}

// testLog remembers entries, or fails.
type testLog struct {
	mu      sync.Mutex
	entries []audit.Entry
	err     error
}

func (l *testLog) Append(_ context.Context, e audit.Entry) (audit.Leaf, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return audit.Leaf{}, l.err
	}
	l.entries = append(l.entries, e)
	return audit.Leaf{Index: uint64(len(l.entries) - 1)}, nil
}

func (l *testLog) kinds() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		out = append(out, e.Kind)
	}
	return out
}

// testClock is a time that tests move.
type testClock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *testClock {
	return &testClock{t: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func testGuard(t *testing.T, r domicile.Region, now func() time.Time) (*Guard, *testLog, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(dir, testSealer{}, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	log := &testLog{}
	g, err := newGuard(GuardConfig{Region: r, Journal: j, Now: now}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close(); j.Close() })
	return g, log, dir
}

// readJournal returns every record in dir; the journal must be closed.
func readJournal(t *testing.T, dir string) []Record {
	t.Helper()
	var out []Record
	if err := ReadJournal(dir, testSealer{}, func(r Record) error { out = append(out, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func wantReason(t *testing.T, err error, want domicile.Reason) {
	t.Helper()
	if got := domicile.ReasonOf(err); got != want {
		t.Errorf("reason %q, want %q (error: %v)", got, want, err)
	}
}

func wantKind(t *testing.T, err error, want domicile.Kind) {
	t.Helper()
	if got := domicile.KindOf(err); got != want {
		t.Errorf("kind %s, want %s (error: %v)", got, want, err)
	}
}

// world is a cluster on paper: authorities, keys and a signed catalog.
type world struct {
	t       *testing.T
	dir     string
	ca      map[domicile.Region]*Authority // also "witness/NAME"
	signer  map[domicile.Region]testSigner
	cat     *Catalog
	genesis string
	gossip  []byte
}

func newWorld(t *testing.T, regions ...domicile.Region) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), ca: map[domicile.Region]*Authority{}, signer: map[domicile.Region]testSigner{}, gossip: make([]byte, 32)}
	rand.Read(w.gossip)
	c := &Catalog{Version: 1, Issued: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Quorum: (len(regions) + 1) / 2, Cosigners: 1,
		Entities: []EntityInfo{{ID: "parent-us", Name: "Parent Inc.", Country: "US"}, {ID: "sub-ie", Name: "Sub Ltd.", Country: "IE", Owners: []domicile.Entity{"parent-us"}}},
		Domains:  []DomainInfo{{"example.com", regions[0]}}}
	for i, r := range regions {
		c.Regions = append(c.Regions, w.region(r, [][]domicile.Country{{"US"}, {"IE", "DE"}, {"FR"}, {"JP"}}[i]...))
	}
	w.add("witness/w1")
	c.Witnesses = []WitnessInfo{{Name: "w1", Key: w.signer["witness/w1"].cosignKey(), CA: []string{w.ca["witness/w1"].Fingerprint()}, CompellableBy: []domicile.Country{"CH"}}}
	text := must(c.Marshal())
	w.genesis = "sha256:" + CatalogHash(text)
	w.write(1, text, regions...)
	w.cat = must(LoadCatalog(w.dir, w.genesis))
	return w
}

func (w *world) add(owner domicile.Region) {
	w.ca[owner] = must(NewAuthority(string(owner), time.Now()))
	w.signer[owner] = newSigner("example.com/domicile/" + string(owner))
}

// region makes authority and keys for a region and its entry.
func (w *world) region(r domicile.Region, serves ...domicile.Country) RegionInfo {
	w.add(r)
	entity := domicile.Entity("sub-ie")
	if serves[0] == "US" {
		entity = "parent-us"
	}
	return RegionInfo{Name: r, Country: serves[0], Entity: entity, Serves: serves, Key: w.signer[r].vkey(),
		Cosign: w.signer[r].cosignKey(), CA: []string{w.ca[r].Fingerprint()}}
}

func (w *world) write(v uint64, text []byte, by ...domicile.Region) {
	w.t.Helper()
	var signers []audit.Signer
	for _, r := range by {
		signers = append(signers, w.signer[r])
	}
	if err := writeVersion(w.dir, v, must(signCatalog(text, signers...))); err != nil {
		w.t.Fatal(err)
	}
}

// next returns a copy of the newest version, to be changed and signed as the one after it.
func (w *world) next() *Catalog {
	c := *w.cat
	c.Version, c.Previous = c.Version+1, c.hash
	c.Regions, c.Domains, c.Witnesses = slices.Clone(c.Regions), slices.Clone(c.Domains), slices.Clone(c.Witnesses)
	c.Entities = slices.Clone(c.Entities)
	return &c
}

// node makes a node with a guard of its own; prepare registers its methods.
func (w *world) node(name domicile.Node, owner domicile.Region, roles []string, seeds []string, prepare func(*Node)) *Node {
	w.t.Helper()
	n := w.unstarted(name, owner, roles, seeds)
	if prepare != nil {
		prepare(n)
	}
	if err := n.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) unstarted(name domicile.Node, owner domicile.Region, roles []string, seeds []string) *Node {
	w.t.Helper()
	cfg := Config{Node: name, Region: owner, Roles: roles, Catalog: func() *Catalog { return w.cat },
		Identity: must(w.ca[owner].IssueNode(name, []string{"localhost"})), RPCListen: "127.0.0.1:0", GossipListen: "127.0.0.1:0",
		Seeds: seeds, GossipKeys: [][]byte{w.gossip}, Log: quiet()}
	if roles[0] == RoleWitness {
		cfg.Region = ""
	} else {
		cfg.Guard, _, _ = testGuard(w.t, owner, time.Now)
	}
	n, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { n.Close() })
	return n
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// waitFor waits until ok, for a minute at most.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("timed out: " + what)
		}
	}
}

func knows(n *Node, names ...domicile.Node) func() bool {
	return func() bool {
		for _, want := range names {
			if !slices.ContainsFunc(n.Members(), func(m Member) bool { return m.Name == want && m.Alive }) {
				return false
			}
		}
		return true
	}
}

func deliveryTo(to domicile.Region, ceiling int64) Request {
	return Request{Crossing: placement.Crossing{Class: domicile.Delivery, Kind: placement.Stream, Party: placement.ToRegion,
		To: to, Account: "a1", Home: to, Ceiling: ceiling}}
}

// signCatalog returns text as a note signed by each signer.
func signCatalog(text []byte, signers ...audit.Signer) ([]byte, error) {
	adapted := make([]note.Signer, len(signers))
	for i, s := range signers {
		adapted[i] = noteSigner{s}
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, adapted...)
	return signed, domicile.W("sign the catalog", err)
}
