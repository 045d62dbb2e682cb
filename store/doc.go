// Package store is the contract of a region's mail store: accounts, mailboxes,
// messages, and small tables of the region's own records. Drivers implement it
// (store/bolt, embedded); package store/storetest is the one suite that each of
// them passes.
//
// # What is durable
//
// Every method that changes something returns nil only when the change is on
// disk: a body, its index entry, the counters and the token together. Nothing of
// a message exists for a reader before Incoming.Commit returned, and nothing of
// it is lost afterwards. Bytes of an Incoming that was not committed are gone
// after Abort, or at the latest after the next opening of the store.
//
// # What is atomic
//
// One method call is one act within one account: all of it or nothing, and no
// reader sees a part. Nothing spans two accounts. A method that returns several
// things (Since, Messages, Mailboxes) reads them from one snapshot.
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
// was done and trying again will not help. A message over the account's quota is
// TooLarge, and errors.Is(err, ErrOverQuota).
//
// A context that ends before the driver has begun to commit gives Unavailable.
// Once it has begun, it ignores the context and waits for the outcome.
//
// # What may run twice
//
// A Token makes a call safe to repeat. The account remembers for which act it was
// used and what came of it: the second call with the same token does nothing and
// returns what the first returned, however much has changed since. The same
// token for a different kind of act is Invalid. Tokens outlive a restart and are
// remembered for TokenLife, or until TokenCount later tokens of that account were
// used, whichever comes first. Calls that failed leave no token behind.
//
// Without a token only these may be repeated after Unknown: StoreFlags, Expunge,
// Subscribe, NumberMailbox, Forget, Table.Put; and DeleteAccount, DeleteMailbox and
// RenameMailbox, where NotExist then means that the first try was done.
//
// The function given to UpdateAccount may run more than once and must only change
// the account it is given.
//
// # Numbers
//
// UIDs of a mailbox ascend strictly in the order in which messages became
// visible and are never reused. Every change of a mailbox gives it a higher
// HighestModSeq, and the messages changed by one act share it. Expunged UIDs stay
// known with the ModSeq of their going (RFC 7162). A UIDVALIDITY is never used for
// two mailboxes of one account, and is the store's own choice but where NumberMailbox gives one that mail from elsewhere
// brings along. UIDs that NumberMailbox passed over were never anyone's, and are not among the expunged.
//
// A body that was copied is kept once, and counts once against the quota.
//
// # Moves
//
// In state Moving an account is frozen, whoever asks: nothing is read of its mail and nothing changes, both are
// Unavailable, until UpdateAccount sets another state. What is left are Account, AccountByAddress, UpdateAccount,
// DeleteAccount, Forget and Export.
//
// Export hands the account out in parts, without its key, and Import takes them into another store, which seals them under a
// key of its own. What is kept: object ids of mailboxes and messages, UIDVALIDITY, UIDs, UIDNEXT, HIGHESTMODSEQ and
// ModSeq, flags and keywords as spelled, both dates, expunged UIDs, subscriptions, special use, quota, password, class, and
// tokens of deliveries. What is not: tokens of other acts, whose sessions end with the freeze.
//
// Either side may die at any moment. The parts of a frozen account are the same from each position, however often they are asked
// for; a part is durable when Import returns nil, all of it or nothing; and Imported says where to go on. Until Activate
// nobody sees anything of an import: its account, its address and its bodies are no one's. Abandon, at any moment before,
// leaves nothing that can be read.
//
// Export, Import, Activate and Abandon may be repeated after Unknown. Import answers a part that it has with Conflict.
//
// # The change feed
//
// Watch gives hints, not facts: a hint says that it is worth reading again,
// several changes may share one hint, and a hint may come when nothing of interest
// changed. It never comes before the change can be read.
//
// # Names and flags
//
// Mailbox names are UTF-8 with "/" between levels, put into NFC; INBOX as the
// first level is written in upper case (MailboxName). Flags are put into canonical
// form (CanonicalFlags). Addresses are taken as given: placement.ParseAddress makes
// them canonical.
//
// # Concurrency
//
// All methods are safe for concurrent use. None runs the caller's code under a
// lock or within a transaction.
package store
