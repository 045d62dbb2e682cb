package storetest

import "testing"

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) { test.run(New(t, open)) })
	}
	t.Run("BadLine", func(t *testing.T) {
		for _, test := range suite {
			if test.badLine {
				t.Run(test.name, func(t *testing.T) { test.run(overBadLine(t, open)) })
			}
		}
	})
}

var suite = []struct {
	name    string
	run     func(*Rig)
	badLine bool // it passes for a patient client over a bad line, too
}{
	{"Accounts", accounts, true},
	{"AccountPages", accountPages, true},
	{"UpdateAccount", updateAccount, true},
	{"DeleteAccount", deleteAccount, true},
	{"WrongRegion", wrongRegion, false},
	{"Mailboxes", mailboxes, true},
	{"MailboxNames", mailboxNames, false},
	{"Rename", rename, true},
	{"RenameInbox", renameInbox, true},
	{"DeleteMailbox", deleteMailbox, true},
	{"Subscriptions", subscriptions, true},
	{"SubscriptionsFull", subscriptionsFull, false},
	{"Annotations", annotations, true},
	{"Annotated", annotated, true},
	{"AnnotationsOverLimits", annotationsOverLimits, false},
	{"Deliver", deliver, true},
	{"DeliverRefused", deliverRefused, true},
	{"Quota", quota, true},
	{"Commit", commitTogether, true},
	{"CommitRefused", commitRefused, true},
	{"CommitQuota", commitQuota, true},
	{"CommitInstead", commitInstead, true},
	{"CommitTokens", commitTokens, true},
	{"CommitLetters", commitLetters, true},
	{"CommitTorn", commitTorn, false},
	{"Flags", flags, true},
	{"Unless", unless, true},
	{"Copy", copyMessages, true},
	{"MoveMessages", moveMessages, true},
	{"ManyBodies", manyBodies, true},
	{"LargeActs", largeActs, true},
	{"Expunge", expunge, true},
	{"List", list, false},
	{"Walk", walk, false},
	{"Find", find, false},
	{"Since", since, true},
	{"Pages", pages, true},
	{"PagesBesideWriters", pagesBesideWriters, false},
	{"Forgotten", forgotten, true},
	{"Tokens", tokens, true},
	{"TokensOfAll", tokensOfAll, true},
	{"TokensPrune", tokensPrune, false},
	{"TokensAtOnce", tokensAtOnce, true},
	{"Tables", tables, true},
	{"TablesAtOnce", tablesAtOnce, true},
	{"Unsure", unsure, false},
	{"Number", numberMailbox, true},
	{"Move", moveAccount, false},
	{"MoveBack", moveBack, false},
	{"MoveAbandoned", moveAbandoned, false},
	{"MoveFrozen", moveFrozen, false},
	{"MoveHostile", moveHostile, false},
	{"MoveOverBadLine", moveOverBadLine, false},
	{"Watch", watch, false},
	{"HintAfterChange", hintAfterChange, false},
	{"Follow", follow, true},
	{"Torn", torn, false},
	{"Closed", closed, false},
	{"Killed", killed, false},
	{"Damaged", damaged, false},
	{"AtOnce", atOnce, true},
	{"Linear", linear, false},
	{"Model", model, false},
}
