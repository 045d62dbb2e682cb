package region

import (
	"sync/atomic"
	"testing"
	"time"

	"domicile"
)

// offset is a clock that is set wrong by as much as it holds.
type offset struct{ atomic.Int64 }

func (o *offset) now() time.Time         { return time.Now().Add(time.Duration(o.Load())) }
func (o *offset) by(wrong time.Duration) { o.Store(int64(wrong)) }

// TestClockMajority: more than half of all cosigners must contradict a clock before it is not believed, in whichever direction;
// silence counts for it, and what was said long ago for nothing. A clock that is put right is believed at once.
func TestClockMajority(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland", "ap-japan")
	all := []domicile.Region{"us-east", "ap-japan", "witness/w1"}
	for name, c := range map[string]struct {
		mine   time.Duration
		theirs []time.Duration // of the first of them; the others say nothing
		unsure bool
	}{
		"nobody speaks":                   {5 * time.Hour, nil, false},
		"all agree":                       {0, []time.Duration{0, 0, 0}, false},
		"all agree within the bound":      {0, []time.Duration{4 * time.Minute, -4 * time.Minute, 0}, false},
		"one liar among three":            {0, []time.Duration{9 * time.Hour, 0, 0}, false},
		"one liar and silence":            {0, []time.Duration{-9 * time.Hour}, false},
		"two of three contradict":         {5 * time.Hour, []time.Duration{0, 0}, true},
		"behind":                          {-30 * time.Minute, []time.Duration{0, 0, 0}, true},
		"ahead":                           {6 * time.Minute, []time.Duration{0, 0, 0}, true},
		"two liars":                       {0, []time.Duration{time.Hour, -time.Hour, 0}, true},
		"a liar who confirms a wrong one": {5 * time.Hour, []time.Duration{5 * time.Hour, 0, 0}, true},
	} {
		n := w.unstarted("ie-1", "eu-ireland", []string{RoleStore}, nil)
		var mine offset
		mine.by(c.mine)
		n.cfg.Now, n.clock.asked = mine.now, time.Now() // nobody is asked again
		for i, by := range c.theirs {
			n.clock.read(all[i], time.Now().Add(by))
		}
		err := n.ClockSure(t.Context(), nil)
		if c.unsure {
			wantReason(t, err, domicile.ClockUnsure)
		}
		if (err != nil) != c.unsure {
			t.Errorf("%s: %v", name, err)
		}
		mine.by(0)
		if err := n.ClockSure(t.Context(), nil); err != nil && name != "two liars" {
			t.Errorf("%s, and then put right: %v", name, err)
		}
		mine.by(c.mine)
		for who, r := range n.clock.times {
			n.clock.times[who] = clockReading{r.said.Add(-2 * clockMemory), r.when.Add(-2 * clockMemory)}
		}
		if err := n.ClockSure(t.Context(), nil); err != nil {
			t.Errorf("%s, long ago: %v", name, err)
		}
		n.Close()
	}
}

// TestClockIsAsked: a node that has heard nothing asks its cosigners before it trusts its clock, and once they were right asks
// again before it holds their former time against them.
func TestClockIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-east", "eu-ireland")
	us := w.place("us-1", "us-east", nil, nil)
	var mine offset
	ie := w.place("ie-1", "eu-ireland", []string{us.node.GossipAddr()}, func(n *Node) { n.cfg.Now = mine.now })
	w.place("w1-1", "witness/w1", []string{us.node.GossipAddr()}, nil)
	waitFor(t, "join", knows(ie.node, "us-1", "w1-1"))
	if err := ie.node.ClockSure(t.Context(), ie.log); err != nil {
		t.Fatal(err)
	}
	if ahead := ie.node.ClockAhead(); len(ahead) != 2 || ahead["us-east"].Abs() > time.Minute || ahead["witness/w1"].Abs() > time.Minute {
		t.Errorf("ahead by %v", ahead)
	}
	mine.by(5 * time.Hour)
	wantReason(t, ie.node.ClockSure(t.Context(), ie.log), domicile.ClockUnsure)
	mine.by(0)
	for who := range ie.node.cosigners() { // as if all had been wrong when they were last read
		ie.node.clock.read(who, time.Now().Add(-time.Hour))
	}
	ie.node.clock.asked = time.Time{}
	if err := ie.node.ClockSure(t.Context(), ie.log); err != nil {
		t.Errorf("the cosigners are right again: %v", err)
	}
}
