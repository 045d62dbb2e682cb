package bolt

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// benchStore is a store with one account, and messages in its INBOX.
func benchStore(b *testing.B, messages int) (*Store, store.Mailbox) {
	b.Helper()
	return benchStoreOn(b, nil, messages)
}

// benchStoreOn is benchStore on a disk of its own.
func benchStoreOn(b *testing.B, step func(name string, do func() error) error, messages int) (*Store, store.Mailbox) {
	b.Helper()
	ctx := context.Background()
	no := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	s, err := Open(Config{Dir: b.TempDir(), Region: "eu-ireland", Sealer: storetest.NewSealer("bench"), step: step})
	no(err)
	b.Cleanup(func() { no(s.Close()) })
	no(s.CreateAccount(ctx, "", store.Account{ID: person, Address: "ann@example.com"}))
	rnd := rand.New(rand.NewPCG(1, 1))
	var work sync.WaitGroup
	for i := range messages {
		text := prose(rnd, i)
		work.Go(func() { deliverBench(b, s, text) })
		if i%64 == 63 {
			work.Wait()
		}
	}
	work.Wait()
	box, err := s.MailboxByName(ctx, person, "INBOX")
	no(err)
	return s, box
}

func deliverBench(b *testing.B, s *Store, text string) {
	in, err := s.Incoming(context.Background(), person, 1<<20)
	if err == nil {
		if _, err = io.WriteString(in, text); err == nil {
			_, err = in.Commit(context.Background(), store.Token("smtp-"+domicile.NewID("")), "INBOX", nil, time.Time{})
		}
	}
	if err != nil {
		b.Error(err)
	}
}

// parallel has so many goroutines do b.N acts between them.
func parallel(b *testing.B, goroutines int, act func(i int)) {
	b.ResetTimer()
	var work sync.WaitGroup
	next := make(chan int, goroutines)
	for range goroutines {
		work.Go(func() {
			for i := range next {
				act(i)
			}
		})
	}
	for i := range b.N {
		next <- i
	}
	close(next)
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acts/s")
}

// BenchmarkCommit takes messages of 10 KB.
func BenchmarkCommit(b *testing.B) {
	rnd := rand.New(rand.NewPCG(2, 2))
	var texts []string
	for i := range 256 {
		texts = append(texts, prose(rnd, i))
	}
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			b.ReportAllocs()
			s, _ := benchStore(b, 0)
			parallel(b, writers, func(i int) { deliverBench(b, s, texts[i%len(texts)]) })
		})
	}
}

// BenchmarkStoreFlags changes the flags of one message.
func BenchmarkStoreFlags(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			b.ReportAllocs()
			s, box := benchStore(b, 1000)
			flagsBench(b, s, box, writers)
		})
	}
}

// BenchmarkSlowFlush does so on a disk whose flush takes 5 ms more.
func BenchmarkSlowFlush(b *testing.B) {
	slow := func(name string, do func() error) error {
		if name == "sync segment" {
			time.Sleep(5 * time.Millisecond)
		}
		return do()
	}
	for _, writers := range []int{1, 2, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			s, box := benchStoreOn(b, slow, 1000)
			flagsBench(b, s, box, writers)
		})
	}
}

func flagsBench(b *testing.B, s *Store, box store.Mailbox, writers int) {
	before := s.Stats()
	parallel(b, writers, func(i int) {
		op := store.FlagsAdd
		if i/1000%2 == 1 {
			op = store.FlagsRemove
		}
		if _, err := s.StoreFlags(context.Background(), "", person, box.ID, []store.UID{store.UID(i%1000 + 1)}, op, []string{store.Seen}, 0); err != nil {
			b.Error(err)
		}
	})
	b.ReportMetric(float64(s.Stats().Flushes-before.Flushes)/b.Elapsed().Seconds(), "flushes/s")
}

// BenchmarkListing lists a mailbox of 10,000 with summaries.
func BenchmarkListing(b *testing.B) {
	const messages = 10_000
	s, box := benchStore(b, messages)
	b.ReportAllocs()
	for b.Loop() {
		n, after := 0, store.UID(0)
		for {
			part, err := s.Listing(context.Background(), person, box.ID, after, 1000)
			if err != nil {
				b.Fatal(err)
			}
			if len(part) == 0 {
				break
			}
			n, after = n+len(part), part[len(part)-1].UID
		}
		if n != messages {
			b.Fatalf("%d messages", n)
		}
	}
	b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkBodies reads all bodies of a mailbox of 10,000, one after the other.
func BenchmarkBodies(b *testing.B) {
	ctx := context.Background()
	s, box := benchStore(b, 10_000)
	size, ids := int64(0), []domicile.MessageID(nil)
	for m, err := range store.AllMessages(ctx, s, person, box.ID) {
		if err != nil {
			b.Fatal(err)
		}
		size, ids = size+m.Size, append(ids, m.ID)
	}
	read := func(b *testing.B, r io.Reader, err error) {
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("each", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			for _, id := range ids {
				r, err := s.Body(ctx, person, id)
				read(b, r, err)
				r.Close()
			}
		}
	})
	b.Run("ahead", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			for r, err := range s.Bodies(ctx, person, ids) {
				read(b, r, err)
			}
		}
	})
}
