// Package search is the index behind SEARCH: which messages hold a text, by exact substrings, over texts that are folded already (case,
// accents, HTML: whatever their owner does to texts and queries alike). It knows no store and no keys: it makes bytes, and reads
// them back through a function.
//
//	b := search.NewBuilder()
//	err := b.Doc(id)                      // ordinal 0
//	b.Text(search.Header, foldedHeader)
//	b.Text(search.Body, foldedBody)
//	directory, err := b.Finish(emit)      // emit seals and keeps section 0, 1, 2, …
//
//	block, err := search.Open(directory, read) // read opens a section again
//	sure, maybe, err := block.Find("anna@example.com", search.Header, search.Body)
//
// # Blocks
//
// A block indexes up to MaxDocs documents and never changes. Its owner gathers new documents in small blocks and makes one of
// several with Merge, which also leaves out what was expunged; documents that are in no block yet the owner scans. A merge
// takes a few microseconds a document, and a query of one large block less than that of many small ones.
//
// # Words, not n-grams
//
// A text is parted into words: runs of letters, digits and the signs . - _ @ +, so that an address or a file name is one word. A
// block has the sorted words of all documents, and for each the documents that hold it. A query of such characters lies within
// words wherever it occurs: the words that hold it are found by going through all words, which are far fewer bytes than the
// texts, and the union of their documents is the answer. There is nothing to verify, at any number of hits. Of a trigram index
// all that it finds must be read, and it is larger: mail of 10 KB has some four times as many different trigrams as words.
//
// Scripts that put no spaces between words, and punctuation, are indexed by every two neighbouring characters. Of a query of
// several words each is looked for, with its ends where the query shows them: "ing down" finds documents with a word that ends
// in "ing" and one that begins with "down", and they must be verified.
//
// What repeats nothing costs most: encoded bytes within a text make an index about as large as they are compressed.
//
// # Secrecy
//
// A block can be read by whoever has its bytes. Its owner seals the directory and each section before they are written, and binds
// each to the block and its number, so that sections cannot be exchanged. Then nothing is told but how many sections there are,
// and their sizes. Words are compressed before they are sealed, so the size of a section tells how much its words, some
// ten thousand, have in common.
//
// # Hostile bytes
//
// Whatever directory and sections hold, nothing panics, and memory is bounded by the size of the directory and of one section of
// each kind a block: the answer is ErrDamaged, or wrong. That sections are those that were written is for the seal to say.
//
// # The bytes
//
// docs/FORMATS.md, "Search blocks", has them in full. A directory counts documents and, for each field, names the chunks of its
// words: the first word of each, so that a query opens no more than it needs, and how many lists of documents each section
// has. The words of a chunk are one section, its lists others, so that a query opens lists only of words that fit. A list is a
// bit for each document, or distances as varints: whichever is shorter.
//
// Which characters make words (words.go) is part of the format: what was indexed must be parted as queries are. A change
// needs a new version.
package search
