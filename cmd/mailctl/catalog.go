package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"domicile/admin"
	"domicile/audit"
	"domicile/region"
)

func (a *app) catalogCommand() *cobra.Command {
	group := &cobra.Command{Use: "catalog", Short: "The signed list of regions, and the ceremony by which it changes",
		Long: `Show the catalog, and change it. A change is a file that goes from hand to hand: entry writes what a region or a witness
contributes, propose the next version, sign adds a region's signature, install puts a complete version into the folder
from which nodes read it at SIGHUP. None of these needs a network.`,
		Example: `  mailctl catalog show
  mailctl catalog propose --dir catalog --genesis sha256:... --add fr-south.toml --to 2.draft
  mailctl catalog sign 2.draft --key signing.key --dir catalog --genesis sha256:...
  mailctl catalog install 2.draft --dir catalog --genesis sha256:...`}
	group.AddCommand(a.catalogShow(), a.catalogCheck(), a.catalogEntry(), a.catalogPropose(), a.catalogSign(), a.catalogInstall())
	return group
}

// folder is where the versions before a draft are, and what pins the first.
type folder struct{ dir, genesis string }

func (f *folder) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", "", "the catalog's `folder`: 1.toml, 2.toml, ...")
	cmd.Flags().StringVar(&f.genesis, "genesis", "", "the `pin` of its first version, sha256:...")
}

// newest returns the version in force, nil if no folder was named.
func (f *folder) newest(cmd *cobra.Command) (*region.Catalog, error) {
	if f.dir == "" {
		return nil, nil
	}
	if err := needs(cmd, "dir", "genesis"); err != nil {
		return nil, err
	}
	return region.LoadCatalog(f.dir, f.genesis)
}

func (a *app) catalogShow() *cobra.Command {
	var pins bool
	var in folder
	cmd := &cobra.Command{
		Use: "show [DRAFT]", Short: "Show the catalog in force, a draft and who must still sign it, or the pins that follow",
		Long: `Show the catalog that is in force at a node; with --dir, that of a folder, offline. With a DRAFT: what it changes, who has
signed it, and whose signature it still needs and why; a draft of the first version needs no --dir.`,
		Example: `  mailctl catalog show
  mailctl catalog show --pins > pins.toml
  mailctl catalog show 2.draft --dir catalog --genesis sha256:...`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, draft []string) error {
			if len(draft) > 0 {
				d, err := a.readDraft(cmd, draft[0], in)
				if err != nil {
					return err
				}
				return a.showDraft(d, draft[0], pins, in)
			}
			v, err := a.catalogInForce(cmd, in)
			if err != nil {
				return err
			}
			if pins {
				return a.showPins(v.Pins)
			}
			return a.showCatalog(v)
		},
	}
	cmd.Flags().BoolVar(&pins, "pins", false, "write the pins with which receipts are verified offline (TOML)")
	in.flags(cmd)
	return cmd
}

func (a *app) catalogInForce(cmd *cobra.Command, in folder) (admin.CatalogView, error) {
	if c, err := in.newest(cmd); err != nil || c != nil {
		if err != nil {
			return admin.CatalogView{}, err
		}
		return admin.CatalogView{Hash: c.Hash(), Catalog: c, Pins: c.Pins()}, nil
	}
	c, err := a.client(cmd)
	if err != nil {
		return admin.CatalogView{}, err
	}
	defer c.Close()
	return c.Catalog(cmd.Context())
}

func (a *app) showPins(pins audit.Pins) error {
	if a.output == "json" {
		return a.json(pins)
	}
	text, err := pins.Marshal()
	if err != nil {
		return err
	}
	_, err = a.out.Write(text)
	return err
}

func (a *app) showCatalog(v admin.CatalogView) error {
	return a.show(v, func(t *table) {
		c := v.Catalog
		t.field("version", c.Version)
		t.field("sha256", v.Hash)
		t.field("issued", when(c.Issued))
		t.field("quorum", c.Quorum)
		t.field("cosigners", c.Cosigners)
		t.row()
		t.row("REGION", "IN", "ENTITY", "SERVES", "HOSTS")
		for _, r := range c.Regions {
			t.row(r.Name, r.Country, r.Entity, countries(r.Serves), strings.Join(r.Hosts, " "))
		}
		t.row()
		t.row("ENTITY", "IN", "NAME", "OWNERS")
		for _, e := range c.Entities {
			owners := make([]string, len(e.Owners))
			for i, o := range e.Owners {
				owners[i] = string(o)
			}
			t.row(e.ID, e.Country, e.Name, strings.Join(owners, ","))
		}
		t.row()
		t.row("DOMAIN", "REGISTRAR")
		for _, d := range c.Domains {
			t.row(d.Name, d.Registrar)
		}
		t.row()
		t.row("WITNESS", "COMPELLABLE BY")
		for _, w := range c.Witnesses {
			t.row(w.Name, countries(w.CompellableBy))
		}
	})
}

// draftView is what is told of a draft.
type draftView struct {
	File       string            `json:"file"`
	Version    uint64            `json:"version"`
	Hash       string            `json:"hash"`
	Genesis    string            `json:"genesis,omitempty"` // the pin, of a first version
	Changes    []string          `json:"changes"`
	Signatures region.Signatures `json:"signatures"`
	Complete   bool              `json:"complete"`
}

func (a *app) readDraft(cmd *cobra.Command, file string, in folder) (*region.Draft, error) {
	prev, err := in.newest(cmd)
	if err != nil {
		return nil, err
	}
	raw, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return region.ReadDraft(raw, prev)
}

func (a *app) showDraft(d *region.Draft, file string, pins bool, in folder) error {
	if pins {
		return a.showPins(d.Catalog.Pins())
	}
	var prev *region.Catalog
	var err error
	if in.dir != "" {
		if prev, err = region.LoadCatalog(in.dir, in.genesis); err != nil {
			return err
		}
	}
	v := draftView{File: file, Version: d.Catalog.Version, Hash: d.Catalog.Hash(), Changes: d.Catalog.Changes(prev)}
	if v.Signatures, err = d.Signatures(); err != nil {
		return err
	}
	if v.Complete = v.Signatures.Complete(); prev == nil {
		v.Genesis = "sha256:" + v.Hash
	}
	return a.show(v, func(t *table) {
		t.field("draft", fmt.Sprintf("version %d, in %s", v.Version, v.File))
		t.field("sha256", v.Hash)
		t.field("genesis pin", v.Genesis)
		for _, c := range v.Changes {
			t.row("changes:", c)
		}
		t.row()
		t.row("REGION", "SIGNED", "NEEDED BECAUSE")
		for _, s := range v.Signatures.Of {
			why := strings.Join(s.Why, "; ")
			if why == "" {
				why = "(counts toward the quorum only)"
			}
			t.row(s.Region, yes(s.Signed), why)
		}
		t.row()
		t.field("quorum", fmt.Sprintf("%d of %d", v.Signatures.Counted, v.Signatures.Quorum))
		t.field("result", verdict(v))
	})
}

func verdict(v draftView) string {
	if v.Complete {
		return "complete: install it in every region"
	}
	var missing []string
	for _, m := range v.Signatures.Missing() {
		missing = append(missing, string(m.Region)+" by "+m.Lacks)
	}
	if v.Signatures.Counted < v.Signatures.Quorum {
		missing = append(missing, fmt.Sprintf("%d more of the version before", v.Signatures.Quorum-v.Signatures.Counted))
	}
	return "not complete; still to sign: " + strings.Join(missing, ", ")
}

func (a *app) catalogCheck() *cobra.Command {
	var in folder
	cmd := &cobra.Command{
		Use: "check --dir D --genesis PIN", Short: "Check every version of a folder and its signatures, offline",
		Example: "  mailctl catalog check --dir /etc/domicile/catalog --genesis sha256:...", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "dir", "genesis"); err != nil {
				return err
			}
			type version struct {
				Version uint64   `json:"version"`
				Hash    string   `json:"hash"`
				Issued  string   `json:"issued"`
				Signed  []string `json:"signed"`
			}
			var all []version
			_, err := region.WalkCatalog(in.dir, in.genesis, func(c *region.Catalog, s region.Signatures) {
				v := version{Version: c.Version, Hash: c.Hash(), Issued: when(c.Issued)}
				for _, o := range s.Of {
					if o.Signed {
						v.Signed = append(v.Signed, string(o.Region))
					}
				}
				all = append(all, v)
			})
			if err != nil {
				return err
			}
			return a.show(all, func(t *table) {
				t.row("VERSION", "ISSUED", "SHA256", "SIGNED BY")
				for _, v := range all {
					t.row(v.Version, v.Issued, v.Hash, strings.Join(v.Signed, ","))
				}
			})
		},
	}
	in.flags(cmd)
	return cmd
}
