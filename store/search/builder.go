package search

import (
	"errors"
	"fmt"
)

// Limits of a block.
const (
	MaxDocs  = 1 << 16 // documents
	MaxID    = 255     // bytes of a document's name
	MaxWords = 1 << 17 // different words of one document in one field; one with more is a candidate of every query
)

// ErrFull says that a block would have more than MaxDocs documents.
var ErrFull = errors.New("search: a block holds no more documents")

// A Field is a part of a document that is searched apart from the rest.
type Field int

const (
	Header Field = iota
	Body
	fields int = iota
)

// partial is in the place of a word in the lists of documents that have more words than MaxWords. No text has it as a word.
const partial = "\x00"

// A Builder makes a block of documents, in memory. It is not safe for concurrent use.
type Builder struct {
	docs  []string
	vocab [fields]vocabulary
}

// A vocabulary has the words of one field, and which documents hold them.
type vocabulary struct {
	lexicon
	log    []uint32 // numbers of the words of the first document, of the second, and so on
	begins []int    // by document: where its part of log begins
}

// NewBuilder returns a Builder without documents.
func NewBuilder() *Builder {
	b := new(Builder)
	for i := range b.vocab {
		b.vocab[i].lexicon = newLexicon()
	}
	return b
}

// Doc begins a document: what Text is given until the next call is its text. The name is what Block.Docs gives back.
// The first document has the ordinal 0, and so on.
func (b *Builder) Doc(name string) error {
	if len(name) == 0 || len(name) > MaxID {
		return fmt.Errorf("search: a document's name has %d bytes", len(name))
	}
	if len(b.docs) == MaxDocs {
		return ErrFull
	}
	b.docs = append(b.docs, name)
	for i := range b.vocab {
		v := &b.vocab[i]
		v.begins = append(v.begins, len(v.log))
	}
	return nil
}

// Text adds text, folded as queries will be, to a field of the document that Doc began. Nothing is found across two calls.
// The text is not kept.
func (b *Builder) Text(f Field, text []byte) {
	v := &b.vocab[f]
	for at := 0; at < len(text); {
		c, from, to := nextRun(text, at)
		if c == letter && to-from <= maxWord { // most are
			v.add(text[from:to])
		} else if c != space {
			eachWord(c, text[from:to], v.add)
		}
		at = to
	}
}

// add adds a word of the newest document.
func (v *vocabulary) add(text []byte) {
	s, k := v.find(text)
	doc := uint32(len(v.begins))
	if s.number > 0 && s.seen == doc {
		return
	}
	switch have := len(v.log) - v.begins[doc-1]; {
	case have > MaxWords:
		return
	case have == MaxWords && string(text) != partial:
		v.add([]byte(partial))
		return
	}
	if s.number == 0 {
		v.put(s, k, text)
	}
	s.seen = doc
	v.log = append(v.log, s.number-1)
	v.makeRoom()
}

// Size returns about how many bytes of memory the Builder has taken, so that its owner can finish it in time.
func (b *Builder) Size() int {
	size := 32 * len(b.docs)
	for i := range b.vocab {
		v := &b.vocab[i]
		size += v.size() + 4*cap(v.log)
	}
	return size
}

// Finish hands the block's sections to emit, from number 0 on, and returns its directory. The bytes that emit is given are
// overwritten when it has returned. An error is emit's. The Builder is of no use afterwards.
func (b *Builder) Finish(emit func(section []byte) error) (directory []byte, err error) {
	w, err := newWriter(emit)
	if err != nil {
		return nil, err
	}
	if err := w.start(b.docs); err != nil {
		return nil, err
	}
	for i := range b.vocab {
		if err := b.vocab[i].write(w); err != nil {
			return nil, err
		}
	}
	return w.dir, nil
}

// write writes the vocabulary as the next field.
func (v *vocabulary) write(w *writer) error {
	docs, ends := v.invert()
	for _, n := range v.sorted() {
		from := uint32(0)
		if n > 0 {
			from = ends[n-1]
		}
		if err := w.word(v.word(n), docs[from:ends[n]]); err != nil {
			return err
		}
	}
	return w.endField()
}

// invert returns the ordinals of the documents of the first word, of the second, and so on, and by word where its part ends.
func (v *vocabulary) invert() (docs, ends []uint32) {
	docs, ends = make([]uint32, len(v.log)), make([]uint32, len(v.words))
	for _, n := range v.log {
		ends[n]++
	}
	sum := uint32(0)
	for n, count := range ends { // until docs is filled, ends holds where a part begins
		ends[n], sum = sum, sum+count
	}
	for doc, from := range v.begins {
		to := len(v.log)
		if doc+1 < len(v.begins) {
			to = v.begins[doc+1]
		}
		for _, n := range v.log[from:to] {
			docs[ends[n]] = uint32(doc)
			ends[n]++
		}
	}
	return docs, ends
}
