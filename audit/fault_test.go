package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"domicile"
)

var errDisk = errors.New("input/output error")

// failAt fails the k-th step on the disk: before it is done, or after, its answer lost.
type failAt struct {
	k, n  int
	after bool
	name  string // of the step that failed
}

func (f *failAt) step(name string, do func() error) error {
	f.n++
	if f.n-1 != f.k {
		return do()
	}
	f.name = name
	if f.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errDisk
}

// TestEveryStepFails runs the same short life of a log with every act on the disk failing in turn, twice: not done, and done
// but the answer lost. After each the log is opened again: what was acknowledged is there once, what is unknown at most once,
// and a token is spent exactly if its leaf is there.
func TestEveryStepFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		seen := make(map[string]bool)
		for k := 0; ; k++ {
			f := &failAt{k: k, after: after}
			runWithFault(t, f)
			if f.name == "" {
				if k < 20 {
					t.Errorf("the life of a log has only %d steps", k)
				}
				break
			}
			word, _, _ := strings.Cut(f.name, " ")
			seen[word] = true
		}
		for _, word := range []string{"commit", "write", "rename", "sync", "mkdir"} {
			if !seen[word] {
				t.Errorf("no step %q has failed", word)
			}
		}
	}
}

func runWithFault(t *testing.T, f *failAt) {
	dir := t.TempDir()
	ctx := context.Background()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("step %d %q after=%v: %s", f.k, f.name, f.after, fmt.Sprintf(format, args...))
	}
	acked := make(map[string]Leaf)
	unknown := make(map[string]bool)
	l, err := openSteps(testConfig(dir), f.step)
	if err != nil && !errors.Is(err, errDisk) {
		fail("open: %v", err)
	}
	if l != nil {
		// The tree is filled to just below a tile's border in one round, so that the failures hit both kinds of tiles.
		fill(t, l, f, 254, acked, unknown)
		for n := range 3 {
			name := fmt.Sprintf("spend-%d", n)
			leaf, err := l.Spend(ctx, Spend{"issuer", name, 1}, Entry{Kind: "test.spend", Case: name})
			note(fail, name, leaf, err, acked, unknown)
		}
		if f.name != "" && f.n-1 > f.k && len(unknown) == 0 && !strings.HasPrefix(f.name, "sync above") {
			fail("the failure was not reported")
		}
		l.Close()
	}
	l, err = Open(testConfig(dir))
	if err != nil {
		fail("open again: %v", err)
		return
	}
	defer l.Close()
	found := make(map[string]uint64)
	err = l.Leaves(0, func(index uint64, raw []byte) error {
		r, err := parseLeaf(raw, testOrigin, index)
		if err != nil {
			return err
		}
		if _, twice := found[r.Case]; twice {
			fail("%s is recorded twice", r.Case)
		}
		found[r.Case] = index
		return nil
	})
	if err != nil {
		fail("leaves: %v", err)
	}
	for name, leaf := range acked {
		if i, ok := found[name]; !ok || i != leaf.Index {
			fail("acknowledged %s is at %d, %v, not %d", name, i, ok, leaf.Index)
		}
	}
	for name := range found {
		if _, ok := acked[name]; !ok && !unknown[name] {
			fail("%s is recorded though its answer was that it is not", name)
		}
	}
	for n := range 3 {
		name := fmt.Sprintf("spend-%d", n)
		s := Spend{"issuer", name, 1}
		_, spent, err := l.Spent(s)
		if _, ok := found[name]; err != nil || spent != ok {
			fail("%s: leaf %v, spent %v, %v", name, ok, spent, err)
		}
		_, err = l.Spend(ctx, s, Entry{Kind: "test.spend", Case: name})
		if again := domicile.ReasonOf(err) == domicile.Replayed; again != spent || !again && err != nil {
			fail("%s used again: %v", name, err)
		}
	}
	if err := VerifyDir(dir, testPins(), io.Discard); err != nil {
		fail("folder: %v", err)
	}
}

// fill appends n entries in one round.
func fill(t *testing.T, l *Log, f *failAt, n int, acked map[string]Leaf, unknown map[string]bool) {
	var group []*request
	for i := range n {
		rec, _, err := newRecord(testOrigin, Entry{Kind: "test.fill", Case: fmt.Sprintf("fill-%d", i)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		group = append(group, &request{record: rec, done: make(chan struct{})})
	}
	l.turn <- struct{}{}
	l.round(group)
	<-l.turn
	for _, r := range group {
		note(t.Errorf, r.record.Case, r.leaf, r.err, acked, unknown)
	}
}

func note(fail func(string, ...any), name string, leaf Leaf, err error, acked map[string]Leaf, unknown map[string]bool) {
	switch domicile.KindOf(err) {
	case domicile.Unknown:
		unknown[name] = true
	case domicile.Unavailable:
	default:
		if err != nil {
			fail("%s: %v", name, err)
			return
		}
		acked[name] = leaf
	}
}
