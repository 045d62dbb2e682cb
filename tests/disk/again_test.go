//go:build linux

package disk

import (
	"strings"
	"syscall"
	"testing"

	"domicile/tests/faultfs"
)

// TestFailedFsyncThenRestart has an fsync of the store fail, or of the log's and the witness's index, and the process that saw it end. The next one, in the same boot, reads from the
// page cache what is on no disk, and finds every fsync of it good. After a power cut all that either has acknowledged is there, also what the
// second only found. Without DOMICILE_LONG it tries some.
func TestFailedFsyncThenRestart(t *testing.T) {
	t.Parallel()
	secrets := newSecrets(t)
	c := newChecker(t, secrets)
	step, cuts := 1, 40
	if !long() {
		step, cuts = 5, 8
	}
	tried := 0
	for k := 0; ; k += step {
		h, failed := failedBefore(t, secrets, k)
		if failed == "" {
			break
		}
		tried++
		at := points(h.trace, h.from)
		q := []question{{trace: h.trace, n: len(h.trace), way: keeps(0)[0]}}
		for i := 0; i < len(at); i += max(1, len(at)/cuts) {
			q = append(q, question{trace: h.trace, n: at[i], way: keeps(i)[i%3]})
		}
		q = append(q, betweenFlushes(h)...)
		wrong, err := c.all(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Errorf("fsync %d failed, %s: %s", k, failed, w)
		}
	}
	if tried < 10 {
		t.Errorf("only %d fsyncs were tried", tried)
	}
}

// failedBefore is the history of two lives, of which the first had the k-th of those fsyncs fail. failed is "" if it had fewer.
func failedBefore(t *testing.T, secrets string, k int) (h history, failed string) {
	t.Helper()
	r := newRig(t, secrets)
	n := 0
	r.SetFault(func(o faultfs.Op) syscall.Errno {
		if o.Kind != faultfs.Sync || !strings.HasPrefix(o.Path, "data/store") && !strings.HasSuffix(o.Path, ".db") {
			return 0
		}
		if n++; n-1 == k {
			failed = o.String()
			return syscall.EIO
		}
		return 0
	})
	if out, err := r.live(t, "first", rounds, childFaults+"=yes"); strings.Contains(out, "panic") {
		t.Fatalf("%v\n%s", err, out)
	}
	r.SetFault(nil)
	h.from = len(r.Trace())
	if failed == "" {
		return h, ""
	}
	if out, err := r.live(t, "second", rounds); err != nil {
		t.Fatalf("after %s: %v\n%s", failed, err, out)
	}
	h.trace = r.Trace()
	return h, failed
}

// betweenFlushes are the power cuts just after the data pages of a commit of bbolt were flushed, when the commit before it must still be whole.
func betweenFlushes(h history) (list []question) {
	for n := h.from + 1; n < len(h.trace); n++ {
		if o := h.trace[n]; o.Kind == faultfs.Write && strings.HasSuffix(o.Path, ".db") && o.Off < 2*4096 && h.trace[n-1].Kind == faultfs.Sync {
			list = append(list, question{trace: h.trace, n: n, way: keeps(0)[0]})
		}
	}
	return list
}
