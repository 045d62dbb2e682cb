package main

import (
	"github.com/spf13/cobra"

	"domicile"
	"domicile/keys"
)

func (a *app) keysCommand() *cobra.Command {
	group := &cobra.Command{Use: "keys", Short: "The keys of a region and of the cluster, made offline",
		Long: `Make key files, each where it is used. The root key and the signing key are a region's own and never leave it; the
names key and the gossip keys are shared by all regions, and carried to them by hand.`,
		Example: `  mailctl keys root --to root.key
  mailctl keys signing --name example.com/domicile/eu-ireland --to signing.key
  mailctl keys gossip new --to gossip.key`}
	group.AddCommand(a.keysRoot(), a.keysRotate(), a.keysPeriods(), a.keysSigning(), a.keysNames(), a.keysShow(), a.keysGossip())
	strictGroup(group)
	return group
}

func (a *app) keysRoot() *cobra.Command {
	return a.keyMaker("root", "Make the root key of a region, under which its mail is sealed",
		`Make the root key of a region. Whoever has it and the data folder reads the mail; without it nobody does, ever. It lies
outside the data folder and outside every backup: keep a copy offline, in the region. The folder wraps is made beside it; the
node must be able to write in it, as the keys in it are replaced whenever an account is erased. Of wraps no copy is kept, but
of the keys of periods, see mailctl keys period.`, "mailctl keys root --to /etc/domicile/root.key", keys.CreateRoot)
}

func (a *app) keysNames() *cobra.Command {
	return a.keyMaker("names", "Make the cluster's key for digests of names",
		`Make the key by which names are turned into digests between regions. One region makes it; all others get a copy. It is
not rotated: a registrar knows its names by it.`, "mailctl keys names --to names.key", keys.CreateNames)
}

// keyMaker is a verb that makes one key file.
func (a *app) keyMaker(use, short, long, example string, create func(string) error) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: use + " --to F", Short: short, Long: long, Example: "  " + example, Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "to"); err != nil {
				return err
			}
			if err := create(to); err != nil {
				return err
			}
			return a.showKeyFile(to)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the key, a new `file`")
	return cmd
}

func (a *app) showKeyFile(path string) error {
	v := struct {
		File string `json:"file"`
	}{path}
	return a.show(v, func(t *table) { t.field("key", path) })
}

func (a *app) keysSigning() *cobra.Command {
	var name, to string
	cmd := &cobra.Command{
		Use:   "signing --name N --to F",
		Short: "Make the signing key of a region or a witness",
		Long: `Make a signing key. By a region's are signed its audit log, its ownership records, its word on the catalog and, under
another algorithm, its cosignatures of the others' logs; a witness's only cosigns. The name stays the log's for ever:
DOMAIN/domicile/REGION, without spaces or "+".`,
		Example: "  mailctl keys signing --name example.com/domicile/eu-ireland --to signing.key",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "name", "to"); err != nil {
				return err
			}
			s, err := keys.CreateSigner(to, name)
			if err != nil {
				return err
			}
			return a.showSigner(s, to)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the key's `name`, such as example.com/domicile/eu-ireland")
	cmd.Flags().StringVar(&to, "to", "", "the key, a new `file`")
	return cmd
}

func (a *app) keysShow() *cobra.Command {
	return &cobra.Command{
		Use: "show FILE", Short: "Show the public side of a signing key", Example: "  mailctl keys show signing.key", Args: args("FILE"),
		RunE: func(_ *cobra.Command, file []string) error {
			s, err := keys.LoadSigner(file[0])
			if err != nil {
				return err
			}
			return a.showSigner(s, file[0])
		},
	}
}

func (a *app) showSigner(s *keys.Signer, path string) error {
	v := struct {
		Name   string `json:"name"`
		Key    string `json:"key"`
		Cosign string `json:"cosign"`
		File   string `json:"file"`
	}{s.Name(), s.VKey(), s.CosignVKey(), path}
	return a.show(v, func(t *table) {
		t.field("name", v.Name)
		t.field("key", v.Key)
		t.field("cosign", v.Cosign)
		t.field("file", v.File)
	})
}

func (a *app) keysGossip() *cobra.Command {
	group := &cobra.Command{Use: "gossip", Short: "The keyring of the nodes' gossip, and its rotation",
		Long: `The keys that gossip is encrypted with: the first of the file encrypts, all decrypt. To rotate, go over all nodes three
times, with SIGHUP after each change: add the new key everywhere; use it everywhere; remove the old one everywhere.`,
		Example: `  mailctl keys gossip new --to next.key
  mailctl keys gossip add --file gossip.key --from next.key
  mailctl keys gossip use ID --file gossip.key
  mailctl keys gossip remove OLD-ID --file gossip.key`}
	create := a.keyMaker("new", "Make a keyring of one new key",
		"Make a keyring of one new key: the cluster's first, or the one to add to it.", "mailctl keys gossip new --to gossip.key",
		func(path string) error { return keys.NewGossip().Create(path) })
	group.AddCommand(create, a.gossipList(), a.gossipAdd(),
		a.gossipChange("use", "Let a key encrypt from now on; the others still decrypt", keys.Gossip.Use),
		a.gossipChange("remove", "Remove a key that is not in use", keys.Gossip.Remove))
	strictGroup(group)
	return group
}

func (a *app) gossipList() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "ls --file F", Short: "List the keys of a keyring by their ids", Example: "  mailctl keys gossip ls --file gossip.key", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "file"); err != nil {
				return err
			}
			ring, err := keys.LoadGossip(file)
			if err != nil {
				return err
			}
			return a.showRing(ring)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the keyring, a `file`")
	return cmd
}

func (a *app) gossipAdd() *cobra.Command {
	var file, from string
	cmd := &cobra.Command{
		Use: "add --file F --from F", Short: "Add the key of another keyring: it decrypts from now on", Args: args(),
		Example: "  mailctl keys gossip add --file gossip.key --from next.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "file", "from"); err != nil {
				return err
			}
			other, err := keys.LoadGossip(from)
			if err != nil {
				return err
			}
			return a.changeRing(file, func(g keys.Gossip) (keys.Gossip, error) { return g.Add(other) })
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the keyring, a `file`")
	cmd.Flags().StringVar(&from, "from", "", "the keyring with the new key, a `file`")
	return cmd
}

func (a *app) gossipChange(use, short string, change func(keys.Gossip, string) (keys.Gossip, error)) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: use + " ID --file F", Short: short, Example: "  mailctl keys gossip " + use + " 0f36d76320ff71e1 --file gossip.key", Args: args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			if err := needs(cmd, "file"); err != nil {
				return err
			}
			return a.changeRing(file, func(g keys.Gossip) (keys.Gossip, error) { return change(g, id[0]) })
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the keyring, a `file`")
	return cmd
}

func (a *app) changeRing(file string, change func(keys.Gossip) (keys.Gossip, error)) error {
	ring, err := keys.LoadGossip(file)
	if err != nil {
		return err
	}
	if ring, err = change(ring); err != nil {
		return err
	}
	if err := ring.Replace(file); err != nil {
		return domicile.W("keys gossip", err)
	}
	return a.showRing(ring)
}

func (a *app) showRing(ring keys.Gossip) error {
	type key struct {
		ID       string `json:"id"`
		Encrypts bool   `json:"encrypts"`
	}
	var all []key
	for i, id := range ring.IDs() {
		all = append(all, key{id, i == 0})
	}
	return a.show(all, func(t *table) {
		t.row("KEY", "ENCRYPTS", "DECRYPTS")
		for _, k := range all {
			t.row(k.ID, yes(k.Encrypts), yes(true))
		}
	})
}
