package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	t.Parallel()
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
		for _, word := range []string{"commit", "write", "flush", "rename", "sync", "mkdir"} {
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
	unknown, refused := make(map[string]bool), make(map[string]bool)
	l, err := openSteps(testConfig(dir), f.step)
	if err != nil && !errors.Is(err, errDisk) {
		fail("open: %v", err)
	}
	if l != nil {
		// The tree is filled to just below a tile's border in one round, so that the failures hit both kinds of tiles.
		fill(t, l, 255, acked, unknown, refused)
		for n := range 2 {
			name := fmt.Sprintf("spend-%d", n)
			leaf, err := l.Spend(ctx, Spend{"issuer", name, 1}, Entry{Kind: "test.spend", Case: name})
			note(fail, name, leaf, err, acked, unknown, refused)
		}
		cosignOrFail(fail, l, f)
		if f.name != "" && f.n-1 > f.k && len(unknown)+len(refused) == 0 && f.name != "commit cosignature" {
			fail("the failure was not reported")
		}
		l.Close()
	}
	checkAfter(fail, dir, acked, unknown)
}

// checkAfter opens a log that failed and holds it against what its callers were told.
func checkAfter(fail func(string, ...any), dir string, acked map[string]Leaf, unknown map[string]bool) {
	l, err := Open(testConfig(dir))
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
	for n := range 2 {
		name := fmt.Sprintf("spend-%d", n)
		s := Spend{"issuer", name, 1}
		_, spent, err := l.Spent(s)
		if _, ok := found[name]; err != nil || spent != ok {
			fail("%s: leaf %v, spent %v, %v", name, ok, spent, err)
		}
		_, err = l.Spend(context.Background(), s, Entry{Kind: "test.spend", Case: name})
		if again := domicile.ReasonOf(err) == domicile.Replayed; again != spent || !again && err != nil {
			fail("%s used again: %v", name, err)
		}
	}
	if err := VerifyDir(dir, testPins(), io.Discard); err != nil {
		fail("folder: %v", err)
	}
}

// fill appends n entries in one round.
func fill(t *testing.T, l *Log, n int, acked map[string]Leaf, unknown, refused map[string]bool) {
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
		note(t.Errorf, r.record.Case, r.leaf, r.err, acked, unknown, refused)
	}
}

func note(fail func(string, ...any), name string, leaf Leaf, err error, acked map[string]Leaf, unknown, refused map[string]bool) {
	switch domicile.KindOf(err) {
	case domicile.Unknown:
		unknown[name] = true
	case domicile.Unavailable:
		refused[name] = true
	default:
		if err != nil {
			fail("%s: %v", name, err)
			return
		}
		acked[name] = leaf
	}
}

// cosignOrFail adds a cosignature, and expects to be told if the disk fails in it.
func cosignOrFail(fail func(string, ...any), l *Log, f *failAt) {
	cp, _ := l.Checkpoint()
	s := newTestSigner("witness-1")
	sig, _ := cosign(l.Head().text(), testTime, s)
	before := f.name
	err := l.AddCosignature(cp, []byte(sig.line()), s.vkey(4))
	want := domicile.Unavailable
	if f.after { // it is there, and nobody knows
		want = domicile.Unknown
	}
	if failed := before == "" && f.name != ""; failed && domicile.KindOf(err) != want || !failed && before == "" && err != nil {
		fail("cosignature: %v", err)
	}
}

// powerLoss is a disk whose power goes at step k: from then on nothing is done, names that were changed but not flushed
// are as before, and files that were not flushed are empty.
type powerLoss struct {
	dir     string
	k, n    int
	off     bool
	changed []change        // names not flushed yet, in order
	written map[string]bool // temporary files whose bytes are not flushed yet
	hollow  []string        // files whose name is flushed and whose bytes are not
}

// change is a name that is not durable: path had this content before, or was absent.
type change struct {
	path   string
	before []byte
	absent bool
	hollow bool
}

func (p *powerLoss) step(name string, do func() error) error {
	p.off = p.off || p.n == p.k
	p.n++
	if p.off {
		return errDisk
	}
	verb, path, _ := strings.Cut(name, " ")
	switch path = strings.TrimPrefix(path, "above "); verb {
	case "write":
		p.written[path] = true
	case "flush":
		delete(p.written, path)
	case "rename", "mkdir":
		full := filepath.Join(p.dir, path)
		_, statErr := os.Stat(full)
		before, _ := os.ReadFile(full)
		p.changed = append(p.changed, change{full, before, statErr != nil, p.written[path]})
	case "sync":
		dir := filepath.Join(p.dir, path)
		if strings.HasPrefix(name, "sync above ") {
			dir = filepath.Dir(dir)
		}
		p.changed = slices.DeleteFunc(p.changed, func(c change) bool {
			if filepath.Dir(c.path) == dir && c.hollow {
				p.hollow = append(p.hollow, c.path)
			}
			return filepath.Dir(c.path) == dir
		})
	}
	return do()
}

// lose puts back what was not flushed.
func (p *powerLoss) lose(t *testing.T) {
	for _, c := range slices.Backward(p.changed) {
		var err error
		if c.absent {
			err = os.RemoveAll(c.path)
		} else if c.before != nil {
			err = os.WriteFile(c.path, c.before, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range p.hollow {
		if err := os.Truncate(path, 0); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// TestPowerLoss cuts the power at every step of a log's life and, last, behind it. Without any one flush, of a file or
// a folder, it fails.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for k := 0; ; k++ {
		p := &powerLoss{dir: t.TempDir(), k: k, written: make(map[string]bool)}
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("power off at step %d: %s", k, fmt.Sprintf(format, args...))
		}
		acked, unknown, refused := make(map[string]Leaf), make(map[string]bool), make(map[string]bool)
		if l, err := openSteps(testConfig(p.dir), p.step); err == nil {
			fill(t, l, 255, acked, unknown, refused)
			for n := range 2 {
				name := fmt.Sprintf("spend-%d", n)
				leaf, err := l.Spend(context.Background(), Spend{"issuer", name, 1}, Entry{Kind: "test.spend", Case: name})
				note(fail, name, leaf, err, acked, unknown, refused)
			}
			l.Close()
		}
		p.lose(t)
		checkAfter(fail, p.dir, acked, unknown)
		if !p.off {
			if len(acked) != 257 || k < 20 {
				t.Errorf("%d leaves acknowledged in %d steps", len(acked), k)
			}
			return
		}
	}
}

// TestPowerLossAfterCrash kills the process at every step, opens the log again, and then cuts the power: what recovery has
// built on, it must have flushed.
func TestPowerLossAfterCrash(t *testing.T) {
	t.Parallel()
	for k := 0; ; k++ {
		p := &powerLoss{dir: t.TempDir(), k: -1, written: make(map[string]bool)}
		f := &failAt{k: k, after: true}
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("killed behind step %d %q: %s", k, f.name, fmt.Sprintf(format, args...))
		}
		acked, unknown, refused := make(map[string]Leaf), make(map[string]bool), make(map[string]bool)
		both := func(name string, do func() error) error {
			return f.step(name, func() error { return p.step(name, do) })
		}
		if l, err := openSteps(testConfig(p.dir), both); err == nil {
			fill(t, l, 2, acked, unknown, refused)
			l.Close()
		}
		l, err := openSteps(testConfig(p.dir), p.step)
		if err != nil {
			fail("open again: %v", err)
			return
		}
		l.Close()
		p.lose(t)
		checkAfter(fail, p.dir, acked, unknown)
		if f.name == "" {
			return
		}
	}
}
