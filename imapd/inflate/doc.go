// Package inflate reads the bytes that a client has deflated (RFC 1951), as IMAP's COMPRESS=DEFLATE has them sent (RFC 4978).
//
//	r := inflate.NewReader(conn)
//	n, err := r.Read(p)
//
// It gives every byte as soon as what has come says what it is. compress/flate does not: it holds bytes back until a stored block, the end of the
// stream or 32 KiB, and so waits for ever for a client that ends its commands with Z_PARTIAL_FLUSH of zlib, as RFC 4978 4 lets it, and as mutt and neomutt do.
//
// A Reader takes some 35 KiB, however much it is made to give out: it decodes what is read and little more.
package inflate
