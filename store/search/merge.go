package search

import (
	"bytes"
	"math/bits"
)

// Merge makes one block of the documents of several, but for those that drop is true of, and hands it out as Builder.Finish
// does: it is the block that a Builder would make of them. Documents stay in order; drop is called once for each in that
// order, before anything is emitted. A document that is in two blocks is in the new one twice, unless drop remembers it.
// Merge of one block takes documents out of it.
//
// It reads each section once, and holds the names of all documents, and of each block a section of words and one of lists.
// Errors are ErrFull, ErrDamaged, and those of reading and emit.
func Merge(emit func(section []byte) error, blocks []*Block, drop func(doc string) bool) (directory []byte, err error) {
	w, err := newWriter(emit)
	if err != nil {
		return nil, err
	}
	docs, places, err := keep(blocks, drop)
	if err != nil {
		return nil, err
	}
	if err := w.start(docs); err != nil {
		return nil, err
	}
	for f := range fields {
		var cursors []*cursor
		for i, b := range blocks {
			u, err := newUnpacker()
			if err != nil {
				return nil, err
			}
			cursors = append(cursors, &cursor{b: b, left: b.fields[f], unpacker: u, places: places[i]})
		}
		if err := mergeField(w, cursors); err != nil {
			return nil, err
		}
	}
	return w.dir, nil
}

// gone is the place of a document that is dropped.
const gone = ^uint32(0)

// keep returns the documents that stay, and by block and ordinal their places among them.
func keep(blocks []*Block, drop func(doc string) bool) (docs []string, places [][]uint32, err error) {
	for _, b := range blocks {
		names, err := b.Docs()
		if err != nil {
			return nil, nil, err
		}
		to := make([]uint32, len(names))
		for i, name := range names {
			if drop(name) {
				to[i] = gone
				continue
			}
			to[i] = uint32(len(docs))
			docs = append(docs, name)
		}
		if len(docs) > MaxDocs {
			return nil, nil, ErrFull
		}
		places = append(places, to)
	}
	return docs, places, nil
}

// mergeField writes the words of all cursors, which are at the beginning of a field.
func mergeField(w *writer, cursors []*cursor) error {
	for _, c := range cursors {
		if err := c.next(); err != nil {
			return err
		}
	}
	var word []byte
	var ordinals []uint32
	for {
		var least *cursor
		for _, c := range cursors {
			if c.word != nil && (least == nil || bytes.Compare(c.word, least.word) < 0) {
				least = c
			}
		}
		if least == nil {
			return w.endField()
		}
		if word != nil && bytes.Compare(least.word, word) <= 0 {
			return damaged("words out of order")
		}
		word, ordinals = append(word[:0], least.word...), ordinals[:0]
		for _, c := range cursors { // in the order of the blocks, which is that of the places
			if c.word == nil || !bytes.Equal(c.word, word) {
				continue
			}
			var err error
			if ordinals, err = c.appendPlaces(ordinals); err != nil {
				return err
			}
			if err := c.next(); err != nil {
				return err
			}
		}
		if len(ordinals) == 0 {
			continue
		}
		if err := w.word(word, ordinals); err != nil {
			return err
		}
	}
}

// A cursor goes through the words of a field.
type cursor struct {
	b        *Block
	left     []chunk // chunks that are not open
	unpacker *unpacker
	places   []uint32

	word []byte // nil at the end
	list []byte // of word

	open    chunk  // its words and lists are below
	words   []byte // behind word
	section int    // of open.lists that comes next
	lists   []byte // behind list
	nLists  int    // in lists
}

// next goes to the next word.
func (c *cursor) next() error {
	for len(c.words) == 0 {
		if len(c.lists) > 0 || c.nLists > 0 || c.section < len(c.open.lists) {
			return damaged("a list of documents has no word")
		}
		if len(c.left) == 0 {
			c.word = nil
			return nil
		}
		c.open, c.left, c.section = c.left[0], c.left[1:], 0
		words, err := c.unpacker.words(c.b, &c.open)
		if err != nil {
			return err
		}
		c.words = words[1:]
	}
	end := bytes.IndexByte(c.words, '\n')
	word := c.words[:end]
	if len(word) == 0 || len(word) > maxWord {
		return damaged("a word is empty or too long")
	}
	c.word, c.words = word, c.words[end+1:]
	return c.nextList()
}

// nextList goes to the list of word.
func (c *cursor) nextList() (err error) {
	for c.nLists == 0 {
		if len(c.lists) > 0 || c.section == len(c.open.lists) {
			return damaged("a word has no list of documents, or a list no word")
		}
		if c.lists, err = c.b.section(c.open.sections + c.section); err != nil {
			return err
		}
		c.nLists = c.open.lists[c.section]
		c.section++
	}
	c.nLists--
	c.list, c.lists, err = nextList(c.lists)
	return err
}

// appendPlaces appends the places of the documents that hold word and stay.
func (c *cursor) appendPlaces(to []uint32) ([]uint32, error) {
	add := func(doc int) {
		if p := c.places[doc]; p != gone {
			to = append(to, p)
		}
	}
	if len(c.list) != bitmapLen(len(c.places)) {
		err := eachGap(c.list, len(c.places), add)
		return to, err
	}
	for i, b := range c.list {
		for ; b != 0; b &= b - 1 {
			doc := i*8 + bits.TrailingZeros8(b)
			if doc >= len(c.places) {
				return nil, damaged("a list names a document that the block does not have")
			}
			add(doc)
		}
	}
	return to, nil
}
