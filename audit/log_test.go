package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"domicile"

	"golang.org/x/mod/sumdb/tlog"
)

func entry(n int) Entry {
	return Entry{Kind: "order.refused", Reason: domicile.NoToken, Case: "c1",
		Public: map[string]string{"n": fmt.Sprint(n)}, Private: map[string]string{"target": fmt.Sprintf("person%d@example.com", n)}}
}

// TestAppend grows a log over tile borders, reopens it, and reads every leaf back.
func TestAppend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openTest(t, dir)
	ctx := context.Background()
	var want []Leaf
	add := func(n int) {
		t.Helper()
		for range n {
			leaf, err := l.Append(ctx, entry(len(want)))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, leaf)
		}
	}
	add(3)
	l.Close()
	l = openTest(t, dir)
	add(255)
	var wg sync.WaitGroup
	var mu sync.Mutex
	more := make(map[uint64]Leaf)
	for g := range 300 {
		wg.Go(func() {
			leaf, err := l.Append(ctx, entry(1000+g))
			mu.Lock()
			defer mu.Unlock()
			if _, twice := more[leaf.Index]; twice || err != nil {
				t.Errorf("leaf %d twice, or %v", leaf.Index, err)
			}
			more[leaf.Index] = leaf
		})
	}
	wg.Wait()
	l.Close()
	l = openTest(t, dir)
	if size := l.Head().Size; size != 558 {
		t.Fatalf("size %d, want 558", size)
	}
	next := uint64(0)
	err := l.Leaves(0, func(index uint64, raw []byte) error {
		r, err := parseLeaf(raw, testOrigin, next)
		if err != nil {
			return err
		}
		w := more[index]
		if index < uint64(len(want)) {
			w = want[index]
		}
		if index != next || !w.Time.Equal(r.when()) || w.Index != index {
			t.Errorf("leaf %d: %v, appended as %v", index, r, w)
		}
		if tlog.RecordHash(raw) != w.Hash || r.Kind != "order.refused" || len(r.Private["target"]) != sha256.Size {
			t.Errorf("leaf %d is %s", index, raw)
		}
		if leaf, e, err := DecodeLeaf(raw); err != nil || leaf != w || e.Kind != "order.refused" || len(e.Private["target"]) != 44 {
			t.Errorf("decoded as %v %v, %v", leaf, e, err)
		}
		if bytes.Contains(raw, []byte("person")) {
			t.Error("a private value stands in the leaf")
		}
		next++
		return nil
	})
	if err != nil || next != 558 {
		t.Errorf("%d leaves, %v", next, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tile/0/000.p")); err == nil {
		t.Error("partial tiles remain beside the full one")
	}
	if err := l.Leaves(5, func(uint64, []byte) error { return errors.New("stop") }); err == nil || err.Error() != "stop" {
		t.Errorf("fn's error came back as %v", err)
	}
}

func TestSpend(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	ctx := context.Background()
	s := Spend{Issuer: "https://court.example", JTI: "j1", Max: 2}
	first, err := l.Spend(ctx, s, entry(0))
	if err != nil {
		t.Fatal(err)
	}
	check := func(l *Log, jti string, wantSpent bool, wantFirst uint64) {
		t.Helper()
		leaf, spent, err := l.Spent(Spend{Issuer: s.Issuer, JTI: jti, Max: 2})
		if err != nil || spent != wantSpent || leaf.Index != wantFirst {
			t.Errorf("spent %v at %d, %v", spent, leaf.Index, err)
		}
	}
	check(l, "j1", false, 0)
	if _, err := l.Append(ctx, entry(1)); err != nil {
		t.Fatal(err)
	}
	// Many at once: exactly one use is left.
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for range 20 {
		wg.Go(func() {
			leaf, err := l.Spend(ctx, s, entry(2))
			if err != nil && leaf != first {
				t.Errorf("refused with leaf %v, want the first %v", leaf, first)
			}
			results <- err
		})
	}
	wg.Wait()
	close(results)
	done := 0
	for err := range results {
		switch {
		case err == nil:
			done++
		case domicile.ReasonOf(err) != domicile.Replayed:
			t.Error(err)
		}
	}
	if done != 1 || l.Head().Size != 3 {
		t.Errorf("%d uses, size %d", done, l.Head().Size)
	}
	check(l, "j1", true, 0)
	check(l, "j2", false, 0)
	// Without log.db the leaves are the ledger.
	l.Close()
	if err := os.Remove(filepath.Join(dir, "log.db")); err != nil {
		t.Fatal(err)
	}
	l = openTest(t, dir)
	check(l, "j1", true, 0)
	if _, err := l.Spend(ctx, s, entry(9)); domicile.ReasonOf(err) != domicile.Replayed {
		t.Errorf("after loss of log.db: %v", err)
	}
	if _, err := l.Receipt(0, true); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("reveal without salts: %v", err)
	}
}

// TestRestoredDB puts an old log.db beside newer tiles: what was spent since stays spent.
func TestRestoredDB(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	if _, err := l.Append(context.Background(), entry(0)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	old, err := os.ReadFile(filepath.Join(dir, "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	oldCheckpoint, _ := os.ReadFile(filepath.Join(dir, "checkpoint"))
	l = openTest(t, dir)
	s := Spend{Issuer: "i", JTI: "j", Max: 1}
	for n := range 2 {
		if _, err := l.Spend(context.Background(), Spend{"i", fmt.Sprint(n), 1}, entry(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Spend(context.Background(), s, entry(1)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	newer, _ := os.ReadFile(filepath.Join(dir, "log.db"))
	os.WriteFile(filepath.Join(dir, "log.db"), old, 0o600)
	l = openTest(t, dir)
	if _, spent, err := l.Spent(s); !spent || err != nil {
		t.Errorf("forgotten: %v, %v", spent, err)
	}
	l.Close()
	// The other way round is a rollback of the tree, and refused.
	os.WriteFile(filepath.Join(dir, "log.db"), newer, 0o600)
	os.WriteFile(filepath.Join(dir, "checkpoint"), oldCheckpoint, 0o600)
	if _, err := Open(testConfig(dir)); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("rolled back checkpoint: %v", err)
	}
}

func TestRefusedEntries(t *testing.T) {
	t.Parallel()
	l := openTest(t, t.TempDir())
	big := strings.Repeat("x", maxLeaf)
	for name, c := range map[string]struct {
		e    Entry
		kind domicile.Kind
	}{
		"no kind":         {Entry{}, domicile.Invalid},
		"kind with space": {Entry{Kind: "a b"}, domicile.Invalid},
		"case":            {Entry{Kind: "a", Case: "A/B"}, domicile.Invalid},
		"reason":          {Entry{Kind: "a", Reason: "made_up"}, domicile.Invalid},
		"address":         {Entry{Kind: "a", Public: map[string]string{"who": "anna@example.com"}}, domicile.Invalid},
		"field name":      {Entry{Kind: "a", Public: map[string]string{"Who": "x"}}, domicile.Invalid},
		"not UTF-8":       {Entry{Kind: "a", Public: map[string]string{"who": "\xff"}}, domicile.Invalid},
		"private UTF-8":   {Entry{Kind: "a", Private: map[string]string{"who": "\xff"}}, domicile.Invalid},
		"too large":       {Entry{Kind: "a", Public: map[string]string{"x": big}}, domicile.TooLarge},
		"private large":   {Entry{Kind: "a", Private: map[string]string{"x": strings.Repeat(big, 17)}}, domicile.Invalid},
	} {
		if _, err := l.Append(context.Background(), c.e); domicile.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Spend(context.Background(), Spend{"i", "j", 0}, entry(0)); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("no use: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.turn <- struct{}{}
	if _, err := l.Append(ctx, entry(0)); domicile.KindOf(err) != domicile.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	<-l.turn
	if l.Head().Size != 0 {
		t.Error("something was recorded")
	}
	if _, err := Open(testConfig(l.cfg.Dir)); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("second opener: %v", err)
	}
	l.Close()
	if _, err := l.Append(context.Background(), entry(0)); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

func BenchmarkAppend1(b *testing.B)  { benchmarkAppend(b, 1) }
func BenchmarkAppend64(b *testing.B) { benchmarkAppend(b, 64) }

func benchmarkAppend(b *testing.B, goroutines int) {
	l := openTest(b, b.TempDir())
	work := make(chan int)
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for n := range work {
				if _, err := l.Append(context.Background(), entry(n)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ResetTimer()
	for n := range b.N {
		work <- n
	}
	close(work)
	wg.Wait()
	b.StopTimer()
}
