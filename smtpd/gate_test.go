package smtpd

import (
	"io"
	"net"
	"testing"
	"time"
)

// A body of the usual limit has somewhat over an hour to come, however its client spreads it; then the connection ends.
func TestBodyTime(t *testing.T) {
	if got := bodyTime(DefaultMaxSize); got > 80*time.Minute || got < time.Hour {
		t.Errorf("%v", got)
	}
	client, server := net.Pipe()
	defer client.Close()
	g := newGate(server, DefaultMaxSize)
	g.data, g.size, g.began = true, 1<<20, time.Now().Add(-bodyTime(1<<20)) // its time is over
	if _, err := io.ReadAll(body{g}); err == nil {
		t.Error("it is waited for")
	}
}
