package placement

import (
	"slices"

	"domicile"
)

// Row is what the border's table says of one class of bytes. A crossing is allowed if one of the
// row's forms allows it.
type Row struct {
	Class domicile.EgressClass
	Rule  string // the promise in words; part of every Decision
	Leaf  bool   // decisions of this class are leaves of the log; otherwise records of the sealed journal
	Forms []Form // at most one for each kind of permit and party
}

// Form is one shape in which a class may leave.
type Form struct {
	Kind     PermitKind
	Parties  []Party // who may receive it
	Mail     Mail    // whose mail it may carry, and which way
	Case     bool    // carries the number of a case, which it then must
	Release  bool    // waits for a release under quorum
	Approval bool    // needs an approved change of residence, which is then its case
	Ceiling  int64   // bytes, at most; for Standing those of one message
}

// Mail says whether a form carries an account's mail, and which way it may then go.
type Mail string

const (
	NoMail   Mail = "none"        // names no account
	FromHome Mail = "from home"   // of an account that rests where the bytes leave
	ToHome   Mail = "toward home" // of an account that rests where the bytes arrive
	AnyMail  Mail = "none or from home"
	BothWays Mail = "toward or from home"
	FromElse Mail = "of another home" // of an account that rests elsewhere than where the bytes leave
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// The table. Its order is that of the classes in package domicile.
var rows = []Row{
	{Class: domicile.ClientSession, Rule: "a customer reads mail where it rests; a stranger is told only greetings and answers",
		Forms: []Form{
			{Kind: Standing, Parties: []Party{ToClient}, Mail: NoMail, Ceiling: mib},
			{Kind: Stream, Parties: []Party{ToClient}, Mail: FromHome, Ceiling: tib},
		}},
	{Class: domicile.Relay, Rule: "a customer's own session passes another region in memory only, between its home and its client",
		Forms: []Form{
			{Kind: Standing, Parties: []Party{ToRegion}, Mail: NoMail, Ceiling: 64 * kib},
			{Kind: Stream, Parties: []Party{ToRegion}, Mail: BothWays, Ceiling: tib},
			{Kind: Stream, Parties: []Party{ToClient}, Mail: FromElse, Ceiling: tib},
		}},
	{Class: domicile.Delivery, Rule: "content only toward its home; back goes only the answer, which carries none",
		Forms: []Form{
			{Kind: Stream, Parties: []Party{ToRegion}, Mail: ToHome, Ceiling: gib},
			{Kind: Standing, Parties: []Party{ToRegion}, Mail: NoMail, Ceiling: 64 * kib},
		}},
	{Class: domicile.Gossip, Rule: "who is alive and where, never a person",
		Forms: []Form{{Kind: Standing, Parties: []Party{ToRegion, ToWitness}, Mail: NoMail, Ceiling: 4 * mib}}},
	{Class: domicile.Lookup, Rule: "names cross as keyed digests",
		Forms: []Form{{Kind: Standing, Parties: []Party{ToRegion}, Mail: NoMail, Ceiling: 64 * kib}}},
	{Class: domicile.Claim, Rule: "names are claimed as keyed digests",
		Forms: []Form{{Kind: Standing, Parties: []Party{ToRegion}, Mail: NoMail, Ceiling: 64 * kib}}},
	{Class: domicile.CatalogFetch, Rule: "the catalog is public to the cluster",
		Forms: []Form{{Kind: Standing, Parties: []Party{ToRegion, ToWitness}, Mail: NoMail, Ceiling: mib}}},
	{Class: domicile.Checkpoint, Rule: "cosigners see commitments only",
		Forms: []Form{{Kind: Standing, Parties: []Party{ToRegion, ToWitness}, Mail: NoMail, Ceiling: mib}}},
	{Class: domicile.OrderNotice, Rule: "an order is told to the storing region under its case, without mail", Leaf: true,
		Forms: []Form{
			{Kind: Standing, Parties: []Party{ToRegion}, Mail: NoMail, Case: true, Ceiling: 64 * kib},
			{Kind: Sealed, Parties: []Party{ToRegion}, Mail: NoMail, Case: true, Ceiling: 16 * mib},
		}},
	{Class: domicile.Disclosure, Rule: "sealed to its authority, from home, under a case, after release", Leaf: true,
		Forms: []Form{{Kind: Sealed, Parties: []Party{ToAuthority}, Mail: FromHome, Case: true, Release: true, Ceiling: tib}}},
	{Class: domicile.Move, Rule: "an account goes to its next home in parts of known digest, from home, on an approved change of residence",
		Forms: []Form{
			{Kind: Sealed, Parties: []Party{ToRegion}, Mail: FromHome, Case: true, Approval: true, Ceiling: 8 * mib},
			{Kind: Standing, Parties: []Party{ToRegion}, Mail: NoMail, Ceiling: 64 * kib},
		}},
	{Class: domicile.Operator, Rule: "a region answers its own operators only", Leaf: true,
		Forms: []Form{
			{Kind: Standing, Parties: []Party{ToOperator}, Mail: NoMail, Ceiling: 16 * mib},
			{Kind: Stream, Parties: []Party{ToOperator}, Mail: AnyMail, Ceiling: tib},
		}},
	{Class: domicile.Telemetry, Rule: "how the node fares, in numbers under fixed words, never a person",
		Forms: []Form{{Kind: Standing, Parties: []Party{ToMonitor}, Mail: NoMail, Ceiling: mib}}},
}

// Rows returns a copy of the table, for documents and tests.
func Rows() []Row {
	out := slices.Clone(rows)
	for i := range out {
		out[i].Forms = slices.Clone(out[i].Forms)
		for j := range out[i].Forms {
			out[i].Forms[j].Parties = slices.Clone(out[i].Forms[j].Parties)
		}
	}
	return out
}

// Ceiling returns how many bytes one permit of a class and kind may carry at most, 0 if there is no such form.
func Ceiling(class domicile.EgressClass, kind PermitKind) int64 {
	if r := rowOf(class); r != nil {
		for _, f := range r.Forms {
			if f.Kind == kind {
				return f.Ceiling
			}
		}
	}
	return 0
}

func rowOf(class domicile.EgressClass) *Row {
	for i := range rows {
		if rows[i].Class == class {
			return &rows[i]
		}
	}
	return nil
}

func (r *Row) form(kind PermitKind, party Party) *Form {
	for i := range r.Forms {
		if r.Forms[i].Kind == kind && slices.Contains(r.Forms[i].Parties, party) {
			return &r.Forms[i]
		}
	}
	return nil
}
