// Package search is the index behind SEARCH: which messages hold a text, by exact substrings, over texts that are folded already
// (case, accents, HTML: what the owner of the texts does to them, and to queries alike). It knows no store and no keys: it makes bytes, and
// reads them back through a function.
//
//	b := search.NewBuilder()
//	b.Doc(id)                             // ordinal 0
//	b.Text(search.Header, foldedHeader)
//	b.Text(search.Body, foldedBody)
//	directory, err := b.Finish(emit)      // emit seals and keeps section 0, 1, 2, …
//
//	block, err := search.Open(directory, read) // read opens a section again
//	sure, maybe, err := block.Find("anna@example.com", search.Header, search.Body)
//
// # Blocks
//
// A block indexes up to MaxDocs documents and never changes. Its owner gathers new documents in small blocks and makes one of several with
// Merge, which also leaves out what was expunged; documents that are in no block yet the owner scans. A merge costs a
// few microseconds a document, and queries cost less in one large block than in many small ones.
//
// # Words, not n-grams
//
// A text is parted into words: runs of letters, digits and the signs . - _ @ +, so that an address or a file name is one word. A block has the
// sorted words of all documents, and for each the documents that hold it. A query without spaces lies within words, wherever it occurs: the words that hold
// it are found by going through all words (far fewer bytes than the texts), and the union of their documents is the answer, nothing
// to verify, at any number of hits. Trigrams would need several times the space, since a text has more different trigrams than words; and every document
// found would have to be read.
//
// Scripts that put no spaces between words, and punctuation, are indexed by every two neighbouring characters. Of a query of several words
// each word is looked for, with its ends where the query shows them: "ing down" finds documents with a word that ends in
// "ing" and one that begins with "down", and they must be verified.
//
// Words are longer than n-grams, so a text without repetition (encoded attachments that somebody pasted) makes an index about as large as it is compressed.
//
// # Secrecy
//
// A block can be read by whoever has its bytes. Its owner seals the directory and each section before they are written, and binds each to the
// block and its number, so that sections cannot be exchanged. Then nothing is told but the number of sections and their sizes. Words are compressed before
// they are sealed: their sizes tell how much they have in common, of a whole section and not of single words.
//
// # Hostile bytes
//
// Whatever directory and sections hold, nothing panics, and memory is bounded by the size of the directory and one section of each kind a block:
// the answer is ErrDamaged, or wrong. That sections are those that were written is for the seal to say.
//
// # The bytes
//
// Numbers are varints (encoding/binary). The directory:
//
//	version                1 byte, now 1; a greater one is ErrVersion
//	documents              number
//	sections of names      number; then for each the number of documents in it
//	for each field         chunks, number; then for each chunk
//	  first word           length, bytes
//	  sections of lists    number; then for each the number of lists in it
//
// Sections are counted from 0: those of names, then those of the chunks in order, of each chunk its lists and then its words.
//
//	names   of each document its length and its bytes, by ordinal; sections end at 64 KiB
//	lists   of each word the list of the documents that hold it, as its length in bytes and its bytes; sections end at 64 KiB
//	words   one zstd frame: a newline, and each word with a newline behind it, ascending by bytes; at 128 KiB a chunk ends
//
// A list is a bit for each document (least significant first) if it has (documents+7)/8 bytes, else the ordinals, ascending, each as its distance from the
// one before less one (the first: itself). The writer takes the shorter, the bits if both are the same.
//
// The word of one zero byte stands for words that were left out: its documents have more than MaxWords, and may hold anything.
//
// Which characters make words (words.go) is part of the format too: a change needs a new version.
package search
