// Package placement decides where mail belongs and which bytes may leave a region.
//
// It has four parts, all without I/O of their own:
//
//   - [ParseAddress] brings an address to its one canonical form; [Place] turns a
//     declared residence into a region by the catalog's order, never by a default.
//   - [Decide] is the residency policy: a pure and total function of a [Crossing],
//     answered by one row of one table ([Rows]). What the table does not allow in so
//     many words is refused. Package region's Guard asks it before any byte leaves.
//   - [Directory] finds the home of an address: its own accounts without asking
//     anyone, all others by the word of the domain's registrar, verified by the
//     signatures of the homes themselves and cached for a stated time.
//   - [Registrar] keeps the names of the domains whose registrar this region is, as
//     keyed digests with ownership records, in a [Table].
//
// # Bytes
//
// A name between regions is a [NameDigest]: HMAC-SHA-256, under the key that all
// regions of the cluster share, of "domicile/name/v1", a zero byte and the canonical
// address. It is written as 64 lower-case hex digits.
//
// What an ownership record's signatures cover is described at [Ownership.Message].
//
// A row of the registrar's table has the digest in hex as its key and as its value a
// JSON object with "v" (1), "state" (claimed, released), "record" (an Ownership),
// "since" (when it came into this state) and, while a change is under way, "next" (the
// row as it will be). A row with a newer "v" is refused, never guessed at.
package placement
