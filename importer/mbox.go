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
	"strconv"
	"strings"

	"domicile/store"
)

// Form says how an mbox tells the line "From " of a message's text from that which begins the next message.
type Form string

// The forms, and Guess, which goes by Content-Length where it leads to the end of a message and takes the rest for Rd.
const (
	Guess Form = "mbox"
	O     Form = "mboxo"   // "From " is written ">From "
	Rd    Form = "mboxrd"  // and ">From " is written ">>From ", and so on
	Cl2   Form = "mboxcl2" // nothing is quoted; Content-Length says how long the text is
)

// Mbox is one file of messages, or a folder of such files, one for each mailbox.
type Mbox struct {
	form Form
	path string
	dir  string // what names are relative to
	file string // the one file, or "" for a folder
	root *os.Root
}

// OpenMbox opens the file or folder at name.
func OpenMbox(form Form, name string) (*Mbox, error) {
	const op = "open mbox"
	info, err := os.Stat(name)
	if err != nil {
		return nil, invalid(op, err.Error())
	}
	s := &Mbox{form: form, path: name, dir: name}
	if !info.IsDir() {
		s.dir, s.file = filepath.Split(name)
		s.dir = filepath.Clean(s.dir)
	}
	if s.root, err = os.OpenRoot(s.dir); err != nil {
		return nil, invalid(op, err.Error())
	}
	return s, nil
}

// Name says where it lies, and in which form it is read.
func (s *Mbox) Name() string { return string(s.form) + ":" + s.path }

// ID is that of all mboxes: their messages are told apart by what is in them.
func (s *Mbox) ID() string { return "mbox" }

// Account knows nothing: the source says of mailboxes alone.
func (s *Mbox) Account() Account { return Account{} }

// Close closes the folder.
func (s *Mbox) Close() error { return s.root.Close() }

// Mailboxes reads every file once, from end to end. A single file is INBOX. In a folder each file is a mailbox of its name, and
// folders are levels; those that Thunderbird calls "Archive.sbd" are levels below its file "Archive".
func (s *Mbox) Mailboxes(ctx context.Context) ([]Mailbox, error) {
	const op = "list mbox"
	if s.file != "" {
		m := s.mailbox(ctx, s.file, store.Inbox)
		if m.Err != nil {
			return nil, invalid(op, s.path+": "+m.Err.Error())
		}
		return []Mailbox{m}, ctx.Err()
	}
	var boxes []Mailbox
	err := fs.WalkDir(s.root.FS(), ".", func(file string, d fs.DirEntry, err error) error {
		base := path.Base(file)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && file == ".":
			return err
		case err != nil:
			boxes = append(boxes, Mailbox{Name: fileMailbox(file), Err: &Problem{Unreadable, err.Error()}})
			return fs.SkipDir
		case file != "." && strings.HasPrefix(base, "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || !d.Type().IsRegular() || beside[path.Ext(base)]:
			return nil
		}
		boxes = append(boxes, s.mailbox(ctx, file, fileMailbox(file)))
		return nil
	})
	if err != nil {
		return nil, unavailable(op, err)
	}
	if len(boxes) == 0 {
		return nil, invalid(op, s.path+" has no files")
	}
	slices.SortFunc(boxes, func(a, b Mailbox) int { return strings.Compare(a.Name, b.Name) })
	return boxes, nil
}

// beside are the ends of names of files that programs keep beside their mboxes.
var beside = map[string]bool{".msf": true, ".dat": true, ".lock": true, ".index": true, ".log": true, ".cache": true, ".html": true}

func fileMailbox(file string) string {
	levels := strings.Split(file, "/")
	for i, l := range levels {
		if i < len(levels)-1 {
			l = strings.TrimSuffix(l, ".sbd")
		} else {
			l = strings.TrimSuffix(l, ".mbox")
		}
		levels[i] = decodeUTF7(l)
	}
	if strings.EqualFold(levels[0], store.Inbox) {
		levels[0] = store.Inbox
	}
	return strings.Join(levels, "/")
}

// mailbox lists the messages of a file.
func (s *Mbox) mailbox(ctx context.Context, file, name string) Mailbox {
	m := Mailbox{Name: name, Subscribed: true, ref: file}
	f, err := s.root.Open(file)
	if err != nil {
		m.Err = &Problem{Unreadable, err.Error()}
		return m
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		m.Err = &Problem{Unreadable, err.Error()}
		return m
	}
	seen := map[Key]int{}
	err = split(f, info.Size(), s.form, func(start, end int64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		item := Item{start: start, end: end, Size: end - start, Date: info.ModTime().UTC(), ref: "the message at byte " + strconv.FormatInt(start, 10)}
		if item.Size > MaxMessage { // it is told of when it is to be read
			item.Key = keyOf("mbox", name, "too large", strconv.FormatInt(start, 10))
			m.Items = append(m.Items, item)
			return nil
		}
		raw := make([]byte, item.Size)
		if _, err := f.ReadAt(raw, start); err != nil {
			return err
		}
		head, text, _ := clean(raw, s.form)
		if head.validity != 0 && start == 0 {
			m.UIDValidity = head.validity
		}
		if head.internal {
			return nil
		}
		item.text = keyOf("mbox", name, string(text))
		item.Key = keyOf(string(item.text[:]), strconv.Itoa(seen[item.text]))
		seen[item.text]++
		item.UID, item.Flags = head.uid, head.flags
		if !head.date.IsZero() {
			item.Date = head.date
		}
		m.Items = append(m.Items, item)
		return nil
	})
	if err != nil {
		m.Items, m.Err = nil, problem(err)
		return m
	}
	if m.UIDValidity == 0 || !ascend(m.Items) {
		m.UIDValidity = 0
		for i := range m.Items {
			m.Items[i].UID = 0
		}
	}
	return m
}

// ascend says whether every item has a UID, each greater than the one before.
func ascend(items []Item) bool {
	last := uint32(0)
	for _, i := range items {
		if i.UID <= last {
			return false
		}
		last = i.UID
	}
	return true
}

// Read reads messages at the places where they were found. A file that was written to since may have something else there, which is
// noticed.
func (s *Mbox) Read(ctx context.Context, m Mailbox, items []Item) ([]Body, error) {
	f, err := s.root.Open(m.ref)
	if err != nil {
		return nil, unavailable("read mbox", err)
	}
	defer f.Close()
	out := make([]Body, len(items))
	for i, item := range items {
		if err := ctx.Err(); err != nil {
			return nil, unavailable("read mbox", err)
		}
		out[i].Data, out[i].Err = s.read(f, m.Name, item)
	}
	return out, nil
}

func (s *Mbox) read(f io.ReaderAt, mailbox string, item Item) ([]byte, error) {
	if item.Size > MaxMessage {
		return nil, &Problem{TooLarge, "it has more than 128 MiB"}
	}
	raw := make([]byte, item.Size)
	if n, err := f.ReadAt(raw, item.start); n < len(raw) && !errors.Is(err, io.EOF) {
		return nil, problem(err)
	}
	_, text, exact := clean(raw, s.form)
	if keyOf("mbox", mailbox, string(text)) != item.text {
		return nil, &Problem{Gone, "the file was changed while it was read; run the same command again"}
	}
	if !exact {
		text = unquote(text, s.form)
	}
	return crlf(text), nil
}
