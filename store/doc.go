// Package store is the contract of a region's mail store: accounts, mailboxes,
// messages, and small tables of the region's own records. Drivers implement it
// (store/bolt, embedded); package store/storetest is the one suite that each of
// them passes. Who writes another driver needs this page, the comments of the
// methods, and the suite.
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
// second call must be valid, and are not looked at; it may come while the first is still under way. The same
// token for a different kind of act is Invalid. Tokens belong to an account: the same one in two accounts are two.
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
// and HighestModSeq 1, but for the one that takes INBOX's messages when that is renamed. A UIDVALIDITY is never used for
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
// Those of limits.go and of Part hold for every driver: what is over them is refused, what is within them is taken.
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
// key of its own. What is kept: object ids of mailboxes and messages, UIDVALIDITY, UIDs, UIDNEXT, HIGHESTMODSEQ and
// ModSeq, flags and keywords as spelled, both dates, expunged UIDs as far as they are remembered, subscriptions, special use, quota, password, class, and
// tokens of deliveries. What is not: tokens of other acts, whose sessions end with the freeze.
//
// Either side may die at any moment. The parts of a frozen account are the same from each position, however often they are asked
// for; a part is durable when Import returns nil, all of it or nothing; and Imported says where to go on. Until Activate
// nobody sees anything of an import: its account, its address and its bodies are no one's. Abandon, at any moment before,
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
