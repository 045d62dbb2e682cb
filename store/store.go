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
	// kept to the second, in UTC. Exist if the address or the id is taken. Invalid unless the id is 1 to 64 characters of a-z, 0-9, '-' and '_', the
	// address has both its sides and at most MaxAddress bytes, and the quota is not negative. The token is forgotten with the account.
	CreateAccount(ctx context.Context, tok Token, a Account) error
	Account(ctx context.Context, id domicile.AccountID) (Account, error)
	AccountByAddress(ctx context.Context, addr domicile.Address) (Account, error)
	// UpdateAccount applies fn to the present state and stores what it leaves. fn may run twice. ID, Address and Created stay.
	// An error of fn is returned and nothing is changed; a lower Epoch is Conflict, a record over MaxRecord TooLarge.
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
	// RenameMailbox moves children too, also those of a name that is no mailbox itself, and makes parents that are unmade. Ids and numbers stay. Renaming INBOX moves its messages into a new mailbox, where
	// they keep their UIDs, ModSeqs and save dates, and which remembers the expunged UIDs that INBOX did; and leaves its children (RFC 9051 6.3.6). Exist if any new name is taken, Invalid below itself or too deep.
	RenameMailbox(ctx context.Context, tok Token, acct domicile.AccountID, from, to string) error
	// DeleteMailbox removes a mailbox and its messages. Its children stay. INBOX cannot be deleted (Invalid). Of a mailbox with more than MaxPage messages
	// the bodies may go some time after the call returned, and be used, read and counted until then; not after the return of Purge.
	DeleteMailbox(ctx context.Context, tok Token, acct domicile.AccountID, name string) error
	// Subscribe puts a name among the subscribed ones of the account, or takes it out. No mailbox need have it, and it stays there whatever becomes of one that
	// does (RFC 9051 6.3.7). TooLarge with more than MaxSubscribed that no mailbox has; of so many, the name of one that goes goes too.
	Subscribe(ctx context.Context, tok Token, acct domicile.AccountID, name string, on bool) error
	// Subscriptions returns the subscribed names, in the order of their bytes.
	Subscriptions(ctx context.Context, acct domicile.AccountID) ([]string, error)

	// Annotations returns the annotations of a mailbox, or with "" those of the account as a whole, by name.
	Annotations(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID) ([]Annotation, error)
	// Annotate sets annotations of a mailbox, or with "" of the account, all or none: Entry to Value, where nil removes it. The last of those for one entry counts. They
	// go with their mailbox, and stay with it over RenameMailbox; of INBOX that copies them (RFC 5464 4.1). It returns the number of this change, or of
	// the last one if it changed nothing. Invalid if an entry's name is (EntryName), TooLarge over a limit or the quota, against which names and values count.
	Annotate(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, set []Annotation) (changed uint64, err error)
	// AnnotationChange returns the number of the last change of the account's annotations, and reads nothing else.
	AnnotationChange(ctx context.Context, acct domicile.AccountID) (changed uint64, err error)
	// Annotated returns the number of the last change of the account's annotations, and the marks of all that there are; nothing if that number is since. The
	// marks of those that changed after since have their names, which cost more. It looks at each mailbox. Annotations that go with their mailbox are no change.
	Annotated(ctx context.Context, acct domicile.AccountID, since uint64) (changed uint64, all []AnnotationMark, err error)

	// NumberMailbox has mail that is brought in from elsewhere keep the UIDs that it had there. It gives a mailbox that never had a
	// message the UIDVALIDITY validity, and raises its UIDNEXT to next, from where Commit goes on. Where validity is the
	// mailbox's own, UIDNEXT alone is raised, also in a mailbox with messages; it never falls. Conflict if another UIDVALIDITY was in use, or
	// if another mailbox of the account has this one and had messages (else that one gets another); Invalid above MaxUIDValidity. It may be repeated after Unknown.
	NumberMailbox(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, validity uint32, next UID) error

	// Incoming opens room for a message of at most limit bytes, more than 0; a Write past it fails with TooLarge, and so does Commit then.
	Incoming(ctx context.Context, acct domicile.AccountID, limit int64) (Incoming, error)
	// Commit puts messages that have come in, at least one and at most MaxPage, into the mailbox named to, all or none: durable in bodies and index when it
	// returns nil. They are made in their order, and their UIDs follow one another; validity is the UIDVALIDITY of their mailbox. If instead is not nil the message
	// that it names, whatever its flags, is expunged in the same act, and what it used of the quota is free for the others; NotExist if it is not there.
	// Commit ends each Incoming, whatever the outcome: Write and Commit are Invalid afterwards, and after Abort. So is one of another account, and one that is named twice.
	//
	// tok is the token of all of it. The Token of a letter is that of a delivery, of this message alone: Forget drops it, and it moves with the account. A letter whose
	// token was used before is not stored; what that made stands in its place in made, and the others come as if it were not among them. So whoever asks again need not
	// make the same groups. Of such letters alone to is not looked at. validity is then that of the last letter's mailbox, and 0 if that came before a move. Letters
	// with tokens come in the place of nothing: with instead they are Invalid.
	Commit(ctx context.Context, tok Token, acct domicile.AccountID, to string, letters []Letter, instead *Instead) (validity uint32, made []Message, err error)
	// Messages returns at most limit messages (and MaxPage) behind a UID, by UID, from one snapshot; fewer only at the end of the mailbox. Since
	// UIDs ascend, who goes on behind the last one misses none that stays; AllMessages does that for a mailbox.
	Messages(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after UID, limit int) ([]Message, error)
	// Listing is Messages with their summaries, in some times its time.
	Listing(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after UID, limit int) ([]Listed, error)
	// Find returns the UIDs, ascending, of the messages of a mailbox whose text holds needle: the keys TEXT, BODY and HEADER of
	// RFC 9051 6.4.4, as substrings of the decoded text, both folded by message.Fold. field is the name of a header
	// field, for InHeader alone; an empty needle finds all messages that have the field. It is exact, for messages that just came too, but
	// looks at the first message.MaxText bytes of text alone. Damaged messages are not found.
	Find(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, in Where, field, needle string) ([]UID, error)
	// Changes returns what changed after seq in parts of at most limit changes (and MaxPage): at is "" or the Next of the part before, of the same seq. Each part is
	// from a snapshot of its own. What changes while they are read comes in a later one, so that whoever applies them in their order, Vanished before Changed, has
	// the mailbox as it was at the last one, and goes on from its HighestModSeq. A UID that came and went after seq is in Vanished. Where the mailbox has forgotten which UIDs
	// vanished after seq (see "Numbers" in the package comment), the first part has in Vanished, beyond the limit, all UIDs up to those that are not there.
	// With seq 0, which is for who knows nothing, Vanished has what went since the first part alone. A seq that is not reached yet gives the mailbox and no changes.
	Changes(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, seq ModSeq, at Position, limit int) (Changes, error)
	// Body opens the bytes of a message, exactly as they were committed. Holds no lock or transaction.
	// Altered or cut bytes give an error before the end of the stream, never a short body.
	Body(ctx context.Context, acct domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error)
	// Bodies yields the bodies of messages in the order of ids, each as Body opens it, or why it does not. It reads ahead of the caller, and so is
	// the way to read many. A reader ends when the next is asked for; it is an io.WriterTo where that is faster, as io.Copy finds out.
	Bodies(ctx context.Context, acct domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error]
	// StoreFlags changes the flags of those uids that exist; unless is the CONDSTORE UNCHANGEDSINCE value, 0 = none:
	// messages changed later are left alone.
	StoreFlags(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID, op FlagOp, flags []string, unless ModSeq) (Stored, error)
	// Copy puts copies into the mailbox named to, all or none, and returns the new messages in the order of uids that exist; validity is the UIDVALIDITY of their mailbox.
	// NotExist if there is no mailbox to. Of more than MaxPage UIDs each message is copied as it is at some moment of the call, while others go on, and all
	// copies appear at once; Unavailable if so much comes into the mailbox meanwhile that their UIDs would not be the greatest.
	Copy(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID, to string) (validity uint32, from []UID, made []Message, err error)
	// Move is Copy and expunge as one act (RFC 6851).
	Move(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID, to string) (validity uint32, from []UID, made []Message, err error)
	// Expunge removes the messages with \Deleted, of uids if not nil, and leaves tombstones. It returns their UIDs, ascending. With nil it is one act
	// on the whole mailbox, however large.
	Expunge(ctx context.Context, tok Token, acct domicile.AccountID, mbox domicile.MailboxID, uids []UID) ([]UID, error)

	// Expunged returns the messages of the account whose last copy was expunged, that Undelete can bring back: the oldest first. How long a
	// driver keeps them is its own configuration; it may keep none.
	Expunged(ctx context.Context, acct domicile.AccountID) ([]Expunged, error)
	// Undelete puts expunged messages into the mailbox named to, all or none, and returns them in the order of ids, without \Deleted. NotExist
	// if one of them, or the mailbox, is not there; TooLarge if the quota has no room for them.
	Undelete(ctx context.Context, tok Token, acct domicile.AccountID, ids []domicile.MessageID, to string) ([]Message, error)
	// Purge gives up what could be undeleted, as where somebody has a right to have it erased. It may be repeated after Unknown.
	Purge(ctx context.Context, acct domicile.AccountID) error

	// Forget drops a token of a delivery: a later Commit with the same token stores again.
	Forget(ctx context.Context, acct domicile.AccountID, tok Token) error
	// Export returns the part of an account behind a position, at most size bytes of bodies (and MaxPart) of it; see "Moves" in
	// the package comment. Conflict unless the account is Moving.
	Export(ctx context.Context, id domicile.AccountID, after Position, size int64) (Part, error)
	// Import takes one part of an account that comes from another store. The first, which has the account, makes its key.
	// Conflict if the part does not begin where the import stands, Exist if the id or the address is taken here. The last part is
	// Invalid unless all of them add up.
	Import(ctx context.Context, id domicile.AccountID, p Part) error
	// Imported returns where an import stands. NotExist if there is none.
	Imported(ctx context.Context, id domicile.AccountID) (Arrival, error)
	// Activate makes an imported account that is whole visible, as fn leaves it: for fn holds what UpdateAccount says.
	// Activating what was activated before does nothing.
	Activate(ctx context.Context, id domicile.AccountID, fn func(*Account) error) error
	// Abandon destroys the key and all bytes of an import. Nil if there is none, Conflict if the account was activated.
	Abandon(ctx context.Context, id domicile.AccountID) error

	// Watch returns a channel that gets a hint some time after anything in the account changed, to be followed by a read of what it
	// names. Hints coalesce; a slow reader blocks nobody. stop must be called.
	Watch(acct domicile.AccountID) (hint <-chan Hint, stop func())

	// Table opens a small named table of the region's own records, made if absent.
	Table(name string) (Table, error)

	// Close waits for acts under way. Afterwards every method is Unavailable, but Close, which does nothing.
	Close() error
}

// Table is a durable map of small records (64 KiB each) that belong to the region, not to an account: the
// residence ledger, the registrar's names, the cases. Keys and values rest sealed. Safe for concurrent use.
type Table interface {
	// Get returns NotExist as ok false.
	Get(key string) (value []byte, ok bool, err error)
	// Put is durable on return. A nil value is kept as an empty one. An empty key, or one over MaxTableKey, is Invalid.
	Put(key string, value []byte) error
	// CompareAndSwap writes new if the present value is old, durably. A nil old means absent, a nil new deletes.
	CompareAndSwap(key string, old, new []byte) (swapped bool, err error)
	// Each calls fn for every record, in the order of keys, on a snapshot taken before the first call. fn may write the table. Its error ends Each, and is
	// returned.
	Each(fn func(key string, value []byte) error) error
}
