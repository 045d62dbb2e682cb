package store

import (
	"context"
	"io"
	"iter"

	"domicile"
)

// Store is a region's mail. See the package comment for what holds for every method.
type Store interface {
	Region() domicile.Region

	// CreateAccount makes a.ID (chosen by the caller) with INBOX, Drafts, Sent, Junk, Trash and Archive, all subscribed and
	// with the special use of their name. An empty State, Class, Epoch or Created becomes Active, "standard", 1 and now; Created is
	// kept to the second, in UTC. Exist if the address or the id is taken; an import (Import) has taken its id, but not its address. Invalid unless the id is 1 to 64 characters of a-z, 0-9, '-' and '_', the
	// address has both its sides and at most MaxAddress bytes, and the quota is not negative. The token is forgotten with the account.
	CreateAccount(ctx context.Context, tok Token, a Account) error
	Account(ctx context.Context, id domicile.AccountID) (Account, error)
	AccountByAddress(ctx context.Context, addr domicile.Address) (Account, error)
	// UpdateAccount applies fn to the present state and stores what it leaves. fn may run twice, and may read the store. What it does to ID, Address and Created is
	// passed over. An error of fn is returned as it is and nothing is changed; a lower Epoch is Conflict, a negative quota Invalid, a record over MaxRecord
	// (as JSON) TooLarge. What the other fields hold is the callers' concern. A quota may be set below what is used: then nothing more comes in.
	UpdateAccount(ctx context.Context, id domicile.AccountID, fn func(*Account) error) error
	// DeleteAccount destroys the account's key, index and bodies.
	DeleteAccount(ctx context.Context, id domicile.AccountID) error
	// Used returns how many bytes of its quota an account uses, whether it has one or not.
	Used(ctx context.Context, id domicile.AccountID) (int64, error)
	// Accounts returns at most limit accounts (and MaxPage) behind an id, in an order of ids that is the driver's and stays, from one snapshot; fewer only behind the last.
	// Invalid if after is neither "" nor an id that an account could have. AllAccounts does that for all.
	Accounts(ctx context.Context, after domicile.AccountID, limit int) ([]Account, error)

	// Mailboxes returns all mailboxes of an account: INBOX, then the others by name.
	Mailboxes(ctx context.Context, acct domicile.AccountID) ([]Mailbox, error)
	MailboxByName(ctx context.Context, acct domicile.AccountID, name string) (Mailbox, error)
	// CreateMailbox makes name and, unmade so far, its parents. Exist if there is one of that name.
	CreateMailbox(ctx context.Context, tok Token, acct domicile.AccountID, name, specialUse string) (Mailbox, error)
	// RenameMailbox moves children too, also those of a name that is no mailbox itself, and makes parents that are unmade. Ids and numbers stay. NotExist if there is neither
	// a mailbox of the name nor one below it, Exist if any new name is taken, its own included, Invalid below itself, and if a new name were too long or too deep.
	// Renaming INBOX moves its messages into a new mailbox, where they keep their UIDs, ModSeqs and save dates, and which has the UIDNEXT and the HIGHESTMODSEQ that
	// INBOX had and remembers the expunged UIDs that it did; INBOX itself and its children stay (RFC 9051 6.3.6), its UIDNEXT too, and all that moved has vanished from it. The new
	// mailbox may be below INBOX. If INBOX is empty, it is one like any other that is new.
	RenameMailbox(ctx context.Context, tok Token, acct domicile.AccountID, from, to string) error
	// DeleteMailbox removes a mailbox and its messages. Its children stay. INBOX cannot be deleted (Invalid). Of a mailbox with more than MaxPage messages
	// the bodies may go some time after the call returned, and be used, read and counted until then; not after the return of Purge.
	DeleteMailbox(ctx context.Context, tok Token, acct domicile.AccountID, name string) error
	// Subscribe puts a name among the subscribed ones of the account, or takes it out. No mailbox need have it, and it stays there whatever becomes of one that
	// does (RFC 9051 6.3.7). Names that no mailbox has are MaxSubscribed at most: one more is TooLarge, and where a mailbox that goes, or gets another name, would leave one
	// more behind, its subscription goes with it. CreateMailbox subscribes to nothing.
	Subscribe(ctx context.Context, tok Token, acct domicile.AccountID, name string, on bool) error
	// Subscriptions returns the subscribed names, in the order of their bytes.
	Subscriptions(ctx context.Context, acct domicile.AccountID) ([]string, error)

	// Annotations returns the annotations of a mailbox, or with "" those of the account as a whole, by name.
	Annotations(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID) ([]Annotation, error)
	// Annotate sets annotations of a mailbox, or with "" of the account, all or none: Entry to Value, where nil removes it. The last of those for one entry counts. They
	// go with their mailbox, and stay with it over RenameMailbox; of INBOX that copies them (RFC 5464 4.1). It returns the number of this change, or of
	// the last one if it changed nothing. Invalid if an entry's name is (EntryName), TooLarge over a limit or the quota, against which names and values count; what takes bytes away
	// is never refused for the quota.
	Annotate(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, set []Annotation) (changed uint64, err error)
	// AnnotationChange returns the number of the last change of the account's annotations, and reads nothing else.
	AnnotationChange(ctx context.Context, acct domicile.AccountID) (changed uint64, err error)
	// Annotated returns the number of the last change of the account's annotations, and the marks of all that there are; nothing if that number is since. The
	// marks of those that changed after since have their names, which cost more. It looks at each mailbox. Annotations that go with their mailbox are no change.
	Annotated(ctx context.Context, acct domicile.AccountID, since uint64) (changed uint64, all []AnnotationMark, err error)

	// NumberMailbox has mail that is brought in from elsewhere keep the UIDs that it had there. It gives a mailbox whose UIDNEXT is 1, which so
	// never had a message, the UIDVALIDITY validity, and raises its UIDNEXT to next, from where Commit goes on. Where validity is the
	// mailbox's own, UIDNEXT alone is raised, also in a mailbox with messages; it never falls. Conflict if validity is not the mailbox's own and its UIDNEXT is over 1, or
	// if another mailbox of the account, whose UIDNEXT is over 1, has validity; with UIDNEXT 1 that one gets another. Invalid if validity or next is 0, or validity above
	// MaxUIDValidity. It may raise HIGHESTMODSEQ, and may be repeated after Unknown.
	NumberMailbox(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, validity uint32, next UID) error

	// Incoming opens room for a message of at most limit bytes; a Write past it fails with TooLarge, and so does Commit then. Invalid unless limit is more than 0.
	Incoming(ctx context.Context, acct domicile.AccountID, limit int64) (Incoming, error)
	// Commit puts messages that have come in, at least one and at most MaxPage, into the mailbox named to, all or none: durable in bodies and index when it
	// returns nil. They are made in their order, and their UIDs follow one another; validity is the UIDVALIDITY of their mailbox. If instead is not nil the message
	// that it names, whatever its flags, is expunged in the same act, and what it used of the quota is free for the others; NotExist if it is not there.
	// Commit ends each Incoming, whatever the outcome: Write and Commit are Invalid afterwards, and after Abort. So is one of another account, and one that is named twice.
	// More than MaxPage are TooLarge, none is Invalid.
	//
	// tok is the token of all of it. The Token of a letter is that of a delivery, of this message alone: Forget drops it, and it moves with the account. A letter whose
	// token was used before is not stored; what that made stands in its place in made, and the others come as if it were not among them. So whoever asks again need not
	// make the same groups. Of such letters alone to is not looked at. validity is then that of the last letter's mailbox, and 0 if that came before a move. Letters
	// with tokens come in the place of nothing: with instead they are Invalid, and so is tok as one of theirs.
	Commit(ctx context.Context, tok Token, acct domicile.AccountID, to string, letters []Letter, instead *Instead) (validity uint32, made []Message, err error)
	// Messages returns at most limit messages (and MaxPage, and with a limit below 1 one) behind a UID, by UID, from one snapshot; fewer only at the end of the mailbox. Since
	// UIDs ascend, who goes on behind the last one misses none that stays; AllMessages does that for a mailbox.
	Messages(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after UID, limit int) ([]Message, error)
	// Listing is Messages with their summaries, in some times its time.
	Listing(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after UID, limit int) ([]Listed, error)
	// Find returns the UIDs, ascending, of the messages of a mailbox whose text holds needle: the keys TEXT, BODY and HEADER of
	// RFC 9051 6.4.4, as substrings of the decoded text, both folded by message.Fold. field is the name of a header
	// field, for InHeader alone, and elsewhere passed over: message.Texts has the texts, a field as "Name: value", of which InHeader looks at the value. An empty
	// needle is in every text, and finds with InHeader all messages that have the field. It is exact, for messages that just came too, but
	// looks at the first message.MaxText bytes of text alone. Damaged messages are not found, whatever is looked for.
	Find(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, in Where, field, needle string) ([]UID, error)
	// Changes returns what changed after seq in parts of at most limit changes (and MaxPage; a limit below 1 counts as 1): at is "" or the Next of the part before, of the same seq. A
	// message that is new or altered is one change, and so is a run of UIDs that one act expunged. Each part is
	// from a snapshot of its own. What changes while they are read comes in a later one, so that whoever applies them in their order, Vanished before Changed, has
	// the mailbox as it was at the last one, and goes on from its HighestModSeq. So a driver reads by ModSeq, and its Position says how far: a message that is changed meanwhile
	// has a ModSeq behind it, and comes again. A UID that came and went after seq is in Vanished. Where the mailbox has forgotten which UIDs
	// vanished after seq (see "Numbers" in the package comment), the first part has in Vanished, beyond the limit, every UID that is not there, from 1 to the
	// greatest that it has forgotten; where it forgets some while parts are read, that which is read next has them so.
	// With seq 0, which is for who knows nothing, Vanished has what went since the first part alone. A seq that is not reached yet gives the mailbox and no changes.
	// Invalid if at is no Position of this store.
	Changes(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, seq ModSeq, at Position, limit int) (Changes, error)
	// Body opens the bytes of a message, exactly as they were committed. Holds no lock or transaction.
	// Altered or cut bytes give an error before the end of the stream, never a short body.
	Body(ctx context.Context, acct domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error)
	// Bodies yields the bodies of messages in the order of ids, each as Body opens it, or why it does not. It reads ahead of the caller, and so is
	// the way to read many. A reader ends when the next is asked for; it is an io.WriterTo where that is faster, as io.Copy finds out.
	Bodies(ctx context.Context, acct domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error]
	// StoreFlags changes the flags of those uids that exist, by ApplyFlags; unless is the CONDSTORE UNCHANGEDSINCE value, 0 = none:
	// messages whose ModSeq is greater are left alone. If one message would have more than MaxFlags, all of it is TooLarge.
	StoreFlags(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID, op FlagOp, flags []string, unless ModSeq) (Stored, error)
	// Copy puts copies into the mailbox named to, which may be the same one, all or none, and returns them in the order in which uids first names those that exist, each once;
	// from has the UIDs that were copied, in that order, and validity is the UIDVALIDITY of the mailbox named to. A copy has its message's id, flags and internal date; it was saved now.
	// NotExist if there is no mailbox to, also where none of uids exists. Of more than MaxPage UIDs each message is copied as it is at some moment of the call, while others go on, and all
	// copies appear at once; Unavailable if so much comes into the mailbox meanwhile that their UIDs would not be the greatest.
	Copy(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID, to string) (validity uint32, from []UID, made []Message, err error)
	// Move is Copy and expunge as one act (RFC 6851): the UIDs of from vanish, \Deleted or not. Within one mailbox, too: the messages get new UIDs.
	Move(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID, to string) (validity uint32, from []UID, made []Message, err error)
	// Expunge removes the messages with \Deleted, of uids if not nil (empty names none), and leaves tombstones. It returns their UIDs, ascending. With nil it is one act
	// on the whole mailbox, however large.
	Expunge(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID) ([]UID, error)

	// Expunged returns the messages of the account whose last copy was expunged, that Undelete can bring back: the oldest first. How long a
	// driver keeps them is its own configuration; it may keep none, and then this returns nothing, Undelete is NotExist for whatever is named, and Purge does nothing.
	Expunged(ctx context.Context, acct domicile.AccountID) ([]Expunged, error)
	// Undelete puts expunged messages into the mailbox named to, all or none, and returns them in the order of ids, without \Deleted. NotExist
	// if one of them, or the mailbox, is not there; TooLarge if the quota has no room for them. Their flags and internal dates are those they had; they are saved now.
	Undelete(ctx context.Context, tok Token, acct domicile.AccountID, ids []domicile.MessageID, to string) ([]Message, error)
	// Purge gives up what could be undeleted, as where somebody has a right to have it erased. It may be repeated after Unknown.
	Purge(ctx context.Context, acct domicile.AccountID) error

	// Forget drops a token of a delivery: a later Commit with the same token stores again. Nil if it is not known, Invalid if it was used for another kind of act.
	Forget(ctx context.Context, acct domicile.AccountID, tok Token) error
	// Export returns the part of an account behind a position, at most size bytes of bodies (and MaxPart, but one where there is one) of it; see "Moves" in
	// the package comment. Conflict unless the account is Moving, Invalid behind a position that this store did not write.
	Export(ctx context.Context, id domicile.AccountID, after Position, size int64) (Part, error)
	// Import takes one part of an account that comes from another store. The first, which has the account, makes its key.
	// Conflict if the part does not begin where the import stands, Exist if the id or the address is taken here. A part that cannot be, and a last one with which all of them
	// do not add up, is Invalid, or TooLarge: nothing of it is kept, and the import stands where it stood. What can be seen early may be refused early.
	Import(ctx context.Context, id domicile.AccountID, p Part) error
	// Imported returns where an import stands. NotExist if there is none.
	Imported(ctx context.Context, id domicile.AccountID) (Arrival, error)
	// Activate makes an imported account that is whole visible, as fn leaves it: for fn holds what UpdateAccount says. Invalid if it is not whole, NotExist if there is
	// none, Exist if its address was taken meanwhile. Activating what was activated before does nothing.
	Activate(ctx context.Context, id domicile.AccountID, fn func(*Account) error) error
	// Abandon destroys the key and all bytes of an import. Nil if there is none, Conflict if the account was activated.
	Abandon(ctx context.Context, id domicile.AccountID) error

	// Watch returns a channel that gets a hint some time after anything in the account changed, to be followed by a read of what it
	// names. Hints coalesce (Hint.Join); a slow reader blocks nobody. stop must be called, and may be twice. The channel is never closed, neither by stop nor by Close.
	Watch(acct domicile.AccountID) (hint <-chan Hint, stop func())

	// Table opens a small named table of the region's own records, made if absent. Invalid unless the name has 1 to MaxTableName bytes.
	Table(name string) (Table, error)

	// Close waits for acts under way. Afterwards every method is Unavailable, but Close, which does nothing.
	Close() error
}

// Table is a durable map of small records (64 KiB each) that belong to the region, not to an account: the
// residence ledger, the registrar's names, the cases. Keys and values rest sealed. Safe for concurrent use.
type Table interface {
	// Get returns NotExist as ok false.
	Get(key string) (value []byte, ok bool, err error)
	// Put is durable on return. A nil value is kept as an empty one. An empty key, or one over MaxTableKey, is Invalid, a value over MaxRecord TooLarge; so with CompareAndSwap.
	Put(key string, value []byte) error
	// CompareAndSwap writes new if the present value is old, durably. A nil old means absent, a nil new deletes; an empty one is a value as any other.
	CompareAndSwap(key string, old, new []byte) (swapped bool, err error)
	// Each calls fn for every record, in the order of keys, on a snapshot taken before the first call. fn may write the table. Its error ends Each, and is
	// returned.
	Each(fn func(key string, value []byte) error) error
}
