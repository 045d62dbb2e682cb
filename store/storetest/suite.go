package storetest

import "testing"

// Run runs the whole suite. A test that fails says where package store promises what it looked for.
func Run(t *testing.T, open Open) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) {
			test.promised(t)
			test.run(New(t, open))
		})
	}
	t.Run("BadLine", func(t *testing.T) {
		for _, test := range suite {
			if test.badLine {
				t.Run(test.name, func(t *testing.T) {
					test.promised(t)
					test.run(overBadLine(t, open))
				})
			}
		}
	})
}

// suiteTest is a test, and where package store promises what it looks for.
type suiteTest struct {
	name    string
	promise string // a section of the package comment, or what has a comment of its own
	run     func(*Rig)
	badLine bool // it passes for a patient client over a bad line, too
}

// promised tells the author of a driver that fails what to read.
func (test suiteTest) promised(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what is promised: %q in package store (go doc -all domicile/store)", test.promise)
		}
	})
}

var suite = []suiteTest{
	{"Accounts", "Store.CreateAccount", accounts, true},
	{"AccountPages", "Store.Accounts", accountPages, true},
	{"UpdateAccount", "Store.UpdateAccount", updateAccount, true},
	{"DeleteAccount", "Store.DeleteAccount", deleteAccount, true},
	{"WrongRegion", "At opening", wrongRegion, false},
	{"Mailboxes", "Store.CreateMailbox", mailboxes, true},
	{"MailboxNames", "Names and flags", mailboxNames, false},
	{"Rename", "Store.RenameMailbox", rename, true},
	{"RenameInbox", "Store.RenameMailbox", renameInbox, true},
	{"DeleteMailbox", "Store.DeleteMailbox", deleteMailbox, true},
	{"Subscriptions", "Store.Subscribe", subscriptions, true},
	{"SubscriptionsFull", "Store.Subscribe", subscriptionsFull, false},
	{"Annotations", "Store.Annotate", annotations, true},
	{"Annotated", "Store.Annotated", annotated, true},
	{"AnnotationsOverLimits", "Limits", annotationsOverLimits, false},
	{"Deliver", "Store.Commit", deliver, true},
	{"DeliverRefused", "Four outcomes", deliverRefused, true},
	{"Quota", "Store.Used", quota, true},
	{"Commit", "Store.Commit", commitTogether, true},
	{"CommitRefused", "Store.Commit", commitRefused, true},
	{"CommitQuota", "Store.Commit", commitQuota, true},
	{"CommitInstead", "Store.Commit", commitInstead, true},
	{"CommitTokens", "What may run twice", commitTokens, true},
	{"CommitLetters", "Store.Commit", commitLetters, true},
	{"CommitTorn", "What is atomic", commitTorn, false},
	{"Flags", "Store.StoreFlags", flags, true},
	{"Unless", "Store.StoreFlags", unless, true},
	{"Copy", "Store.Copy", copyMessages, true},
	{"MoveMessages", "Store.Move", moveMessages, true},
	{"ManyBodies", "Store.Bodies", manyBodies, true},
	{"LargeActs", "What is atomic", largeActs, true},
	{"Expunge", "Store.Expunge", expunge, true},
	{"Undelete", "Store.Undelete", undelete, true},
	{"List", "Store.Listing", list, false},
	{"Walk", "WholeAccount", walk, false},
	{"Find", "Store.Find", find, false},
	{"Since", "Store.Changes", since, true},
	{"Pages", "Store.Changes", pages, true},
	{"PagesBesideWriters", "Store.Changes", pagesBesideWriters, false},
	{"Forgotten", "Numbers", forgotten, true},
	{"Tokens", "What may run twice", tokens, true},
	{"TokensOfAll", "What may run twice", tokensOfAll, true},
	{"TokensPrune", "What may run twice", tokensPrune, false},
	{"TokensAtOnce", "What may run twice", tokensAtOnce, true},
	{"Tables", "Table", tables, true},
	{"TablesAtOnce", "Table", tablesAtOnce, true},
	{"Unsure", "What may run twice", unsure, false},
	{"Number", "Store.NumberMailbox", numberMailbox, true},
	{"Move", "Moves", moveAccount, false},
	{"MoveBack", "Moves", moveBack, false},
	{"MoveAbandoned", "Moves", moveAbandoned, false},
	{"MoveFrozen", "Moves", moveFrozen, false},
	{"MoveHostile", "Store.Import", moveHostile, false},
	{"MoveOverBadLine", "Moves", moveOverBadLine, false},
	{"Watch", "Store.Watch", watch, false},
	{"HintAfterChange", "The change feed", hintAfterChange, false},
	{"Follow", "The change feed", follow, true},
	{"Torn", "What is atomic", torn, false},
	{"Closed", "Store.Close", closed, false},
	{"Killed", "What is durable", killed, false},
	{"Damaged", "Damage", damaged, false},
	{"Sealed", "What rests sealed", sealed, false},
	{"AtOnce", "Concurrency", atOnce, true},
	{"Linear", "What is atomic", linear, false},
	{"Model", "the whole package", model, false},
}
