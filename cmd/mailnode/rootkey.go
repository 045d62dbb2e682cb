package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"domicile"
	"domicile/audit"
)

// rootFile holds, in the data folder, the id of the root key under which the folder was served last.
const rootFile = "root.id"

// recordRoot makes a leaf of a root key that took another's place, whoever put it there and however: it is found by its id at the next start. A crash between leaf and file makes
// the leaf twice.
func (n *node) recordRoot() error {
	const op = "record the root key"
	is := n.root.ID()
	was, err := os.ReadFile(n.data(rootFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return domicile.W(op, err)
	}
	before := strings.TrimSpace(string(was))
	if before == is {
		return nil
	}
	if before != "" {
		_, err := n.audit.Append(context.Background(), audit.Entry{Kind: "keys.root_replaced", Public: map[string]string{"node": n.cfg.Name, "key": is, "before": before}})
		if err != nil {
			return domicile.W(op, err)
		}
	}
	return domicile.W(op, replaceDurably(n.data(rootFile), is+"\n"))
}

// replaceDurably writes a small file whole or not at all, on disk when it returns.
func replaceDurably(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
