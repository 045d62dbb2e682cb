package audit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"
)

// fullDisk refuses some steps in a row, but not to flush folders: that needs no room.
type fullDisk struct{ from, to, n int }

func (f *fullDisk) step(name string, do func() error) error {
	f.n++
	if f.n > f.from && f.n <= f.to && !strings.HasPrefix(name, "sync ") {
		return errDisk
	}
	return do()
}

// TestLogMends has the disk full from each step of a log's life on, for one step or several: entries are refused, or unknown, until
// it takes writes again, and then recorded without the log being opened again. What was acknowledged is there once, what is
// unknown at most once, and a token is spent exactly if its leaf is there.
func TestLogMends(t *testing.T) {
	t.Parallel()
	for _, steps := range []int{1, 7} {
		for k := 0; ; k += 1 + steps/2 {
			f := &fullDisk{from: 1 << 30, to: 1 << 30}
			dir := t.TempDir()
			l, err := openSteps(testConfig(dir), f.step)
			if err != nil {
				t.Fatal(err)
			}
			f.from, f.to = f.n+k, f.n+k+steps
			fail := func(format string, args ...any) {
				t.Helper()
				t.Errorf("full from step %d on for %d: %s", k, steps, fmt.Sprintf(format, args...))
			}
			acked, unknown, refused := make(map[string]Leaf), make(map[string]bool), make(map[string]bool)
			fill(t, l, 255, acked, unknown, refused)
			for n := range 2 {
				l.tried = time.Time{} // as if a second had passed
				name := fmt.Sprintf("spend-%d", n)
				leaf, err := l.Spend(context.Background(), Spend{"issuer", name, 1}, Entry{Kind: "test.spend", Case: name})
				note(fail, name, leaf, err, acked, unknown, refused)
			}
			hit := f.n > f.from
			for tries := 0; f.n <= f.to && hit; tries++ { // it has room again
				l.tried = time.Time{}
				name := fmt.Sprintf("more-%d", tries)
				leaf, err := l.Append(context.Background(), Entry{Kind: "test.more", Case: name})
				note(fail, name, leaf, err, acked, unknown, refused)
				if tries > 50 {
					t.Fatalf("full from step %d on: only %d steps in 50 tries", k, f.n-f.from)
				}
			}
			l.tried, f.from = time.Time{}, 1<<30
			if err := l.Err(); err != nil {
				fail("there is room again: %v", err)
			}
			leaf, err := l.Append(context.Background(), Entry{Kind: "test.last", Case: "last"})
			if note(fail, "last", leaf, err, acked, unknown, refused); err != nil {
				fail("there is room again: %v", err)
			}
			l.Close()
			checkAfter(fail, dir, acked, unknown)
			if !hit {
				if k < 15 {
					t.Errorf("the life of a log has only %d steps", k)
				}
				break
			}
		}
	}
}

// TestLogStuckIsNotHammered: a disk that goes on failing is tried once a second, not with every call; what is in doubt is not tried.
func TestLogStuckIsNotHammered(t *testing.T) {
	t.Parallel()
	f := &fullDisk{from: 1 << 30, to: 1 << 31}
	l, err := openSteps(testConfig(t.TempDir()), f.step)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f.from = f.n + 2 // behind the commit of what is pending
	if _, err := l.Append(context.Background(), Entry{Kind: "test.one"}); domicile.KindOf(err) != domicile.Unknown {
		t.Fatalf("the tree could not be written: %v", err)
	}
	if err := l.Err(); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("the disk is full: %v", err)
	}
	l.tried = time.Now().Add(time.Hour) // long before the next try
	before := f.n
	for range 10 {
		if _, err := l.Append(context.Background(), Entry{Kind: "test.two"}); domicile.KindOf(err) != domicile.Unavailable {
			t.Errorf("the disk is full: %v", err)
		}
	}
	if f.n != before {
		t.Errorf("%d more acts on the disk", f.n-before)
	}
}

// TestLogDoesNotMendNames fails each flush of a folder: what the log wrote there may be gone, though it can be read, so it takes no
// entry until it is opened again.
func TestLogDoesNotMendNames(t *testing.T) {
	t.Parallel()
	for k := 0; ; k++ {
		failed, syncs := false, 0
		dir := t.TempDir()
		l, err := openSteps(testConfig(dir), func(name string, do func() error) error {
			if strings.HasPrefix(name, "sync ") {
				if syncs++; syncs == k+2 { // the first is that of the empty log
					failed = true
					return errDisk
				}
			}
			return do()
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		l.Append(ctx, Entry{Kind: "test.one"})
		l.Append(ctx, Entry{Kind: "test.two"})
		l.tried = time.Time{}
		_, err = l.Append(ctx, Entry{Kind: "test.three"})
		if refused := domicile.KindOf(err) == domicile.Unavailable; refused != failed && !(failed && domicile.KindOf(err) == domicile.Unknown) {
			t.Errorf("flush %d of a folder failed: %v", k, err)
		}
		l.Close()
		if l, err = Open(testConfig(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(ctx, Entry{Kind: "test.four"}); err != nil {
			t.Errorf("opened again: %v", err)
		}
		l.Close()
		if !failed {
			if k < 4 {
				t.Errorf("only %d folders are flushed", k)
			}
			return
		}
	}
}
