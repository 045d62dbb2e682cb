// Package residence keeps what each customer declared about where they live, on what
// evidence, and who may change it when.
//
// The [Ledger] is bitemporal: each entry has the time from which it holds (valid time)
// and the time at which the region learned of it (known time), so that a court can be
// told what was declared, what was known, and when. Entries are added, never rewritten.
// Each becomes true only after the injected Record (a leaf of the audit log) has
// succeeded.
//
// The rules are pure functions with tables in their tests: [Initial], [Sufficient],
// and [Rules]. A first declaration needs one item of [Evidence]; a change needs two
// independent ones of different kinds, rests for a cool-down, is approved by a second
// person of the losing region, and comes at most once in 180 days. An approved change
// becomes a move by itself: moving from the freeze on, and effective when the account has a
// new home, or rests anew (returned) if the move ended before its handover.
//
// # Two regions
//
// An account's ledger goes with it. [Ledger.Carry] gives the entries that the next home needs,
// with both their times, so that it can say there too what held and what was known; freezes and
// their cases stay behind. [Ledger.Receive] takes them. The region that it left keeps who did
// what, when, for which country and on which kinds of evidence; what else an item of evidence
// held is taken away ([Ledger.Minimise]), for nobody there decides on it any more. The sealed
// detail of its log's leaves outlives that, for courts.
//
// # A freeze does not give itself away
//
// A hold or an open order freezes the residence ([Ledger.Freeze]). Legal roles see it as
// residence_frozen. To everyone else a frozen account looks like any other: a change may
// be asked for, it rests, and its review answers cooling_down in the same words as before
// the end of any cool-down, for no review has a promised date. [Standing.For] and
// [Ledger.History] take away what a role may not see.
//
// # Bytes
//
// The table has two kinds of records. "ACCOUNT/000001", "ACCOUNT/000002", … are an account's
// entries in the order in which they became known: JSON objects as [Entry] describes, with
// "v" (1). "ACCOUNT/000001.fate" is written once, after its entry: "recorded" when the leaf
// of the entry is in the log, "void" when it could not be recorded and the entry does not
// count. An entry without a fate was under way when the process died; it is recorded when
// the ledger is opened next. A newer "v" is refused. The table rests sealed in the region's
// store, for evidence is personal data.
package residence
