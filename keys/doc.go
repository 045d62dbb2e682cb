// Package keys seals and opens what a region stores, signs in its name, and checks passwords.
//
// One region has one root key, in a file outside the data folder. Everything else hangs from it:
//
//	root ── HKDF-SHA-256 per purpose ──┬─ Box("audit"), Box("journal"), …   small records of the region
//	                                   ├─ wrapping key ── account keys      one file per account, see Ring
//	                                   ├─ region record key                 index records of no account
//	                                   └─ digest key                        names in indexes, see Ring.Digest
//
// Whoever has the data folder without the root key reads nothing; whoever destroys an account key has made all
// that was sealed under it unreadable. A copy of a whole machine with its key file does read: a key service
// (later) closes that. What solid state disks and copy-on-write file systems keep of an overwritten file is out
// of this package's reach; keep the key folder on a file system that overwrites in place where that matters.
//
//	if err := keys.CreateRoot("/etc/domicile/root.key"); err != nil { … }   // once
//	root, err := keys.LoadRoot("/etc/domicile/root.key")
//	ring, err := keys.OpenRing(root, "/var/lib/domicile/keys")
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
// An account key file is named after the account; it holds the line "domicile-account-key-v1" and a sealed
// record of the 32-byte key, its associated data being the account id. Zeros in its place are a destroyed key.
//
// The key for digests of names is 64 hex digits, a newline; a gossip keyring is lines of base64, 32 bytes each, the first
// of which encrypts. Both are shared by all regions of a cluster.
//
// A signer's file is the private key line of golang.org/x/mod/sumdb/note, a newline.
package keys
