package main

import (
	"testing"
	"time"
)

// TestGrowth runs every operation a few times on small stores: so that the measurement works when it is wanted.
func TestGrowth(t *testing.T) {
	for name, grow := range map[string]func(*rig, int) error{"mailboxes": mailboxes, "messages": messages, "accounts": accounts} {
		t.Run(name, func(t *testing.T) {
			r, err := measured(t.TempDir(), 3, time.Millisecond, grow)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.figures) < 8 {
				t.Errorf("%d figures", len(r.figures))
			}
		})
	}
}
