package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
	"domicile/disclosure"
)

// production is what order produce and order release print. Archive, Manifest and Receipt are files that mailctl wrote;
// Archive and Receipt only once the case is released.
type production struct {
	Case         string `json:"case"`
	State        string `json:"state"`
	Archive      string `json:"archive,omitempty"`
	SHA256       string `json:"sha256"`
	Bytes        int64  `json:"bytes"`
	ManifestFile string `json:"manifest_file,omitempty"`
	Receipt      string `json:"receipt,omitempty"`
}

func (a *app) orderProduce() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "produce ID --to DIR",
		Short: "Collect what the order asks for and seal it to the authority",
		Long: `Collect what the order asks for, within its scope, and seal it to the authority, at the node. DIR gets the manifest
(digests and counts, no content); the sealed archive leaves the region only when the case is released: see order release.`,
		Example: "  mailctl order produce cexamplecase --to production",
		Args:    args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			if err := needs(cmd, "to"); err != nil {
				return err
			}
			dir, err := filepath.Abs(to)
			if err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := writable(cmd, "--to", dir); err != nil {
				return err
			}
			p, err := c.ProduceOrder(cmd.Context(), admin.ProduceOrder{ID: id[0], To: dir})
			if err != nil {
				return err
			}
			return a.showProduction(cmd.Context(), c, p, dir)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`folder` for the manifest and, later, the archive")
	return cmd
}

func (a *app) orderRelease() *cobra.Command {
	var to string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "release ID",
		Short: "Release a sealed production when the quorum has cosigned its leaf",
		Long: `Ask the cosigners. Once the quorum has cosigned the checkpoint that holds the leaf, the case is released, and the sealed
archive and its receipt are written to --to, or to the folder that produce was given. Until then: exit 4, try again.`,
		Example: "  mailctl order release cexamplecase --wait 2m",
		Args:    args("ID"),
		RunE: func(cmd *cobra.Command, id []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := writable(cmd, "--receipts", a.receipts); err != nil {
				return err
			}
			if err := named(cmd, "to"); err != nil {
				return err
			}
			if to != "" {
				if err := writable(cmd, "--to", to); err != nil {
					return err
				}
			}
			p, err := a.release(cmd.Context(), c, id[0], wait)
			if err != nil {
				return err
			}
			if to == "" {
				to = p.To
			}
			return a.showProduction(cmd.Context(), c, p, to)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`folder` for the archive; default: the one that produce was given")
	cmd.Flags().DurationVar(&wait, "wait", 0, "try again for so long while the quorum is not reached, such as 2m")
	return cmd
}

// release asks until the quorum is there, at most for wait.
func (a *app) release(ctx context.Context, c *admin.Client, id string, wait time.Duration) (disclosure.Production, error) {
	until := a.now().Add(wait)
	for {
		p, err := c.ReleaseOrder(ctx, id)
		if domicile.KindOf(err) != domicile.Unavailable || !a.now().Before(until) {
			return p, err
		}
		a.note("not yet: %v", err)
		select {
		case <-ctx.Done():
			return p, err
		case <-time.After(2 * time.Second):
		}
	}
}

func (a *app) showProduction(ctx context.Context, c *admin.Client, p disclosure.Production, dir string) error {
	v := production{Case: p.Case, State: p.State, SHA256: p.SHA256, Bytes: p.Bytes}
	if len(p.Manifest) > 0 {
		var pretty json.RawMessage
		if raw, err := json.MarshalIndent(p.Manifest, "", "  "); err == nil {
			pretty = append(raw, '\n')
		}
		v.ManifestFile = filepath.Join(dir, safeName(p.Case)+".manifest.json")
		if err := writeFile(v.ManifestFile, pretty, 0o600); err != nil {
			return err
		}
	}
	if len(p.Receipt) > 0 {
		v.Archive = filepath.Join(dir, filepath.Base(p.Archive))
		if err := fetchArchive(ctx, c, p, v.Archive); err != nil {
			return err
		}
		v.Receipt = a.keepReceipt("disclosure", p.Receipt)
	}
	return a.show(v, func(t *table) {
		t.field("case", v.Case)
		t.field("state", v.State)
		t.field("manifest", v.ManifestFile)
		t.field("archive", v.Archive)
		t.field("bytes", v.Bytes)
		t.field("sha256", v.SHA256)
		t.field("receipt", v.Receipt)
		if v.Archive == "" {
			t.row("next:", "mailctl order release "+v.Case)
		}
	})
}

// fetchArchive has the archive delivered to path, and keeps it only if it is the one of the manifest. One that is there
// already is left alone.
func fetchArchive(ctx context.Context, c *admin.Client, p disclosure.Production, path string) error {
	if sum, err := fileSum(path); err == nil && sum == p.SHA256 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	sum := sha256.New()
	err = c.DeliverOrder(ctx, p.Case, io.MultiWriter(f, sum))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return domicile.E("deliver", domicile.Unavailable, "what arrived is not the archive of the manifest; ask again")
	}
	return os.Rename(f.Name(), path)
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
