package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"domicile/audit"
)

func (a *app) receiptCommand() *cobra.Command {
	group := &cobra.Command{Use: "receipt", Short: "Receipts: proofs that something is in a region's log",
		Example: "  mailctl receipt verify no_token-0a1b2c3d4e5f.receipt --pins lab/pins.toml"}
	var pins string
	verify := &cobra.Command{
		Use:   "verify F --pins F",
		Short: "Check a receipt offline; exit 1 with what is wrong",
		Long: `Check a receipt against pinned keys, without any network: the leaf, its place in the log, the log's signature, the
cosignatures. A disclosure's receipt needs the quorum. Pins are written by lab init and by catalog show --pins.`,
		Example: "  mailctl receipt verify no_token-0a1b2c3d4e5f.receipt --pins lab/pins.toml",
		Args:    args("FILE"),
		RunE: func(cmd *cobra.Command, file []string) error {
			if err := needs(cmd, "pins"); err != nil {
				return err
			}
			p, err := readPins(pins)
			if err != nil {
				return err
			}
			raw, err := readFile(file[0])
			if err != nil {
				return err
			}
			v, err := audit.VerifyReceipt(raw, p)
			if err != nil {
				return &unsound{file[0] + " proves nothing", err}
			}
			return a.showVerified(v)
		},
	}
	verify.Flags().StringVar(&pins, "pins", "", "the pinned keys, a `file`")
	group.AddCommand(verify)
	return group
}

func (a *app) showVerified(in *audit.Verified) error {
	v := struct {
		Valid     bool                 `json:"valid"`
		Origin    string               `json:"origin"`
		Leaf      uint64               `json:"leaf"`
		Entry     json.RawMessage      `json:"entry"`
		Cosigners map[string]time.Time `json:"cosigners"`
		Revealed  map[string]string    `json:"revealed,omitempty"`
	}{true, in.Origin, in.Index, in.Leaf, in.Cosigners, in.Revealed}
	return a.show(v, func(t *table) {
		t.field("receipt", "valid")
		t.field("log", v.Origin)
		t.field("leaf", v.Leaf)
		for _, name := range sortedKeys(v.Cosigners) {
			t.row("cosigned by:", name, when(v.Cosigners[name]))
		}
		for _, name := range sortedKeys(v.Revealed) {
			t.row(name+":", v.Revealed[name])
		}
		t.field("entry", string(v.Entry))
	})
}
