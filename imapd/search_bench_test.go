package imapd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile/store"
)

// benchMailbox has n messages of about size bytes: invented words with a Zipf distribution, one in a hundred with a rare one, threads of
// ten, and flags on two of three.
func benchMailbox(b *testing.B, n, size int) *client {
	w := newWorld(b)
	if err := w.store.UpdateAccount(context.Background(), ann, func(a *store.Account) error { a.Quota = 0; return nil }); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	zipf := rand.NewZipf(r, 1.2, 4, 40_000)
	var puts sync.WaitGroup
	work := make(chan string)
	for range 16 {
		puts.Go(func() {
			for raw := range work {
				var flags []string
				if len(raw)%3 > 0 {
					flags = []string{store.Seen}
				}
				w.put("INBOX", raw, flags...)
			}
		})
	}
	for i := range n {
		var m strings.Builder
		fmt.Fprintf(&m, "From: Sender %d <s%d@example.com>\r\nTo: ann@example.com\r\nSubject: Re: note %d on things\r\nDate: %s\r\nMessage-ID: <%d@example.com>\r\n", i%97, i%97, i/10,
			time.Unix(1_700_000_000+int64(i*7919%n)*60, 0).UTC().Format(time.RFC1123Z), i)
		if i%10 > 0 {
			fmt.Fprintf(&m, "References: <%d@example.com> <%d@example.com>\r\n", i/10*10, i-1)
		}
		m.WriteString("\r\n")
		if i%100 == 7 {
			m.WriteString("zanzibarite ")
		}
		for m.Len() < size {
			for range 10 {
				k := zipf.Uint64()
				for range 2 + k%3 {
					m.WriteByte("bcdfghklmnprstvz"[k%16])
					m.WriteByte("aeiou"[k/16%5])
					k = k*7 + 3
				}
				m.WriteByte(' ')
			}
			m.WriteString("\r\n")
		}
		work <- m.String()
	}
	close(work)
	puts.Wait()
	c := w.login()
	c.SetDeadline(time.Now().Add(20 * time.Minute))
	c.do("b SELECT INBOX", "b OK")
	c.do("c SEARCH TEXT warm", "c OK") // has all messages indexed
	return c
}

// BenchmarkSearch searches, sorts and threads 10,000 messages of 10 KB, as a client sees it, warm.
func BenchmarkSearch(b *testing.B) { benchSearch(b, 10_000, 10_000) }

// BenchmarkSearchLarge does so in a mailbox of 200,000 short messages.
func BenchmarkSearchLarge(b *testing.B) {
	if testing.Short() {
		b.Skip("takes a minute to fill")
	}
	benchSearch(b, 200_000, 300)
}

func benchSearch(b *testing.B, n, size int) {
	c := benchMailbox(b, n, size)
	for _, q := range []struct{ name, command string }{
		{"all", "SEARCH ALL"}, {"all-count", "SEARCH RETURN (COUNT) ALL"}, {"unseen", "SEARCH UNSEEN"}, {"undeleted", "UID SEARCH RETURN (ALL) UNDELETED"}, {"unseen-of-last", "SEARCH *,1 UNSEEN"},
		{"subject-one", fmt.Sprintf("SEARCH SUBJECT \"note %d on\"", n/20)}, {"from-1pct", "SEARCH FROM s13@"}, {"text-1pct", "SEARCH TEXT zanzibarite"}, {"text-none", "SEARCH TEXT qqqqqq"},
		{"sentsince", "SEARCH SENTSINCE 16-Nov-2023"}, {"sort-arrival", "SORT (ARRIVAL) UTF-8 ALL"}, {"sort-date", "SORT (DATE) UTF-8 ALL"}, {"sort-subject", "SORT (SUBJECT) UTF-8 ALL"},
		{"thread-references", "THREAD REFERENCES UTF-8 ALL"}, {"thread-orderedsubject", "THREAD ORDEREDSUBJECT UTF-8 ALL"},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.do("x "+q.command, "x OK")
			}
		})
	}
}
