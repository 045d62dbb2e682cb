package imapd

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchmarked is a client of a mailbox of n messages of size bytes of text that compresses as mail does.
func benchmarked(b *testing.B, n, size int) *client {
	w := newWorld(b)
	words := strings.Fields("the quick brown fox jumps over a lazy dog and who would have thought that mail is made of words such as these")
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		var text strings.Builder
		fmt.Fprintf(&text, "From: Ann <ann%d@example.com>\r\nTo: Bob <bob@example.com>\r\nSubject: message %d\r\nDate: Mon, 02 Feb 2026 23:00:00 -0500\r\nMessage-ID: <%d@example.com>\r\n\r\n", i, i, i)
		for text.Len() < size {
			fmt.Fprintf(&text, "%s %x ", words[r.IntN(len(words))], r.Uint32())
			if r.IntN(10) == 0 {
				text.WriteString("\r\n")
			}
		}
		w.put("INBOX", text.String())
	}
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	return c
}

// answered reads the answer to a command and counts its bytes.
func (c *client) answered(b *testing.B, command, tagged string) (n int64) {
	c.send(command + "\r\n")
	buf := make([]byte, 1<<16)
	var tail []byte
	for {
		m, err := c.r.Read(buf)
		if err != nil && err != io.EOF || m == 0 {
			b.Fatal(err)
		}
		n += int64(m)
		tail = append(tail, buf[:m]...)
		tail = tail[max(0, len(tail)-100):]
		if bytes.Contains(tail, []byte("\r\n"+tagged)) || n < 100 && bytes.HasPrefix(tail, []byte(tagged)) {
			return n
		}
	}
}

func BenchmarkListing(b *testing.B) {
	const n = 5000
	c := benchmarked(b, n, 1000)
	for _, items := range []string{"(UID FLAGS ENVELOPE RFC822.SIZE)", "(UID FLAGS)"} {
		b.Run(items, func(b *testing.B) {
			for b.Loop() {
				c.answered(b, "c FETCH 1:* "+items, "c OK")
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func BenchmarkBodies(b *testing.B) {
	c := benchmarked(b, 2000, 10_000)
	for b.Loop() {
		b.SetBytes(c.answered(b, "c FETCH 1:* BODY.PEEK[]", "c OK"))
	}
}

// BenchmarkStore changes the flags of one message, silently too, and where it has them already. CPU is that of the process, client and flush with it.
func BenchmarkStore(b *testing.B) {
	c := benchmarked(b, 100, 1000)
	for _, item := range []string{"told", "silent", "unchanged"} {
		b.Run(item, func(b *testing.B) {
			silent := ".SILENT"
			if item == "told" {
				silent = ""
			}
			b.ReportAllocs()
			from := cpu()
			for i := 0; b.Loop(); i++ {
				sign := "+-"[i%2]
				if item == "unchanged" {
					sign = '-'
				}
				c.answered(b, fmt.Sprintf("c UID STORE %d %cFLAGS%s (\\Flagged)", i/2%100+1, sign, silent), "c OK")
			}
			b.ReportMetric(float64((cpu()-from).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpu is how long the process has kept processors busy.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkNotice measures from a delivery's acknowledgement to its notice in IDLE.
func BenchmarkNotice(b *testing.B) {
	w := newWorld(b)
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.send("c IDLE\r\n")
	c.want("+ idling")
	came := make(chan time.Time, 1)
	go func() {
		for {
			if line := c.line(); line == "CLOSED" {
				return
			} else if line[len(line)-6:] == "EXISTS" {
				came <- time.Now()
			}
		}
	}()
	var all []time.Duration
	for b.Loop() {
		w.put("INBOX", "Subject: x\r\n\r\n")
		done := time.Now()
		all = append(all, (<-came).Sub(done))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}
