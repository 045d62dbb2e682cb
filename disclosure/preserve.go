package disclosure

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"domicile"
	"domicile/store"
)

// snapshotInfo describes what was preserved: a list of all messages of the account at that moment, in sealed parts.
type snapshotInfo struct {
	At    time.Time `json:"at"`
	Items int64     `json:"items"`
	Parts int       `json:"parts"`
}

// snapItem is one line of a snapshot: one message in one mailbox.
type snapItem struct {
	Mailbox  string             `json:"mailbox"`
	UID      store.UID          `json:"uid"`
	ID       domicile.MessageID `json:"id"`
	Internal int64              `json:"internal"` // Unix seconds
	Size     int64              `json:"size"`
}

// partItems is how many lines a part holds, so that a part fits the box: mailbox names have 1 KiB at most.
const partItems = 8192

// preserve freezes the account and lists what it holds, before anything is decided, if a bundle says that an order of
// this kind preserves. It discloses nothing. Call under e.mu.
func (e *Engine) preserve(ctx context.Context, c *caseRecord) error {
	o, f, err := e.reopen(c)
	if err != nil {
		return err
	}
	if f != nil && c.ToldBy == "" {
		return e.refuse(ctx, c, f, engineName)
	}
	if f != nil || c.Home != e.cfg.Region {
		return e.step(ctx, c, act{state: statePreserved, by: engineName, note: "nothing to preserve here"})
	}
	rec, err := e.consult(ctx, c, o)
	if err != nil {
		return err
	}
	if !rec.Decision.Preserve {
		return e.step(ctx, c, act{state: statePreserved, by: engineName, note: "no rule in force preserves for this order"})
	}
	if e.cfg.Freeze != nil {
		if err := e.cfg.Freeze(ctx, c.Account, c.Info.Case); err != nil {
			return domicile.W("freeze the account's residence", err)
		}
	}
	if c.Snapshot, err = e.snapshot(ctx, c); err != nil {
		return err
	}
	return e.step(ctx, c, act{state: statePreserved, by: engineName,
		private: map[string]string{"items": strconv.FormatInt(c.Snapshot.Items, 10)}})
}

// snapshot writes the list, part by part.
func (e *Engine) snapshot(ctx context.Context, c *caseRecord) (snapshotInfo, error) {
	const op = "preserve an account"
	info := snapshotInfo{At: e.cfg.Now().UTC()}
	var part bytes.Buffer
	lines := 0
	flush := func() error {
		if lines == 0 {
			return nil
		}
		err := e.saveFile(c.Info.Case, partName(info.Parts), part.Bytes())
		info.Parts++
		lines = 0
		part.Reset()
		return err
	}
	for m, err := range store.WholeAccount(ctx, e.cfg.Store, c.Account) {
		if err != nil {
			return info, domicile.W(op, err)
		}
		line, err := json.Marshal(snapItem{Mailbox: m.Mailbox.Name, UID: m.UID, ID: m.ID, Internal: m.Internal.Unix(), Size: m.Size})
		if err != nil {
			return info, domicile.W(op, err)
		}
		part.Write(append(line, '\n'))
		info.Items++
		if lines++; lines == partItems {
			if err := flush(); err != nil {
				return info, err
			}
		}
	}
	return info, flush()
}

func partName(n int) string { return fmt.Sprintf("snapshot-%05d", n) }

// eachPreserved reads a snapshot back, line by line.
func (e *Engine) eachPreserved(c *caseRecord, fn func(snapItem) error) error {
	for n := range c.Snapshot.Parts {
		part, err := e.readFile(c.Info.Case, partName(n))
		if err != nil {
			return err
		}
		if part == nil {
			return domicile.E("read what was preserved", domicile.Other, "a part of the snapshot is missing")
		}
		for line := range bytes.Lines(part) {
			var item snapItem
			if err := json.Unmarshal(line, &item); err != nil {
				return domicile.W("read what was preserved", err)
			}
			if err := fn(item); err != nil {
				return err
			}
		}
	}
	return nil
}
