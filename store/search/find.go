package search

import "slices"

// Find returns the documents that hold the query in one of the fields. Those in sure do; those in maybe must be verified, on
// the texts as they were given to Builder.Text; all others do not. No document is in both.
//
// The query is folded as the texts were. Found for sure is one of at most 60 bytes of letters, digits and the signs
// . - _ @ +, and one of one or two characters of a script without spaces, or of other signs. Of any other query each word is
// looked for, up to 32 of them, and the documents that hold all are in maybe: all documents, if the query is of spaces
// or not UTF-8. The empty query is in all, for sure. So are documents with more than MaxWords words in maybe, whatever the query.
//
// It opens the sections with words, all of them unless the query shows where each word begins; and of those with lists the
// ones of words that fit. Its memory is a section of each kind, and a bit for each document and word of the query.
func (b *Block) Find(query string, in ...Field) (sure, maybe *Set, err error) {
	sure, maybe = newSet(b.docs), newSet(b.docs)
	if query == "" {
		sure.fill()
		return sure, maybe, nil
	}
	parts, exact := plan([]byte(query))
	if len(parts) == 0 {
		maybe.fill()
		return sure, maybe, nil
	}
	u, err := newUnpacker()
	if err != nil {
		return nil, nil, err
	}
	l := lookup{b: b, unpacker: u, parts: append(parts, newPart("\n", partial, "\n"))}
	for _, f := range in {
		if err := l.look(b.fields[f]); err != nil {
			return nil, nil, err
		}
		all, last := l.parts[0].docs, len(l.parts)-1
		for _, p := range l.parts[1:last] {
			all.cut(p.docs)
		}
		if exact {
			sure.join(all)
		} else {
			maybe.join(all)
		}
		maybe.join(l.parts[last].docs)
	}
	maybe.take(sure)
	return sure, maybe, nil
}

// A lookup looks for the parts of a query in one field after the other.
type lookup struct {
	b        *Block
	unpacker *unpacker
	parts    []part // the last of them partial
}

// look finds the documents of each part in a field.
func (l *lookup) look(chunks []chunk) error {
	for i := range l.parts {
		l.parts[i].docs = newSet(l.b.docs)
	}
	for i := range chunks {
		var next []byte
		if i+1 < len(chunks) {
			next = chunks[i+1].first
		}
		if !slices.ContainsFunc(l.parts, func(p part) bool { return p.mayBeIn(chunks[i].first, next) }) {
			continue
		}
		words, err := l.unpacker.words(l.b, &chunks[i])
		if err != nil {
			return err
		}
		fit := make([][]int, len(l.parts))
		for p := range l.parts {
			if l.parts[p].mayBeIn(chunks[i].first, next) {
				fit[p] = l.parts[p].fitting(words)
			}
		}
		if err := l.addDocs(&chunks[i], fit); err != nil {
			return err
		}
	}
	return nil
}

// addDocs adds to each part the documents of the words of a chunk that fit it, given by number. It reads a section of lists once.
func (l *lookup) addDocs(c *chunk, fit [][]int) error {
	base := 0
	for s, n := range c.lists {
		var lists []byte
		for i := range l.parts {
			here, _ := slices.BinarySearch(fit[i], base+n)
			numbers := fit[i][:here]
			fit[i] = fit[i][here:]
			if here == 0 || l.parts[i].docs.full() {
				continue
			}
			if lists == nil {
				var err error
				if lists, err = l.b.section(c.sections + s); err != nil {
					return err
				}
			}
			if err := l.parts[i].docs.addLists(lists, base, numbers); err != nil {
				return err
			}
		}
		base += n
	}
	if slices.ContainsFunc(fit, func(rest []int) bool { return len(rest) > 0 }) {
		return damaged("a word has no list of documents")
	}
	return nil
}
