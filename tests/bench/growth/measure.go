package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
)

// time notes the median time of an operation, of as many as the rig wants, and what one allocates.
func (r *rig) time(name string, op func(i int) error) error {
	var took []time.Duration
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for begun, i := time.Now(), 0; i < 1000 && (i < 3 || time.Since(begun) < r.repeat); i++ {
		at := time.Now()
		if err := op(i); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took = append(took, time.Since(at))
	}
	runtime.ReadMemStats(&after)
	slices.Sort(took)
	each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(took))
	r.figures = append(r.figures, figure{name + ": us", fmt.Sprintf("%.1f", float64(took[len(took)/2].Nanoseconds())/1000)},
		figure{name + ": KiB allocated", fmt.Sprintf("%.1f", float64(each)/1024)})
	return nil
}

// once notes what an operation on n things takes for each of them, and meanwhile the most memory that the process held and the longest that another waited for a change.
func (r *rig) once(name string, n int, op func(i int) error) error {
	debug.FreeOSMemory()
	other, err := r.account(fmt.Sprint("other", len(r.figures)))
	if err != nil {
		return err
	}
	ended, most, waited := make(chan struct{}), make(chan int), make(chan time.Duration)
	go func() { waited <- r.longestWait(other, ended) }()
	go func() {
		held := anonymous()
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				held = max(held, anonymous())
			case <-ended:
				tick.Stop()
				most <- held
				return
			}
		}
	}()
	at := time.Now()
	err = op(0)
	took := time.Since(at)
	close(ended)
	held, wait := <-most, <-waited
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.figures = append(r.figures, figure{name + ": us for each", fmt.Sprintf("%.1f", float64(took.Nanoseconds())/1000/float64(n))},
		figure{name + ": most memory meanwhile, MiB", fmt.Sprint(held / 1024)}, figure{name + ": longest wait of another meanwhile, ms", fmt.Sprint(wait.Milliseconds())})
	return nil
}

// longestWait delivers to another account again and again until all is over.
func (r *rig) longestWait(other domicile.AccountID, ended chan struct{}) (longest time.Duration) {
	for {
		select {
		case <-ended:
			return longest
		case <-time.After(5 * time.Millisecond):
		}
		at := time.Now()
		if _, err := r.deliver(other, "INBOX"); err != nil {
			return -1 // seen in the table
		}
		longest = max(longest, time.Since(at))
	}
}

// atRest notes what the store takes while nothing happens, and how long it takes to close and open it.
func (r *rig) atRest() error {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	r.figures = append(r.figures, figure{"heap at rest: MiB", fmt.Sprintf("%.1f", float64(m.HeapAlloc)/(1<<20))},
		figure{"resident memory, pages of mapped files left out: MiB", fmt.Sprintf("%.1f", float64(anonymous())/1024)}, figure{"open files", fmt.Sprint(len(files))})
	begun := time.Now()
	if err := r.Close(); err != nil {
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	r.figures = append(r.figures, figure{"close and open: ms", fmt.Sprintf("%.1f", float64(time.Since(begun).Microseconds())/1000)})
	return nil
}

// anonymous is this process's resident memory in KiB, of files none.
func anonymous() (kib int) {
	raw, _ := os.ReadFile("/proc/self/status")
	if _, rest, ok := strings.Cut(string(raw), "RssAnon:"); ok {
		fmt.Sscan(rest, &kib)
	}
	return kib
}

// many does op for 0 to n-1, sixteen at a time.
func many(n int, op func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, 16)
	for range cap(failed) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := op(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}
