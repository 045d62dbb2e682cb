package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile/tests/harness"
)

const importedMessages = 2000

// BenchmarkImport brings 2,000 messages of 2 to 40 KB, 42 MB, into new accounts of a real node with account import: out of a Maildir, and over IMAP on loopback
// out of the account that has them then.
func BenchmarkImport(b *testing.B) {
	c := harness.New(b, harness.TwoRegions...)
	c.StartAll(b)
	dir := filepath.Join(c.Root, "old")
	if err := os.MkdirAll(filepath.Join(dir, "cur"), 0o700); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range importedMessages {
		var text strings.Builder
		fmt.Fprintf(&text, "From: ann%d@example.org\r\nTo: me@example.com\r\nSubject: about %d\r\nMessage-ID: <%d@example.org>\r\n\r\n", i%50, i, i)
		for size := 2000 + r.IntN(38_000); text.Len() < size; {
			fmt.Fprintf(&text, "word%d of %d and word%d\r\n", r.IntN(5000), i, r.IntN(5000))
		}
		path := filepath.Join(dir, "cur", fmt.Sprintf("%d.M%d.host:2,S", 1600000000+i, i))
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	accounts, last, password := 0, "", ""
	bring := func(from func() []string) func(b *testing.B) {
		return func(b *testing.B) {
			took := time.Duration(0)
			for range b.N {
				b.StopTimer()
				words := from()
				accounts++
				last = fmt.Sprintf("new%d@example.com", accounts)
				password = c.Account(b, ireland, last, "IE")
				b.StartTimer()
				begin := time.Now()
				got := c.Ctl(b, ireland, "operator", nil, append([]string{"account", "import", last}, words...)...)
				if took += time.Since(begin); got.Code != 0 || got.Get("imported") != fmt.Sprint(importedMessages) {
					b.Fatalf("%s", got)
				}
			}
			b.ReportMetric(float64(b.N*importedMessages)/took.Seconds(), "msg/s")
		}
	}
	b.Run("maildir", bring(func() []string { return []string{"--from", "maildir:" + dir} }))
	b.Run("imap", bring(func() []string {
		file := filepath.Join(c.Root, "password")
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		return []string{"--from", "imap://" + last + "@" + c.Home(ireland).IMAP, "--password-file", file}
	}))
}
