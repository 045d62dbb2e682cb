package bolt

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"domicile/store"
	"domicile/store/storetest"
)

// prose is 10 KB of invented words with a Zipf distribution, one in a hundred of which holds zanzibarite.
func prose(r *rand.Rand, i int) string {
	var b strings.Builder
	subject := fmt.Sprintf("note %d", i)
	if i%50 == 0 {
		subject += " quarterlyish"
	}
	fmt.Fprintf(&b, "From: Sender %d <s%d@example.com>\r\nTo: ann@example.com\r\nSubject: %s\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <%d@example.com>\r\n\r\n", i%97, i%97, subject, i)
	z := rand.NewZipf(r, 1.2, 4, 40_000)
	for line := 0; b.Len() < 10_000; line++ {
		for range 10 {
			n := z.Uint64()
			for range 2 + n%3 {
				b.WriteByte("bcdfghklmnprstvz"[n%16])
				b.WriteByte("aeiou"[n/16%5])
				n = n*7 + 3
			}
			b.WriteByte(' ')
		}
		if i%100 == 7 && line == 5 {
			b.WriteString("zanzibarite ")
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// BenchmarkFind searches a mailbox of 10,000 messages of 10 KB, warm.
func BenchmarkFind(b *testing.B) {
	r := storetest.New(b, open)
	newPerson(r)
	s := r.Store.(*Store)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 10_000 {
		r.MustDeliver(person, "INBOX", prose(rnd, i))
	}
	if err := s.indexAccount(context.Background(), person, 1); err != nil {
		b.Fatal(err)
	}
	box := r.Box(person, "INBOX").ID
	for _, q := range []struct {
		name, field, needle string
		in                  store.Where
	}{{"text-1pct", "", "zanzibarite", store.InText}, {"text-part", "", "anzibari", store.InText}, {"text-none", "", "qqqqqq", store.InText}, {"text-all", "", "example", store.InText},
		{"text-two", "", "ba", store.InText}, {"body-phrase", "", "zanzibarite ba", store.InBody}, {"subject-2pct", "Subject", "quarterlyish", store.InHeader}, {"from-1pct", "From", "s13@", store.InHeader}} {
		b.Run(q.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				uids, err := s.Find(context.Background(), person, box, q.in, q.field, q.needle)
				if err != nil {
					b.Fatal(err)
				}
				n = len(uids)
			}
			b.ReportMetric(float64(n), "hits")
		})
	}
	var size int64
	filepath.Walk(r.At.Dir, func(_ string, i os.FileInfo, _ error) error { size += i.Size(); return nil })
	b.Logf("folder %d MB; alive %d MB", size>>20, aliveBytes(b, s)>>20)
}

func aliveBytes(b testing.TB, s *Store) (sum int64) {
	s.view(func(tx *txn) error {
		return tx.root(bSegments).ForEach(func(_, v []byte) error { sum += int64(readNumber(v)); return nil })
	})
	return sum
}
