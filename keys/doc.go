// Package keys seals and opens what a region stores, signs in its name, and checks passwords.
//
// What a data folder holds hangs from two things that lie outside of it: the root key, and beside it the folder "wraps" of keys
// that are destroyed in time.
//
//	root key ──┬─ region.secret, in the data folder ─┬─ Box("audit"), Box("journal"), …   small records of the region
//	           │                                     ├─ region record key                 index records of no account
//	           │                                     ├─ digest key                        names in indexes, see Ring.Digest
//	           │                                     └─ wrapping key, in wraps/ ── account keys, in keys/account.keys
//	           └─ period keys, in wraps/ ── backups                                       see Period
//
// Whoever has the data folder without root key and wraps reads nothing. A copy of a whole machine with its key files does read: a
// key service (later) closes that.
//
// The root key is replaced by [Root.Rotate], which seals one small file anew. An account is erased by [Ring.DestroyAccountKey]:
// the account keys that stay are written anew under a new wrapping key, and the old wrapping key is overwritten, so that no older copy of
// the data folder reads anything of any account any more. A backup holds the account keys, sealed under the key of its
// period, and can be read until that is destroyed.
//
// A repository of backups has one copy of the account keys, sealed under a period key of its own, which every erasure replaces (Root.RepositoryPeriod).
//
// What solid state disks and copy-on-write file systems keep of an overwritten file is out of this package's reach, and so is a
// snapshot of the folder wraps. It is some kilobytes: keep it on a file system that overwrites in place, of which no
// snapshots or backups are made, where that matters.
//
//	if err := keys.CreateRoot("/etc/domicile/root.key"); err != nil { … }   // once
//	secret, err := keys.LoadSecret("/etc/domicile/root.key", "/var/lib/domicile/data")
//	ring, err := keys.OpenRing(secret, "/var/lib/domicile/data/keys")
//	err = ring.CreateAccountKey(id)
//	w, err := ring.SealTo(id, file, []byte("body/"+messageID))
//
// # Bytes
//
// The root key file is one line, "domicile-root-key-v1 ", the standard base64 of 32 bytes, a newline.
//
// A sealed record is the byte 0x01, a random nonce of 12 bytes, and the AES-256-GCM ciphertext with its tag of
// 16 bytes. Under one key at most 2^32 records may be sealed (NIST SP 800-38D 8.3).
//
// A sealed stream is the byte 0x01 and then Tink's AES-GCM-HKDF streaming format with SHA-256, 32-byte keys and
// ciphertext segments of 16 KiB. A cut, a reordering or a change is found when it is read.
//
// region.secret is the line "domicile-region-secret-v1" and a sealed record of 32 bytes. A wrapping key, wraps/accounts-S-N with S
// naming the secret and N its number, is the line "domicile-wrapping-key-v1" and a sealed record of 32 bytes.
//
// keys/account.keys is slots of 128 bytes. The first is the line "domicile-account-keys-v1", a byte that is 1 if wrapping keys of lower
// numbers are to be destroyed at opening, the number of the wrapping key that the book is sealed under (64 bits,
// big-endian; 0: it is empty), zeros. Each other one is the key of an account: the byte 1, the length of its id, the id and zeros to 64
// bytes, a sealed record of 32 bytes whose associated data has the id, a zero. What is behind the last one, less than a slot or
// zeros, a crash left there.
//
// A period key, wraps/period-NAME, is the line "domicile-period-key-v1", a line of JSON (Period), and a sealed record of 32 bytes
// whose associated data both lines are. A copy of all account keys (Ring.CopyTo) is the line "domicile-keys-copy-v1", 32 bytes of the
// secret, then for each account the length of its id, its id and 32 bytes, and a zero byte.
//
// A first release had no region.secret, hung all from the root key, and kept a file for each account in keys/: the line
// "domicile-account-key-v1" and a sealed record. Such a folder is brought to this form when it is opened.
//
// What is kept of passwords (Passwords) is described in docs/FORMATS.md.
//
// The key for digests of names is 64 hex digits, a newline; a gossip keyring is lines of base64, 32 bytes each, the first
// of which encrypts. Both are shared by all regions of a cluster.
//
// A signer's file is the private key line of golang.org/x/mod/sumdb/note, a newline.
package keys
