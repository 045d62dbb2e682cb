package search_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"domicile/store/search"
)

// A vault keeps sections sealed, as the owner of blocks does: queries pay for opening them.
type vault struct {
	aead     cipher.AEAD
	sections [][]byte
}

func newVault(b *testing.B) *vault {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return &vault{aead: aead}
}

func (v *vault) nonce(i int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), uint64(i))
}

func (v *vault) emit(s []byte) error {
	v.sections = append(v.sections, v.aead.Seal(nil, v.nonce(len(v.sections)), s, nil))
	return nil
}

func (v *vault) read(i int) ([]byte, error) {
	return v.aead.Open(nil, v.nonce(i), v.sections[i], nil)
}

// folded is a message's header and body.
type folded struct{ header, body []byte }

func proseMessages(p *prose, n int) (all []folded) {
	for i := range n {
		h, b := p.message(i)
		all = append(all, folded{h, b})
	}
	return all
}

func buildBlock(b *testing.B, all []folded, from, to int) (*search.Block, *vault) {
	v, builder := newVault(b), search.NewBuilder()
	for i := from; i < to; i++ {
		if err := builder.Doc(fmt.Sprintf("%032x", i)); err != nil {
			b.Fatal(err)
		}
		builder.Text(search.Header, all[i].header)
		builder.Text(search.Body, all[i].body)
	}
	dir, err := builder.Finish(v.emit)
	if err != nil {
		b.Fatal(err)
	}
	block, err := search.Open(dir, v.read)
	if err != nil {
		b.Fatal(err)
	}
	return block, v
}

// reportShare reports a block's bytes, in hundredths of those of the texts.
func reportShare(b *testing.B, v *vault, all []folded) {
	text, index := 0, 0
	for _, m := range all {
		text += len(m.header) + len(m.body)
	}
	for _, s := range v.sections {
		index += len(s)
	}
	b.ReportMetric(100*float64(index)/float64(text), "%text")
}

// cpu returns the processor time that the process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// reportCPU reports the processor time since start for each of n things in each round: on a busy machine it says more than the clock.
func reportCPU(b *testing.B, start time.Duration, n int, unit string) {
	b.ReportMetric(float64((cpu()-start).Nanoseconds())/1e3/float64(b.N*n), "cpu-us/"+unit)
}

func benchmarkBuild(b *testing.B, all []folded) {
	var v *vault
	start := cpu()
	for b.Loop() {
		_, v = buildBlock(b, all, 0, len(all))
	}
	reportCPU(b, start, len(all), "doc")
	reportShare(b, v, all)
}

func BenchmarkBuild(b *testing.B) {
	b.Run("1000", func(b *testing.B) { benchmarkBuild(b, proseMessages(newProse(), 1000)) })
	b.Run("Han1000", func(b *testing.B) { benchmarkBuild(b, proseMessages(newHan(), 1000)) })
	b.Run("Corpus", func(b *testing.B) { benchmarkBuild(b, corpus(b)) })
}

// corpus returns real messages as they are, headers with all trace fields and bodies with all their encodings, ASCII folded.
func corpus(b *testing.B) (all []folded) {
	shared := os.Getenv("DOMICILE_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	err := filepath.WalkDir(filepath.Join(shared, "corpus"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".eml" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		raw = bytes.ToLower(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")))
		header, body, _ := bytes.Cut(raw, []byte("\n\n"))
		all = append(all, folded{header, body})
		return nil
	})
	if err != nil || len(all) == 0 {
		b.Skip("no corpus: ", err)
	}
	return all
}

// BenchmarkMerge makes one block of ten.
func BenchmarkMerge(b *testing.B) {
	all := proseMessages(newProse(), 10000)
	var blocks []*search.Block
	for from := 0; from < len(all); from += 1000 {
		block, _ := buildBlock(b, all, from, from+1000)
		blocks = append(blocks, block)
	}
	var v *vault
	start := cpu()
	for b.Loop() {
		v = newVault(b)
		if _, err := search.Merge(v.emit, blocks, func(string) bool { return false }); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, start, len(all), "doc")
	reportShare(b, v, all)
}

// BenchmarkFind asks 10,000 messages of 102 MB for a text anywhere in them.
func BenchmarkFind(b *testing.B) {
	all := proseMessages(newProse(), 10000)
	block, v := buildBlock(b, all, 0, len(all))
	benchmarkFind(b, block, v, all, map[string]string{"0%": "zanzibarity", "1%": "zanzibarite", "100%": "user1@store.example", "TwoOfMany": "ba",
		"TwoOfNone": "qq", "One": "a", "Phrase1%": "word zanzibarite stands", "Phrase0%": "zanzibarite stood", "Phrase100%": "text/plain; charset"})
}

// BenchmarkFindHan asks 2000 messages of 20 MB in Han characters.
func BenchmarkFindHan(b *testing.B) {
	all := proseMessages(newHan(), 2000)
	block, v := buildBlock(b, all, 0, len(all))
	benchmarkFind(b, block, v, all, map[string]string{"0%": "鬱鬱鬱", "1%": "鬱鬱", "One1%": "鬱", "TwoOfMany": "一丁", "Three": "一丁一"})
}

func benchmarkFind(b *testing.B, block *search.Block, v *vault, all []folded, queries map[string]string) {
	for name, q := range queries {
		b.Run(name, func(b *testing.B) {
			var sure, maybe *search.Set
			start := cpu()
			for b.Loop() {
				var err error
				if sure, maybe, err = block.Find(q, search.Header, search.Body); err != nil {
					b.Fatal(err)
				}
			}
			reportCPU(b, start, 1, "find")
			b.ReportMetric(float64(sure.Len()), "sure")
			b.ReportMetric(float64(maybe.Len()), "maybe")
			reportShare(b, v, all)
		})
	}
}
