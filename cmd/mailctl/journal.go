package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/region"
)

func (a *app) auditJournal() *cobra.Command {
	var dir, root, log, pins string
	cmd := &cobra.Command{
		Use:   "journal --dir D --root-key F",
		Short: "Check a copied journal, and show what left the region; exit 1 with what is wrong",
		Long: `Read the sealed journal of a node's data folder, or a copy of it and of region.secret beside it, with the region's root key: every record must open and
follow from the one before it. What left is shown by class, receiver and kind of permit, in numbers; of a permit that is still
open, as far as it was written down. With --log, a copy of the region's audit log, and --pins, the log is verified too, and each of
its commitments to the journal held against the records that it covers.`,
		Example: "  mailctl audit journal --dir copied/journal --root-key root.key --log copied/audit --pins lab/pins.toml",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			need := []string{"dir", "root-key"}
			if log != "" {
				need = append(need, "pins")
			}
			if err := needs(cmd, need...); err != nil {
				return err
			}
			key, err := keys.LoadRoot(root)
			if err != nil {
				return err
			}
			secret, err := key.OpenCopy(filepath.Join(filepath.Dir(filepath.Clean(dir)), keys.SecretName))
			if err != nil {
				return &unsound{"the journal does not open", err}
			}
			j := journalSum{chain: map[uint64]string{}, lines: map[string]*journalLine{}, permits: map[string]region.Record{}}
			if err := region.ReadJournal(dir, secret.Box("journal"), j.add); err != nil {
				return &unsound{"the journal is not sound", err}
			}
			if j.view.First == 0 {
				return domicile.E("audit journal", domicile.NotExist, dir+" holds no journal; name the folder journal of a data folder")
			}
			if log != "" {
				p, err := readPins(pins)
				if err != nil {
					return err
				}
				if err := audit.ReadDir(log, p, j.commitment); err != nil {
					return &unsound{"the log and the journal do not agree", err}
				}
			}
			return a.showJournal(j.sum())
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the `folder` journal of a data folder, or a copy")
	cmd.Flags().StringVar(&root, "root-key", "", "the region's root key, a `file`")
	cmd.Flags().StringVar(&log, "log", "", "a copied log `folder`, whose commitments are checked")
	cmd.Flags().StringVar(&pins, "pins", "", "the pinned keys, a `file`")
	return cmd
}

// journalLine is what left of one class, to one receiver, under one kind of permit.
type journalLine struct {
	Class   domicile.EgressClass `json:"class"`
	To      string               `json:"to"` // a region, a witness, or what kind of party
	Kind    string               `json:"kind"`
	Permits int                  `json:"permits"`
	Refused int64                `json:"refused"`
	Bytes   int64                `json:"bytes"`
	Unknown int                  `json:"unknown"` // permits that a crash ended: of them Bytes has what is known
}

// journalView is what audit journal shows.
type journalView struct {
	Valid       bool          `json:"valid"`
	First       uint64        `json:"first"`
	Last        uint64        `json:"last"`
	From        time.Time     `json:"from,omitzero"`
	To          time.Time     `json:"to,omitzero"`
	Commitments int           `json:"commitments"` // of the log, held against the records
	Uncounted   int64         `json:"refused_uncounted"`
	Lines       []journalLine `json:"crossings"`
}

// journalSum adds records up.
type journalSum struct {
	view    journalView
	chain   map[uint64]string        // number of a record to the chain hash behind it
	lines   map[string]*journalLine  // by class, receiver and kind
	permits map[string]region.Record // open ones, as last written
}

func (j *journalSum) add(r region.Record) error {
	if j.view.First == 0 {
		j.view.First, j.view.From = r.Seq, r.Time
	}
	j.view.Last, j.view.To = r.Seq, r.Time
	j.chain[r.Seq] = hex.EncodeToString(r.Chain[:])
	switch r.Type {
	case "open":
		j.line(r).Permits++
		j.permits[r.ID] = r
	case "total":
		j.permits[r.ID] = r
	case "close":
		j.end(r)
		delete(j.permits, r.ID)
	case "refused":
		if r.ID == "" { // only their number is known
			j.view.Uncounted += r.Count
			break
		}
		j.line(r).Refused++
	}
	return nil
}

func (j *journalSum) line(r region.Record) *journalLine {
	to := cmp.Or(string(r.To), r.Party)
	key := fmt.Sprintf("%s\x00%s\x00%s", r.Class, to, r.Kind)
	if j.lines[key] == nil {
		j.lines[key] = &journalLine{Class: r.Class, To: to, Kind: r.Kind}
	}
	return j.lines[key]
}

// end adds the last that was written of a permit.
func (j *journalSum) end(r region.Record) {
	l := j.line(r)
	l.Bytes += r.Bytes
	if r.Unknown {
		l.Unknown++
	}
}

// commitment holds a leaf of the log against the records that it covers, if they are here.
func (j *journalSum) commitment(index uint64, e audit.Entry) error {
	if e.Kind != "journal.commitment" {
		return nil
	}
	last, err := strconv.ParseUint(e.Public["last"], 10, 64)
	if err != nil {
		return domicile.E("check a commitment", domicile.Invalid, fmt.Sprintf("leaf %d does not say which records it covers", index))
	}
	if last < j.view.First {
		return nil // removed past their retention
	}
	if got, ok := j.chain[last]; !ok || got != e.Public["sha256"] {
		return domicile.E("check a commitment", domicile.Invalid, fmt.Sprintf("leaf %d commits to the journal up to record %d, and these are not its records", index, last))
	}
	j.view.Commitments++
	return nil
}

func (j *journalSum) sum() journalView {
	for _, r := range j.permits {
		j.end(r)
	}
	j.view.Valid, j.view.Lines = true, []journalLine{}
	for _, l := range j.lines {
		j.view.Lines = append(j.view.Lines, *l)
	}
	slices.SortFunc(j.view.Lines, func(x, y journalLine) int {
		return cmp.Or(cmp.Compare(x.Class, y.Class), cmp.Compare(x.To, y.To), cmp.Compare(x.Kind, y.Kind))
	})
	return j.view
}

func (a *app) showJournal(v journalView) error {
	return a.show(v, func(t *table) {
		t.row("CLASS", "TO", "PERMIT", "GIVEN", "REFUSED", "BYTES", "CUT BY A CRASH")
		for _, l := range v.Lines {
			t.row(l.Class, l.To, l.Kind, l.Permits, l.Refused, l.Bytes, l.Unknown)
		}
		t.field("records", fmt.Sprintf("%d to %d", v.First, v.Last))
		t.field("commitments of the log that hold", v.Commitments)
	})
}
