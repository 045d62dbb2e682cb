package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
	"domicile/audit"
)

func (a *app) auditCommand() *cobra.Command {
	group := &cobra.Command{Use: "audit", Short: "The region's append-only log", Example: "  mailctl audit verify --dir copied/audit --pins lab/pins.toml"}
	group.AddCommand(a.auditVerify(), a.auditTail(), a.auditProve(), a.auditJournal())
	return group
}

func (a *app) auditVerify() *cobra.Command {
	var dir, pins, since string
	cmd := &cobra.Command{
		Use:   "verify [--dir D]",
		Short: "Check every leaf, tile and checkpoint of a log; exit 1 with what is wrong",
		Long: `Check a log, all computed anew here from its leaves: a copied folder with --dir, without any network; or that of the
node, which is then fetched. Keys come from --pins; without it, from the node's own catalog, which proves less. With
--since, an older checkpoint that you kept, a log that was rolled back or forked is found too.`,
		Example: "  mailctl audit verify --dir copied/audit --pins lab/pins.toml --since last-month/checkpoint",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if dir != "" {
				if err := needs(cmd, "pins"); err != nil {
					return err
				}
			}
			var older []byte
			if since != "" {
				if older, err = readFile(since); err != nil {
					return err
				}
			}
			if dir != "" {
				if info, err := os.Stat(dir); err != nil || !info.IsDir() {
					return domicile.E("audit verify", domicile.NotExist, dir+" is no folder; name the one that holds checkpoint and tile")
				}
				p, err := readPins(pins)
				if err != nil {
					return err
				}
				return a.verifyDir(dir, p, older)
			}
			return a.verifyNode(cmd, pins, older)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "a copied log `folder`, checked offline")
	cmd.Flags().StringVar(&pins, "pins", "", "the pinned keys, a `file`")
	cmd.Flags().StringVar(&since, "since", "", "an older checkpoint, a `file`: the log must continue it")
	return cmd
}

func (a *app) verifyDir(dir string, pins audit.Pins, older []byte) error {
	if err := audit.VerifyDirSince(dir, pins, older, a.errOut); err != nil {
		return &unsound{"the log is not sound", err}
	}
	head, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	lines := strings.SplitN(string(head)+"\n\n", "\n", 3)
	v := struct {
		Valid  bool   `json:"valid"`
		Origin string `json:"origin"`
		Size   string `json:"size"`
	}{true, lines[0], lines[1]}
	return a.show(v, func(t *table) {
		t.field("log", v.Origin)
		t.field("leaves", v.Size)
		t.field("result", "sound: every leaf, tile and the checkpoint agree")
	})
}

// verifyNode fetches the node's log and checks it here.
func (a *app) verifyNode(cmd *cobra.Command, pinsFile string, older []byte) error {
	c, err := a.client(cmd)
	if err != nil {
		return err
	}
	defer c.Close()
	pins, err := a.pinsOrCatalog(cmd, c, pinsFile)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "domicile-audit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, w := io.Pipe()
	go func() { w.CloseWithError(c.CopyLog(cmd.Context(), w)) }()
	err = unpackLog(r, dir)
	r.CloseWithError(errors.New("the copy was not taken"))
	if err != nil {
		return err
	}
	return a.verifyDir(dir, pins, older)
}

func (a *app) pinsOrCatalog(cmd *cobra.Command, c *admin.Client, file string) (audit.Pins, error) {
	if file != "" {
		return readPins(file)
	}
	a.note("no --pins: the keys are those of the node's own catalog")
	v, err := c.Catalog(cmd.Context())
	return v.Pins, err
}

// unpackLog writes the files of a copied log below dir, and nothing outside of it.
func unpackLog(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) || h.Size > maxFile {
			return domicile.E("copy the log", domicile.Other, "the node sent something that is no part of a log")
		}
		raw, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		if err := errors.Join(root.MkdirAll(path.Dir(h.Name), 0o700), root.WriteFile(h.Name, raw, 0o600)); err != nil {
			return err
		}
	}
}

func (a *app) auditTail() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use: "tail", Short: "Show the newest leaves", Example: "  mailctl audit tail -n 50 --output json", Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			leaves, err := c.TailLog(cmd.Context(), count)
			if err != nil {
				return err
			}
			return a.show(leaves, func(t *table) {
				t.row("LEAF", "ENTRY")
				for _, l := range leaves {
					t.row(l.Index, string(l.Leaf))
				}
			})
		},
	}
	cmd.Flags().IntVarP(&count, "count", "n", 20, "how many, at most 1000")
	return cmd
}

func (a *app) auditProve() *cobra.Command {
	var reveal bool
	cmd := &cobra.Command{
		Use: "prove LEAF", Short: "Write the receipt of a leaf", Example: "  mailctl audit prove 17 --receipts receipts", Args: args("LEAF"),
		RunE: func(cmd *cobra.Command, leaf []string) error {
			index, err := strconv.ParseUint(leaf[0], 10, 64)
			if err != nil {
				return usage(cmd, "LEAF is the number of a leaf, from 0; audit tail shows them")
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := writable(cmd, "--receipts", a.receipts); err != nil {
				return err
			}
			proof, err := c.ProveLeaf(cmd.Context(), admin.ProveLeaf{Leaf: index, Reveal: reveal})
			if err != nil {
				return err
			}
			v := struct {
				Leaf      uint64   `json:"leaf"`
				Cosigners []string `json:"cosigners"`
				Receipt   string   `json:"receipt"`
			}{Leaf: proof.Leaf, Cosigners: proof.Cosigners}
			if v.Receipt, err = a.writeReceipt("leaf-"+leaf[0], proof.Receipt); err != nil {
				return err
			}
			return a.show(v, func(t *table) {
				t.field("leaf", v.Leaf)
				t.field("cosigned by", strings.Join(v.Cosigners, ", "))
				t.field("receipt", v.Receipt)
			})
		},
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false, "open the leaf's private fields in the receipt (role legal)")
	return cmd
}
