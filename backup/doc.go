// Package backup copies the data folder of a stopped node into one sealed file, and puts it back: the first form of a backup.
//
// A backup opens in its own region alone. It is sealed under the key of its period (keys.Period), which lies beside the region's root
// key, sealed under it, and not in the backup: whoever has the file without both reads nothing, and whoever has all three reads the
// mail. When the period ends, or before if an erasure demands it, its key is destroyed, and with it whatever backups of the
// period hold. Beside the sealed bytes it says in the clear of which region and node it is, when it was made, until when it can be
// read, and how far its audit log went.
//
//	info, err := backup.Create(backup.Node{Data: "/var/lib/domicile/data", Region: "eu-ireland", Name: "eu-ireland-1",
//		Root: root, Signer: signer}, file, time.Now)
//	info, err = backup.Restore(node, file)
//
// # What cannot be forgotten
//
// A backup is older than what it is a copy of. Spent tokens, erased accounts and given-up names are leaves of the audit log
// of later, and a node that went on from an older log would have forgotten them. So a restored folder is marked ([Restored]),
// and the node that opens it serves nothing until every witness and every other region of the catalog has said that
// it has cosigned no newer log of this region (region.Node.Confirm); then every mailbox gets a new UIDVALIDITY, the
// restoring becomes a leaf, and the mark goes ([Settle]).
//
// So this form moves a region to another machine, and brings back a machine that was lost while its node was stopped. A backup
// from before the node served again is refused: not yet here are a backup of a running node, increments, a log that
// catches up from its cosigners or an auditor's copy, and more than one copy in one file.
//
// # Bytes
//
// The line "domicile-backup-v2"; one line of JSON, [Info], at most 4 KiB; then a stream sealed under the period's key (purpose
// "backup"), whose associated data is both lines. In it is a tar: keys.copy, all account keys (keys.Ring.CopyTo), then the folder's
// files and folders by their relative names, modes and times. Left out are what keys.copy replaces, node.lock, messages that
// were coming in, and temporary files. Format 1 of a first release, sealed under a key of the root key, is restored too.
package backup
