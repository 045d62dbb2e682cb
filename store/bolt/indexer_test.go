package bolt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// However many accounts come to have enough mail while the indexer is busy, it sees to each; and of letters that come as one act it counts all.
func TestIndexerSeesToAll(t *testing.T) {
	r := storetest.New(t, open)
	s := r.Store.(*Store)
	s.indexer.turn <- struct{}{} // somebody else makes blocks
	var accounts []domicile.AccountID
	for i := range 80 {
		acct := domicile.AccountID(fmt.Sprintf("a%d", i))
		if err := r.CreateAccount(t.Context(), "", store.Account{ID: acct, Address: domicile.Address(acct + "@example.com")}); err != nil {
			t.Fatal(err)
		}
		letters := r.Letters(acct, slices.Repeat([]string{"Subject: x\r\n\r\ntext\r\n"}, indexLeast)...)
		if _, _, err := r.Commit(t.Context(), "", acct, "INBOX", letters, nil); err != nil {
			t.Fatal(err)
		}
		accounts = append(accounts, acct)
	}
	<-s.indexer.turn
	for end := time.Now().Add(time.Minute); len(accounts) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d accounts are not indexed", len(accounts))
		}
		accounts = slices.DeleteFunc(accounts, func(acct domicile.AccountID) bool {
			left, err := s.unfound(acct, 1)
			return err == nil && len(left) == 0
		})
	}
}

// An account waits once, however much comes of it, and behind those that came before it.
func TestIndexerQueue(t *testing.T) {
	x := newIndexer(func() {})
	for range 10 {
		for _, acct := range []domicile.AccountID{"b", "a", "c"} {
			x.came(acct, indexLeast)
			x.isHurt(acct)
		}
		x.came("few", 1)
	}
	var got []domicile.AccountID
	for acct, ok := x.next(); ok && len(got) < 10; acct, ok = x.next() {
		if got = append(got, acct); len(got) == 1 {
			x.came(acct, indexLeast-1)
			x.came(acct, 1)
		}
	}
	if want := []domicile.AccountID{"b", "a", "c", "b"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// BenchmarkIndex makes a block of messages of 10 KB, as soon as they are enough for one.
func BenchmarkIndex(b *testing.B) {
	const messages = indexLeast
	r := storetest.New(b, open)
	newPerson(r)
	s := r.Store.(*Store)
	s.stopIndexer()
	rnd := rand.New(rand.NewPCG(1, 1))
	words := make([]string, 8000)
	for i := range words {
		for range 1 + rnd.IntN(4) {
			words[i] += string("bcdfghjklmnprstvw"[rnd.IntN(17)]) + string("aeiou"[rnd.IntN(5)]) + []string{"", "", "s"}[rnd.IntN(3)]
		}
	}
	zipf := rand.NewZipf(rnd, 1.1, 3, uint64(len(words)-1))
	for i := range messages {
		var text strings.Builder
		fmt.Fprintf(&text, "Received: from mx%d.example.com (mx%[1]d.example.com [192.0.2.%[1]d])\r\n\tby in.example.com; Mon, 2 Mar 2026 10:00:00 +0000\r\n"+
			"From: Sender %[1]d <s%[1]d@example.com>\r\nTo: ann@example.com\r\nSubject: note %[1]d\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <%[1]d.9876@example.com>\r\n\r\n", i)
		for text.Len() < 10_000 {
			for range 12 {
				text.WriteString(words[zipf.Uint64()] + " ")
			}
			text.WriteString("\r\n")
		}
		r.MustDeliver(person, "INBOX", text.String())
	}
	ids, err := s.unfound(person, messages)
	if err != nil || len(ids) != messages {
		b.Fatal(len(ids), err)
	}
	b.ReportAllocs()
	start := processorTime(b)
	for b.Loop() {
		if err := s.indexSome(b.Context(), person, ids); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-start).Nanoseconds())/1e3/float64(b.N*messages), "cpu-us/message")
}

// processorTime is what the process has used: on a busy machine it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
