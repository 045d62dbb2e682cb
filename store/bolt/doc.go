// Package bolt is the embedded driver of package store: one folder, one process,
// an index in bbolt and one sealed file for each body.
//
// What holds for callers is written in package store; store/storetest shows that
// it holds here. This comment describes the bytes.
//
// # The folder
//
//	index.db                           the index, one bbolt file; index.db.new while it is made
//	bodies/<xx>/<account>.<message>    one sealed body; xx is from the message id
//	staging/<message>                  a body that is coming in
//
// Account keys are not here: the Sealer keeps them, in files of its own, because
// bbolt keeps old bytes in freed pages.
//
// A body file is what Sealer.SealTo wrote, bound to account and message id. The
// account and message ids are random and say nothing.
//
// # The index
//
// Keys are ids, big-endian numbers, or keyed digests (Sealer.Digest). A value
// with text in it is JSON sealed by Sealer.SealRecord and bound to its place, so
// that a record put elsewhere does not open. Values marked "plain" are numbers,
// ids and digests.
//
//	meta        format                 8 bytes, now 2; 1 is brought to it at opening, a greater one refuses to open (plain)
//	            region                 the region's name (plain)
//	            proof                  the region's name, sealed under the region
//	addresses   <digest>               account id (plain)
//	accounts    <account>
//	              record               store.Account
//	              address              its key in "addresses" (plain)
//	              moving               1, there if it is frozen (plain)
//	              usage                8 bytes: sum of the sizes of its bodies (plain)
//	              uidvalidity          8 bytes: the greatest given out (plain)
//	              names/<digest>       mailbox id (plain)
//	              mailboxes/<mailbox>  (the bucket's sequence counts them)
//	                record             mailboxRecord: name, special use, subscription
//	                counters           UIDVALIDITY 4, UIDNEXT 4, HIGHESTMODSEQ 8, messages 4, unseen 4, size 8 (plain)
//	                messages/<uid 4>   messageRecord: id, flags, dates, size, ModSeq
//	                changes/<modseq 8><uid 4>  0 = live, 1 = vanished (plain); one for each UID that ever was
//	              bodies/<message>     references 4, size 8 (plain)
//	              tokens/<digest>      tokenRecord: act, number, result; of a delivery the token too
//	              order/<number 8>     digest of a token, Unix time 8 (plain)
//	tables      <digest>/<digest>      tableRecord: key and value, sealed under the region
//	erasing     <account>/bodies       bodies of a deleted account that are not yet removed (plain)
//	importing   <account>
//	              <account>            as in "accounts"
//	              +position            where the next part begins (plain)
//	              +whole               1, there when the last part has come (plain)
//	              +missing/<message>   a body that has not come, or not whole (plain)
//	              +pieces/<message>-<offset>  bytes of a piece that has (plain); its file has this name
//
// # The order of writing
//
// A message: its sealed bytes go to staging, fsync, rename into bodies, fsync of
// the folder; then one bbolt commit holds index entry, counters and token; then it
// is acknowledged. A crash before the commit leaves a file that no entry names,
// and Open removes it. Bodies that lost their last reference are removed after the
// commit that says so.
//
// A deletion of an account: one commit takes it out of the index and moves its
// list of bodies to "erasing"; then the key is destroyed, the bodies removed, and
// the list with a second commit. Open finishes what was cut short.
//
// A part of an account that comes in: its bodies, each as a message's, then one commit with the part and the position. A body
// that takes several parts rests in a file for each piece until the last has come. Activation is a commit of the account's
// record, then one that moves its bucket, and an import that is abandoned goes as a deleted account does.
//
// All changes go through one goroutine that commits whoever is waiting as one
// group: no timer, and many writers share a flush. If a commit fails before bbolt
// wrote its meta page (a full disk), nothing was done. If it fails later the
// outcome is unknown, and the store refuses changes until it is opened anew.
//
// # Not yet
//
// Two flushes of bbolt and two of the body for each delivery, tombstones that are
// kept for ever, and a sweep at opening that looks at every body's name: the
// segment store replaces the files.
package bolt
