package placement

import (
	"context"
	"encoding/json"
	"time"

	"domicile"
)

const rowVersion = 1

type nameState string

const (
	stateNone     nameState = "" // never claimed
	stateClaimed  nameState = "claimed"
	stateReleased nameState = "released"
)

// nameRow is a row of the registrar's table, described in the package comment. Next is set while a change to it is
// under way: written down, perhaps recorded, not yet true.
type nameRow struct {
	Version int       `json:"v"`
	State   nameState `json:"state,omitempty"`
	Record  Ownership `json:"record,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Next    *nameRow  `json:"next,omitempty"`

	raw []byte // as it lies in the table, nil if absent
}

func decodeRow(raw []byte) (nameRow, error) {
	var row nameRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return nameRow{}, domicile.E("registrar table", domicile.Other, "a row is not readable; restore the region's store")
	}
	if row.Version != rowVersion {
		return nameRow{}, domicile.E("registrar table", domicile.Other, "a row has a version that this release does not know; use the release that wrote it")
	}
	row.raw = raw
	return row, nil
}

func (r *Registrar) read(name NameDigest) (nameRow, error) {
	raw, ok, err := r.cfg.Table.Get(name.String())
	if err != nil || !ok {
		return nameRow{}, err
	}
	return decodeRow(raw)
}

// settled returns the row of a name after finishing what was under way. r.mu is held.
func (r *Registrar) settled(ctx context.Context, name NameDigest) (nameRow, error) {
	row, err := r.read(name)
	if err != nil || row.Next == nil {
		return row, err
	}
	return r.finish(ctx, row)
}

// change brings a name from row to next: write the intent, record it, make it true. A failed record takes the intent
// back; where even that fails, or the process dies, the intent stays in the table and finish is run again at the next
// touch of the name or at the next start. So no claim is ever answered, or true, without a leaf.
func (r *Registrar) change(ctx context.Context, row, next nameRow) error {
	pending := row
	pending.Next = &next
	pending, err := r.swap(row, pending)
	if err != nil {
		return err
	}
	if err := r.record(ctx, next); err != nil {
		if err := r.takeBack(pending, row); err != nil {
			return unsure(err)
		}
		return err
	}
	if _, err := r.finishRecorded(pending); err != nil {
		return unsure(err)
	}
	return nil
}

func (r *Registrar) finish(ctx context.Context, pending nameRow) (nameRow, error) {
	if err := r.record(ctx, *pending.Next); err != nil {
		return nameRow{}, err
	}
	return r.finishRecorded(pending)
}

func (r *Registrar) finishRecorded(pending nameRow) (nameRow, error) {
	return r.swap(pending, *pending.Next)
}

func (r *Registrar) record(ctx context.Context, next nameRow) error {
	what := NameClaimed
	if next.State == stateReleased {
		what = NameReleased
	}
	if err := r.cfg.Record(ctx, what, next.Record); err != nil {
		return &domicile.Error{Op: "record " + what, Kind: domicile.Unavailable, Detail: "it could not be written down, so it was not done; try again", Err: err}
	}
	return nil
}

func (r *Registrar) takeBack(pending, row nameRow) error {
	_, err := r.cfg.Table.CompareAndSwap(pending.Next.Record.Name.String(), pending.raw, row.raw)
	return err
}

// unsure is the answer when a change stays pending: it may yet become true. Asking again is safe.
func unsure(err error) error {
	return &domicile.Error{Op: "registrar table", Kind: domicile.Unknown, Detail: "the change may or may not be done; ask again", Err: err}
}

// swap replaces a row by another one, durably.
func (r *Registrar) swap(from, to nameRow) (nameRow, error) {
	name := to.Record.Name
	to.Version = rowVersion
	if to.Next != nil {
		name = to.Next.Record.Name // the row itself may be empty so far
		to.Next.Version = rowVersion
	}
	raw, err := json.Marshal(to)
	if err != nil {
		return nameRow{}, err
	}
	swapped, err := r.cfg.Table.CompareAndSwap(name.String(), from.raw, raw)
	if err != nil {
		return nameRow{}, err
	}
	if !swapped {
		return nameRow{}, domicile.E("registrar table", domicile.Conflict, "another writer changed the name; is a second registrar running?")
	}
	to.raw = raw
	return to, nil
}
