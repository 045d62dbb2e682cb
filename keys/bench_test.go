package keys

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"domicile"
)

// benchRing makes a ring of n accounts, without an fsync for each.
func benchRing(b *testing.B, n int) (*Ring, []domicile.AccountID) {
	b.Helper()
	dir := b.TempDir()
	if err := CreateRoot(filepath.Join(dir, "etc.key")); err != nil {
		b.Fatal(err)
	}
	data := filepath.Join(b.TempDir(), "data")
	if err := makeDir(data); err != nil {
		b.Fatal(err)
	}
	s, err := LoadSecret(filepath.Join(dir, "etc.key"), data)
	if err != nil {
		b.Fatal(err)
	}
	r, err := OpenRing(s, filepath.Join(data, ringName))
	if err != nil {
		b.Fatal(err)
	}
	if err := r.CreateAccountKey("first"); err != nil {
		b.Fatal(err)
	}
	ids := make([]domicile.AccountID, n)
	for i := range ids {
		ids[i] = domicile.AccountID(fmt.Sprintf("a%025d", i))
		rec, err := record(r.wrap, ids[i], make([]byte, keySize))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.book.file.WriteAt(rec, int64(i+2)*slot); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
	if r, err = OpenRing(s, filepath.Join(data, ringName)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	return r, ids
}

func BenchmarkOpenRing(b *testing.B) {
	r, _ := benchRing(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		again, err := OpenRing(r.secret, r.dir)
		if err != nil {
			b.Fatal(err)
		}
		again.Close()
	}
}

func BenchmarkCreate(b *testing.B) {
	r, _ := benchRing(b, 1000)
	i := 0
	for b.Loop() {
		i++
		if err := r.CreateAccountKey(domicile.AccountID(fmt.Sprintf("b%d", i))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDestroy erases one account, and a hundred at once, of 100,000.
func BenchmarkDestroy(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r, ids := benchRing(b, 100_000)
			b.ReportAllocs()
			for b.Loop() {
				if err := r.DestroyAccountKeys(ids[:n]...); err != nil {
					b.Fatal(err)
				}
				ids = ids[n:]
			}
		})
	}
}

// BenchmarkRecord seals and opens a record of 300 bytes: of one account, and of 1,000 and 100,000 in turn.
func BenchmarkRecord(b *testing.B) {
	for _, accounts := range []int{1, 1000, 100_000} {
		r, ids := benchRing(b, accounts)
		plain, place := make([]byte, 300), []byte("a place of a record in an index")
		b.Run(fmt.Sprintf("seal/%d", accounts), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := r.SealRecord(ids[i%len(ids)], plain, place); err != nil {
					b.Fatal(err)
				}
			}
		})
		sealed, err := r.SealRecord(ids[0], plain, place)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("open/%d", accounts), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.OpenRecord(ids[0], sealed, place); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	r, ids := benchRing(b, 1000)
	b.Run("parallel", func(b *testing.B) {
		var at atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.SealRecord(ids[at.Add(1)%1000], make([]byte, 300), nil); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkDigest(b *testing.B) {
	r, _ := benchRing(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		r.Digest("token", "a00000000000000000000000001", "0f36d76320ff71e1")
	}
}
