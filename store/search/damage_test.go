package search_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"domicile/store/search"
)

// magic begins a zstd frame, and so the words of a chunk.
var magic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// pack makes one string of sections: each is its length in two bytes, a byte that says whether it is to be compressed, and its bytes. So a fuzzer
// reaches the words beneath the compression.
func pack(t rapid.TB, sections [][]byte) (all []byte) {
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for _, s := range sections {
		kind := byte(0)
		if bytes.HasPrefix(s, magic) {
			if s, err = dec.DecodeAll(s, nil); err != nil {
				t.Fatal(err)
			}
			kind = 1
		}
		all = binary.BigEndian.AppendUint16(all, uint16(len(s)))
		all = append(append(all, kind), s...)
	}
	return all
}

func compress(t testing.TB, words []byte) []byte {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(words, nil)
}

func unpack(t testing.TB, all []byte) (sections [][]byte) {
	for len(all) >= 3 {
		n, kind := int(binary.BigEndian.Uint16(all)), all[2]
		all = all[3:]
		s := all[:min(n, len(all))]
		all = all[len(s):]
		if kind == 1 {
			s = compress(t, s)
		}
		sections = append(sections, s)
	}
	return sections
}

var errNoSection = errors.New("no such section")

// FuzzBlock gives a block any bytes for its directory and sections. What can be merged must be whole afterwards.
func FuzzBlock(f *testing.F) {
	few := []doc{
		{name: "one", texts: [2][]string{{"from: anna@example.com"}, {"we meet at ten", "会议在东京"}}},
		{name: "two", texts: [2][]string{{"from: bob@example.com"}, {"we do not meet"}}},
	}
	many := slices.Repeat(few, 20)
	for _, docs := range [][]doc{nil, few[:1], few, many} {
		_, s := build(f, docs...)
		f.Add(s.dir, pack(f, s.sections), "meet at")
	}
	f.Fuzz(func(t *testing.T, dir, raw []byte, query string) {
		sections := unpack(t, raw)
		read := func(i int) ([]byte, error) {
			if i < 0 || i >= len(sections) {
				return nil, errNoSection
			}
			return sections[i], nil
		}
		known := func(err error) bool {
			return err == nil || errors.Is(err, search.ErrDamaged) || errors.Is(err, search.ErrVersion) || errors.Is(err, errNoSection)
		}
		b, err := search.Open(dir, read)
		if !known(err) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		for _, q := range []string{query, "meet", " at ", "会议在"} {
			if err := find(t, b, q); !known(err) {
				t.Fatal(err)
			}
		}
		s := new(shelf)
		merged, err := search.Merge(s.emit, []*search.Block{b, b}, func(doc string) bool { return doc == "two" })
		if !known(err) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		whole := open(t, s, merged, nil)
		if names, err := whole.Docs(); err != nil || len(names) != whole.Len() {
			t.Fatal(err, len(names))
		}
		if err := find(t, whole, query); err != nil {
			t.Fatal(err)
		}
	})
}

// find wants an answer to be of documents that the block has.
func find(t *testing.T, b *search.Block, query string) error {
	sure, maybe, err := b.Find(query, both...)
	if err != nil {
		return err
	}
	for _, s := range []*search.Set{sure, maybe} {
		for doc := range s.All() {
			if doc >= b.Len() {
				t.Fatalf("document %d of %d", doc, b.Len())
			}
		}
	}
	return nil
}

// TestDamage cuts and alters a block at every byte: it never does worse than to answer wrongly, and tells of sections and directories that are cut short.
func TestDamage(t *testing.T) {
	_, s := build(t, doc{name: "one", texts: [2][]string{{"from: anna"}, {"we meet at ten"}}}, doc{name: "two", texts: [2][]string{{}, {"we do not"}}})
	all := func() (err error) {
		b, err := search.Open(s.dir, s.read)
		if err == nil {
			_, err = search.Merge(new(shelf).emit, []*search.Block{b}, func(string) bool { return false })
			if err2 := find(t, b, "a"); err2 != nil && !errors.Is(err2, search.ErrDamaged) {
				t.Error(err2)
			}
		}
		return err
	}
	if err := all(); err != nil {
		t.Fatal(err)
	}
	for _, part := range append([]*[]byte{&s.dir}, pointers(s.sections)...) {
		whole := *part
		for n := range whole {
			*part = whole[:n]
			if err := all(); !errors.Is(err, search.ErrDamaged) {
				t.Errorf("cut at %d of %d: %v", n, len(whole), err)
			}
			*part = bytes.Clone(whole)
			for bit := range 8 {
				(*part)[n] ^= 1 << bit
				if err := all(); err != nil && !errors.Is(err, search.ErrDamaged) && !errors.Is(err, search.ErrVersion) {
					t.Errorf("bit %d of byte %d: %v", bit, n, err)
				}
				(*part)[n] ^= 1 << bit
			}
		}
		*part = whole
	}
	s.dir = append([]byte{2}, s.dir[1:]...)
	if err := all(); !errors.Is(err, search.ErrVersion) {
		t.Error(err)
	}
}

// TestMadeUp gives a block sections that no writer makes and no single altered byte makes either.
func TestMadeUp(t *testing.T) {
	_, s := build(t, doc{name: "one", texts: [2][]string{{}, {"ann bob"}}}, doc{name: "two", texts: [2][]string{{}, {"bob"}}})
	const words = "\nann\nbob\n"
	if got := string(pack(t, s.sections[2:])[3:]); got != words {
		t.Fatalf("words %q", got)
	}
	for name, sections := range map[string][][]byte{
		"disorder":          {[]byte("\nbob\nann\n")},
		"a word twice":      {[]byte("\nann\nann\n")},
		"a word too few":    {[]byte("\nbob\n")},
		"a word too many":   {[]byte("\nann\nbob\ncarl\n")},
		"an empty word":     {[]byte("\n\nbob\n")},
		"no end":            {[]byte("\nann\nbob")},
		"no beginning":      {[]byte("ann\nbob\n")},
		"too long a word":   {[]byte("\nann\n" + strings.Repeat("b", 129) + "\n")},
		"nothing":           {{}},
		"bytes behind":      {[]byte(words), {1, 1, 1, 3, 0}},
		"no such document":  {[]byte(words), {1, 1, 1, 0b100}},
		"no such lists":     {[]byte(words), {1, 1}},
		"an empty section":  {[]byte(words), {}},
		"a list of the sky": {[]byte(words), {1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}},
	} {
		made := slices.Clone(s.sections)
		made[2] = compress(t, sections[0])
		if len(sections) > 1 {
			made[1] = sections[1]
		}
		b := open(t, &shelf{sections: made}, s.dir, nil)
		_, err := search.Merge(new(shelf).emit, []*search.Block{b}, func(string) bool { return false })
		if !errors.Is(err, search.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if err := find(t, b, "b"); err != nil && !errors.Is(err, search.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBounded wants what is far too long to be refused before memory is taken for it.
func TestBounded(t *testing.T) {
	_, s := build(t, doc{name: "one", texts: [2][]string{{}, {"ann bob"}}})
	bomb := compress(t, make([]byte, 64<<20))
	b := open(t, &shelf{sections: [][]byte{s.sections[0], s.sections[1], bomb}}, s.dir, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := find(t, b, "ann")
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, search.ErrDamaged) || n > 8<<20 {
		t.Errorf("%v, %d bytes were allocated", err, n)
	}
	if _, err := search.Open(append([]byte{1}, bytes.Repeat([]byte{0xff}, 1<<20)...), nil); !errors.Is(err, search.ErrDamaged) {
		t.Error(err)
	}
}

func pointers(sections [][]byte) (all []*[]byte) {
	for i := range sections {
		all = append(all, &sections[i])
	}
	return all
}

// TestErrorsOfOthers wants what emit and read fail with to come through.
func TestErrorsOfOthers(t *testing.T) {
	docs := []doc{{name: "one", texts: [2][]string{{"from: anna"}, {"we meet at ten"}}}}
	whole, s := build(t, docs...)
	for fail := range s.sections {
		n := 0
		emit := func([]byte) error {
			if n++; n > fail {
				return errNoSection
			}
			return nil
		}
		if _, err := search.Merge(emit, []*search.Block{whole}, func(string) bool { return false }); !errors.Is(err, errNoSection) {
			t.Errorf("emit of section %d: %v", fail, err)
		}
		b, err := search.Open(s.dir, func(i int) ([]byte, error) {
			if i == fail {
				return nil, errNoSection
			}
			return s.read(i)
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err1 := b.Docs()
		_, _, err2 := b.Find("ten", search.Body)
		_, err3 := search.Merge(new(shelf).emit, []*search.Block{b}, func(string) bool { return false })
		if !errors.Is(err3, errNoSection) || (fail == 0) != errors.Is(err1, errNoSection) || (fail > 2) != errors.Is(err2, errNoSection) {
			t.Errorf("read of section %d: %v, %v, %v", fail, err1, err2, err3)
		}
	}
}
