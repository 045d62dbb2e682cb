package search

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Sizes at which a section is handed out, before compression. A section goes past one by a word or a list at most.
const (
	idsTarget   = 64 << 10
	wordsTarget = 128 << 10
	listsTarget = 64 << 10
)

// A writer writes a block: start, then for each field its words in ascending order and endField; then dir is whole. Its memory
// is a section of each kind and the directory.
type writer struct {
	emit func(section []byte) error
	zstd *zstd.Encoder
	docs int

	dir    []byte // of what is complete
	chunks []byte // of the field under way
	count  int    // of chunks in it

	words   []byte // a newline, and each word with one behind it
	packed  []byte // these words
	first   []byte // of these words
	lists   []byte
	inLists int    // lists in lists
	handed  []byte // of the chunk: numbers of lists in sections that were emitted
	nHanded int
}

// packer packs the words of all writers: one takes a megabyte to make.
var packer = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(wordsTarget), zstd.WithLowerEncoderMem(true))
})

func newWriter(emit func(section []byte) error) (*writer, error) {
	enc, err := packer()
	if err != nil {
		return nil, err
	}
	return &writer{emit: emit, zstd: enc, words: []byte{'\n'}}, nil
}

// start writes the names of the documents.
func (w *writer) start(docs []string) error {
	w.docs = len(docs)
	w.dir = append(w.dir, version)
	w.dir = binary.AppendUvarint(w.dir, uint64(len(docs)))
	var ids, counts []byte
	sections, n := 0, 0
	for i, doc := range docs {
		ids = binary.AppendUvarint(ids, uint64(len(doc)))
		ids = append(ids, doc...)
		n++
		if len(ids) < idsTarget && i < len(docs)-1 {
			continue
		}
		if err := w.emit(ids); err != nil {
			return err
		}
		counts = binary.AppendUvarint(counts, uint64(n))
		sections++
		ids, n = ids[:0], 0
	}
	w.dir = binary.AppendUvarint(w.dir, uint64(sections))
	w.dir = append(w.dir, counts...)
	return nil
}

// word writes the field's next word and the documents that hold it, at least one.
func (w *writer) word(word []byte, ordinals []uint32) error {
	if len(w.words) == 1 {
		w.first = append(w.first[:0], word...)
	}
	w.words = append(append(w.words, word...), '\n')
	w.lists = appendList(w.lists, ordinals, w.docs)
	w.inLists++
	switch {
	case len(w.words) >= wordsTarget:
		return w.endChunk()
	case len(w.lists) >= listsTarget:
		return w.endLists()
	}
	return nil
}

// endLists hands out the lists.
func (w *writer) endLists() error {
	if w.inLists == 0 {
		return nil
	}
	if err := w.emit(w.lists); err != nil {
		return err
	}
	w.handed = binary.AppendUvarint(w.handed, uint64(w.inLists))
	w.nHanded++
	w.lists, w.inLists = w.lists[:0], 0
	return nil
}

// endChunk hands out the words, behind all their lists.
func (w *writer) endChunk() error {
	if len(w.words) == 1 {
		return nil
	}
	if err := w.endLists(); err != nil {
		return err
	}
	w.packed = w.zstd.EncodeAll(w.words, w.packed[:0])
	if err := w.emit(w.packed); err != nil {
		return err
	}
	w.chunks = binary.AppendUvarint(w.chunks, uint64(len(w.first)))
	w.chunks = append(w.chunks, w.first...)
	w.chunks = binary.AppendUvarint(w.chunks, uint64(w.nHanded))
	w.chunks = append(w.chunks, w.handed...)
	w.count++
	w.words, w.handed, w.nHanded = w.words[:1], w.handed[:0], 0
	return nil
}

// endField ends a field.
func (w *writer) endField() error {
	if err := w.endChunk(); err != nil {
		return err
	}
	w.dir = binary.AppendUvarint(w.dir, uint64(w.count))
	w.dir = append(w.dir, w.chunks...)
	w.chunks, w.count = w.chunks[:0], 0
	return nil
}
