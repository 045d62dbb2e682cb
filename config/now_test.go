package config

import (
	"testing"
	"time"
)

// TestNow shifts the present by clock_offset, and not without.
func TestNow(t *testing.T) {
	for offset, want := range map[string]time.Duration{"": 0, "5h": 5 * time.Hour, "-30m": -30 * time.Minute} {
		n := Node{ClockOffset: offset}
		before := time.Now()
		got := n.Now()
		if got.Before(before.Add(want)) || got.After(time.Now().Add(want)) {
			t.Errorf("%q: %s from now", offset, got.Sub(before))
		}
	}
}
