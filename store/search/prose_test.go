package search_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A prose is text of invented words with a Zipf distribution, as in the load that peers are measured with.
type prose struct {
	text  []byte
	lines []int // where each line begins
	words []string
	rare  string // in the body of one message in a hundred
}

// newProse makes prose of 8000 words, in lines of up to 72 bytes, with a space between words.
func newProse() *prose {
	rnd := rand.New(rand.NewPCG(1, 7))
	consonants, vowels := "bcdfghjklmnprstvw", "aeiou"
	return writeProse(rnd, 8000, " ", "zanzibarite", func() string {
		var b strings.Builder
		for range 1 + rnd.IntN(4) {
			b.WriteByte(consonants[rnd.IntN(len(consonants))])
			b.WriteByte(vowels[rnd.IntN(len(vowels))])
			if rnd.IntN(3) == 0 {
				b.WriteByte(consonants[rnd.IntN(len(consonants))])
			}
		}
		return b.String()
	})
}

// newHan makes prose of 20,000 words of one to three Han characters, without spaces.
func newHan() *prose {
	rnd := rand.New(rand.NewPCG(1, 7))
	characters := rand.NewZipf(rnd, 1.05, 20, 2999)
	return writeProse(rnd, 20000, "", "鬱鬱", func() string {
		var b strings.Builder
		for range 1 + rnd.IntN(3) {
			b.WriteRune(0x4e00 + rune(characters.Uint64()))
		}
		return b.String()
	})
}

func writeProse(rnd *rand.Rand, words int, between, rare string, invent func() string) *prose {
	p := &prose{lines: []int{0}, rare: rare}
	for seen := map[string]bool{}; len(p.words) < words; {
		if w := invent(); !seen[w] {
			seen[w] = true
			p.words = append(p.words, w)
		}
	}
	z := rand.NewZipf(rnd, 1.1, 3, uint64(words-1))
	for line := 0; len(p.text) < 4<<20; {
		w := p.words[z.Uint64()]
		if line > 0 && line+len(w) > 72 {
			p.text = append(p.text, '\r', '\n')
			p.lines = append(p.lines, len(p.text))
			line = 0
		} else if line > 0 {
			p.text = append(p.text, between...)
		}
		p.text = append(p.text, w...)
		line += len(between) + len(w)
	}
	p.text = append(p.text, '\r', '\n')
	return p
}

// message returns header and body of the message i, folded, of 10 KiB together.
func (p *prose) message(i int) (header, body []byte) {
	rnd := rand.New(rand.NewPCG(1, uint64(i)))
	w := func() string { return p.words[rnd.IntN(len(p.words))] }
	now := fmt.Sprintf("thu, 26 nov 2026 %02d:%02d:%02d +0000", i/3600%24, i/60%60, i%60)
	var h, b bytes.Buffer
	fmt.Fprintf(&h, "received: from mx%d.relay.example (mx%[1]d.relay.example [192.0.2.%d])\r\n\tby in.store.example with esmtps id 187b3c9a%d;\r\n\t%s\r\n", i%7, i%250, i, now)
	fmt.Fprintf(&h, "from: %s %s <bench@bench.example>\r\nto: <user1@store.example>\r\nsubject: %s %s %s\r\ndate: %s\r\n", w(), w(), w(), w(), w(), now)
	fmt.Fprintf(&h, "message-id: <187b3c9a1f2e3d4c.1a2b.%d@bench.example>\r\nuser-agent: mailbench\r\nmime-version: 1.0\r\n", i)
	fmt.Fprintf(&h, "content-type: text/plain; charset=us-ascii\r\ncontent-transfer-encoding: 7bit\r\n")
	if i%100 == 0 {
		fmt.Fprintf(&b, "the word %s stands here\r\n", p.rare)
	}
	for h.Len()+b.Len() < 10<<10 {
		from := rnd.IntN(len(p.lines) - 1)
		to := from + 1
		for to < len(p.lines)-1 && to-from < 64 && p.lines[to]-p.lines[from] < 10<<10-h.Len()-b.Len() {
			to++
		}
		b.Write(p.text[p.lines[from]:p.lines[to]])
	}
	return h.Bytes(), b.Bytes()
}
