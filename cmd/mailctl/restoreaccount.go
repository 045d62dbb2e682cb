package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/backup"
	"domicile/importer"
	"domicile/keys"
	"domicile/placement"
	"domicile/store"
	"domicile/store/bolt"
)

// accountWords are what restore --account was told.
type accountWords struct{ from, at, address, to string }

// lasting is a ring of which no key is destroyed: the copy of a store may have an erasure under way, and its wrapping keys lie beside those of the node.
type lasting struct{ *keys.Ring }

func (lasting) DestroyAccountKey(domicile.AccountID) error { return nil }

// restoreAccount puts the repository together in a folder that goes again, and writes one account's mail out of it.
func (a *app) restoreAccount(cmd *cobra.Command, n backup.Node, w accountWords) error {
	address, err := placement.ParseAddress(w.address)
	if err != nil {
		return err
	}
	then, err := parseTime(cmd, "at", w.at)
	if err != nil {
		return err
	}
	if err := errors.Join(emptyOrAbsent(w.to), os.MkdirAll(w.to, 0o700)); err != nil {
		return err
	}
	n.Data = filepath.Join(w.to, ".data")
	defer os.RemoveAll(n.Data)
	m := a.meter("backup restore")
	_, err = backup.RestoreFrom(cmd.Context(), n, backup.Recovery{Dir: w.from, At: then, Rewind: bolt.Rewind, Progress: m.at})
	if m.end(); err != nil {
		return err
	}
	count, err := writeAccount(cmd.Context(), n, address, w.to)
	if err = errors.Join(err, n.Root.ForgetCopy(n.Data)); err != nil {
		return err
	}
	return a.show(map[string]any{"address": address, "messages": count, "where": w.to}, func(t *table) {
		t.field("messages", count)
		t.field("where", w.to)
	})
}

// writeAccount writes the account's mailboxes below to, as plain folders of Maildirs with an importer.Sidecar each, and beside them an importer.AccountSidecar.
func writeAccount(ctx context.Context, n backup.Node, address domicile.Address, to string) (count int, err error) {
	secret, err := n.Root.Open(n.Data)
	if err != nil {
		return 0, err
	}
	ring, err := keys.OpenRing(secret, filepath.Join(n.Data, "keys"))
	if err != nil {
		return 0, err
	}
	defer ring.Close()
	s, err := bolt.Open(bolt.Config{Dir: filepath.Join(n.Data, "store"), Region: n.Region, Sealer: lasting{ring}})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	acct, err := s.AccountByAddress(ctx, address)
	if err != nil {
		return 0, err
	}
	boxes, err := s.Mailboxes(ctx, acct.ID)
	if err == nil {
		err = writeAccountFile(ctx, s, acct.ID, boxes, to)
	}
	folders := maildirFolders(boxes)
	for _, b := range boxes {
		if err != nil {
			break
		}
		var n int
		n, err = writeMailbox(ctx, s, acct.ID, b, filepath.Join(to, "Restored"), folders[b.Name])
		count += n
	}
	return count, err
}

// writeAccountFile writes what belongs to no mailbox.
func writeAccountFile(ctx context.Context, s *bolt.Store, id domicile.AccountID, boxes []store.Mailbox, to string) error {
	side := importer.AccountSidecar{Format: 1}
	names, err := s.Subscriptions(ctx, id)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(boxes, func(b store.Mailbox) bool { return b.Name == name }) {
			side.Subscribed = append(side.Subscribed, name)
		}
	}
	if side.Annotations, err = annotationsOf(ctx, s, id, ""); err != nil {
		return err
	}
	return writeJSON(filepath.Join(to, importer.AccountFile), side)
}

// annotationsOf returns those of a mailbox, or with "" of the account.
func annotationsOf(ctx context.Context, s *bolt.Store, id domicile.AccountID, mbox domicile.MailboxID) (map[string][]byte, error) {
	notes, err := s.Annotations(ctx, id, mbox)
	all := map[string][]byte{}
	for _, x := range notes {
		all[x.Entry] = x.Value
	}
	return all, err
}

func writeJSON(path string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, append(raw, '\n'), 0o600)
}

// writeMailbox writes a mailbox as a Maildir, with what names of files cannot say beside it.
func writeMailbox(ctx context.Context, s *bolt.Store, id domicile.AccountID, b store.Mailbox, to, folder string) (count int, err error) {
	dir := filepath.Join(to, folder)
	if err := os.MkdirAll(filepath.Join(dir, "cur"), 0o700); err != nil {
		return 0, err
	}
	side := importer.Sidecar{Format: 1, Name: namedBeside(b.Name, folder), SpecialUse: b.SpecialUse, Subscribed: b.Subscribed, UIDValidity: b.UIDValidity, MailboxID: b.ID,
		Messages: map[string]importer.SidecarMessage{}}
	if side.Annotations, err = annotationsOf(ctx, s, id, b.ID); err != nil {
		return 0, err
	}
	for m, err := range store.AllMessages(ctx, s, id, b.ID) {
		if err != nil {
			return count, err
		}
		base, err := writeRestored(ctx, s, id, m, filepath.Join(dir, "cur"))
		if err != nil {
			return count, err
		}
		side.Messages[base] = importer.SidecarMessage{UID: uint32(m.UID), ID: m.ID, Flags: m.Flags, Internal: m.Internal, Saved: m.Saved}
		count++
	}
	return count, writeJSON(filepath.Join(dir, importer.SidecarFile), side)
}

func writeRestored(ctx context.Context, s *bolt.Store, id domicile.AccountID, m store.Message, dir string) (base string, err error) {
	body, err := s.Body(ctx, id, m.ID)
	if err != nil {
		return "", err
	}
	defer body.Close()
	flags := ""
	for _, f := range []struct{ letter, flag string }{{"D", "\\Draft"}, {"F", "\\Flagged"}, {"R", "\\Answered"}, {"S", "\\Seen"}, {"T", "\\Deleted"}} {
		if slices.Contains(m.Flags, f.flag) {
			flags += f.letter
		}
	}
	base = fmt.Sprintf("%d.%s", m.UID, m.ID)
	path := filepath.Join(dir, base+":2,"+flags)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(f, body)
	return base, errors.Join(err, f.Close(), os.Chtimes(path, m.Internal, m.Internal))
}
