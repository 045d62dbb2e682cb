// Package domicile holds the words that every other package shares: regions,
// countries, addresses, accounts, the classes of bytes that may leave a region,
// and the closed list of reasons for which something is refused.
//
// It imports nothing but the standard library, promises nothing about I/O, and
// all of its types are plain values, safe to copy and to share.
package domicile
