package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// An account that comes in rests where the others do, in the state isComing, which no method of the store reads but those of this file.
// Notes on how far it has come are beside it.

// arrival is an account that comes in, within a transaction.
type arrival struct {
	account
	notes bucket
}

// arrival returns ok false if no such account comes in.
func (s *Store) arrival(tx *txn, id domicile.AccountID) (a arrival, ok bool) {
	a = arrival{s.accountIn(tx, id), tx.root(bImporting).sub([]byte(id))}
	return a, string(a.b.Get(kState)) == string(isComing)
}

// Import seals the bodies of the part, then writes them, the items and the new position as one act.
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
	in := &importer{s: s, acct: id, part: p, have: map[domicile.MessageID]*coming{}}
	err := in.seal()
	if err == nil && p.Last {
		err = in.rehearse()
	}
	if err == nil {
		err = s.update(context.WithoutCancel(ctx), "", in.enter)
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
	return s.view(func(tx *txn) error {
		a, begun := s.arrival(tx, id)
		_, err := s.account(tx, id)
		switch {
		case err == nil:
			return domicile.E("account", domicile.Exist, "the account is here already")
		case string(a.b.Get(kState)) == string(isErased):
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
	have   map[domicile.MessageID]*coming // bodies of this part
	pieces map[*store.Piece]*sealedPiece
}

// coming is how far a body has come.
type coming struct {
	chunks []digest
	bytes  int64
	data   []byte // those that are in no chunk
	short  bool   // they begin with those of the last chunk of an earlier part, which is too small to stay
	whole  bool
}

// sealedPiece is what is written of a piece: chunks, and of the last piece of a body its end.
type sealedPiece struct {
	short    bool // in the place of the chunk before
	digests  []digest
	payloads [][]byte
	last     []byte
}

// seal checks and seals the bytes of the part. Those of a body are gathered, and belong to its last piece: however small the pieces are, chunks are
// not. Only calls that hold s.lifecycle change what it looks at.
func (in *importer) seal() error {
	in.pieces = map[*store.Piece]*sealedPiece{}
	last := map[domicile.MessageID]*store.Piece{}
	for _, i := range in.part.Items {
		if p := i.Piece; p != nil {
			if err := in.gather(p); err != nil {
				return err
			}
			last[p.ID], in.pieces[p] = p, &sealedPiece{}
		}
	}
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range last {
		work.Go(func() error { return in.sealPiece(p) })
	}
	return work.Wait()
}

// gather takes the bytes of a piece, behind those of a chunk before that is too small to stay.
func (in *importer) gather(p *store.Piece) error {
	if err := in.checkPiece(p); err != nil {
		return err
	}
	c := in.have[p.ID]
	if n := len(c.chunks); c.data == nil && n > 0 {
		before, err := in.s.readChunk(&room{}, in.acct, c.chunks[n-1], segment.Place{})
		if err != nil && !damage(err) {
			return err
		}
		if err == nil && len(before) < minChunk {
			c.chunks, c.data, c.short = c.chunks[:n-1], before, true
		}
	}
	c.data = append(c.data, p.Data...)
	c.bytes += int64(p.Length)
	c.whole = c.bytes == p.Size
	return nil
}

// sealPiece seals what has gathered of a body, as what is written with its last piece. It runs beside that of other bodies.
func (in *importer) sealPiece(p *store.Piece) error {
	c, out, cutter := in.have[p.ID], in.pieces[p], in.s.newCutter(in.acct)
	out.short = c.short
	rest := c.data
	for len(rest) > 0 {
		n, _ := cutter.cut(rest)
		if n == len(rest) && c.whole {
			break
		}
		d := in.s.chunkDigest(in.acct, rest[:n])
		payload, err := in.s.sealChunk(in.acct, d, rest[:n])
		if err != nil {
			return unavailable(err)
		}
		out.digests, out.payloads = append(out.digests, d), append(out.payloads, payload)
		c.chunks, rest = append(c.chunks, d), rest[n:]
	}
	if !c.whole {
		return nil
	}
	var err error
	if out.last, err = in.s.sealLast(in.acct, p.ID, p.Size, c.chunks, rest); err != nil {
		return unavailable(err)
	}
	return nil
}

// checkPiece wants a body that is missing here, and the bytes that follow those of it that are here.
func (in *importer) checkPiece(p *store.Piece) error {
	if p.Length != len(p.Data) || p.Offset < 0 || p.Size < 0 || p.Length > store.MaxPart || int64(p.Length) > p.Size-p.Offset || p.Length == 0 && p.Size > 0 {
		return domicile.E("body", domicile.Invalid, "a piece of a body has numbers that do not fit")
	}
	return in.s.view(func(tx *txn) error {
		a, begun := in.s.arrival(tx, in.acct)
		note := a.notes.sub(bMissing).Get([]byte(p.ID))
		if !begun || note == nil {
			return domicile.E("body", domicile.Invalid, "a body that no message of an earlier part names")
		}
		r, err := a.body(p.ID)
		if err != nil {
			return err
		}
		if in.have[p.ID] == nil {
			in.have[p.ID] = &coming{chunks: r.chunks, bytes: int64(readNumber(note))}
		}
		switch c := in.have[p.ID]; {
		case r.size != p.Size:
			return domicile.E("body", domicile.Invalid, "a body of another size than its message")
		case c.bytes != p.Offset || c.whole:
			return domicile.E("body", domicile.Invalid, "a piece that does not follow the one before")
		}
		return nil
	})
}

// rehearse enters the last part where nobody sees it, and checks the whole account: that takes long, and others write meanwhile. What it looks at
// changes only by calls that hold s.lifecycle.
func (in *importer) rehearse() error {
	return in.s.index.rehearse(func(tx *txn) error {
		if err := in.enter(tx); err != nil {
			return err
		}
		a, _ := in.s.arrival(tx, in.acct)
		return a.addsUp()
	})
}

// enter enters the part in a transaction.
func (in *importer) enter(tx *txn) error {
	a, _ := in.s.arrival(tx, in.acct)
	for n, i := range in.part.Items {
		if (i.Account != nil) != (n == 0 && in.part.After == "") {
			return domicile.E("part", domicile.Invalid, "an account comes once, and first")
		}
		if err := a.importItem(i, in.pieces[i.Piece]); err != nil {
			return err
		}
	}
	if in.part.Last {
		a.notes.Put(kWhole, []byte{1})
	}
	a.notes.Put(kPosition, []byte(in.part.Next))
	return nil
}

func (a arrival) importItem(i store.Item, sealed *sealedPiece) error {
	switch {
	case i.Account != nil:
		return a.importAccount(*i.Account)
	case i.Subscribed != "":
		return a.importSubscribed(i.Subscribed)
	case i.Annotation != nil:
		return a.importAnnotation(*i.Annotation)
	case i.Mailbox != nil:
		return a.importMailbox(*i.Mailbox)
	case i.Message != nil:
		return a.importMessage(*i.Message)
	case i.Vanished != nil:
		return a.importVanished(*i.Vanished)
	case i.Token != nil:
		return a.importToken(*i.Token)
	case i.Piece != nil:
		return a.importPiece(i.Piece, sealed)
	}
	return domicile.E("part", domicile.Invalid, "an item of a kind that this release does not know")
}

func (a account) importAccount(x store.ExportedAccount) error {
	rec, err := a.s.newAccount(x.Account)
	if err != nil {
		return err
	}
	key := a.s.addressKey(rec.Address)
	switch {
	case rec.ID != a.id:
		return domicile.E("account", domicile.Invalid, "another account than was announced")
	case a.b.tx.root(bAddresses).Get(key) != nil:
		return domicile.E("account", domicile.Exist, "the address is taken")
	}
	rec.State = store.Moving
	err = a.putRecord(rec)
	a.b.Put(kState, isComing)
	a.b.Put(kAddress, key)
	a.b.Put(kValidity, number(uint64(x.UIDValidity)))
	return err
}

// importMailbox takes the counters as they come: activation holds them against the messages.
func (a account) importMailbox(x store.Mailbox) error {
	name, err1 := store.MailboxName(x.Name)
	use, err2 := store.SpecialUse(x.SpecialUse)
	if err := firstError(err1, err2); err != nil {
		return err
	}
	_, err := a.mailbox(x.ID)
	switch {
	case !validID(string(x.ID)) || name != x.Name || use != x.SpecialUse || x.UIDValidity == 0 || x.UIDNext == 0 || x.HighestModSeq == 0 || x.Size < 0:
		return domicile.E("mailbox", domicile.Invalid, "a mailbox whose name or numbers cannot be")
	case readNumber(a.b.Get(kBoxes)) >= store.MaxMailboxes:
		return domicile.E("mailbox", domicile.TooLarge, "more than 16384 mailboxes")
	case err == nil || a.b.sub(bNames).Get(a.nameKey(name)) != nil:
		return domicile.E("mailbox", domicile.Invalid, "a mailbox comes twice")
	case a.b.sub(bSubscribed).Get(a.nameKey(name)) != nil:
		return domicile.E("mailbox", domicile.Invalid, "a mailbox has a name that came as one without")
	}
	m := &mailbox{account: a, id: x.ID, counters: counters{validity: x.UIDValidity, next: x.UIDNext, modseq: x.HighestModSeq,
		messages: x.Messages, unseen: x.Unseen, size: x.Size}}
	return m.enter(mailboxRecord{Name: name, SpecialUse: use, Subscribed: x.Subscribed})
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
	if m.rows.sub(bMessages).Get(uidKey(r.UID)) != nil {
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
	have, err := a.body(r.ID)
	if domicile.KindOf(err) == domicile.NotExist {
		a.putBody(r.ID, bodyRecord{refs: 1, size: r.Size})
		a.notes.sub(bMissing).Put([]byte(r.ID), number(0))
		a.b.Put(kUsage, number(readNumber(a.b.Get(kUsage))+uint64(r.Size)))
		return nil
	}
	if err == nil && have.size != r.Size {
		err = domicile.E("message", domicile.Invalid, "copies of one message differ in size")
	}
	return firstError(err, a.ref(r.ID))
}

func (a account) importVanished(x store.Vanished) error {
	m, err := a.mailbox(x.Mailbox)
	if err != nil || x.UID == 0 || x.ModSeq == 0 || x.Last > 0 && x.Last < x.UID {
		return domicile.E("expunged UID", domicile.Invalid, "an expunged UID whose mailbox or numbers cannot be")
	}
	f, err := m.remembered()
	if err != nil {
		return err
	}
	run := store.UIDRange{First: x.UID, Last: max(x.UID, x.Last)}
	switch {
	case x.Some && (f.seq > 0 || f.runs > 0):
		return domicile.E("expunged UID", domicile.Invalid, "what a mailbox has forgotten comes once, and first")
	case x.Some, x.ModSeq < f.seq: // nobody asks for what is older: it would rest here for ever, however much of it
		f.forget(x.ModSeq, run)
		return m.keepForgotten(f)
	}
	m.rows.sub(bChanges).Put(changeKey(x.ModSeq, x.UID), vanishedValue(run))
	f.runs++
	return m.keepForgotten(f)
}

func (a account) importToken(x store.UsedToken) error {
	if x.Token == "" || a.b.sub(bTokens).Get(a.tokenKey(x.Token)) != nil {
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

// importPiece writes a piece. The body is not missing any more with its last one.
func (a arrival) importPiece(p *store.Piece, sealed *sealedPiece) error {
	r, err := a.body(p.ID)
	if err != nil {
		return err
	}
	for i, d := range sealed.digests {
		if err := a.addChunk(d, a.b.tx.frame(frameChunk, sealed.payloads[i])); err != nil {
			return err
		}
	}
	if n := len(r.chunks); sealed.short {
		a.dropChunk(r.chunks[n-1])
		r.chunks = r.chunks[:n-1]
	}
	r.chunks = append(r.chunks, sealed.digests...)
	if sealed.last != nil {
		r.place = a.b.tx.frame(frameBody, sealed.last)
		a.b.tx.live(r.place, 1)
		a.notes.sub(bMissing).Delete([]byte(p.ID))
		a.unfound(p.ID)
	} else {
		a.notes.sub(bMissing).Put([]byte(p.ID), number(uint64(p.Offset)+uint64(p.Length)))
	}
	a.putBody(p.ID, r)
	return nil
}

// Imported returns where an import stands.
func (s *Store) Imported(_ context.Context, id domicile.AccountID) (out store.Arrival, err error) {
	err = s.view(func(tx *txn) error {
		a, begun := s.arrival(tx, id)
		if !begun {
			return domicile.E("import", domicile.NotExist, "no such account comes in")
		}
		out.At, out.Whole = store.Position(a.notes.Get(kPosition)), a.notes.Get(kWhole) != nil
		return s.openRecord(id, a.b.Get(kRecord), accountPlace(id), &out.Account)
	})
	return out, domicile.W("look at an import", err)
}

// Activate checks the import once more, and makes it an account like the others.
func (s *Store) Activate(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	const op = "activate account"
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	var rec store.Account
	active := false
	err := s.view(func(tx *txn) error {
		a, begun := s.arrival(tx, id)
		if !begun {
			_, err := s.account(tx, id)
			if active = err == nil; !active {
				return domicile.E("account", domicile.NotExist, "no such account comes in")
			}
			return nil
		}
		if err := a.addsUp(); err != nil { // here and not in the act below: it takes long, and only calls that hold s.lifecycle change it
			return err
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
	err = s.update(ctx, id, func(tx *txn) error {
		a, _ := s.arrival(tx, id)
		key := a.b.Get(kAddress)
		if tx.root(bAddresses).Get(key) != nil {
			return domicile.E("account", domicile.Exist, "the address is taken")
		}
		if err := a.putRecord(rec); err != nil {
			return err
		}
		tx.root(bAddresses).Put(key, []byte(id))
		a.notes.deleteSome(noteKeys)
		return nil
	})
	return domicile.W(op, err)
}

const noteKeys = 10 // more than are left of the notes when nothing is missing

// addsUp says whether an import is whole and consistent.
func (a arrival) addsUp() error {
	if a.notes.Get(kWhole) == nil || !a.notes.sub(bMissing).Empty() {
		return domicile.E("import", domicile.Invalid, "parts of it, or bodies, have not come")
	}
	if _, err := a.mailboxNamed(store.Inbox); err != nil {
		return domicile.E("import", domicile.Invalid, "it has no INBOX")
	}
	c := newChecker(context.Background(), a.s)
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
	err := s.update(ctx, "", func(tx *txn) error {
		a, coming := s.arrival(tx, id)
		begun = coming || string(a.b.Get(kState)) == string(isErased)
		if _, err := s.account(tx, id); err == nil {
			return domicile.E("account", domicile.Conflict, "the account was activated")
		}
		if coming {
			a.markErased()
		}
		return nil
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
