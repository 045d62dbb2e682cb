package placement

import (
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"domicile"
)

// memTable is a Table in memory. Each call counts; the one numbered failAt fails: with reached, after it was done
// (its answer is lost).
type memTable struct {
	mu      sync.Mutex
	rows    map[string]string
	calls   int
	failAt  int
	reached bool
}

var errDisk = errors.New("disk")

func newTable() *memTable { return &memTable{rows: map[string]string{}} }

func (m *memTable) step(act func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.failAt != 0 && m.calls == m.failAt {
		if m.reached {
			act()
		}
		return errDisk
	}
	act()
	return nil
}

func (m *memTable) Get(key string) (value []byte, ok bool, err error) {
	err = m.step(func() {
		var s string
		if s, ok = m.rows[key]; ok {
			value = []byte(s)
		}
	})
	return value, ok && err == nil, err
}

func (m *memTable) Put(key string, value []byte) error {
	return m.step(func() { m.rows[key] = string(value) })
}

func (m *memTable) CompareAndSwap(key string, old, new []byte) (swapped bool, err error) {
	err = m.step(func() {
		now, ok := m.rows[key]
		if ok != (old != nil) || ok && now != string(old) {
			return
		}
		swapped = true
		if m.rows[key] = string(new); new == nil {
			delete(m.rows, key)
		}
	})
	return swapped && err == nil, err
}

func (m *memTable) Each(fn func(key string, value []byte) error) error {
	m.mu.Lock()
	rows := maps.Clone(m.rows)
	m.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if err := fn(k, []byte(rows[k])); err != nil {
			return err
		}
	}
	return nil
}

// cluster is the story's catalog: real keys, two domains, a clock.
type cluster struct {
	keys  map[domicile.Region]ed25519.PrivateKey
	names *Digester
	mu    sync.Mutex
	now   time.Time
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{keys: map[domicile.Region]ed25519.PrivateKey{}, now: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	for i, r := range []domicile.Region{us, ie, de} {
		seed := make([]byte, ed25519.SeedSize)
		seed[0] = byte(i)
		c.keys[r] = ed25519.NewKeyFromSeed(seed)
	}
	var err error
	if c.names, err = NewDigester(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cluster) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *cluster) Registrar(domain string) (domicile.Region, bool) {
	r, ok := map[string]domicile.Region{"example.com": us, "example.net": us, "example.ie": ie}[domain]
	return r, ok
}

func (c *cluster) VerifyRegion(r domicile.Region, msg, sig []byte) error {
	key, ok := c.keys[r]
	if !ok || !ed25519.Verify(key.Public().(ed25519.PublicKey), msg, sig) {
		return errors.New("bad signature")
	}
	return nil
}

// signer signs for one region.
type signer struct{ key ed25519.PrivateKey }

func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// record makes an ownership record of addr at epoch, with home first, signed by signers.
func (c *cluster) record(addr domicile.Address, id domicile.AccountID, epoch uint64, home domicile.Region, signers ...domicile.Region) Ownership {
	o := Ownership{Name: c.names.Digest(addr), Domain: addr.Domain(), Account: id, Home: home, Epoch: epoch, Issued: c.Now()}
	for _, r := range signers {
		sig, _ := signer{c.keys[r]}.Sign(o.Message())
		o.Signatures = append(o.Signatures, OwnershipSignature{Region: r, Signature: sig})
	}
	return o
}

// leaves counts what a Registrar had recorded, and fails when told to.
type leaves struct {
	mu   sync.Mutex
	list []string
	err  error
}

func (l *leaves) record(_ context.Context, what string, o Ownership) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.list = append(l.list, what+" "+string(o.Account))
	return nil
}

func (c *cluster) registrar(t testing.TB, table Table, l *leaves) *Registrar {
	r, err := NewRegistrar(RegistrarConfig{Region: us, Trust: c, Table: table, Record: l.record, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wire is a Remote that asks a Registrar in memory, as region from, and can be cut or made to lie.
type wire struct {
	mu    sync.Mutex
	from  domicile.Region
	to    *Registrar
	down  error
	lie   *Ownership
	asked int
	gate  chan struct{} // if set, a question waits for it
}

func (w *wire) state() (lie *Ownership, gate chan struct{}, down error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return w.lie, w.gate, w.down
}

func (w *wire) set(down error, lie *Ownership) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down, w.lie = down, lie
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

func (w *wire) LookupName(ctx context.Context, _ domicile.Region, name NameDigest, domain string) (Ownership, error) {
	lie, gate, down := w.state()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return Ownership{}, domicile.E("call", domicile.Unavailable, ctx.Err().Error())
		}
	}
	switch {
	case down != nil:
		return Ownership{}, down
	case lie != nil:
		return *lie, nil
	}
	return w.to.Lookup(ctx, name, domain)
}

func (w *wire) ClaimName(ctx context.Context, _ domicile.Region, o Ownership) error {
	if _, _, down := w.state(); down != nil {
		return down
	}
	return w.to.Claim(ctx, w.from, o)
}

func (w *wire) ReleaseName(ctx context.Context, _ domicile.Region, o Ownership) error {
	if _, _, down := w.state(); down != nil {
		return down
	}
	return w.to.Release(ctx, w.from, o)
}
