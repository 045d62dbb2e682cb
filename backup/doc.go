// Package backup copies a node's data folder, sealed, and puts it back: of a running node into a repository as it changes ([Mirror],
// [RestoreFrom]), of a stopped one into one file ([Create], [Restore]).
//
// # A repository
//
// Everything in it hangs from the account keys and the data folder's secret, of which there is one copy, sealed under a key beside the root key that an
// erasure replaces (keys.Root.RepositoryPeriod). A round copies what is new: what grows by its new bytes, as the segments of the store and the leaves of
// the log, and the few other files whole. It runs each second, and before others are asked to cosign the log. A set is a base of the store's index and a list of what was there:
// a restore begins with one, and goes on to the end of what was copied, or to a time. A line is the copy of one data folder; a restored folder begins another. Which times can be restored, [Points] says: any between a set and
// the next gap, where a gap is what was never copied, or what a pruning (Mirror.Prune) no longer keeps. [Verify] reads all of it, restoring nothing.
//
// A round ends at any step with a state that a crash of the node could have left: see Mirror. FORMATS has the bytes.
//
// # A file
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
// So a file moves a region to another machine, and brings back a machine that was lost while its node was stopped; from before the node served
// again it is refused. A repository has all that others have cosigned, unless it was behind, and is refused then.
//
// # Bytes
//
// The line "domicile-backup-v2"; one line of JSON, [Info], at most 4 KiB; then a stream sealed under the period's key (purpose
// "backup"), whose associated data is both lines. In it is a tar: keys.copy, all account keys (keys.Ring.CopyTo), then the folder's
// files and folders by their relative names, modes and times. Left out are what keys.copy replaces, node.lock, messages that
// were coming in, and temporary files. Format 1 of a first release, sealed under a key of the root key, is restored too.
package backup
