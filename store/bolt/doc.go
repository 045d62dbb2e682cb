// Package bolt is the embedded driver of package store: one folder, one process, a log of segments that is body store and write-ahead log in one,
// and an index in bbolt that follows it.
//
// What holds for callers is written in package store; store/storetest shows that
// it holds here. This comment describes the bytes and the order in which they are written.
//
// # The folder
//
//	segments/NNNNNNNN.seg   the log, see package store/segment: bodies, and what each act changed in the index
//	base/LSN/               the index as it was at an LSN, without summaries, in a log of its own
//	index.db                the index, one bbolt file, at most some seconds behind the log; index.db.new or .shrunk while it is made
//
// Segments and a base are enough to make the index anew. Account keys are not here: the Sealer keeps them in a file of its own,
// because bbolt keeps old bytes in freed pages and a segment until it is compacted.
//
// # Frames
//
//	frameBody    account, message, sealed: a body, or what follows its chunks
//	frameChunk   account, digest, sealed: 32 to 256 KiB that any body of the account may share
//	frameSearch  account, block (8 bytes) and section (4), sealed: of the search index, see package store/search
//	frameChange  Unix milliseconds (8 bytes), then entries: what one act changed in the index
//	framePart    entries: a part of what one large act changed
//	frameLast    Unix milliseconds, LSN of the first part (8 bytes each), then entries: the end of an act in parts
//	frameBase    entries of the index, in a base; frameEnd with their number (8 bytes) ends it
//
// Strings stand behind their length, a uvarint. What is sealed in the first three is a byte, 0 for bytes as they were or 1 for zstd, and the bytes. Associated data
// bind a chunk to account and digest, and the end of a body to account, message, size and the digests of all its chunks. The digest is keyed (Sealer.Digest),
// and so is the rolling hash that finds where to cut.
//
// An entry is a key, as the number of bytes that it shares with the key before it, the number of those that follow, and those; and a value behind
// its length plus one, where 0 says that the key is deleted. Numbers are uvarints.
//
// # The index
//
// Keys are paths: each name behind its length, one byte, and the entry's own key behind a zero. Names are ids, big-endian numbers, or
// keyed digests. A value with text in it is sealed by Sealer.SealRecord and bound to its place, so
// that a record put elsewhere does not open. Values marked "plain" are numbers, ids and digests.
//
//	!           region, proof          the region's name, plain and sealed under the region
//	d           <digest>               address: account id (plain)
//	a/<account>
//	            r                      store.Account, JSON
//	            d, q, u, v, m, o, y    its key in "d"; quota; sum of the sizes of its bodies; greatest UIDVALIDITY; mailboxes; tokens ever; search blocks ever (plain)
//	            a                      annotations 4, bytes of their names and values 8, changes of them ever 8 (plain)
//	            l                      number of entries in "s" (plain)
//	            s                      m moving, c coming in, e being erased; else absent (plain)
//	  n         <digest>               mailbox id (plain)
//	  s         <digest>               a subscribed name that no mailbox has
//	  a         <digest>               an annotation of the account: change 8, bytes of name and value 4 (plain), and these
//	  m/<mailbox>
//	            r                      mailboxRecord, JSON: name, special use, whether the name is subscribed
//	    a       <digest>               an annotation of the mailbox, as of the account
//	            c                      UIDVALIDITY 4, UIDNEXT 4, HIGHESTMODSEQ 8, messages 4, unseen 4, size 8; then, if it hides rows or has them elsewhere, first and last UID
//	                                   of those that are no messages 4 each, or zeros, and the mailbox id under which all stand (plain)
//	            o                      mailbox id: whose are the rows here, below, of a mailbox that has them elsewhere (plain)
//	    g       <uid 4>                message id (plain) behind its length, and messageRecord: id, flags, dates, size, ModSeq
//	    e       <uid 4>                its message.Summary, see packSummary; bound to the message alone; may be absent
//	            f                      of what vanished and is forgotten the greatest ModSeq 8, first and last UID 4 each; then how many runs are in "c" 4 (plain); absent while none is
//	    c       <modseq 8><uid 4>      0: a message that is there; 1: it vanished, and so did as many UIDs behind it as follow, a uvarint, 0 if absent (plain)
//	  b         <message>              references 4, size 8, place 12, digests of its chunks (plain)
//	  k         <digest>               chunk: references 4, place 12 (plain)
//	  x         <message>              there while the body is in no search block (plain)
//	  y/<block 8>  r; <section 4>      number of its documents, there when it is whole; places, the directory's under ^0 (plain)
//	  z         <message>              Unix milliseconds (8 bytes), messageRecord: a message that can be undeleted; its body has no references
//	  t         <digest>               tokenRecord, JSON: act, number, result; of a delivery the token too
//	  o         <number 8>             digest of a token, Unix time 8 (plain)
//	e           <account>              its erasure is under way (plain)
//	l/<account> <mailbox>              what a large act left: mailbox id that hides rows under this one; empty if all rows under it are of no mailbox any more (plain)
//	i/<account> p, w                   of an account that comes in: where the next part begins; 1 when the last has come (plain)
//	  m         <message>              bytes that have come of a body that is not whole (plain)
//	z           <Unix milliseconds 8><length of the account's id><account><message>  when it goes (plain)
//	s           <segment 8>            bytes of its frames that the index names (plain)
//	t/<digest>  <digest>               tableRecord: key and value, sealed under the region
//
// bbolt holds this in one bucket, "index"; the bucket "meta" has the format (now 5), the LSN that the file has come to, and "partly" while it has some of an act behind that.
//
// # The order of writing
//
// One goroutine makes all changes. It takes whoever is waiting as one group; where flushes take 2 ms or more, it also waits, for a fourth of one at most, for those whom the last group answered.
// It runs each act on a copy of what is pending, writes the frames of all of them to the log, flushes it once, shows the result to readers, and only then answers. What is pending goes to bbolt
// when there are some thousand keys of it or a second has passed; until then readers see it over bbolt. Opening replays the log from where bbolt has come to. It is the same code that writes the same keys and values, so that it may run twice.
//
// What a process that ended may have left in the page cache alone, because it was killed or because its flush failed, Open writes anew where it is and
// flushes, before anything rests on it: the last group of the log, and bbolt's meta pages. All before these is on the disk.
//
// Messages that come in together are one act of one group: the ends of their bodies, and then what changed. Of many bytes all but some MiB are written ahead, in groups of their own,
// and named by the act; what was written ahead of an act that did not come nothing names.
//
// COPY of many messages lays rows down ahead of its mailbox, where readers pass them over, some in each act, and its last act makes messages of them by the counters. Of a
// large mailbox that is deleted the record goes, and its rows follow, some in each act. RENAME of INBOX gives the rows to the new mailbox as they are. What a
// crash leaves of these is listed, and goes when the store is open again.
//
// Any other act on many messages runs alone, and is written in parts, each in a group of its own; readers see it, and replay does it, when the frame behind the last part
// is durable. A crash before leaves parts that nothing names. Until bbolt has it the act rests in memory, at some KiB for a message.
//
// A write that fails, as on a full disk, is taken back: nothing was done. A flush that fails is not tried again: the outcome is unknown, and the store takes no
// changes until it is opened anew. A commit of bbolt that was not done is tried again while changes go on in the log, up to a bound; of one that may be half
// done the store stops as well.
//
// An erasure of an account: one act frees the address and marks it, the key is destroyed, its entries follow in acts of a bounded size. Opening goes on where a crash came between.
//
// # A copy of a store in use
//
// Segments do not change but at their end, so that the durable bytes of all of them (Segments) and a base (WithBase) are the store as it was when they were listed. Retain has
// compaction wait for who copies. Rewind makes such a copy ready for Open, as it is or as it was at a time.
//
// # Memory
//
// Searches, the indexer and summaries read messages whole, wholeRoom bytes of them at once in all. Whoever waits for room gives up with its context.
//
// # Space
//
// When the log behind the base has grown past the index, a new base is written, from a snapshot, beside everything else. A segment behind the base
// of which less than 85 % are named is compacted: its frames that are named are written anew at the end of the log, at a bounded rate, and when that is durable
// the file goes. bbolt gives no page back: when more than half of its file is free, a copy takes its place. Chunks of a message that is still coming in keep their segment.
package bolt
