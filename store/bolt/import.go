package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	bbolt "go.etcd.io/bbolt"

	"domicile"
	"domicile/store"
)

// An account that comes in rests in a bucket of "importing", which no method of the store reads but those of this file: in it
// the account's own bucket, which activation moves to the others as it is, beside notes on how far it has come.

// arrival is an account that comes in, within a transaction.
type arrival struct {
	account
	notes *bbolt.Bucket
}

// arrival returns ok false if no such account comes in.
func (s *Store) arrival(tx *bbolt.Tx, id domicile.AccountID) (a arrival, ok bool) {
	notes := tx.Bucket(bImporting).Bucket([]byte(id))
	if notes == nil {
		return a, false
	}
	return arrival{account{s, id, notes.Bucket([]byte(id))}, notes}, true
}

// Import makes the bodies of the part durable, then enters all of it with the new position in one commit.
func (s *Store) Import(ctx context.Context, id domicile.AccountID, p store.Part) error {
	const op = "import account"
	if err := checkPart(id, p); err != nil {
		return domicile.W(op, err)
	}
	if err := ctx.Err(); err != nil {
		return domicile.W(op, unavailable(err))
	}
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if err := s.mayImport(id, p); err != nil {
		return domicile.W(op, err)
	}
	if p.After == "" {
		if err := s.cfg.step("create key", func() error { return s.cfg.Sealer.CreateAccountKey(id) }); err != nil {
			return domicile.W(op, unavailable(err))
		}
	}
	in := &importer{s: s, acct: id, part: p}
	err := in.bodies()
	if err == nil {
		err = s.update(context.WithoutCancel(ctx), "", in.enter)
	}
	switch {
	case err == nil: // the pieces of bodies that are whole now
		s.removeBodies(id, in.joined)
	case domicile.KindOf(err) != domicile.Unknown:
		s.removeBodies(id, in.made)
	}
	return domicile.W(op, err)
}

// checkPart holds what a peer sent against the limits, before anything is looked up.
func checkPart(id domicile.AccountID, p store.Part) error {
	bodies, bytes := 0, int64(0)
	for _, i := range p.Items {
		if i.Piece != nil {
			bodies++
			bytes += int64(len(i.Piece.Data))
		}
	}
	switch {
	case !validID(string(id)):
		return domicile.E("account", domicile.Invalid, "an account id is 1 to 64 characters of a-z, 0-9, '-' and '_'")
	case p.Next == "" || p.Next == p.After || len(p.Next) > store.MaxPosition || len(p.After) > store.MaxPosition:
		return domicile.E("part", domicile.Invalid, "it leads nowhere")
	case len(p.Items) > store.MaxPartItems || bodies > store.MaxPartBodies || bytes > store.MaxPart:
		return domicile.E("part", domicile.TooLarge, "more items or bytes than a part may have")
	case p.After == "" && (len(p.Items) == 0 || p.Items[0].Account == nil):
		return domicile.E("part", domicile.Invalid, "the first part begins with the account")
	}
	return nil
}

// mayImport says whether the part is the next. Only calls that hold s.lifecycle move the position.
func (s *Store) mayImport(id domicile.AccountID, p store.Part) error {
	return s.view(func(tx *bbolt.Tx) error {
		a, begun := s.arrival(tx, id)
		switch {
		case tx.Bucket(bAccounts).Bucket([]byte(id)) != nil:
			return domicile.E("account", domicile.Exist, "the account is here already")
		case tx.Bucket(bErasing).Bucket([]byte(id)) != nil:
			return domicile.E("account", domicile.Conflict, "an account with this id is being erased: wait for that")
		case !begun && p.After == "":
			return nil
		case !begun || a.notes.Get(kWhole) != nil || string(a.notes.Get(kPosition)) != string(p.After):
			return domicile.E("part", domicile.Conflict, "it does not begin where the import stands: ask where that is")
		}
		return nil
	})
}

// importer brings one part in.
type importer struct {
	s      *Store
	acct   domicile.AccountID
	part   store.Part
	made   []domicile.MessageID // files written for this part
	joined []domicile.MessageID // pieces of bodies that this part completes
}

// pieceName is the file of a piece of a body that is not whole yet. Offsets are of one width, so that names sort by them.
func pieceName(id domicile.MessageID, offset int64) domicile.MessageID {
	return domicile.MessageID(fmt.Sprintf("%s-%016x", id, offset))
}

// bodies writes the bytes of the part: a whole body under its name, a piece under a name of its own; the last piece has the body
// put together.
func (in *importer) bodies() error {
	for _, i := range in.part.Items {
		p := i.Piece
		if p == nil {
			continue
		}
		if err := in.checkPiece(p); err != nil {
			return err
		}
		end := p.Offset + int64(p.Length)
		switch {
		case p.Offset == 0 && end == p.Size:
			if err := in.write(p.ID, func(w io.Writer) error { _, err := w.Write(p.Data); return err }); err != nil {
				return err
			}
		case end < p.Size:
			if err := in.write(pieceName(p.ID, p.Offset), func(w io.Writer) error { _, err := w.Write(p.Data); return err }); err != nil {
				return err
			}
		default:
			if err := in.join(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPiece wants a body that is missing here, and the bytes that follow those of it that are here.
func (in *importer) checkPiece(p *store.Piece) error {
	if p.Length != len(p.Data) || p.Offset < 0 || p.Size < 0 || p.Length > store.MaxPart || int64(p.Length) > p.Size-p.Offset || p.Length == 0 && p.Size > 0 {
		return domicile.E("body", domicile.Invalid, "a piece of a body has numbers that do not fit")
	}
	return in.s.view(func(tx *bbolt.Tx) error {
		a, begun := in.s.arrival(tx, in.acct)
		if !begun || a.notes.Bucket(bMissing).Get([]byte(p.ID)) == nil {
			return domicile.E("body", domicile.Invalid, "a body that no message of an earlier part names")
		}
		r, err := decodeBody(a.b.Bucket(bBodies).Get([]byte(p.ID)))
		if err == nil && r.size != p.Size {
			err = domicile.E("body", domicile.Invalid, "a body of another size than its message")
		}
		if _, have := a.pieces(p.ID); err == nil && have != p.Offset {
			err = domicile.E("body", domicile.Invalid, "a piece that does not follow the one before")
		}
		return err
	})
}

// pieces returns the pieces of a body that are here, in order, and their bytes.
func (a arrival) pieces(id domicile.MessageID) (names []domicile.MessageID, have int64) {
	prefix := string(id) + "-"
	c := a.notes.Bucket(bPieces).Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && len(k) == len(prefix)+16 && string(k[:len(prefix)]) == prefix; k, v = c.Next() {
		names = append(names, domicile.MessageID(k))
		have += int64(readNumber(v))
	}
	return names, have
}

// write makes one file durable.
func (in *importer) write(id domicile.MessageID, fill func(io.Writer) error) error {
	f, err := in.s.bodies.stage(in.acct, id)
	if err != nil {
		return unavailable(err)
	}
	if err = fill(f); err == nil {
		err = f.publish()
	}
	if err != nil {
		f.discard()
		return unavailable(err)
	}
	in.made = append(in.made, id)
	return nil
}

// join puts a body together from its pieces and the last one.
func (in *importer) join(last *store.Piece) error {
	var names []domicile.MessageID
	err := in.s.view(func(tx *bbolt.Tx) error {
		if a, begun := in.s.arrival(tx, in.acct); begun {
			names, _ = a.pieces(last.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	in.joined = append(in.joined, names...)
	return in.write(last.ID, func(w io.Writer) error {
		for _, name := range names {
			if err := in.copyFrom(w, name); err != nil {
				return err
			}
		}
		_, err := w.Write(last.Data)
		return err
	})
}

func (in *importer) copyFrom(w io.Writer, name domicile.MessageID) error {
	r, err := in.s.bodies.open(in.acct, name)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// enter enters the part in a transaction.
func (in *importer) enter(tx *bbolt.Tx) error {
	a, begun := in.s.arrival(tx, in.acct)
	if !begun {
		if err := newImport(tx, in.acct); err != nil {
			return err
		}
		a, _ = in.s.arrival(tx, in.acct)
	}
	for n, i := range in.part.Items {
		if (i.Account != nil) != (n == 0 && in.part.After == "") {
			return domicile.E("part", domicile.Invalid, "an account comes once, and first")
		}
		if err := a.importItem(tx, i); err != nil {
			return err
		}
	}
	if in.part.Last {
		if err := firstError(a.notes.Put(kWhole, []byte{1}), a.addsUp()); err != nil {
			return err
		}
	}
	return a.notes.Put(kPosition, []byte(in.part.Next))
}

func newImport(tx *bbolt.Tx, id domicile.AccountID) error {
	notes, err := tx.Bucket(bImporting).CreateBucket([]byte(id))
	if err != nil {
		return err
	}
	b, err := notes.CreateBucket([]byte(id))
	if err == nil {
		err = makeBuckets(b, bMailboxes, bNames, bBodies, bTokens, bOrder)
	}
	return firstError(err, makeBuckets(notes, bMissing, bPieces))
}

func makeBuckets(in *bbolt.Bucket, names ...[]byte) error {
	for _, name := range names {
		if _, err := in.CreateBucket(name); err != nil {
			return err
		}
	}
	return nil
}

func (a arrival) importItem(tx *bbolt.Tx, i store.Item) error {
	switch {
	case i.Account != nil:
		return a.importAccount(tx, *i.Account)
	case i.Mailbox != nil:
		return a.importMailbox(*i.Mailbox)
	case i.Message != nil:
		return a.importMessage(*i.Message)
	case i.Vanished != nil:
		return a.importVanished(*i.Vanished)
	case i.Token != nil:
		return a.importToken(*i.Token)
	case i.Piece != nil:
		return a.importPiece(i.Piece)
	}
	return domicile.E("part", domicile.Invalid, "an item of a kind that this release does not know")
}

func (a account) importAccount(tx *bbolt.Tx, x store.ExportedAccount) error {
	rec, err := a.s.newAccount(x.Account)
	if err != nil {
		return err
	}
	key := a.s.addressKey(rec.Address)
	switch {
	case rec.ID != a.id:
		return domicile.E("account", domicile.Invalid, "another account than was announced")
	case tx.Bucket(bAddresses).Get(key) != nil:
		return domicile.E("account", domicile.Exist, "the address is taken")
	}
	rec.State = store.Moving
	return firstError(a.putRecord(rec), a.b.Put(kAddress, key), a.b.Put(kValidity, number(uint64(x.UIDValidity))))
}

// importMailbox takes the counters as they come: activation holds them against the messages.
func (a account) importMailbox(x store.Mailbox) error {
	name, err1 := store.MailboxName(x.Name)
	use, err2 := store.SpecialUse(x.SpecialUse)
	if err := firstError(err1, err2); err != nil {
		return err
	}
	all := a.b.Bucket(bMailboxes)
	switch {
	case !validID(string(x.ID)) || name != x.Name || use != x.SpecialUse || x.UIDValidity == 0 || x.UIDNext == 0 || x.HighestModSeq == 0 || x.Size < 0:
		return domicile.E("mailbox", domicile.Invalid, "a mailbox whose name or numbers cannot be")
	case all.Sequence() >= store.MaxMailboxes:
		return domicile.E("mailbox", domicile.TooLarge, "more than 16384 mailboxes")
	case all.Bucket([]byte(x.ID)) != nil || a.b.Bucket(bNames).Get(a.nameKey(name)) != nil:
		return domicile.E("mailbox", domicile.Invalid, "a mailbox comes twice")
	}
	b, err := all.CreateBucket([]byte(x.ID))
	if err != nil {
		return err
	}
	for _, name := range [][]byte{bMessages, bChanges} {
		if _, err := b.CreateBucket(name); err != nil {
			return err
		}
	}
	m := &mailbox{account: a, id: x.ID, b: b, counters: counters{validity: x.UIDValidity, next: x.UIDNext, modseq: x.HighestModSeq,
		messages: x.Messages, unseen: x.Unseen, size: x.Size}}
	return firstError(
		m.putRecord(mailboxRecord{Name: name, SpecialUse: use, Subscribed: x.Subscribed}),
		m.save(),
		a.b.Bucket(bNames).Put(a.nameKey(name), []byte(m.id)),
		all.SetSequence(all.Sequence()+1))
}

func (a arrival) importMessage(x store.ExportedMessage) error {
	m, err := a.mailbox(x.Mailbox)
	if err != nil {
		return domicile.E("message", domicile.Invalid, "a message comes before its mailbox")
	}
	r, err := importedRecord(x)
	if err != nil {
		return err
	}
	if m.b.Bucket(bMessages).Get(uidKey(r.UID)) != nil {
		return domicile.E("message", domicile.Invalid, "a UID comes twice")
	}
	return firstError(a.importReference(r), m.put(r))
}

const maxZone = 99*60 + 99 // minutes: the greatest that RFC 9051's date-time can write

// importedRecord checks a message. Ids become file names.
func importedRecord(x store.ExportedMessage) (messageRecord, error) {
	flags, err := store.CanonicalFlags(x.Flags)
	if err != nil {
		return messageRecord{}, err
	}
	if len(flags) == 0 {
		flags = nil
	}
	if !validID(string(x.ID)) || len(x.ID) < 3 || x.UID == 0 || x.ModSeq == 0 || x.Size < 0 || !slices.Equal(flags, x.Flags) || x.Zone < -maxZone || x.Zone > maxZone {
		return messageRecord{}, domicile.E("message", domicile.Invalid, "a message whose id, flags or numbers cannot be")
	}
	return messageRecord{ID: x.ID, UID: x.UID, ModSeq: x.ModSeq, Flags: flags, Internal: x.Internal, Zone: x.Zone, Saved: x.Saved, Size: x.Size}, nil
}

// importReference counts who names a body; the first who does makes it missing.
func (a arrival) importReference(r messageRecord) error {
	bodies := a.b.Bucket(bBodies)
	raw := bodies.Get([]byte(r.ID))
	if raw == nil {
		used := readNumber(a.b.Get(kUsage)) + uint64(r.Size)
		return firstError(
			bodies.Put([]byte(r.ID), bodyRecord{1, r.Size}.encode()),
			a.notes.Bucket(bMissing).Put([]byte(r.ID), []byte{1}),
			a.b.Put(kUsage, number(used)))
	}
	have, err := decodeBody(raw)
	if err == nil && have.size != r.Size {
		err = domicile.E("message", domicile.Invalid, "copies of one message differ in size")
	}
	return firstError(err, a.ref(r.ID))
}

func (a account) importVanished(x store.Vanished) error {
	m, err := a.mailbox(x.Mailbox)
	if err != nil || x.UID == 0 || x.ModSeq == 0 {
		return domicile.E("expunged UID", domicile.Invalid, "an expunged UID whose mailbox or numbers cannot be")
	}
	return m.b.Bucket(bChanges).Put(changeKey(x.ModSeq, x.UID), isVanished)
}

func (a account) importToken(x store.UsedToken) error {
	if x.Token == "" || a.b.Bucket(bTokens).Get(a.tokenKey(x.Token)) != nil {
		return domicile.E("token", domicile.Invalid, "a token that is empty or comes twice")
	}
	made, err := importedRecord(x.Made)
	if err := firstError(err, checkToken(x.Token)); err != nil {
		return err
	}
	raw, err := json.Marshal(made)
	if err != nil {
		return err
	}
	return a.keepToken(x.Token, tokenRecord{Act: actDeliver, Token: x.Token, Result: raw}, time.Unix(x.Used, 0))
}

// importPiece enters what bodies wrote.
func (a arrival) importPiece(p *store.Piece) error {
	if p.Offset+int64(p.Length) < p.Size {
		return a.notes.Bucket(bPieces).Put([]byte(pieceName(p.ID, p.Offset)), number(uint64(p.Length)))
	}
	names, _ := a.pieces(p.ID)
	for _, name := range names {
		if err := a.notes.Bucket(bPieces).Delete([]byte(name)); err != nil {
			return err
		}
	}
	return a.notes.Bucket(bMissing).Delete([]byte(p.ID))
}

// received says whether the file of a body, or of a piece of one, belongs to an import.
func (a arrival) received(id domicile.MessageID) bool {
	key := []byte(id)
	return a.notes.Bucket(bPieces).Get(key) != nil || a.b.Bucket(bBodies).Get(key) != nil && a.notes.Bucket(bMissing).Get(key) == nil
}

// Imported returns where an import stands.
func (s *Store) Imported(_ context.Context, id domicile.AccountID) (out store.Arrival, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		a, begun := s.arrival(tx, id)
		if !begun {
			return domicile.E("import", domicile.NotExist, "no such account comes in")
		}
		out.At, out.Whole = store.Position(a.notes.Get(kPosition)), a.notes.Get(kWhole) != nil
		return s.openRecord(id, a.b.Get(kRecord), accountPlace(id), &out.Account)
	})
	return out, domicile.W("look at an import", err)
}

// Activate checks the import once more, writes the record as it will be, and then moves the account's bucket to
// the others. These are two commits, since bbolt moves a bucket as it was before the transaction; between them, too, nobody sees it.
func (s *Store) Activate(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	const op = "activate account"
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	var rec store.Account
	active := false
	err := s.view(func(tx *bbolt.Tx) error {
		a, begun := s.arrival(tx, id)
		if !begun {
			active = tx.Bucket(bAccounts).Bucket([]byte(id)) != nil
			if !active {
				return domicile.E("account", domicile.NotExist, "no such account comes in")
			}
			return nil
		}
		return s.openRecord(id, a.b.Get(kRecord), accountPlace(id), &rec)
	})
	if err != nil || active {
		return domicile.W(op, err)
	}
	old := rec
	if err := fn(&rec); err != nil {
		return err
	}
	rec.ID, rec.Address, rec.Created = old.ID, old.Address, old.Created
	if rec.Epoch < old.Epoch {
		return domicile.E(op, domicile.Conflict, "the epoch of ownership never goes down")
	}
	err = s.update(ctx, "", func(tx *bbolt.Tx) error {
		a, _ := s.arrival(tx, id)
		return firstError(a.addsUp(), a.putRecord(rec))
	})
	if err == nil {
		err = s.update(context.WithoutCancel(ctx), id, func(tx *bbolt.Tx) error { return s.moveIn(tx, id) })
	}
	return domicile.W(op, err)
}

func (s *Store) moveIn(tx *bbolt.Tx, id domicile.AccountID) error {
	a, _ := s.arrival(tx, id)
	key := a.b.Get(kAddress)
	if tx.Bucket(bAddresses).Get(key) != nil {
		return domicile.E("account", domicile.Exist, "the address is taken")
	}
	return firstError(
		tx.Bucket(bAddresses).Put(key, []byte(id)),
		tx.MoveBucket([]byte(id), a.notes, tx.Bucket(bAccounts)),
		tx.Bucket(bImporting).DeleteBucket([]byte(id)))
}

// addsUp says whether an import is whole and consistent.
func (a arrival) addsUp() error {
	if a.notes.Get(kWhole) == nil || count(a.notes.Bucket(bMissing)) > 0 || count(a.notes.Bucket(bPieces)) > 0 {
		return domicile.E("import", domicile.Invalid, "parts of it, or bodies, have not come")
	}
	if _, err := a.mailboxNamed(store.Inbox); err != nil {
		return domicile.E("import", domicile.Invalid, "it has no INBOX")
	}
	c := &checker{s: a.s, ctx: context.Background(), bodies: map[bodyID]int64{}}
	c.account(a.account)
	if len(c.wrong) > 0 {
		return &domicile.Error{Op: "import", Kind: domicile.Invalid, Detail: "its parts do not add up", Err: errors.Join(c.wrong...)}
	}
	return nil
}

// Abandon destroys an import by the code that erases accounts.
func (s *Store) Abandon(ctx context.Context, id domicile.AccountID) error {
	const op = "abandon an import"
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	begun := false
	err := s.update(ctx, "", func(tx *bbolt.Tx) error {
		begun = tx.Bucket(bErasing).Bucket([]byte(id)) != nil
		a, coming := s.arrival(tx, id)
		switch {
		case tx.Bucket(bAccounts).Bucket([]byte(id)) != nil:
			return domicile.E("account", domicile.Conflict, "the account was activated")
		case !coming:
			return nil
		}
		begun = true
		return a.forget(tx)
	})
	switch {
	case err != nil:
	case begun:
		err = s.finishErasure(context.WithoutCancel(ctx), id)
	default: // a crash may have come between the key and the first part
		err = s.cfg.step("destroy key", func() error { return s.cfg.Sealer.DestroyAccountKey(id) })
	}
	return domicile.W(op, err)
}

// forget takes an import out of the index and notes which files it has.
func (a arrival) forget(tx *bbolt.Tx) error {
	note, err := tx.Bucket(bErasing).CreateBucket([]byte(a.id))
	if err != nil {
		return err
	}
	files, err := note.CreateBucket(bBodies)
	if err != nil {
		return err
	}
	for _, from := range []*bbolt.Bucket{a.b.Bucket(bBodies), a.notes.Bucket(bPieces)} {
		err := from.ForEach(func(k, _ []byte) error { return files.Put(k, binary.BigEndian.AppendUint64(nil, 0)) })
		if err != nil {
			return err
		}
	}
	return tx.Bucket(bImporting).DeleteBucket([]byte(a.id))
}
