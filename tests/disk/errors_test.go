//go:build linux

package disk

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"domicile/tests/faultfs"
)

// bad runs a life on a disk with a fault, in a process that goes on after errors, and then has the power fail at several
// operations after the first that the fault refused. last is the place in the trace of the last that it refused, -1 if none.
func bad(t *testing.T, c *checker, secrets string, rounds int, fault func(o faultfs.Op) syscall.Errno) (trace faultfs.Trace, out string, last int) {
	t.Helper()
	r := newRig(t, secrets)
	first := -1
	last = -1
	r.SetFault(func(o faultfs.Op) syscall.Errno {
		errno := fault(o)
		if errno != 0 {
			last = r.Len()
		}
		if first < 0 {
			first = last
		}
		return errno
	})
	out, err := r.live(t, "bad", rounds, childFaults+"=yes")
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || strings.Contains(out, "panic") {
		t.Fatalf("%v\n%s", err, out)
	}
	trace = r.Trace()
	if first < 0 {
		return trace, out, last
	}
	at := points(trace, first)
	cuts := 40
	if !long() {
		cuts = 6
	}
	step := max(1, len(at)/cuts)
	q := []question{{trace: trace, n: len(trace), way: keeps(0)[0]}}
	for i := 0; i < len(at); i += step {
		q = append(q, question{trace: trace, n: at[i], way: keeps(i)[i%3]})
	}
	wrong, err := c.all(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Errorf("%s\nthe process said:\n%s", w, out)
	}
	return trace, out, last
}

// TestFsyncFails has each fsync of a life fail once with EIO. As on Linux, what it should have kept is then gone, and the
// next fsync of the file answers well. Nobody may take that for success: what is acknowledged is there after a power cut.
// Without DOMICILE_LONG it tries some, and one of each kind that keeps names which an act tells apart.
func TestFsyncFails(t *testing.T) {
	t.Parallel()
	secrets := newSecrets(t)
	c := newChecker(t, secrets)
	list, total := failing(record(t, secrets, nil))
	if total < 100 {
		t.Errorf("a life has only %d fsyncs", total)
	}
	for _, k := range list {
		n, failed := 0, ""
		_, out, last := bad(t, c, secrets, rounds, func(o faultfs.Op) syscall.Errno {
			if o.Kind != faultfs.Sync {
				return 0
			}
			if n++; n-1 == k {
				failed = o.String()
				return syscall.EIO
			}
			return 0
		})
		switch {
		case last < 0 && k < total-10: // messages whose folders are the same make a life shorter
			t.Errorf("a life has %d fsyncs, another not %d", total, k)
		case last >= 0 && out == "":
			t.Errorf("fsync %d failed (%s), and nobody said so", k, failed)
		}
	}
}

// failing chooses fsyncs that are to fail, by their number in a life, and says how many there are.
func failing(h history) (list []int, total int) {
	step := 3
	if !long() {
		step = 17
	}
	number := map[int]int{}
	for i, o := range h.trace {
		if o.Kind == faultfs.Sync {
			number[i] = total
			total++
		}
	}
	for k := 0; k < total; k += step {
		list = append(list, k)
	}
	for name, at := range sites(h) {
		if strings.HasPrefix(name, "folder") && strings.Contains(name, inAct) {
			list = append(list, number[at[0]])
		}
	}
	slices.Sort(list)
	return slices.Compact(list), total
}

// TestFullDisk has the disk full for a while, from each of several moments on. What is acknowledged before, meanwhile and
// afterwards is there; somebody says that the disk is full; and the store takes mail again once there is room, without being
// opened anew. (Log and journal try once a second, which a life is too short for: see audit/TestLogMends.)
func TestFullDisk(t *testing.T) {
	t.Parallel()
	secrets := newSecrets(t)
	c := newChecker(t, secrets)
	step := 5
	if !long() {
		step = 40
	}
	for k := 200; k < 560; k += step {
		n, refused := 0, 0
		trace, out, last := bad(t, c, secrets, 4, func(o faultfs.Op) syscall.Errno {
			n++
			if strings.HasSuffix(o.Path, ".db") && o.Off < 2*4096 {
				return 0 // a meta page has had its place from the beginning, and needs no room
			}
			switch o.Kind {
			case faultfs.Write, faultfs.Create, faultfs.Mkdir, faultfs.Truncate:
				if n > k && refused < 6 {
					refused++
					return syscall.ENOSPC
				}
			}
			return 0
		})
		if refused < 6 || !strings.Contains(out, "no space left on device") {
			t.Errorf("full from operation %d on: %d refusals, and the process says: %.1000s", k, refused, out)
			continue
		}
		after := claims(t, trace[last:], len(trace)-last)
		if !slices.ContainsFunc(after, func(c claim) bool { return c.Kind == "mail" }) {
			t.Errorf("full from operation %d to %d: afterwards no mail is taken; the process says: %.1000s", k, last, out)
		}
	}
}
