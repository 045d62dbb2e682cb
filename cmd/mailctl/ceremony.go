package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/keys"
	"domicile/region"
)

// entryFlags are what a region or a witness says of itself.
type entryFlags struct {
	country, entity, key, serves, compellable, to string
	owners, cas, hosts                            []string
}

func (a *app) catalogEntry() *cobra.Command {
	var in entryFlags
	cmd := &cobra.Command{
		Use:   "entry OWNER --signing-key F --root F --to F",
		Short: "Write what a region, or witness/NAME, contributes to a catalog",
		Long: `Write a region's entry, with its legal entity and that one's owners, or a witness's: TOML with public things only, to be
carried to whoever proposes the next version. The fingerprint is that of --root; give it twice while an authority is
rotated.`,
		Example: `  mailctl catalog entry eu-ireland --country IE --serves IE,DE,FR --entity 'example-ie,IE,Example Ireland Ltd' \
    --owner 'example-inc,US,Example Inc.' --host imap.eu.example.com --signing-key signing.key --root ca/root.pem --to eu-ireland.toml
  mailctl catalog entry witness/witness-1 --compellable-by IS --signing-key signing.key --root ca/root.pem --to witness-1.toml`,
		Args: args("OWNER"),
		RunE: func(cmd *cobra.Command, owner []string) error {
			if err := needs(cmd, "signing-key", "root", "to"); err != nil {
				return err
			}
			c, err := in.entry(cmd, owner[0])
			if err != nil {
				return err
			}
			text, err := c.MarshalEntries()
			if err != nil {
				return err
			}
			if err := writeFile(in.to, text, 0o644); err != nil {
				return domicile.W("catalog entry", err)
			}
			return a.showEntry(in.to, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.country, "country", "", "where the region stands, `CC`")
	f.StringVar(&in.serves, "serves", "", "whose residents it serves, `CC,CC...`")
	f.StringVar(&in.entity, "entity", "", "the legal entity that runs it, `ID,CC,NAME`")
	f.StringArrayVar(&in.owners, "owner", nil, "an entity that owns that one, `ID,CC,NAME`; may be given again")
	f.StringArrayVar(&in.hosts, "host", nil, "a `name` at which its customers are at home, which its nodes' certificates carry; may be given again")
	f.StringVar(&in.compellable, "compellable-by", "", "of a witness: the states that can compel it, `CC,CC...`; empty if none of concern can")
	f.StringVar(&in.key, "signing-key", "", "the signing key, a `file`; only its public side is written")
	f.StringArrayVar(&in.cas, "root", nil, "the root certificate of its authority, a `file`; may be given again")
	f.StringVar(&in.to, "to", "", "the entry, a `file`")
	return cmd
}

func (in *entryFlags) entry(cmd *cobra.Command, owner string) (*region.Catalog, error) {
	signer, err := keys.LoadSigner(in.key)
	if err != nil {
		return nil, err
	}
	var prints []string
	for _, file := range in.cas {
		raw, err := readFile(file)
		if err != nil {
			return nil, err
		}
		found, err := region.Certificates(raw)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			if c.Name != "domicile://"+owner+"/ca/root" {
				return nil, usage(cmd, file+" is the certificate of "+c.Name+", not the root of "+owner)
			}
			prints = append(prints, c.Fingerprint)
		}
	}
	if name, ok := strings.CutPrefix(owner, "witness/"); ok {
		if err := needsEven(cmd, "compellable-by"); err != nil {
			return nil, err
		}
		by, err := countryList(cmd, "compellable-by", in.compellable)
		return &region.Catalog{Witnesses: []region.WitnessInfo{{Name: name, Key: signer.CosignVKey(), CA: prints, CompellableBy: by}}}, err
	}
	if err := needs(cmd, "country", "serves", "entity"); err != nil {
		return nil, err
	}
	return in.region(cmd, owner, signer, prints)
}

func (in *entryFlags) region(cmd *cobra.Command, owner string, signer *keys.Signer, prints []string) (*region.Catalog, error) {
	name, err := domicile.ParseRegion(owner)
	if err != nil {
		return nil, err
	}
	country, err := domicile.ParseCountry(in.country)
	if err != nil {
		return nil, usage(cmd, "--country: "+err.Error())
	}
	serves, err := countryList(cmd, "serves", in.serves)
	if err != nil {
		return nil, err
	}
	entity, err := parseEntity(cmd, "entity", in.entity)
	if err != nil {
		return nil, err
	}
	c := &region.Catalog{}
	for _, text := range in.owners {
		o, err := parseEntity(cmd, "owner", text)
		if err != nil {
			return nil, err
		}
		entity.Owners = append(entity.Owners, o.ID)
		c.Entities = append(c.Entities, o)
	}
	c.Entities = append(c.Entities, entity)
	c.Regions = []region.RegionInfo{{Name: name, Country: country, Entity: entity.ID, Serves: serves, Key: signer.VKey(), Cosign: signer.CosignVKey(), CA: prints, Hosts: in.hosts}}
	return c, nil
}

// needsEven wants a flag to be there, be it empty.
func needsEven(cmd *cobra.Command, flag string) error {
	if !cmd.Flags().Changed(flag) {
		return usage(cmd, "--"+flag+" is needed")
	}
	return nil
}

func countryList(cmd *cobra.Command, flag, text string) ([]domicile.Country, error) {
	out := []domicile.Country{}
	if text == "" {
		return out, nil
	}
	for code := range strings.SplitSeq(text, ",") {
		c, err := domicile.ParseCountry(code)
		if err != nil {
			return nil, usage(cmd, "--"+flag+": "+err.Error())
		}
		out = append(out, c)
	}
	return out, nil
}

func parseEntity(cmd *cobra.Command, flag, text string) (region.EntityInfo, error) {
	parts := strings.SplitN(text, ",", 3)
	if len(parts) != 3 || parts[0] == "" || parts[2] == "" {
		return region.EntityInfo{}, usage(cmd, "--"+flag+" wants ID,CC,NAME, such as 'example-ie,IE,Example Ireland Ltd'")
	}
	country, err := domicile.ParseCountry(parts[1])
	if err != nil {
		return region.EntityInfo{}, usage(cmd, "--"+flag+": "+err.Error())
	}
	return region.EntityInfo{ID: domicile.Entity(parts[0]), Name: parts[2], Country: country}, nil
}

func (a *app) showEntry(file string, c *region.Catalog) error {
	v := struct {
		File    string   `json:"file"`
		Entries []string `json:"entries"`
	}{file, c.Changes(nil)}
	return a.show(v, func(t *table) {
		t.field("entry", file)
		for _, e := range v.Entries {
			t.row("", e)
		}
	})
}

// proposal is what the next version changes.
type proposal struct {
	from, to               string
	add, domains           []string
	removeRegions, domsOut []string
	removeWitnesses        []string
	quorum, cosigners      int
}

func (a *app) catalogPropose() *cobra.Command {
	var in folder
	var p proposal
	cmd := &cobra.Command{
		Use:   "propose --to DRAFT",
		Short: "Write the next version, to be signed",
		Long: `Write the draft of the next version: that of --dir, or with --from the content of a TOML file, changed as the other flags
say. Without --dir it is the first version. Version, previous and issued are set here. It says what changes and who
must sign; nothing is in force before all of them did and it is installed.`,
		Example: `  mailctl catalog propose --add us-east.toml --add eu-ireland.toml --add witness-1.toml --domain example.com=us-east \
    --quorum 2 --cosigners 1 --to 1.draft
  mailctl catalog propose --dir catalog --genesis sha256:... --add fr-south.toml --to 2.draft`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "to"); err != nil {
				return err
			}
			prev, err := in.newest(cmd)
			if err != nil {
				return err
			}
			next, err := p.next(cmd, prev)
			if err != nil {
				return err
			}
			d, err := region.Propose(next, prev, a.now())
			if err != nil {
				return err
			}
			if err := writeFile(p.to, d.Bytes(), 0o644); err != nil {
				return domicile.W("catalog propose", err)
			}
			return a.showDraft(d, p.to, false, in)
		},
	}
	in.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&p.from, "from", "", "take the content from a TOML `file`, entries with quorum and cosigners, instead of the version before")
	f.StringArrayVar(&p.add, "add", nil, "an entry `file`: new, or in the place of the one of its name; may be given again")
	f.StringArrayVar(&p.domains, "domain", nil, "a mail domain and its registrar, `NAME=REGION`; may be given again")
	f.StringArrayVar(&p.domsOut, "remove-domain", nil, "a mail domain that goes, `NAME`; may be given again")
	f.StringArrayVar(&p.removeRegions, "remove-region", nil, "a region that goes, `NAME`; may be given again")
	f.StringArrayVar(&p.removeWitnesses, "remove-witness", nil, "a witness that goes, `NAME`; may be given again")
	f.IntVar(&p.quorum, "quorum", 0, "how many regions must sign a change, those that it touches aside")
	f.IntVar(&p.cosigners, "cosigners", 0, "how many cosignatures a disclosure's checkpoint needs")
	f.StringVar(&p.to, "to", "", "the draft, a `file`")
	return cmd
}

func (p *proposal) next(cmd *cobra.Command, prev *region.Catalog) (*region.Catalog, error) {
	next := &region.Catalog{}
	switch {
	case p.from != "":
		raw, err := readFile(p.from)
		if err != nil {
			return nil, err
		}
		if next, err = region.ParseContent(raw); err != nil {
			return nil, err
		}
	case prev != nil:
		next = prev.Copy()
	}
	for _, file := range p.add {
		raw, err := readFile(file)
		if err != nil {
			return nil, err
		}
		entries, err := region.ParseEntries(raw)
		if err != nil {
			return nil, domicile.W(file, err)
		}
		next.Merge(entries)
	}
	for _, text := range p.domains {
		name, registrar, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usage(cmd, "--domain wants NAME=REGION, such as example.com=us-east")
		}
		next.Merge(&region.Catalog{Domains: []region.DomainInfo{{Name: name, Registrar: domicile.Region(registrar)}}})
	}
	if cmd.Flags().Changed("quorum") {
		next.Quorum = p.quorum
	}
	if cmd.Flags().Changed("cosigners") {
		next.Cosigners = p.cosigners
	}
	return next, p.remove(cmd, next)
}

// remove takes out what is named, all of which must be there.
func (p *proposal) remove(cmd *cobra.Command, next *region.Catalog) (err error) {
	drop := func(flag, name string, before, after int) {
		if before == after && err == nil {
			err = usage(cmd, "--"+flag+" "+name+": there is none of that name")
		}
	}
	for _, name := range p.removeRegions {
		before := len(next.Regions)
		next.Regions = slices.DeleteFunc(next.Regions, func(r region.RegionInfo) bool { return string(r.Name) == name })
		drop("remove-region", name, before, len(next.Regions))
	}
	for _, name := range p.removeWitnesses {
		before := len(next.Witnesses)
		next.Witnesses = slices.DeleteFunc(next.Witnesses, func(w region.WitnessInfo) bool { return w.Name == name })
		drop("remove-witness", name, before, len(next.Witnesses))
	}
	for _, name := range p.domsOut {
		before := len(next.Domains)
		next.Domains = slices.DeleteFunc(next.Domains, func(d region.DomainInfo) bool { return d.Name == name })
		drop("remove-domain", name, before, len(next.Domains))
	}
	return err
}

func (a *app) catalogSign() *cobra.Command {
	var in folder
	var key string
	cmd := &cobra.Command{
		Use:   "sign DRAFT --key F",
		Short: "Add a region's signature to a draft",
		Long: `Sign a draft, after you have read what it changes: mailctl catalog show DRAFT. The key must be that of a region in this
version or the one before; a draft that does not follow from --dir is refused, and without --dir one that is not the first version.
Others' signatures in it stay.`,
		Example: `  mailctl catalog sign 1.draft --key signing.key
  mailctl catalog sign 2.draft --key signing.key --dir catalog --genesis sha256:...`,
		Args: args("DRAFT"),
		RunE: func(cmd *cobra.Command, draft []string) error {
			if err := needs(cmd, "key"); err != nil {
				return err
			}
			d, err := a.readDraft(cmd, draft[0], in)
			if err != nil {
				return err
			}
			signer, err := keys.LoadSigner(key)
			if err != nil {
				return err
			}
			as, err := d.Sign(signer)
			if err != nil {
				return err
			}
			if err := writeFile(draft[0], d.Bytes(), 0o644); err != nil {
				return domicile.W("catalog sign", err)
			}
			a.note("signed as %s", as)
			return a.showDraft(d, draft[0], false, in)
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVar(&key, "key", "", "the region's signing key, a `file`")
	return cmd
}

func (a *app) catalogInstall() *cobra.Command {
	var in folder
	cmd := &cobra.Command{
		Use:   "install DRAFT --dir D --genesis PIN",
		Short: "Put a complete version into the catalog's folder",
		Long: `Check a draft as a node would, and write it into the folder under its number; an existing version is never replaced. Nodes
read it at SIGHUP. Do it in every region: a node without it refuses who is new.`,
		Example: "  mailctl catalog install 2.draft --dir /etc/domicile/catalog --genesis sha256:...",
		Args:    args("DRAFT"),
		RunE: func(cmd *cobra.Command, draft []string) error {
			if err := needs(cmd, "dir", "genesis"); err != nil {
				return err
			}
			raw, err := readFile(draft[0])
			if err != nil {
				return err
			}
			if err := os.MkdirAll(in.dir, 0o755); err != nil {
				return domicile.W("catalog install", err)
			}
			c, err := region.InstallDraft(in.dir, in.genesis, raw)
			if err != nil {
				return err
			}
			v := struct {
				Version uint64 `json:"version"`
				Hash    string `json:"hash"`
				Dir     string `json:"dir"`
			}{c.Version, c.Hash(), in.dir}
			return a.show(v, func(t *table) {
				t.field("installed", v.Version)
				t.field("sha256", v.Hash)
				t.field("in", v.Dir)
			})
		},
	}
	in.flags(cmd)
	return cmd
}
