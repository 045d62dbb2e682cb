package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
)

func (a *app) accountExport() *cobra.Command {
	var in admin.ExportAccount
	var to string
	cmd := &cobra.Command{
		Use:   "export ADDR --to DIR",
		Short: "Write the owner's whole mail into a folder, as Maildir folders",
		Long: `Write the owner's whole mail into a new or empty folder: a Maildir folder for each mailbox, and manifest.json with the
digest of each message. It needs the owner's consent, in words that are recorded. With --order nothing but what that
order may have leaves: the sealed production of its case, once released. Asked of any other region than the account's
home, it is refused with a receipt.`,
		Example: `  mailctl account export anna@example.com --to anna --consent "asked for by letter of 3 May, identity checked"`,
		Args:    args("ADDR"),
		RunE: func(cmd *cobra.Command, addr []string) error {
			if err := needs(cmd, "to"); err != nil {
				return err
			}
			if err := named(cmd, "order"); err != nil {
				return err
			}
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			defer c.Close()
			in.Address = addr[0]
			return a.export(cmd, c, in, to)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "new or empty `folder` to write to")
	cmd.Flags().StringVar(&in.Consent, "consent", "", "when and how the owner consented, in `words`")
	cmd.Flags().StringVar(&in.Order, "order", "", "write the sealed production of this `case` instead")
	return cmd
}

func (a *app) export(cmd *cobra.Command, c *admin.Client, in admin.ExportAccount, to string) error {
	if err := emptyOrAbsent(to); err != nil {
		return err
	}
	if err := writable(cmd, "--to", filepath.Dir(filepath.Clean(to))); err != nil {
		return err
	}
	if in.Order != "" {
		return a.exportProduction(cmd, c, in, to)
	}
	abs, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	part := abs + ".part" // what is cut short is never taken for the whole
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	defer os.RemoveAll(part)
	r, w := io.Pipe()
	asked := make(chan error, 1)
	go func() {
		err := c.ExportAccount(cmd.Context(), in, w)
		w.CloseWithError(err)
		asked <- err
	}()
	m, err := unpack(r, part)
	r.CloseWithError(err)
	// The node's word says more than that the tar ended early.
	if nodeErr := <-asked; nodeErr != nil && !errors.Is(nodeErr, err) {
		err = nodeErr
	}
	if err == nil {
		err = os.Rename(part, abs)
	}
	if err != nil {
		return err
	}
	v := struct {
		To       string           `json:"to"`
		Address  domicile.Address `json:"address"`
		Messages int              `json:"messages"`
		Leaf     uint64           `json:"leaf"`
	}{to, m.Address, len(m.Messages), m.Leaf}
	return a.show(v, func(t *table) {
		t.field("written to", v.To)
		t.field("messages", v.Messages)
		t.field("leaf", v.Leaf)
	})
}

// exportProduction writes the sealed archive of a case. The folder is made when the archive is there, so that a refusal
// leaves none.
func (a *app) exportProduction(cmd *cobra.Command, c *admin.Client, in admin.ExportAccount, to string) error {
	f, err := os.CreateTemp("", "domicile-production-") // sealed to the authority: nobody here reads it
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := c.ExportAccount(cmd.Context(), in, f); err != nil {
		return err
	}
	v := struct {
		Case    string `json:"case"`
		Archive string `json:"archive"`
	}{in.Order, filepath.Join(to, safeName(in.Order)+".tar.age")}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := replaceFile(v.Archive, f, 0o600); err != nil {
		return err
	}
	return a.show(v, func(t *table) {
		t.field("case", v.Case)
		t.field("archive", v.Archive)
	})
}

func emptyOrAbsent(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return &domicile.Error{Op: "export", Kind: domicile.Invalid, Err: err}
	case len(entries) > 0:
		return domicile.E("export", domicile.Invalid, dir+" is not empty; name a new folder, so that nothing is mixed or overwritten")
	}
	return nil
}

// unpack writes the files of an export below to, and nothing outside of it. The manifest comes last: without it the export
// is not whole. The folder is made with the first file, so that a refusal leaves none.
func unpack(r io.Reader, to string) (*admin.ExportManifest, error) {
	in := tar.NewReader(r)
	var root *os.Root
	defer func() {
		if root != nil {
			root.Close()
		}
	}()
	var manifest *admin.ExportManifest
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if root == nil {
			if root, err = openRoot(to); err != nil {
				return nil, err
			}
		}
		if h.Name == "manifest.json" {
			manifest, err = unpackManifest(root, in)
		} else {
			err = unpackMessage(root, h, in)
		}
		if err != nil {
			return nil, err
		}
	}
	if manifest == nil {
		return nil, domicile.E("export", domicile.Unavailable, "the export was cut short, and nothing of it is kept; ask again")
	}
	return manifest, nil
}

func openRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

func unpackMessage(root *os.Root, h *tar.Header, body io.Reader) error {
	if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) {
		return domicile.E("export", domicile.Other, "the node sent something that is no message")
	}
	box := path.Dir(path.Dir(h.Name))
	for _, sub := range []string{"cur", "new", "tmp"} { // what makes a folder a Maildir
		if err := root.MkdirAll(path.Join(box, sub), 0o700); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(h.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chtimes(h.Name, h.ModTime, h.ModTime)
}

func unpackManifest(root *os.Root, body io.Reader) (*admin.ExportManifest, error) {
	raw, err := io.ReadAll(io.LimitReader(body, 1<<30))
	if err != nil {
		return nil, err
	}
	var m admin.ExportManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return &m, root.WriteFile("manifest.json", raw, 0o600)
}
