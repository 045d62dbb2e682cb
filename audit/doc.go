// Package audit is a region's append-only Merkle log: what happened, in leaves that cannot be edited, dropped or reordered
// unnoticed; the receipts that prove a leaf to a stranger; and the witness that cosigns the logs of others.
//
//	log, err := audit.Open(audit.Config{Dir: dir, Origin: signer.Name(), Signer: signer, Sealer: secret.Box("audit")})
//	leaf, err := log.Append(ctx, audit.Entry{Kind: "order.refused", Reason: domicile.NoToken, …})
//	receipt, err := log.Receipt(leaf.Index, false)          // a file, for anyone
//	verified, err := audit.VerifyReceipt(receipt, pins)     // offline, with public keys
//
// # What it promises
//
// When Append returns, the leaf is on disk, in the tree, and under a signed checkpoint. An Append that ended in an error of
// kind domicile.Unknown is in the log once or not at all, which shows when the log is opened again; every other error means
// that nothing was recorded. Spend records the use of a token and its leaf together, or neither. The log never signs two
// checkpoints of which one does not extend the other, as long as its folder is not rolled back by hand; and Open refuses a
// tree that is older than its log.db.
//
// Entries that arrive while others are being written share the next round of flushes. No timer makes anyone wait.
//
// # How a leaf gets in
//
//  1. One bbolt transaction in log.db gives the leaf its index, and keeps it as pending, with the token it spends and the
//     sealed openings of its private fields.
//  2. Entry bundles and tiles are written, each as a temporary file, flushed, renamed, its folder flushed; then the signed
//     checkpoint in the same way. This is what makes the leaf a leaf.
//  3. The transaction of the next round forgets what is pending below the checkpoint's size.
//
// Open runs step 2 for what is pending and not below the checkpoint: the same code writes the same bytes. If the disk fails
// at any step the log refuses more until it is opened again, because a failed fsync may have lost what a later one would
// report as written.
//
// The index of spent tokens in log.db is derived: each leaf that spends a token carries the token's hash, and Open takes
// whatever leaves log.db has not seen into the index. So a log.db that is restored from an old copy, or lost, forgets no
// spend. It does lose the openings of private fields, and cosignatures, which can be had again from the cosigners.
//
// # Why not a library
//
// The formats are those of C2SP (c2sp.org), and tessera writes them. But a leaf here must be in the tree before Append
// returns, exactly once, bound to a spent token; with tessera that needs a look-up before each append in recovery, a wait of
// 100 ms at least for each checkpoint, and 17 modules. The tree arithmetic is golang.org/x/mod/sumdb/tlog's; what is ours is
// writing files in order (sequence.go, disk.go) and reading them back (recover.go, tiles.go).
//
// # Bytes
//
// The folder is laid out as C2SP tlog-tiles says, so that a copy of it can be verified by anyone:
//
//	checkpoint            signed note, C2SP tlog-checkpoint: origin, size, root; no extension lines
//	tile/<L>/<N>[.p/<W>]  hashes, 256 wide
//	tile/entries/<N>…     leaves, each with its length before it as a big-endian uint16
//	log.db                bbolt, format "1" (see db.go): never leaves the region
//	tmp/                  files being written; emptied at Open
//
// A leaf is JSON in one canonical form, at most 16 KiB: keys sorted, no spaces, empty fields left out, as Go's encoding/json
// writes it without HTML escapes.
//
//	{"case":"…","kind":"order.refused","origin":"example.com/domicile/eu-ireland",
//	 "private":{"target":"<base64 of HMAC-SHA-256(salt, value)>"},"public":{"order_type":"…"},"reason":"no_token",
//	 "seq":7,"spend":"<base64 of a SHA-256>","time":"2026-03-01T12:00:00.000Z","v":1}
//
// Salts have 32 random bytes, fresh for each field. The spend is the SHA-256 of "domicile spend v1", issuer and jti, each with
// its length before it as a big-endian uint64.
//
// A receipt is a C2SP tlog-proof. Its extra line is the base64 of canonical JSON,
// {"leaf":"<the leaf's bytes>","reveal":{"target":{"salt":"<base64>","value":"…"}},"v":1}; behind the log's signature stand
// only cosignatures (C2SP tlog-cosignature, type 4) of pinned keys, in the order of their bytes. Every byte is either fixed
// by this form or signed, so an altered receipt does not verify. Whole cosignature lines or revealed fields can be left
// out: less is shown, and it is still true; a disclosure that falls below its quorum so is refused.
package audit
