package importer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"domicile/store"
)

// Maildir is a folder of messages in files, with folders below it: those of Maildir++ (".Sent.2024"), those of
// plain folders ("Sent/2024"), or both. What Dovecot keeps beside the messages is read too: dovecot-uidlist, dovecot-keywords and
// subscriptions; and what a restore of one account does (Sidecar). Folders are not followed out of the root by links.
type Maildir struct {
	path string
	root *os.Root
}

// OpenMaildir opens the folder at path: a Maildir, or a folder of them.
func OpenMaildir(path string) (*Maildir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, invalid("open Maildir", err.Error())
	}
	return &Maildir{path: path, root: root}, nil
}

// Name says where it lies.
func (s *Maildir) Name() string { return "maildir:" + s.path }

// ID is that of all Maildirs: names of files are unique in the world.
func (s *Maildir) ID() string { return "maildir" }

// Close closes the folder.
func (s *Maildir) Close() error { return s.root.Close() }

// Mailboxes finds every folder that has one named cur or new in it.
func (s *Maildir) Mailboxes(ctx context.Context) ([]Mailbox, error) {
	const op = "list Maildir"
	subscribed, known := s.subscriptions()
	var boxes []Mailbox
	err := fs.WalkDir(s.root.FS(), ".", func(dir string, d fs.DirEntry, err error) error {
		switch base := path.Base(dir); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && dir == ".":
			return err
		case err != nil:
			boxes = append(boxes, Mailbox{Name: folderMailbox(dir), Err: &Problem{Unreadable, err.Error()}})
			return fs.SkipDir
		case !d.IsDir():
			return nil
		case base == "cur" || base == "new" || base == "tmp" || strings.HasPrefix(base, "dbox-"):
			return fs.SkipDir
		case !s.isDir(path.Join(dir, "cur")) && !s.isDir(path.Join(dir, "new")):
			return nil
		}
		name := folderMailbox(dir)
		boxes = append(boxes, s.mailbox(ctx, dir, name, !known || subscribed[name] || name == store.Inbox))
		return nil
	})
	if err != nil {
		return nil, unavailable(op, err)
	}
	if len(boxes) == 0 {
		return nil, invalid(op, s.path+" is no Maildir and holds none: there is no folder with one named cur in it")
	}
	slices.SortFunc(boxes, func(a, b Mailbox) int { return strings.Compare(a.Name, b.Name) })
	return boxes, nil
}

func (s *Maildir) isDir(name string) bool {
	info, err := s.root.Stat(name)
	return err == nil && info.IsDir()
}

// folderMailbox is the name of the mailbox in a folder: of Maildir++ where a level begins with ".".
func folderMailbox(dir string) string {
	if dir == "." {
		return store.Inbox
	}
	var levels []string
	for _, part := range strings.Split(dir, "/") {
		if plus, ok := strings.CutPrefix(part, "."); ok {
			levels = append(levels, strings.Split(plus, ".")...)
		} else {
			levels = append(levels, part)
		}
	}
	for i := range levels {
		levels[i] = strings.ReplaceAll(decodeUTF7(levels[i]), "/", "_")
	}
	return strings.Join(levels, "/")
}

// mailbox lists the messages of a folder: by UID where Dovecot's list has one, the others behind them by date.
func (s *Maildir) mailbox(ctx context.Context, dir, name string, subscribed bool) Mailbox {
	side, has := s.sidecar(dir)
	if has {
		name = side.mailbox(name)
	}
	m := Mailbox{Name: name, Subscribed: subscribed, ref: dir}
	words := s.keywords(dir)
	uids, validity := s.uidList(dir)
	m.UIDValidity = validity
	if has {
		side.apply(&m)
	}
	for _, sub := range []string{"new", "cur"} {
		if ctx.Err() != nil {
			return m // whoever walks ends too
		}
		entries, err := fs.ReadDir(s.root.FS(), path.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.Items, m.Err = nil, &Problem{Unreadable, err.Error()}
			return m
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
				continue
			}
			info, err := e.Info()
			if err != nil {
				continue // delivered elsewhere, or renamed, just now
			}
			item := fileItem(name, sub, info, uids, words)
			if base, _ := splitName(e.Name()); has {
				side.item(&item, base)
			}
			m.Items = append(m.Items, item)
		}
	}
	slices.SortStableFunc(m.Items, compareItems)
	return m
}

func compareItems(a, b Item) int {
	switch {
	case (a.UID == 0) != (b.UID == 0):
		return int(min(b.UID, 1)) - int(min(a.UID, 1))
	case a.UID != b.UID:
		return int(int64(a.UID) - int64(b.UID))
	case !a.Date.Equal(b.Date):
		return a.Date.Compare(b.Date)
	}
	return strings.Compare(path.Base(a.ref), path.Base(b.ref))
}

// Read reads files. One that was renamed since, as mail programs do to set flags, is looked for under its unique name.
func (s *Maildir) Read(ctx context.Context, m Mailbox, items []Item) ([]Body, error) {
	out := make([]Body, len(items))
	for i, item := range items {
		if err := ctx.Err(); err != nil {
			return nil, unavailable("read Maildir", err)
		}
		out[i].Data, out[i].Err = s.read(m.ref, item.ref)
	}
	return out, nil
}

func (s *Maildir) read(dir, name string) ([]byte, error) {
	f, err := s.root.Open(path.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.renamed(dir, name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Problem{Gone, "the file is no longer there"}
	}
	if err != nil {
		return nil, &Problem{Unreadable, err.Error()}
	}
	defer f.Close()
	raw, err := readMost(f)
	if err == nil {
		raw, err = uncompressed(raw)
	}
	if err != nil {
		return nil, problem(err)
	}
	return crlf(raw), nil
}

func (s *Maildir) renamed(dir, name string) (*os.File, error) {
	base, _ := splitName(path.Base(name))
	for _, sub := range []string{"cur", "new"} {
		entries, _ := fs.ReadDir(s.root.FS(), path.Join(dir, sub))
		for _, e := range entries {
			if b, _ := splitName(e.Name()); b == base {
				return s.root.Open(path.Join(dir, sub, e.Name()))
			}
		}
	}
	return nil, fs.ErrNotExist
}

// readMost reads all of r, if that is no more than a message may have.
func readMost(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxMessage+1))
	if err == nil && len(raw) > MaxMessage {
		return nil, &Problem{TooLarge, "it has more than 128 MiB"}
	}
	return raw, err
}

// problem makes an error that of a message.
func problem(err error) error {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return &Problem{Unreadable, err.Error()}
}

// small reads a small file of a folder, nil if there is none.
func (s *Maildir) small(dir, name string) []byte {
	f, err := s.root.Open(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxList))
	if err != nil {
		return nil
	}
	return raw
}
