package move

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/placement"
	"domicile/store"
)

// State is where a move stands, on one side of it.
type State string

// The states; the package comment draws how they follow one another.
const (
	Planned    State = "planned"
	Frozen     State = "frozen"
	Copying    State = "copying"
	Receiving  State = "receiving"
	Received   State = "received"
	HandedOver State = "handed-over"
	Serving    State = "serving"
	Erased     State = "erased"
	Cancelled  State = "cancelled"
	Abandoned  State = "abandoned"
)

// States is the closed list.
var States = []State{Planned, Frozen, Copying, Receiving, Received, HandedOver, Serving, Erased, Cancelled, Abandoned}

// before says whether the handover is still to come.
func (s State) before() bool {
	switch s {
	case Planned, Frozen, Copying, Receiving, Received:
		return true
	}
	return false
}

// Side says which side of a move a row is.
type Side string

// The two sides.
const (
	Source Side = "source"
	Target Side = "target"
)

// row is one side of one move, as it is kept. Its key is "out/ID" or "in/ID".
type row struct {
	V       int                `json:"v"` // 1
	ID      string             `json:"id"`
	Side    Side               `json:"side"`
	Change  string             `json:"change"`
	Account domicile.AccountID `json:"account"`
	From    domicile.Region    `json:"from"`
	To      domicile.Region    `json:"to"`
	Country domicile.Country   `json:"country"` // the residence to be
	Epoch   uint64             `json:"epoch"`   // of ownership, the next
	State   State              `json:"state"`
	Began   time.Time          `json:"began"`
	Changed time.Time          `json:"changed"` // when it came into its state

	Was       store.AccountState   `json:"was,omitempty"`       // source: the account's state before the freeze; target: the same, with the handover
	Name      placement.NameDigest `json:"name,omitzero"`       // target
	Domain    string               `json:"domain,omitempty"`    // target
	Residence int                  `json:"residence,omitempty"` // target: entries of the ledger that rest in the table
	Ownership *placement.Ownership `json:"ownership,omitempty"` // target: prepared, then signed by both; source: signed by both
	Settled   bool                 `json:"settled,omitempty"`   // cancelled, abandoned: nothing is left to do
	By        string               `json:"by,omitempty"`        // cancelled: who did
	Tried     string               `json:"tried,omitempty"`     // what the last try came to, a code; "" = it went on

	Bytes int64 `json:"bytes,omitempty"` // of bodies, that the target has
	Total int64 `json:"total,omitempty"` // of bodies

	Leaves map[State]uint64 `json:"leaves,omitempty"` // of this region's log
	There  uint64           `json:"there,omitempty"`  // the leaf of the erasure in the other region's log
}

func (r row) key() string {
	if r.Side == Source {
		return "out/" + r.ID
	}
	return "in/" + r.ID
}

// done says whether nothing is left to do on this side.
func (r row) done() bool {
	return r.State == Erased || r.Settled || r.Side == Target && r.State == Serving
}

func decodeRow(raw []byte) (row, error) {
	var r row
	if err := json.Unmarshal(raw, &r); err != nil || r.V != 1 {
		return r, domicile.E("table of moves", domicile.Other, "a row cannot be read by this release; use the one that wrote it")
	}
	return r, nil
}

// rows is the table of moves.
type rows struct{ table store.Table }

func (t rows) get(key string) (r row, ok bool, err error) {
	raw, ok, err := t.table.Get(key)
	if err != nil || !ok {
		return r, false, err
	}
	r, err = decodeRow(raw)
	return r, err == nil, err
}

func (t rows) put(r row) error {
	r.V = 1
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return t.table.Put(r.key(), raw)
}

// enter brings a row into a state: written down, then a leaf, then the leaf's number written down. What the state allows is done
// by the caller afterwards, so that nobody learns of a state that is not in the log.
func (m *Machine) enter(ctx context.Context, r row, s State) (row, error) {
	if r.State != s || r.Changed.IsZero() {
		r.State, r.Changed, r.Tried = s, m.cfg.Now().UTC(), ""
		if err := m.rows.put(r); err != nil {
			return r, domicile.W("write a move down", err)
		}
	}
	return m.recorded(ctx, r)
}

// recorded makes sure that the log has the row's state. A crash between the leaf and its number gives the state a second leaf.
func (m *Machine) recorded(ctx context.Context, r row) (row, error) {
	if _, ok := r.Leaves[r.State]; ok {
		return r, nil
	}
	leaf, err := m.leaf(ctx, r, nil)
	if err != nil {
		return r, err
	}
	return r, m.keepLeaf(&r, leaf)
}

func (m *Machine) keepLeaf(r *row, leaf audit.Leaf) error {
	leaves := map[State]uint64{r.State: leaf.Index}
	for s, n := range r.Leaves {
		leaves[s] = n
	}
	r.Leaves = leaves
	return domicile.W("write a move down", m.rows.put(*r))
}

// leaf records a row's state. Who moves is for those to whom the leaf is opened.
func (m *Machine) leaf(ctx context.Context, r row, more map[string]string) (audit.Leaf, error) {
	public := map[string]string{"side": string(r.Side), "from": string(r.From), "to": string(r.To), "epoch": strconv.FormatUint(r.Epoch, 10)}
	for k, v := range more {
		public[k] = v
	}
	leaf, err := m.cfg.Log.Append(context.WithoutCancel(ctx), audit.Entry{Kind: "move." + string(r.State), Public: public,
		Private: map[string]string{"move": r.ID, "change": r.Change, "account": string(r.Account)}})
	if err != nil {
		return leaf, &domicile.Error{Op: "record a move", Kind: domicile.Unavailable, Reason: domicile.JournalUnavailable, Detail: "it could not be written down, so it was not done", Err: err}
	}
	return leaf, nil
}
