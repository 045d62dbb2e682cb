package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"domicile"
	"domicile/admin"
	"domicile/importer"
	"domicile/store"
)

// importNode is what an import asks of admin.Client; see there.
type importNode interface {
	BeginImport(context.Context, admin.BeginImport) (admin.Import, error)
	KnownImports(context.Context, admin.KnownImports) (admin.KnownKeys, error)
	MakeMailbox(context.Context, admin.MakeMailbox) (admin.ImportMailbox, error)
	ImportAccount(context.Context, admin.ImportAccount) (admin.ImportedAccount, error)
	PutImported(context.Context, admin.PutImported, []admin.ImportedMessage, func(io.Reader) io.Reader) ([]admin.PutResult, error)
	EndImport(context.Context, admin.EndImport) (admin.EndedImport, error)
}

// importJob is one run of account import.
type importJob struct {
	*app
	words    importWords
	folders  [][2]string
	since    time.Time
	pace     pace
	patience time.Duration
	src      importer.Source
	node     importNode

	begun    bool // there is something to sum up
	imp      admin.Import
	ended    *admin.EndedImport
	known    map[importer.Key]bool
	boxes    []*importBox
	progress *progress
	notes    []string
	problems []importProblem

	messages, present, imported int
	bytes, doneBytes            int64 // of the source; of those that are there or were skipped
	skipped                     map[string]int
	full                        bool // the account's quota
}

// A batch is what is read at once, and put at once: some messages of one mailbox.
const (
	batchMessages = 128
	batchBytes    = 8 << 20 // unless one message has more
)

type batch struct {
	box    *importBox
	items  []importer.Item
	bodies []importer.Body
}

// run does all of an import. What it returns is about the import as a whole; what befell single messages is counted.
func (j *importJob) run(ctx context.Context) error {
	j.note("looking through %s", printable(j.src.Name()))
	var boxes []importer.Mailbox
	err := j.patiently(ctx, func() (err error) { boxes, err = j.src.Mailboxes(ctx); return err })
	if err != nil {
		return err
	}
	ask := admin.BeginImport{Address: j.words.address, Source: clip(j.src.Name()), ID: clip(j.src.ID()), DryRun: j.words.dryRun}
	if j.imp, err = j.node.BeginImport(ctx, ask); err != nil {
		return err
	}
	j.begun = true
	if err := j.learn(ctx, ask); err != nil {
		return err
	}
	j.plan(boxes, j.imp.Mailboxes)
	j.checkQuota()
	if j.words.dryRun {
		return nil
	}
	j.progress = newProgress(j)
	if err = j.account(ctx); err == nil {
		err = j.copyAll(ctx)
	}
	j.progress.finish()
	j.tellNumbers()
	return errors.Join(err, j.end(ctx, err != nil))
}

// clip keeps the words of a source within what a record takes.
func clip(s string) string { return s[:min(len(s), 256)] }

// learn asks which messages the account has already, or once had.
func (j *importJob) learn(ctx context.Context, ask admin.BeginImport) error {
	j.known = map[importer.Key]bool{}
	for page := 0; ; {
		var got admin.KnownKeys
		err := j.patiently(ctx, func() (err error) {
			got, err = j.node.KnownImports(ctx, admin.KnownImports{Address: j.words.address, ID: ask.ID, Page: page})
			return err
		})
		if err != nil {
			return err
		}
		for _, k := range got.Keys {
			if len(k) == len(importer.Key{}) {
				j.known[importer.Key(k)] = true
			}
		}
		if page = got.Next; page == 0 {
			return nil
		}
	}
}

// account brings what belongs to no mailbox.
func (j *importJob) account(ctx context.Context) error {
	a := j.src.Account()
	if len(a.Subscribed) == 0 && len(a.Annotations) == 0 {
		return nil
	}
	ask := admin.ImportAccount{Address: j.words.address, Import: j.imp.Import, Subscribed: a.Subscribed, Annotations: a.Annotations}
	var got admin.ImportedAccount
	err := j.patiently(ctx, func() (err error) { got, err = j.node.ImportAccount(ctx, ask); return err })
	if kind := domicile.KindOf(err); kind == domicile.TooLarge || kind == domicile.Invalid {
		j.notes = append(j.notes, "what belongs to no mailbox, annotations of the account and subscribed names, is not taken by the node: "+err.Error())
		return nil
	}
	if got.NoRoom {
		j.notes = append(j.notes, "the account has no room for all of its own annotations, or for all subscribed names that no mailbox has")
	}
	return err
}

// copyAll reads ahead of what is put, by one batch.
func (j *importJob) copyAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan batch, 1)
	read := make(chan error, 1)
	go func() {
		defer close(batches)
		read <- j.readAll(ctx, batches)
	}()
	var err error
	for b := range batches {
		if err == nil && !j.full {
			if err = j.put(ctx, b); err != nil || j.full {
				cancel() // nothing more need be read
			}
		}
	}
	readErr := <-read
	switch {
	case err != nil:
		return err
	case j.full:
		j.leaveOut()
		return nil
	}
	return readErr
}

// readAll makes each mailbox and reads what is to come into it.
func (j *importJob) readAll(ctx context.Context, out chan<- batch) error {
	for _, box := range j.boxes {
		items := box.todo
		for first := true; first || len(items) > 0; first = false {
			b := batch{box: box}
			b.items, items = cutBatch(items)
			if box.Err == nil && len(b.items) > 0 {
				err := j.patiently(ctx, func() (err error) { b.bodies, err = j.src.Read(ctx, box.Mailbox, b.items); return err })
				if err != nil {
					return err
				}
			}
			select {
			case out <- b:
			case <-ctx.Done():
				return unavailableNow(ctx.Err())
			}
		}
	}
	return nil
}

// cutBatch takes the first batch off items.
func cutBatch(items []importer.Item) (first, rest []importer.Item) {
	size := int64(0)
	for n, i := range items {
		if n > 0 && (n == batchMessages || size+i.Size > batchBytes) {
			return items[:n], items[n:]
		}
		size += i.Size
	}
	return items, nil
}

// put brings a batch into its mailbox, which the first one makes.
func (j *importJob) put(ctx context.Context, b batch) error {
	if err := j.mailbox(ctx, b.box); err != nil {
		return err
	}
	var messages []admin.ImportedMessage
	var from []importer.Item
	for n, item := range b.items {
		problem := cmp.Or(b.box.Err, b.box.bad)
		if problem == nil {
			problem = b.bodies[n].Err
		}
		if problem != nil {
			j.skip(b.box, item, problem)
			continue
		}
		from = append(from, item)
		m := admin.ImportedMessage{Key: item.Key[:], Mailbox: b.box.to, Flags: item.Flags, Time: item.Date, Data: b.bodies[n].Data}
		if j.words.keepUIDs {
			m.UID = store.UID(item.UID)
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return nil
	}
	var results []admin.PutResult
	err := j.patiently(ctx, func() (err error) {
		results, err = j.node.PutImported(ctx, admin.PutImported{Address: j.words.address, Import: j.imp.Import}, messages, j.pace.slow(ctx))
		return err
	})
	if err != nil {
		return err
	}
	for n, r := range results {
		if r.Code != "" {
			j.skip(b.box, from[n], &importer.Problem{Code: r.Code, Detail: resultWords[r.Code]})
			j.full = j.full || r.Code == overQuota
			continue
		}
		if m := messages[n]; m.UID != 0 && m.UID != r.UID {
			b.box.renumbered++
		}
		b.box.imported++
		j.imported++
		j.doneBytes += from[n].Size
	}
	j.progress.tell()
	return nil
}

const overQuota = "over_quota"

var resultWords = map[string]string{
	overQuota:   "the account's quota has no room for it",
	"too_large": "the node takes no message so large",
	"invalid":   "the node does not take it as it is",
}

// mailbox makes a mailbox of the account, once.
func (j *importJob) mailbox(ctx context.Context, box *importBox) error {
	if box.Err != nil || box.bad != nil || box.made {
		return nil
	}
	ask := admin.MakeMailbox{Address: j.words.address, Import: j.imp.Import, Name: box.to, SpecialUse: box.SpecialUse, Subscribed: box.Subscribed, Annotations: box.Annotations}
	if j.words.keepUIDs {
		ask.UIDValidity = box.UIDValidity
	}
	var made admin.ImportMailbox
	err := j.patiently(ctx, func() (err error) { made, err = j.node.MakeMailbox(ctx, ask); return err })
	if ask.UIDValidity != 0 && domicile.KindOf(err) == domicile.Exist {
		box.bad = &importer.Problem{Code: "uids_in_use", Detail: "its UIDs cannot be kept: " + err.Error()}
		return nil
	}
	if kind := domicile.KindOf(err); kind == domicile.Invalid || kind == domicile.TooLarge {
		box.bad = &importer.Problem{Code: "bad_name", Detail: "the account cannot have this mailbox: " + err.Error()}
		return nil
	}
	if made.NoRoom {
		j.notes = append(j.notes, box.Name+" has annotations for which the account has no room: none of them was kept")
	}
	box.made = err == nil
	return err
}

// tellNumbers says where UIDs that were to be kept were not.
func (j *importJob) tellNumbers() {
	for _, b := range j.boxes {
		switch {
		case !j.words.keepUIDs:
		case b.renumbered > 0:
			j.notes = append(j.notes, fmt.Sprintf("%d messages of %s got other UIDs: greater ones were given already, to mail that came in meanwhile", b.renumbered, b.Name))
		case b.UIDValidity == 0 && b.messages > 0:
			j.notes = append(j.notes, b.Name+" has no UIDs at the source that could be kept")
		}
	}
}

// leaveOut counts what was not tried any more since the account is full.
func (j *importJob) leaveOut() {
	for _, b := range j.boxes {
		if left := b.messages - b.present - b.imported - b.skipped; left > 0 {
			b.skipped += left
			j.skipped[overQuota] += left
		}
	}
	j.notes = append(j.notes, "the account's quota is full: raise it by mailctl account quota, and run the same command again")
}

// end puts the end on record, also of what was interrupted.
func (j *importJob) end(ctx context.Context, cut bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	ended, err := j.node.EndImport(ctx, admin.EndImport{Address: j.words.address, Import: j.imp.Import, Skipped: j.skipped, Interrupted: cut})
	if err == nil {
		j.ended = &ended
	}
	return err
}

// patiently tries again what failed for want of a connection, until nothing has succeeded for too long.
func (j *importJob) patiently(ctx context.Context, try func() error) error {
	begin := j.now()
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := try()
		kind := domicile.KindOf(err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return unavailableNow(ctx.Err())
		case kind != domicile.Unavailable && kind != domicile.Unknown:
			return err
		case j.now().Sub(begin) >= j.patience:
			return &domicile.Error{Op: "import", Kind: domicile.Unavailable, Detail: "given up; the same command again goes on from here", Err: err}
		}
		j.note("%s; trying again in %s", printable(err.Error()), wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func unavailableNow(err error) error {
	return &domicile.Error{Op: "import", Kind: domicile.Unavailable, Detail: "interrupted; the same command again goes on from here", Err: err}
}

// pace lets bytes through at a rate.
type pace struct {
	rate int64 // bytes a second, 0 = any
}

// slow returns what holds a body to the rate, nil if there is none.
func (p pace) slow(ctx context.Context) func(io.Reader) io.Reader {
	if p.rate == 0 {
		return nil
	}
	return func(r io.Reader) io.Reader { return &paced{ctx, r, p.rate} }
}

type paced struct {
	ctx  context.Context
	r    io.Reader
	rate int64
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(int64(len(b)), max(1, p.rate/4))])
	select {
	case <-p.ctx.Done():
		return n, p.ctx.Err()
	case <-time.After(time.Duration(n) * time.Second / time.Duration(p.rate)):
	}
	return n, err
}
