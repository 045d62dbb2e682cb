package placement

import "domicile"

// PermitKind is one of the three kinds of permit of the border.
type PermitKind uint8

const (
	Sealed   PermitKind = iota + 1 // digest and size known before
	Stream                         // ceiling known before, digest and count recorded at close
	Standing                       // fixed shape, totals per interval
)

// String names the kind as in the documents.
func (k PermitKind) String() string {
	switch k {
	case Sealed:
		return "sealed"
	case Stream:
		return "stream"
	case Standing:
		return "standing"
	}
	return "no kind"
}

// Party says who would receive the bytes.
type Party string

const (
	ToRegion    Party = "region"    // a node of another region, or of this one
	ToClient    Party = "client"    // an authenticated mail client, or an anonymous one before login
	ToOperator  Party = "operator"  // an operator of this region
	ToAuthority Party = "authority" // the sealed hand-over of a production
	ToWitness   Party = "witness"   // a cosigner that is no region
	ToMonitor   Party = "monitor"   // whoever reaches the address at which a node tells its health: nobody in particular
)

// Crossing describes bytes about to leave a region: all that Decide may look at. The zero Crossing is refused.
type Crossing struct {
	Class    domicile.EgressClass
	Kind     PermitKind
	From     domicile.Region // the region that the bytes would leave
	Party    Party
	To       domicile.Region    // the receiver's region, for ToRegion and ToOperator; a witness may be named as "witness/NAME"; else ""
	Account  domicile.AccountID // whose mail, "" if none
	Home     domicile.Region    // where that account rests, "" if none
	Ceiling  int64              // bytes, > 0; for Standing those of one message
	Case     string             // for a disclosure or an order notice; of a move its change of residence; else ""
	Released bool               // for a disclosure: the leaf of its release is in a checkpoint that the quorum cosigned
	Approved bool               // for a move: the ledger was asked, and has the change of residence named by Case approved and no freeze
}

// Decision is the answer, with the rule that gave it. The zero Decision refuses.
type Decision struct {
	Allow  bool
	Reason domicile.Reason // if not allowed
	Rule   string          // such as "egress/delivery: content only toward its home"
	Leaf   bool            // recorded as a leaf; otherwise in the sealed journal
}
