// Package scan searches files for words that must not be in them, in whatever dress a program may have put them: as they are in
// any letter case, in base64 at each of its three offsets, quoted-printable, hexadecimal, UTF-16 of both byte orders, and
// behind zstd, gzip or zlib at any place of a file, one within the other.
//
// What it cannot see is text that was sealed, and that is the point: a word that it finds is readable without a key.
//
//	hits, files, err := scan.Tree("us-east-1", "marker4711")
package scan
