package move

import (
	"cmp"
	"context"
	"slices"
	"time"

	"domicile"
)

// Info is a move as people see it, on one side of it.
type Info struct {
	ID      string             `json:"id"`
	Side    Side               `json:"side"`
	Change  string             `json:"change"` // of residence
	Account domicile.AccountID `json:"account"`
	From    domicile.Region    `json:"from"`
	To      domicile.Region    `json:"to"`
	Country domicile.Country   `json:"country"` // the residence to be
	Epoch   uint64             `json:"epoch"`   // of ownership, the next
	State   State              `json:"state"`
	Began   time.Time          `json:"began"`
	Changed time.Time          `json:"changed"`
	Bytes   int64              `json:"bytes"`             // of bodies, that the target has
	Total   int64              `json:"total"`             // of bodies; 0 until the first part
	Code    string             `json:"code,omitempty"`    // what the last try came to, if it did not succeed; of a cancelled move cooling_down
	Leaves  map[State]uint64   `json:"leaves,omitempty"`  // of this region's log
	Receipt *Receipt           `json:"receipt,omitempty"` // of the erasure at the source
	Done    bool               `json:"done"`              // nothing is left to do on this side
}

// Receipt names the leaves of an erasure.
type Receipt struct {
	Source uint64 `json:"source"` // in the log of the region that the account left
	Target uint64 `json:"target"` // in that of its home
}

// info leaves out who cancelled a move, and why: it may have been a case.
func (r row) info() Info {
	out := Info{ID: r.ID, Side: r.Side, Change: r.Change, Account: r.Account, From: r.From, To: r.To, Country: r.Country, Epoch: r.Epoch,
		State: r.State, Began: r.Began, Changed: r.Changed, Bytes: r.Bytes, Total: r.Total, Code: r.Tried, Leaves: r.Leaves,
		Done: r.State == Erased || r.Settled}
	if r.State == Cancelled || r.State == Abandoned {
		out.Code = string(domicile.CoolingDown)
	}
	if r.State == Erased {
		out.Receipt = &Receipt{Source: r.Leaves[Erased], Target: r.There}
		if r.Side == Target {
			out.Receipt = &Receipt{Source: r.There, Target: r.Leaves[Erased]}
		}
	}
	return out
}

// Moves lists all moves out of and into this region, the oldest first.
func (m *Machine) Moves(context.Context) ([]Info, error) {
	all, err := m.list()
	out := make([]Info, len(all))
	for i, r := range all {
		out[i] = r.info()
	}
	slices.SortStableFunc(out, func(a, b Info) int {
		return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.ID, b.ID))
	})
	return out, domicile.W("list moves", err)
}

// Move returns one move; of one that left and one that came in with the same id, which no honest pair of regions makes, the first.
func (m *Machine) Move(_ context.Context, id string) (Info, error) {
	for _, side := range []string{"out/", "in/"} {
		r, ok, err := m.rows.get(side + id)
		if err != nil {
			return Info{}, domicile.W("look at a move", err)
		}
		if ok {
			return r.info(), nil
		}
	}
	return Info{}, domicile.E("look at a move", domicile.NotExist, "there is no move of that id; move ls lists them")
}

// Counts says how many moves are in each state.
func (m *Machine) Counts() (map[State]int, error) {
	all, err := m.list()
	out := map[State]int{}
	for _, r := range all {
		out[r.State]++
	}
	return out, err
}
