package smtpd

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkLMTP delivers messages of 10 KB to one account, each in a transaction of its own; the client is in the CPU that is counted.
func BenchmarkLMTP(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var words []string
	for range 4000 {
		words = append(words, fmt.Sprintf("%x", rnd.Uint32())[:2+rnd.IntN(6)])
	}
	zipf := rand.NewZipf(rnd, 1.1, 3, uint64(len(words)-1))
	var bodies []string
	for range 64 {
		var text strings.Builder
		for text.Len() < 10_000 {
			for range 10 {
				text.WriteString(words[zipf.Uint64()] + " ")
			}
			text.WriteString("\r\n")
		}
		bodies = append(bodies, text.String())
	}
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			w := newWorld(b)
			addr := w.serve(w.door(LMTP, ireland, w.home))
			next := make(chan int, clients)
			var work sync.WaitGroup
			for range clients {
				c := dial(b, addr)
				c.do("LHLO there", "250")
				work.Go(func() {
					for i := range next {
						c.SetDeadline(time.Now().Add(time.Minute))
						c.do("MAIL FROM:<s@sender.test>", "250")
						c.do("RCPT TO:<ann@example.com>", "250")
						c.do("DATA", "354")
						c.do(fmt.Sprintf("From: Ann <s@sender.test>\r\nTo: Ann <ann@example.com>\r\nSubject: message %d\r\nDate: Mon, 02 Feb 2026 23:00:00 -0500\r\nMessage-ID: <%d@sender.test>\r\n\r\n%s.", i, i, bodies[i%len(bodies)]), "250")
					}
				})
			}
			b.ReportAllocs()
			b.ResetTimer()
			began := processor()
			for i := range b.N {
				next <- i
			}
			close(next)
			work.Wait()
			b.ReportMetric(float64((processor()-began).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// processor is the CPU time of this process.
func processor() time.Duration {
	var use syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
