package residence

import (
	"slices"
	"time"

	"domicile"
)

// State is where a residence, or one change of it, stands.
type State string

const (
	Declared        State = "declared"
	Evidenced       State = "evidenced"
	Effective       State = "effective"
	ChangeRequested State = "change_requested"
	Cooling         State = "cooling"
	Approved        State = "approved"
	Moving          State = "moving"
	Contested       State = "contested"
	Frozen          State = "frozen" // shown to legal roles only
	Rejected        State = "rejected"
)

// transitions is the whole machine. Declaring passes through the first three states in one act, and asking for a
// change through change_requested; a freeze lies over any state and is no transition of its own.
var transitions = map[State][]State{
	Declared:        {Evidenced},
	Evidenced:       {Effective},
	Effective:       {ChangeRequested},
	ChangeRequested: {Cooling, Contested, Rejected},
	Cooling:         {Approved, Contested, Rejected},
	Approved:        {Moving, Cooling, Contested, Rejected},
	Contested:       {Rejected},
	Moving:          {Effective, Cooling},
}

func (s State) mayBecome(next State) bool { return slices.Contains(transitions[s], next) }

// Declaration is what holds of an account from ValidFrom on, as known since KnownAt.
type Declaration struct {
	Account   domicile.AccountID `json:"account"`
	Country   domicile.Country   `json:"country"`
	ValidFrom time.Time          `json:"valid_from"` // zero = when it became known
	KnownAt   time.Time          `json:"known_at"`   // set by the ledger
	Evidence  []Evidence         `json:"evidence"`
	By        Actor              `json:"by"`
}

// Change is one request to change a residence.
type Change struct {
	ID        string             `json:"id"`
	Account   domicile.AccountID `json:"account"`
	From      domicile.Country   `json:"from"`
	To        domicile.Country   `json:"to"`
	ValidFrom time.Time          `json:"valid_from"`
	Evidence  []Evidence         `json:"evidence"`
	Requested time.Time          `json:"requested"`
	Rests     time.Time          `json:"rests"` // since when it rests: since it was asked for, or came back from a move
	By        Actor              `json:"by"`
	State     State              `json:"state"`
	Reason    domicile.Reason    `json:"reason,omitempty"`   // why it was refused or contested at once
	Reviewed  time.Time          `json:"reviewed,omitzero"`  // when it last changed state
	Reviewer  string             `json:"reviewer,omitempty"` // who changed it
}

// Standing is what the ledger says of an account.
type Standing struct {
	Account      domicile.AccountID `json:"account"`
	Country      domicile.Country   `json:"country"` // the residence in force, by which the mail is placed
	Since        time.Time          `json:"since"`   // valid time of it
	Declaration  Declaration        `json:"declaration"`
	State        State              `json:"state"`
	Change       *Change            `json:"change,omitempty"` // the last one asked for, if it is still open
	LastApproved time.Time          `json:"last_approved,omitzero"`
	Cases        []string           `json:"cases,omitempty"` // what freezes it; legal roles only
}

func (s Standing) frozen() bool { return len(s.Cases) > 0 }

// For returns what who may see: everyone but legal roles sees nothing of a freeze.
func (s Standing) For(who Actor) Standing {
	if !who.Legal {
		s.Cases = nil
	}
	s.State = s.state()
	return s
}

func (s Standing) state() State {
	switch {
	case s.frozen():
		return Frozen
	case s.Change != nil:
		return s.Change.State
	}
	return Effective
}

// AsOf returns the declaration that holds at valid, as far as was known at known: of those known by then and valid by
// then, the one that became known last. decls is in the order of KnownAt.
func AsOf(decls []Declaration, valid, known time.Time) (Declaration, bool) {
	for i := len(decls) - 1; i >= 0; i-- {
		if d := decls[i]; !d.KnownAt.After(known) && !d.ValidFrom.After(valid) {
			return d, true
		}
	}
	return Declaration{}, false
}
