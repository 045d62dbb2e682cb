package bolt

import (
	"fmt"
	"strings"
	"testing"

	"domicile/store/storetest"
)

// BenchmarkDeliver delivers 10 KB messages to one account; one operation is one acknowledged message.
func BenchmarkDeliver(b *testing.B) {
	body := strings.Repeat("x", 10<<10)
	for _, goroutines := range []int{1, 16} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			r := storetest.New(b, open)
			newPerson(r)
			b.SetBytes(int64(len(body)))
			next := make(chan bool)
			done := make(chan error)
			for range goroutines {
				go func() {
					var err error
					for range next {
						if err == nil {
							_, err = r.Deliver(person, "", "INBOX", body)
						}
					}
					done <- err
				}()
			}
			for b.Loop() {
				next <- true
			}
			close(next)
			for range goroutines {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkMessages lists a mailbox of 1,000.
func BenchmarkMessages(b *testing.B) {
	r := storetest.New(b, open)
	newPerson(r)
	for range 1000 {
		r.MustDeliver(person, "INBOX", "body", "\\Seen")
	}
	for b.Loop() {
		r.List(person, "INBOX")
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
