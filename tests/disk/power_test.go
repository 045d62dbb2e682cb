//go:build linux

package disk

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"domicile/tests/faultfs"
)

// history is what happened on a disk on which one process lived, or two, one after the other, of which the first was killed:
// then the second found bytes and names that were written and not synced.
type history struct {
	name  string
	trace faultfs.Trace
	from  int // where the last process began
}

const rounds = 2

// moment says that an operation, the n-th, is where a process is killed.
type moment func(n int, o faultfs.Op) bool

// nth is the moment before the n-th operation.
func nth(want int) moment { return func(n int, _ faultfs.Op) bool { return n == want } }

// beforeSync is the moment before a file or folder is synced for the count-th time.
func beforeSync(path string, count int) moment {
	return func(_ int, o faultfs.Op) bool {
		if o.Kind == faultfs.Sync && o.Path == path {
			count--
		}
		return count == 0
	}
}

// record makes a history. kill says when the first process is killed; nil is no first process.
func record(t *testing.T, secrets string, kill moment) history {
	t.Helper()
	r := newRig(t, secrets)
	h := history{name: "one life"}
	if kill != nil {
		r.kill(t, kill)
		h.from = len(r.Trace())
		h.name = fmt.Sprintf("killed before operation %d, %s", h.from, r.killed)
	}
	if out, err := r.live(t, "second", rounds); err != nil {
		t.Fatalf("%s: %v\n%s", h.name, err, out)
	}
	h.trace = r.Trace()
	return h
}

// histories are one life, and some that were cut short: at moments at which recovery has something to sync, and at others.
func histories(t *testing.T, secrets string) []history {
	t.Helper()
	list := []history{record(t, secrets, nil)}
	for _, m := range []moment{
		beforeSync("data/audit", 6), beforeSync("data/keys", 3), beforeSync("data/journal/00000000000000000001.journal", 2),
		beforeSync("data/store/segments", 3), beforeSync("data/store/base", 1), beforeSync("data/store/index.db", 4), beforeSync("data/audit/log.db", 10), beforeSync("data/cosigner/witness.db", 8),
	} {
		list = append(list, record(t, secrets, m))
	}
	for n := 60; n < 400 && long(); n += 110 {
		list = append(list, record(t, secrets, nth(n)))
	}
	return list
}

// kill runs a life and kills it, as kill -9 does, at a moment.
func (r *rig) kill(t *testing.T, when moment) {
	t.Helper()
	cmd := self(t, "work", r.dir, r.secrets, "first", fmt.Sprint(rounds))
	n, dead, now := 0, false, make(chan struct{})
	r.SetFault(func(o faultfs.Op) syscall.Errno {
		n++
		if !dead && when(n, o) {
			dead, r.killed = true, o
			close(now)
		}
		if dead {
			return faultfs.Dead
		}
		return 0
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // it was killed, or was not: what it returns says no more
		close(ended)
	}()
	select {
	case <-now:
		cmd.Process.Kill()
	case <-ended:
	}
	<-ended
	r.SetFault(nil)
	if !dead {
		t.Fatalf("it lived to its end, for %d operations", n)
	}
}

// TestPowerCut has the power fail at every operation of every history, and each time the disk forget in several ways what
// was not synced, of which what is left alike is looked at once. Whatever was acknowledged before must be there, whole; what was erased must not; all must verify and go on.
// Of histories but the first it tries every other operation; without DOMICILE_LONG fewer histories, some of the operations, and one way to forget at each.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	secrets := newSecrets(t)
	list := histories(t, secrets)
	c := newChecker(t, secrets)
	asked, said := 0, 0
	for i, h := range list {
		var q []question
		seen := map[any]bool{}
		for k, n := range points(h.trace, h.from) {
			ways := keeps(k)
			switch {
			case long() && (i == 0 || k%2 == 0):
			case n > 0 && h.trace[n-1].Kind == faultfs.Note:
				ways = ways[:1] // what was acknowledged just now
			case k%(4+4*min(i, 1)) == 0:
				ways = ways[k/4%len(ways):][:1]
			default:
				continue
			}
			for _, w := range ways {
				ask := question{trace: h.trace, n: n, way: w}
				if !seen[ask.key()] {
					seen[ask.key()] = true
					q = append(q, ask)
				}
			}
		}
		wrong, err := c.all(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Errorf("%s: %s", h.name, w)
		}
		asked, said = asked+len(q), said+len(claims(t, h.trace, len(h.trace)))
	}
	t.Logf("%d histories, %d claims, %d power cuts", len(list), said, asked)
	if said < 100 || asked < 300 {
		t.Error("too little was tried")
	}
}

// TestMountedMapIsCoherent is what the other tests rest on: bytes written into a file show in a map of it.
func TestMountedMapIsCoherent(t *testing.T) {
	t.Parallel()
	r := newRig(t, newSecrets(t))
	if out, err := r.run(t, "map"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// mapped is the child of TestMountedMapIsCoherent.
func mapped(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(1 << 20); err != nil {
		return err
	}
	view, err := syscall.Mmap(int(f.Fd()), 0, 1<<20, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	defer syscall.Munmap(view)
	for i := range 64 {
		want := slices.Repeat([]byte{byte(i + 1)}, 5000)
		at := int64(i * 16000)
		if view[at] != 0 { // the page is in the map before it is written
			return fmt.Errorf("byte %d was %d before it was written", at, view[at])
		}
		if _, err := f.WriteAt(want, at); err != nil {
			return err
		}
		if !slices.Equal(view[at:at+5000], want) {
			return fmt.Errorf("the map does not show what was written at %d", at)
		}
	}
	return nil
}
