// Package store is the contract of a region's mail store: accounts, mailboxes,
// messages, and small tables of the region's own records. Drivers implement it
// (store/bolt, embedded); package store/storetest is the one suite that each of
// them passes. Who writes another driver needs this page, the comments of the
// methods and types, and the suite.
//
// # How to write a driver
//
// A driver is a folder below store that imports domicile, message and what lies below store, and nothing else of ours. Its
// doc.go describes the bytes that it writes, as docs/FORMATS.md wants it. Take these steps; the tests of the suite that pass after each are named with it.
//
//  1. Open, which is given a folder, a region, a Sealer and a clock, and takes the time from nowhere else; Region and Close.
//     What belongs to an account is sealed under its key, what does not under the region's. (WrongRegion, once there are accounts)
//  2. The test: it hands Open to storetest.Run, as the comment of package storetest shows. A method Check(context.Context) error
//     that says whether all adds up, counters and references above all, is called at the end of each test.
//  3. Accounts, and Table. (Accounts, UpdateAccount, Tables, TablesAtOnce)
//  4. Mailboxes and what is subscribed; names go through MailboxName and SpecialUse first. (Mailboxes, SubscriptionsFull)
//  5. Incoming, Commit, Messages, Body, Bodies, Used. One function commits; Incoming.Commit calls it. (Deliver, DeliverRefused, Commit, CommitRefused,
//     MailboxNames, Rename, DeleteAccount)
//  6. StoreFlags, Copy, Move, Expunge, NumberMailbox, Changes: a number for each act, UIDs from UIDNext, a tombstone for whatever leaves a mailbox. Flags
//     go through CanonicalFlags and ApplyFlags. (Flags, Unless, Copy, MoveMessages, Expunge, Quota, CommitQuota, CommitInstead, CommitTorn, ManyBodies, Damaged,
//     DeleteMailbox, RenameInbox, Subscriptions, Since, Pages, PagesBesideWriters, Number, LargeActs, Walk, Torn)
//  7. Tokens, in the same act as what they protect. (Tokens, TokensPrune, TokensAtOnce, CommitTokens)
//  8. Annotations; Listing and Find, which may read and parse each message by package message; Expunged, Undelete and Purge, which may keep nothing.
//     (Annotations, Annotated, AnnotationsOverLimits, TokensOfAll, List, Find, Undelete)
//  9. Watch: a hint behind each change. (Watch, HintAfterChange, Follow, Closed)
//  10. Export to Abandon. (Forgotten, Killed, Sealed, Unsure, and those that begin with Move)
//  11. All of it at once, as random acts, and over a line that loses answers. (AtOnce, Linear, Model, BadLine)
//
// With the driver in store/NAME and its test called TestStore:
//
//	go test -run 'TestStore/^(Accounts|Tables)$' ./store/NAME   # a step
//	go test ./store/NAME                                        # all of it
//	DOMICILE_LONG=1 go test -race ./store/NAME                  # before anyone relies on it
//	go test ./tests -run TestImports                            # what it imports
//
// What the suite cannot see is the disk: a flush that is left out, or done in the wrong order, passes it. For this a driver has tests of its own, which fail each act
// on disk before and after it is done, and open the store again; docs/TESTING.md, "The store", says how store/bolt does it.
//
// A method looks at what it is given in this order, and the first that fails is its answer: its words by themselves (Invalid, TooLarge), whether the store
// is open and the account is there and not frozen (Unavailable, NotExist), its token ("What may run twice"), and then what the words name.
//
// # What is durable
//
// Every method that changes something returns nil only when the change is on
// disk: a body, its index entry, the counters and the token together. From then on no crash,
// no power cut and no failover takes it away. Nothing of a message exists for a reader before
// Commit began, and nothing of it is lost once that returned nil. Bytes of an Incoming
// that was not committed are gone after Abort, or at the latest after the next opening of the store.
//
// A flush that failed is never repeated as if it had worked: what it should have kept counts as lost.
//
// # What is atomic
//
// One method call is one act within one account: all of it or nothing, and no
// reader sees a part. Nothing spans two accounts. A method that returns several
// things (Mailboxes, Messages, Changes) reads them from one snapshot. What may be large is read in parts, each
// from a snapshot of its own: how they make a whole stands with each method.
//
// While Move, StoreFlags, Expunge or Undelete last that touch many messages, the acts of all accounts may wait, and a driver may hold all of it in memory. Who need not
// have one act, as IMAP's STORE, EXPUNGE and MOVE, names MaxPage UIDs in each. Nobody waits for Copy, DeleteMailbox and RenameMailbox, however many messages they touch.
//
// The acts and readings of one account are linearizable: each takes effect at one moment between
// its call and its return, so whoever reads after a change was acknowledged sees it. An act that
// ended Unknown takes effect at one moment after its call, or never; not later than the next
// opening of the store. Each key of a Table is linearizable, too.
//
// Body follows a message that was expunged meanwhile to its end if it was opened before.
//
// # Four outcomes
//
// A call that changes something ends in one of four ways:
//
//	done         err is nil
//	conflict     domicile.Conflict: nothing was done because something changed; read again
//	unavailable  domicile.Unavailable: nothing was done; try again later
//	unknown      domicile.Unknown: it may have been done; ask again with the same Token
//
// The caller's own mistakes are Invalid, NotExist, Exist and TooLarge: nothing
// was done and trying again will not help. An account, mailbox or message that is named and not there is
// NotExist; UIDs that are not there are passed over. A message over the account's quota is
// TooLarge, and errors.Is(err, ErrOverQuota). An error of another kind says that the
// store is damaged, not what was done: treat it as unknown.
//
// A context that ends before the driver has begun to commit gives Unavailable.
// Once it has begun, it ignores the context and waits for the outcome; what cannot be waited for
// is Unknown, and never reported as done.
//
// # What may run twice
//
// A Token makes a call safe to repeat. The account remembers for which act it was
// used and what came of it: the second call with the same token does nothing and
// returns what the first returned, however much has changed since. The other words of the
// second call must be valid by themselves, and are not looked at: what they name need not be there any more. It may come while the first is still under way. The same
// token for a different kind of act is Invalid; each method that takes one is a kind of its own, and so is a delivery, of which the token is that of a Letter or of Incoming.Commit. An act that
// succeeded and changed nothing leaves its token, too. Tokens belong to an account: the same one in two accounts are two.
// Each Letter of a Commit may have one of its own, by which it is known in whatever company it comes again.
// They outlive a restart and are remembered for TokenLife, or until TokenCount later tokens of that account were
// used, whichever comes first; what is past that is forgotten as later ones are used. Calls that failed leave no token behind.
//
// What to do after Unknown, where no Token is taken:
//
//	DeleteAccount              repeat; NotExist means that it is gone
//	UpdateAccount              repeat, with a function that sees whether it was done, or that may be applied twice
//	NumberMailbox              repeat
//	Purge                      repeat
//	Forget                     repeat
//	Export, Activate, Abandon  repeat
//	Import                     repeat; Conflict with Imported at the part's Next means that it was done
//	Table.Put                  repeat, where nobody else writes the key
//	Table.CompareAndSwap       read the key: with values that are never used twice, it shows which was done
//
// The functions given to UpdateAccount and Activate may run more than once and must only change
// the account they are given.
//
// # Numbers
//
// UIDs of a mailbox ascend strictly in the order in which messages became
// visible and are never reused: UIDNext never goes down, over a crash neither. An act that made several messages numbers
// them in the order in which it returns them. Every change of a message gives its mailbox a higher
// HighestModSeq, and the messages changed by one act share it, in each mailbox the mailbox's own; a call that changed nothing
// raises nothing. Subscribe, Annotate and RenameMailbox (but of INBOX) leave it alone. Expunged UIDs stay
// known with the ModSeq of their going (RFC 7162), at most VanishedRuns runs of them: then a mailbox forgets the oldest, and who asks for what vanished since before
// those is told of all UIDs that are not there, some of which may never have been anyone's. UIDs and ModSeqs count from 1, and a new mailbox begins with UIDNext 1
// and HighestModSeq 1, but for the one that takes INBOX's messages, if it has any, when that is renamed. The last UID is 1<<32-2, so that UIDNext is a UID. A UIDVALIDITY is never used for
// two mailboxes of one account, and a mailbox made later has a greater one. It is the store's own choice but where NumberMailbox gives one that
// mail from elsewhere brings along. UIDs that NumberMailbox passed over were never anyone's, and are not among the expunged.
//
// Ids of mailboxes and messages are the driver's, at most 64 characters of a-z, 0-9, '-' and '_' (a message's 3 at least), say nothing of what they name,
// and are never used again. A copy has the id of its message, since its bytes are the same.
//
// A body that was copied is kept once, and counts once against the quota. When the last message that names it is gone its
// bytes are removed, or kept for Undelete for a time that the driver's configuration sets, outside of the quota and of moves.
//
// # Limits
//
// Those of limits.go and of Part hold for every driver: what is over them is refused, what is within them is taken. Names, tokens, keys and addresses that are too
// long are Invalid; too much of what is allowed (bytes, flags, mailboxes, annotations, messages of a Commit) is TooLarge. A number of messages or changes that is asked
// for is no such limit: it is cut to MaxPage.
// Nothing but the account's quota and the disk bounds how many messages there are; a mailbox is full (TooLarge) when its UIDs are used up.
//
// # What rests sealed
//
// Everything that says something of a person or a message goes through the Sealer, bound to its account and place. Lay open
// may be: ids, numbers, sizes, times, keyed digests. The key of an account is made before the account and destroyed after it is out
// of the index; then what is left of its bytes may be removed at leisure.
//
// # At opening
//
// Open brings the store to a state in which every promise above holds, before it returns: acts that were acknowledged are done
// whole, those that were not are done whole or leave nothing, a deletion or an abandoned import that was cut short is finished, its key first, and bytes
// that nothing names are removed. What it repeats it can repeat again, as it may be killed itself. It reissues no number,
// and no token is lost. It refuses, and touches nothing: the folder of another region (domicile.WrongRegion), one sealed under another root key, one that
// a newer release wrote, one that another process has open, and one of which so much is missing that mail would seem never to have been.
//
// # Damage
//
// No message can make a later call fail: whatever its bytes are, they are stored, and given back as they were. A body whose bytes were altered or cut
// on disk gives an error of kind Other from Body, or from its reader in the place of io.EOF; what was read before it is right. All other messages
// are served, and the damaged one is listed, copied, moved and expunged as any. A damaged index record is made anew from what
// the driver wrote elsewhere, or fails the calls that need it, and no others.
//
// # A full disk
//
// A change that has no room is Unavailable: nothing was done and nothing that was acknowledged is lost. Reading goes on meanwhile. When there is
// room again changes are taken again, without a new opening; but a driver that cannot tell whether an act is on disk says Unknown, and
// refuses changes until it is opened anew.
//
// # Moves
//
// In state Moving an account is frozen, whoever asks: nothing is read of its mail and nothing changes, both are
// Unavailable, until UpdateAccount sets another state. What is left are Account, AccountByAddress, UpdateAccount,
// DeleteAccount, Forget and Export.
//
// Export hands the account out in parts, without its key, and Import takes them into another store, which seals them under a
// key of its own. A body without bytes has one Piece, of Length 0; the zone of an internal date may be what RFC 9051's date-time can write, up to 99 hours
// and 99 minutes either way, so more than a time.Time in JSON takes. What is kept: object ids of mailboxes and messages, UIDVALIDITY, UIDs, UIDNEXT, HIGHESTMODSEQ and
// ModSeq, flags and keywords as spelled, both dates, expunged UIDs as far as they are remembered, subscriptions, annotations, special use, quota, password, class, and
// tokens of deliveries. What is not: tokens of other acts, whose sessions end with the freeze.
//
// Either side may die at any moment. The parts of a frozen account are the same from each position, however often they are asked
// for; a part is durable when Import returns nil, all of it or nothing; and Imported says where to go on. Until Activate
// nobody sees anything of an import: its account, its address and its bodies are no one's; its id alone is taken. Abandon, at any moment before,
// leaves nothing that can be read. A part that cannot be, whoever made it, is refused whole.
//
// # The change feed
//
// Watch gives hints, not facts: a hint says that it is worth reading again,
// several changes may share one hint, and a hint may come when nothing of interest
// changed. It never comes before the change can be read, and each change is followed by one: a reader
// who reads once after Watch returned and then after each hint, by Changes from the HighestModSeq that it has, ends where the writers ended.
// An act that ended Unknown gives a hint if it can be read.
// Hints carry no facts and need no order: who follows several mailboxes may pass over those that no hint names. A watch knows the account by its id alone, whether it exists or not.
//
// # Names and flags
//
// Mailbox names are UTF-8 with "/" between levels, put into NFC; INBOX as the
// first level is written in upper case (MailboxName). Names of annotations are
// lower case (EntryName). Flags are put into canonical
// form (CanonicalFlags). Addresses are taken as given: placement.ParseAddress makes
// them canonical.
//
// # Concurrency
//
// All methods are safe for concurrent use. None runs the caller's code under a
// lock or within a transaction, and a slow reader of a body or a watch holds up nobody.
package store
