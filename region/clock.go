package region

import (
	"context"
	"fmt"
	"sync"
	"time"

	"domicile"
	"domicile/audit"
)

// A node's clock is held against the times that cosigners sign. It is believed unless more than half of all cosigners of the
// catalog contradict it: so no single one can stop a region by a lie, where there are two or more; where there is one alone,
// that one could stop every release by its silence too.
const (
	clockBound  = 5 * time.Minute  // so far a clock may be from a cosigner's
	clockMemory = time.Hour        // so long a time that was read counts
	clockAsk    = 10 * time.Second // so soon cosigners that said nothing lately are asked again
)

// clock remembers what time it was by each cosigner. What has passed since is measured by the monotonic clock, which does not follow
// when the other is set: a clock that was put right agrees at once.
type clock struct {
	mu    sync.Mutex
	times map[domicile.Region]clockReading // guarded by mu
	asked time.Time                        // guarded by mu
}

type clockReading struct {
	said time.Time // by the cosigner, in whole seconds
	when time.Time // monotonic
}

// read notes the time in a cosignature that has just been verified.
func (c *clock) read(who domicile.Region, said time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[domicile.Region]clockReading{}
	}
	c.times[who] = clockReading{said, time.Now()}
}

// ahead returns how far now is ahead of each cosigner that was read lately.
func (c *clock) ahead(now time.Time, of map[domicile.Region]string) map[domicile.Region]time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[domicile.Region]time.Duration{}
	for who := range of {
		if r, ok := c.times[who]; ok && time.Since(r.when) < clockMemory {
			out[who] = now.Sub(r.said.Add(time.Since(r.when)))
		}
	}
	return out
}

// due reports whether cosigners are to be asked for the time, and notes that they are: not more often than every clockAsk.
func (c *clock) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked.IsZero() && time.Since(c.asked) < clockAsk {
		return false
	}
	c.asked = time.Now()
	return true
}

// ClockAhead returns how far this node's clock is ahead of each cosigner's, of those that cosigned within the hour.
func (n *Node) ClockAhead() map[domicile.Region]time.Duration {
	return n.clock.ahead(n.cfg.Now(), n.cosigners())
}

// ClockSure refuses, with ClockUnsure, if more than half of all cosigners of log signed times that are more than five minutes from
// this node's clock: nothing that turns on a date may be done by it. Cosigners that said nothing within the hour, or contradict
// the clock, are asked first, so that a clock that was put right is believed again; those out of reach say nothing, and count
// for the clock.
func (n *Node) ClockSure(ctx context.Context, log *audit.Log) error {
	all := n.cosigners()
	said := n.clock.ahead(n.cfg.Now(), all)
	if against, _ := contradict(said); (against > 0 || len(said) < len(all)) && n.clock.due() {
		n.CosignNow(ctx, log) // what comes of it is read below
		said = n.clock.ahead(n.cfg.Now(), all)
	}
	against, most := contradict(said)
	if 2*against <= len(all) {
		return nil
	}
	way := "ahead of"
	if most < 0 {
		way = "behind"
	}
	return domicile.Refuse("trust the clock", domicile.ClockUnsure, "house/clock", fmt.Sprintf(
		"this node's clock is %s %s the times that %d of %d cosigners sign: set it right and try again; nothing was decided and no order is spent",
		most.Abs().Round(time.Second), way, against, len(all)))
}

// contradict counts the cosigners that are too far from the clock, and returns by how much it is from the farthest.
func contradict(ahead map[domicile.Region]time.Duration) (against int, most time.Duration) {
	for _, by := range ahead {
		if by.Abs() > clockBound {
			against++
			if by.Abs() > most.Abs() {
				most = by
			}
		}
	}
	return against, most
}
