package region

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/placement"
)

// place is a node with a real log, journal, guard and witness.
type place struct {
	node  *Node
	log   *audit.Log
	guard *Guard
}

func (w *world) place(name domicile.Node, r domicile.Region, seeds []string, prepare func(*Node)) *place {
	w.t.Helper()
	dir := w.t.TempDir()
	p := &place{}
	logs := map[string]string{}
	for _, other := range w.cat.Regions {
		logs[w.signer[other.Name].name] = other.Key
	}
	witness := must(audit.OpenWitness(filepath.Join(dir, "witness"), w.signer[r], logs, nil))
	w.t.Cleanup(func() { witness.Close() })
	if !strings.HasPrefix(string(r), witnessPrefix) {
		p.log = must(audit.Open(audit.Config{Dir: filepath.Join(dir, "log"), Origin: w.signer[r].name, Signer: w.signer[r], Sealer: testSealer{}}))
		j := must(OpenJournal(filepath.Join(dir, "journal"), testSealer{}, time.Hour, nil))
		p.guard = must(NewGuard(GuardConfig{Region: r, Log: p.log, Journal: j}))
		w.t.Cleanup(func() {
			if err := p.guard.Close(); err != nil {
				w.t.Error(err)
			}
			j.Close()
			p.log.Close()
		})
	}
	cfg := Config{Node: name, Region: r, Roles: []string{RoleStore}, Catalog: func() *Catalog { return w.cat }, Guard: p.guard,
		Identity: must(w.ca[r].IssueNode(name, nil)), RPCListen: "127.0.0.1:0", GossipListen: "127.0.0.1:0", Seeds: seeds,
		GossipKeys: [][]byte{w.gossip}, Log: quiet()}
	if p.guard == nil {
		cfg.Region, cfg.Roles = "", []string{RoleWitness}
	}
	p.node = must(New(cfg))
	p.node.ServeCosigner(witness)
	if prepare != nil {
		prepare(p.node)
	}
	if err := p.node.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { p.node.Close() })
	return p
}

// TestCosigned: regions and the witness cosign each other's logs, and the receipt of a disclosure verifies by the
// catalog's own pins.
func TestCosigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.place("us-1", "us-east", nil, nil)
	ie := w.place("ie-1", "eu-ireland", []string{us.node.GossipAddr()}, nil)
	w.place("w1-1", "witness/w1", []string{us.node.GossipAddr()}, nil)
	waitFor(t, "join", knows(ie.node, "us-1", "w1-1"))

	leaf := must(ie.log.Append(t.Context(), audit.Entry{Kind: "test.one"}))
	for range 2 { // the second time nothing is new
		if n, err := ie.node.CosignNow(t.Context(), ie.log); n != 2 || err != nil {
			t.Fatalf("%d cosigned: %v", n, err)
		}
	}
	if by := must(ie.log.Cosigners(leaf.Index)); len(by) != 2 {
		t.Errorf("cosigned by %v", by)
	}
	receipt := must(ie.log.Receipt(leaf.Index, false))
	if v, err := audit.VerifyReceipt(receipt, w.cat.Pins()); err != nil || len(v.Cosigners) == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	must(ie.log.Append(t.Context(), audit.Entry{Kind: "test.two"}))
	ie.node.cosigned.set("witness/w1", 0) // what a restart forgets, the witness tells
	if n, err := ie.node.CosignNow(t.Context(), ie.log); n != 2 || err != nil {
		t.Fatalf("%d cosigned: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); ie.node.KeepCosigned(ctx, ie.log) }()
	last := must(ie.log.Append(t.Context(), audit.Entry{Kind: "test.three"}))
	waitFor(t, "cosigned behind it", func() bool { return len(must(ie.log.Cosigners(last.Index))) == 2 })
	cancel()
	<-done
	us.node.Close()
	must(ie.log.Append(t.Context(), audit.Entry{Kind: "test.four"}))
	if n, err := ie.node.CosignNow(t.Context(), ie.log); n != 1 || err == nil {
		t.Errorf("%d cosigned without us-east: %v", n, err)
	}
}

// TestConfirm: a log that was restored is confirmed if nobody has cosigned a newer one, and refused if somebody has, be it
// longer, as long, or overtaken since.
func TestConfirm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.place("us-1", "us-east", nil, nil)
	ie := w.place("ie-1", "eu-ireland", []string{us.node.GossipAddr()}, nil)
	witness := w.place("w1-1", "witness/w1", []string{us.node.GossipAddr()}, nil)
	waitFor(t, "join", knows(ie.node, "us-1", "w1-1"))
	must(ie.log.Append(t.Context(), audit.Entry{Kind: "test.one"}))
	if n, err := ie.node.CosignNow(t.Context(), ie.log); n != 2 {
		t.Fatal(err)
	}
	restored := func(leaves int) *audit.Log { // another log of the same key, as far as it goes
		l := must(audit.Open(audit.Config{Dir: filepath.Join(t.TempDir(), "log"), Origin: w.signer["eu-ireland"].name, Signer: w.signer["eu-ireland"], Sealer: testSealer{}}))
		t.Cleanup(func() { l.Close() })
		for range leaves {
			must(l.Append(t.Context(), audit.Entry{Kind: "test.other"}))
		}
		return l
	}
	for leaves := range 4 { // shorter, as long but another, overtaken
		ie.node.cosigned = cosigned{} // a node that comes up remembers nothing
		wantReason(t, ie.node.Confirm(t.Context(), restored(leaves)), domicile.LogRolledBack)
	}
	if err := ie.node.Confirm(t.Context(), ie.log); err != nil {
		t.Errorf("the log itself: %v", err)
	}
	must(ie.log.Append(t.Context(), audit.Entry{Kind: "backup.created"})) // what nobody has cosigned yet is no obstacle
	if err := ie.node.Confirm(t.Context(), ie.log); err != nil {
		t.Errorf("the log with a leaf more: %v", err)
	}
	witness.node.Close()
	err := ie.node.Confirm(t.Context(), ie.log)
	wantKind(t, err, domicile.Unavailable)
	if err == nil || !strings.Contains(err.Error(), "witness/w1") {
		t.Errorf("it does not say who is waited for: %v", err)
	}
}

// TestCosignBy: one region's cosignature is enough that a log from before is missed.
func TestCosignBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.place("us-1", "us-east", nil, nil)
	ie := w.place("ie-1", "eu-ireland", []string{us.node.GossipAddr()}, nil)
	waitFor(t, "join", knows(ie.node, "us-1"))
	leaf := must(ie.log.Append(t.Context(), audit.Entry{Kind: "test.one"}))
	if err := ie.node.CosignBy(t.Context(), ie.log, "us-east"); err != nil {
		t.Fatal(err)
	}
	if who := must(ie.log.Cosigners(leaf.Index)); len(who) != 1 {
		t.Errorf("cosigned by %v", who)
	}
	before := must(audit.Open(audit.Config{Dir: filepath.Join(t.TempDir(), "log"), Origin: w.signer["eu-ireland"].name, Signer: w.signer["eu-ireland"], Sealer: testSealer{}}))
	t.Cleanup(func() { before.Close() })
	ie.node.cosigned = cosigned{}
	wantReason(t, ie.node.Confirm(t.Context(), before), domicile.LogRolledBack)
	for _, nobody := range []domicile.Region{"eu-ireland", "nowhere"} {
		wantKind(t, ie.node.CosignBy(t.Context(), ie.log, nobody), domicile.Unavailable)
	}
	us.node.Close()
	wantKind(t, ie.node.CosignBy(t.Context(), ie.log, "us-east"), domicile.Unavailable)
}

// memTable is placement.Table in memory.
type memTable struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (m *memTable) Get(k string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.rows[k]
	return v, ok, nil
}
func (m *memTable) Put(k string, v []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[k] = v
	return nil
}
func (m *memTable) CompareAndSwap(k string, old, new []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.rows[k]; ok != (old != nil) || string(v) != string(old) {
		return false, nil
	}
	if new == nil {
		delete(m.rows, k)
	} else {
		m.rows[k] = new
	}
	return true, nil
}
func (m *memTable) Each(fn func(string, []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.rows {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// TestRegistrarOverTheNetwork: a name of Ireland is claimed at us-east, found from there, and nobody can claim for another.
func TestRegistrarOverTheNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland", "fr-south")
	registrar := must(placement.NewRegistrar(placement.RegistrarConfig{Region: "us-east", Trust: w.cat, Table: &memTable{rows: map[string][]byte{}},
		Record: func(context.Context, string, placement.Ownership) error { return nil }}))
	us := w.place("us-1", "us-east", nil, func(n *Node) { n.ServeRegistrar(registrar) })
	ie := w.place("ie-1", "eu-ireland", []string{us.node.GossipAddr()}, nil)
	fr := w.place("fr-1", "fr-south", []string{us.node.GossipAddr()}, nil)
	waitFor(t, "join", func() bool { return knows(ie.node, "us-1")() && knows(fr.node, "us-1")() })

	digests := must(placement.NewDigester(make([]byte, 32)))
	o := placement.Ownership{Name: digests.Digest("aoife@example.com"), Domain: "example.com", Account: "a1", Home: "eu-ireland", Epoch: 1, Issued: time.Now().UTC().Truncate(time.Second)}
	sig, _ := w.signer["eu-ireland"].Sign(o.Message())
	o.Signatures = []placement.OwnershipSignature{{Region: "eu-ireland", Signature: sig}}

	_, err := ie.node.LookupName(t.Context(), "us-east", o.Name, o.Domain)
	wantKind(t, err, domicile.NotExist)
	if err := fr.node.ClaimName(t.Context(), "us-east", o); domicile.KindOf(err) != domicile.Refused {
		t.Errorf("France claimed for Ireland: %v", err)
	}
	for range 2 {
		if err := ie.node.ClaimName(t.Context(), "us-east", o); err != nil {
			t.Fatal(err)
		}
	}
	got, err := fr.node.LookupName(t.Context(), "us-east", o.Name, o.Domain)
	if err != nil || got.Account != "a1" || got.Home != "eu-ireland" || w.cat.VerifyRegion("eu-ireland", got.Message(), got.Signatures[0].Signature) != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if err := ie.node.ReleaseName(t.Context(), "us-east", o); err != nil {
		t.Error(err)
	}
}

// TestLeafBeforeBytes: a disclosure's permit is a leaf of the log before a byte leaves, a refused one too.
func TestLeafBeforeBytes(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	ie := w.place("ie-1", "eu-ireland", nil, nil)
	r := disclosure("sealed")
	p := must(ie.guard.Permit(t.Context(), r))
	r.Released = false
	_, err := ie.guard.Permit(t.Context(), r)
	wantReason(t, err, domicile.QuorumNotReached)
	if err := ie.guard.Send(p, io.Discard, strings.NewReader("sealed")); err != nil {
		t.Error(err)
	}
	var kinds []string
	ie.log.Leaves(0, func(_ uint64, raw []byte) error {
		for _, k := range []string{"crossing.allowed", "crossing.refused"} {
			if strings.Contains(string(raw), k) {
				kinds = append(kinds, k)
			}
		}
		if strings.Contains(string(raw), `"a1"`) {
			t.Error("the account is readable in a leaf")
		}
		return nil
	})
	if !slices.Equal(kinds, []string{"crossing.allowed", "crossing.refused"}) {
		t.Errorf("leaves %v", kinds)
	}
}

// TestCatalogDecidesWhoIsBelieved: a fingerprint that leaves the catalog ends calls over open connections too, both ways.
func TestCatalogDecidesWhoIsBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	var inForce [2]atomic.Pointer[Catalog] // as us-east and as Ireland have it
	var nodes [2]*Node
	for i, r := range []domicile.Region{"us-east", "eu-ireland"} {
		inForce[i].Store(w.cat)
		n := w.unstarted(domicile.Node(string(r)+"-1"), r, []string{RoleStore}, nil)
		n.cfg.Catalog, n.trust.catalog = inForce[i].Load, inForce[i].Load
		if i == 1 {
			n.cfg.Seeds = []string{nodes[0].GossipAddr()}
		}
		n.Handle("hello", domicile.Lookup, 64, func(context.Context, *Call) (any, error) { return "hello", nil })
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		nodes[i] = n
	}
	waitFor(t, "join", func() bool { return knows(nodes[0], "eu-ireland-1")() && knows(nodes[1], "us-east-1")() })
	ask := func(i int, to domicile.Region) error {
		return nodes[i].Ask(t.Context(), domicile.Lookup, to, "hello", nil, nil)
	}
	if err := errors.Join(ask(0, "eu-ireland"), ask(1, "us-east")); err != nil {
		t.Fatal(err)
	}
	next := w.next()
	next.Regions[0].CA = []string{"sha256:" + strings.Repeat("0", 64)}
	inForce[1].Store(next)
	wantKind(t, ask(0, "eu-ireland"), domicile.Unavailable)
	err := ask(1, "us-east")
	wantKind(t, err, domicile.Unavailable)
	wantReason(t, err, domicile.PeerUnverified)
	inForce[1].Store(w.cat)
	if err := errors.Join(ask(0, "eu-ireland"), ask(1, "us-east")); err != nil {
		t.Error(err)
	}
}

// TestOrderNoticeNeedsItsCase: the table lets an order notice out under its case only, question and answer alike.
func TestOrderNoticeNeedsItsCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.place("us-1", "us-east", nil, nil)
	ie := w.place("ie-1", "eu-ireland", []string{us.node.GossipAddr()}, func(n *Node) {
		n.Handle("order/notice", domicile.OrderNotice, 1024, func(_ context.Context, c *Call) (any, error) { return c.Case, nil })
	})
	waitFor(t, "join", func() bool { return knows(us.node, "ie-1")() && knows(ie.node, "us-1")() })
	wantReason(t, us.node.Ask(t.Context(), domicile.OrderNotice, "eu-ireland", "order/notice", nil, nil), domicile.EgressNotAllowed)
	var got string
	if err := us.node.Ask(WithCase(t.Context(), "case-7"), domicile.OrderNotice, "eu-ireland", "order/notice", nil, &got); err != nil || got != "case-7" {
		t.Errorf("%q, %v", got, err)
	}
}
