// Package admin is how operators, legal officers and auditors talk to a region: a
// [Server] on the node, and the [Client] that mailctl uses.
//
// The wire is HTTP/1.1 over mutual TLS. Who asks is what the certificate says, and
// nothing else: region.Node.OperatorOf gives the region, the name and the roles.
// An operator of another region is refused (wrong_region), and the refusal is a
// leaf of the log, like every other refusal by rule; so is every call that reads
// or changes an account ("operator.…" leaves, with the address among the private
// fields). Answers leave under permits of class operator: a standing one of the
// connection, and for an export one of its own that names the account.
//
// # The wire
//
// Every call is a POST to /v1/NOUN/VERB, so that no address is ever in a URL. The
// body is one JSON object of at most 24 MiB whose fields are those of the request
// type in this package (unknown fields are refused); the answer is one JSON value.
// One call has more than an object in its body: import/put, see below. Three calls answer with bytes instead: account/export with a tar file (its last
// entry, manifest.json, says how much there was: a tar without it was cut short;
// or, with an order, with that order's sealed archive),
// audit/copy with a tar of the log's public files (checkpoint and tile/), and
// order/deliver with the sealed archive.
//
// Mail is brought in by import/begin, whose answer names the import; import/known, which says what the account has from the same
// source; import/mailbox, which makes a mailbox; import/put; and import/end. The body of import/put is a line of
// JSON ([PutImported]) and then, for each message, a line of JSON ([ImportedMessage]) and as many bytes as that says. Each message
// is durable before the next is read, and stored once for each key, however often it is put. Beginning and end are leaves of the
// log, the end with counts; what is between has none of its own.
//
// A failure is a [Failure] in JSON with the status that fits its kind. A refusal
// carries the reason, the rule, and the receipt of its leaf.
//
//	c, err := admin.NewClient("127.0.0.1:20007", identityPEM)
//	acc, err := c.CreateAccount(ctx, admin.CreateAccount{Address: "anna@example.com", Residence: "IE", Password: "…"})
//	if domicile.KindOf(err) == domicile.Refused {
//		receipt := admin.ReceiptOf(err)
//	}
//
// # Who may what
//
//	account, residence          operator (ls and show also legal and auditor)
//	import                      operator
//	move cancel                 operator (ls and show also legal and auditor)
//	account rm                  operator, who asks for it, then legal, who completes it
//	account export              operator with the owner's consent; legal with an order
//	order, bundle, authority    legal (ls and show also auditor; the engine decides further)
//	audit, catalog, region, node  any of the three
package admin
