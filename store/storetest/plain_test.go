package storetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"domicile"
	"domicile/store"
)

// plain is a driver written from the contract alone: an account is one document in memory, and one sealed file that is
// written whole at each act, beside one for each body. What is atomic and what is a snapshot then needs no thought; what is left is the contract.
type plain struct {
	at  At
	bug string // the promise that a mutant breaks

	mu       sync.Mutex // guards what follows; a document that is in a map is never changed, only replaced
	closed   bool
	puts     int
	before   *doc // the document that was replaced last
	docs     map[domicile.AccountID]*doc
	arriving map[domicile.AccountID]*doc
	tables   map[string]map[string][]byte
	watches  map[domicile.AccountID]map[chan store.Hint]bool
}

// doc is all of an account.
type doc struct {
	Account  store.Account
	Validity uint32                       // the greatest that a mailbox was given
	Boxes    []*box                       // by name, INBOX first
	Bodies   map[domicile.MessageID]int64 // their sizes
	Tokens   map[store.Token]*used
	Uses     uint64 // of tokens

	Subscribed  map[string]bool
	Annotations []store.Annotation
	Changes     uint64 // of annotations

	At    store.Position // of an import
	Whole bool
	Sizes map[domicile.MessageID]int64  // of bodies that have not come whole
	Parts map[domicile.MessageID][]byte // what has come of them
}

type box struct {
	store.Mailbox // but its counts
	Live          []store.ExportedMessage
	Gone          []store.Vanished
}

type used struct {
	Act    string
	N      uint64
	At     int64
	Result json.RawMessage
}

func openPlain(at At) (store.Store, error) {
	p := &plain{at: at, bug: os.Getenv(mutant), docs: map[domicile.AccountID]*doc{}, arriving: map[domicile.AccountID]*doc{},
		tables: map[string]map[string][]byte{}, watches: map[domicile.AccountID]map[chan store.Hint]bool{}}
	var region domicile.Region
	if err := p.read("region", "", &region); errors.Is(err, os.ErrNotExist) {
		region = at.Region
		err = errors.Join(p.write("region", "", region), p.write("tables", "", p.tables))
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if region != at.Region {
		return nil, domicile.Refuse("open", domicile.WrongRegion, "", "the store of another region")
	}
	if err := p.read("tables", "", &p.tables); err != nil {
		return nil, err
	}
	return p, p.readAll()
}

// readAll reads the accounts and ends deletions that were cut short.
func (p *plain) readAll() error {
	files, err := os.ReadDir(p.at.Dir)
	for _, f := range files {
		id, kind, _ := strings.Cut(f.Name(), ".")
		d := &doc{}
		switch {
		case err != nil:
		case kind == "erased":
			err = p.erase(domicile.AccountID(id))
		case kind == "account":
			err = p.read(f.Name(), domicile.AccountID(id), d)
			p.docs[domicile.AccountID(id)] = d
			if p.bug == "keeps tokens in memory" {
				d.Tokens = map[store.Token]*used{}
			}
		case kind == "arriving" && p.docs[domicile.AccountID(id)] != nil: // its activation was cut short
			err = os.Remove(filepath.Join(p.at.Dir, f.Name()))
		case kind == "arriving":
			err = p.read(f.Name(), domicile.AccountID(id), d)
			p.arriving[domicile.AccountID(id)] = d
		case strings.HasSuffix(kind, ".new"):
			err = os.Remove(filepath.Join(p.at.Dir, f.Name()))
		}
	}
	for _, f := range files {
		id, msg, _ := strings.Cut(f.Name(), ".")
		msg, isBody := strings.CutSuffix(msg, ".body")
		d := cmp.Or(p.docs[domicile.AccountID(id)], p.arriving[domicile.AccountID(id)])
		if isBody && (d == nil || !d.has(domicile.MessageID(msg))) {
			os.Remove(filepath.Join(p.at.Dir, f.Name()))
		}
	}
	return err
}

func (d *doc) has(id domicile.MessageID) bool {
	_, ok := d.Bodies[id]
	return ok
}

func bodyName(acct domicile.AccountID, id domicile.MessageID) string {
	return string(acct) + "." + string(id) + ".body"
}

// write replaces a file. A driver that means it flushes the file, and then its folder; nothing here cuts the power.
func (p *plain) write(name string, id domicile.AccountID, v any) error {
	if (p.bug == "is not durable" || p.bug == "is durable when closed") && p.docs[id] != nil {
		return nil
	}
	sealed, err := p.at.Sealer.SealRecord(id, mustMarshal(v), []byte(name))
	if err != nil {
		return err
	}
	if p.bug == "leaves all in the clear" {
		sealed = mustMarshal(v)
	}
	path := filepath.Join(p.at.Dir, name)
	if err := os.WriteFile(path+".new", sealed, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (p *plain) read(name string, id domicile.AccountID, v any) error {
	sealed, err := os.ReadFile(filepath.Join(p.at.Dir, name))
	if err != nil {
		return err
	}
	raw, err := p.at.Sealer.OpenRecord(id, sealed, []byte(name))
	if p.bug == "leaves all in the clear" {
		raw, err = sealed, nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

func plainError(k domicile.Kind, detail string) error { return domicile.E("plain", k, detail) }

// load returns the document of an account, as it is now.
func (p *plain) load(id domicile.AccountID) (*doc, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch d := p.docs[id]; {
	case p.closed && p.bug != "reads when closed":
		return nil, plainError(domicile.Unavailable, "closed")
	case d == nil:
		return nil, plainError(domicile.NotExist, "no such account")
	case p.bug == "reads what was" && p.before != nil && p.before.Account.ID == id:
		return p.before, nil
	default:
		return d, nil
	}
}

// served is load for mail.
func (p *plain) served(id domicile.AccountID) (*doc, error) {
	d, err := p.load(id)
	if err == nil && d.Account.State == store.Moving {
		return nil, plainError(domicile.Unavailable, "the account is moving")
	}
	return d, err
}

// change is one act on the mail of an account.
func (p *plain) change(ctx context.Context, id domicile.AccountID, fn func(d *doc) error) error {
	return p.swap(ctx, id, func(d *doc) error {
		if d.Account.State == store.Moving {
			return plainError(domicile.Unavailable, "the account is moving")
		}
		return fn(d)
	})
}

// swap changes a copy of an account's document, and puts it in the place of the old one.
func (p *plain) swap(ctx context.Context, id domicile.AccountID, fn func(d *doc) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed || ctx.Err() != nil:
		return plainError(domicile.Unavailable, "closed, or the context ended")
	case p.docs[id] == nil:
		return plainError(domicile.NotExist, "no such account")
	}
	d := clone(p.docs[id])
	if err := fn(d); err != nil {
		return err
	}
	if p.bug == "hints before the change" {
		p.hint(id)
		p.mu.Unlock()
		time.Sleep(time.Millisecond)
		p.mu.Lock()
	}
	return p.put(d)
}

func clone(d *doc) *doc {
	fresh := &doc{}
	mustUnmarshal(mustMarshal(d), fresh)
	return fresh
}

func mustMarshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

func mustUnmarshal(raw []byte, v any) {
	if err := json.Unmarshal(raw, v); err != nil {
		panic(err)
	}
}

// put makes a document count. The caller holds p.mu.
func (p *plain) put(d *doc) error {
	if err := p.write(string(d.Account.ID)+".account", d.Account.ID, d); err != nil {
		return &domicile.Error{Op: "plain", Kind: domicile.Unknown, Err: err}
	}
	old := p.docs[d.Account.ID]
	p.before, p.docs[d.Account.ID] = old, d
	if old != nil {
		for id := range old.Bodies {
			if !d.has(id) {
				os.Remove(filepath.Join(p.at.Dir, bodyName(d.Account.ID, id)))
			}
		}
	}
	if p.puts++; p.bug != "hints before the change" && (p.bug != "loses hints" || p.puts < 10) {
		p.hint(d.Account.ID)
	}
	return nil
}

func (p *plain) hint(id domicile.AccountID) {
	var h store.Hint // anything: it does not look
	if p.bug == "names other mailboxes in hints" {
		h = store.Hint{"other"}
	}
	if d := p.docs[id]; p.bug == "names INBOX alone in hints" && d != nil {
		h = store.Hint{d.Boxes[0].ID}
	}
	for c := range p.watches[id] {
		select {
		case c <- h:
		default:
		}
	}
}

func (p *plain) Watch(id domicile.AccountID) (<-chan store.Hint, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(chan store.Hint, 1)
	if p.watches[id] == nil {
		p.watches[id] = map[chan store.Hint]bool{}
	}
	p.watches[id][c] = true
	return c, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watches[id], c)
	}
}

func (p *plain) Region() domicile.Region { return p.at.Region }

func (p *plain) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.bug == "is durable when closed" {
		p.bug = ""
		for id, d := range p.docs {
			if err := p.write(string(id)+".account", id, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check holds every account against its parts.
func (p *plain) Check(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var wrong []error
	for id, d := range p.docs {
		if p.bug != "" {
			break // the suite must find it by itself
		}
		if err := d.addsUp(); err != nil {
			wrong = append(wrong, fmt.Errorf("account %s: %w", id, err))
		}
	}
	return errors.Join(wrong...)
}
