package segment

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
)

// reopened writes b as a log's only file and opens it.
func reopened(t *testing.T, cfg Config, b []byte) *Log {
	t.Helper()
	l := &Log{cfg: cfg}
	no(t, os.WriteFile(l.Path(1), b, 0o600))
	l, err := Open(cfg)
	no(t, err)
	return l
}

// twoGroups returns a file with frames 1 to 5 acknowledged, and 6 to 9 in a group of their own.
func twoGroups(t *testing.T, cfg Config) (b []byte, starts []int) {
	t.Helper()
	l := open(t, cfg)
	group(t, l, 3)
	group(t, l, 2)
	group(t, l, 4)
	no(t, l.Close())
	return written(t, l, 1)
}

// Whatever is on disk of the last group, in whatever order it came there: what was acknowledged before is served, what is not whole is cut
// off without a word of damage, and the log goes on.
func TestTornTails(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	whole, starts := twoGroups(t, cfg)
	first, end := starts[5], starts[9] // of the last group
	try := func(what string, b []byte) {
		t.Helper()
		l := reopened(t, cfg, b)
		defer l.Close()
		got := frames(t, l, 0)
		if len(got) < 5 || len(got) > 9 {
			t.Fatalf("%s: frames %v", what, got)
		}
		wantFrames(t, l, 0, count(1, uint64(len(got))))
		if l.Damaged() != 0 {
			t.Fatalf("%s: %d frames are called damaged", what, l.Damaged())
		}
		group(t, l, 2)
		wantFrames(t, l, 0, count(1, uint64(len(got)+2)))
	}
	for n := first; n <= end; n++ {
		try("cut", whole[:n])
		if n%5 > 0 {
			continue
		}
		try("cut, zeroes behind", append(bytes.Clone(whole[:n]), make([]byte, end-n+100)...))
		try("cut, the size written first", append(bytes.Clone(whole[:n]), make([]byte, end-n)...))
		try("its start missing", append(append(bytes.Clone(whole[:first]), make([]byte, n-first)...), whole[n:]...))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 150 { // sectors of 16 bytes, in any order
		b := bytes.Clone(whole)
		for at := first; at < end; at += 16 {
			if r.IntN(4) == 0 {
				clear(b[at:min(at+16, end)])
			}
		}
		try("sectors missing", b)
	}
}

// A byte of a frame that was acknowledged is altered, and the log shows that it was: the frame is counted and left out, all others are served.
func TestDamage(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	whole, starts := twoGroups(t, cfg)
	for at := starts[0]; at < starts[5]; at++ {
		lsn := uint64(1)
		for starts[lsn] <= at {
			lsn++
		}
		l := reopened(t, cfg, garble(whole, at))
		for range 2 {
			want := append(count(1, lsn-1), count(lsn+1, 9)...)
			wantFrames(t, l, 0, want)
			if l.Damaged() == 0 {
				t.Fatalf("byte %d of frame %d was altered and nobody counts it", at, lsn)
			}
			group(t, l, 1)
			wantFrames(t, l, 9, count(10, 10))
			no(t, l.Close())
			l = reopened(t, cfg, garble(whole, at))
		}
		no(t, l.Close())
	}
	for lsn := 1; lsn <= 4; lsn++ { // two beside one another
		b := bytes.Clone(whole)
		clear(b[starts[lsn-1]:starts[lsn+1]])
		l := reopened(t, cfg, b)
		wantFrames(t, l, 0, append(count(1, uint64(lsn-1)), count(uint64(lsn+2), 9)...))
		no(t, l.Close())
	}
}

// Of the last group nobody can tell damage from a torn write, unless the caller knows how far the log was durable: then nothing is cut
// off, and no LSN is given again.
func TestDamageAtTheEnd(t *testing.T) {
	for _, damage := range []func(b []byte, starts []int) []byte{
		func(b []byte, starts []int) []byte { return garble(b, starts[9]-1) }, // the last payload
		func(b []byte, starts []int) []byte { return garble(b, starts[8]) },   // the last header
		func(b []byte, starts []int) []byte { clear(b[starts[6]:]); return b },
		func(b []byte, starts []int) []byte { clear(b[starts[5]:starts[8]]); return b },
	} {
		cfg := Config{Dir: t.TempDir()}
		whole, starts := twoGroups(t, cfg)
		b := damage(whole, starts)
		cfg.Durable = 9
		l := reopened(t, cfg, b)
		got := frames(t, l, 0)
		if len(got) < 5 || len(got) > 8 || l.Damaged() == 0 || l.Next() != 10 {
			t.Fatalf("frames %v, %d damaged, next %d", got, l.Damaged(), l.Next())
		}
		group(t, l, 2)
		wantFrames(t, l, 9, count(10, 11))
		no(t, l.Close())
		l = open(t, cfg)
		wantFrames(t, l, 0, append(got, 10, 11))
		no(t, l.Close())
	}
}

// In a file that is not the newest every byte was acknowledged.
func TestDamageInOldFiles(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Size: 200}
	l := open(t, cfg)
	group(t, l, 9)
	group(t, l, 3)
	no(t, l.Close())
	whole, starts := written(t, l, 1)
	for _, b := range [][]byte{garble(whole, starts[8]+1), garble(whole, starts[9]-1), whole[:starts[8]+5], whole[:starts[9]-1]} {
		no(t, os.WriteFile(l.Path(1), b, 0o600))
		l := open(t, cfg)
		wantFrames(t, l, 0, append(count(1, 8), count(10, 12)...))
		if l.Damaged() == 0 {
			t.Error("nobody counts it")
		}
		no(t, l.Close())
	}
}
