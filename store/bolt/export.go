package bolt

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"domicile"
	"domicile/store"
)

// cursor is a store.Position taken apart: what comes next in the order of an export.
type cursor struct {
	stage string // one of the stages below; "" = the account itself
	id    string // of a mailbox or message
	n     uint64 // within it: a UID, a ModSeq, an offset; of tokens their number; of names and annotations how many went before
	m     uint64 // a UID behind the ModSeq; of bodies 1 for what follows id
}

// The stages of an export behind the account, in their order. A mailbox passes through four, from its own to its annotations, before the next one begins. The account's
// own annotations are those of no mailbox, and come before all.
const (
	stageSubscribed  = "subscribed"
	stageMailbox     = "mailbox"
	stageMessages    = "messages"
	stageVanished    = "vanished"
	stageAnnotations = "annotations"
	stageTokens      = "tokens"
	stageBodies      = "bodies"
	stageEnd         = "end"
)

func (c cursor) position() store.Position {
	if c == (cursor{}) {
		return ""
	}
	return store.Position(fmt.Sprintf("%s/%s/%d/%d", c.stage, c.id, c.n, c.m))
}

func parsePosition(p store.Position) (c cursor, err error) {
	if p == "" {
		return c, nil
	}
	parts := strings.Split(string(p), "/")
	if len(p) > store.MaxPosition || len(parts) != 4 {
		return c, errPosition
	}
	c.stage, c.id = parts[0], parts[1]
	c.n, err = strconv.ParseUint(parts[2], 10, 64)
	if err == nil {
		c.m, err = strconv.ParseUint(parts[3], 10, 32)
	}
	switch {
	case err != nil, c.position() != p:
		return c, errPosition
	}
	switch c.stage {
	case stageSubscribed, stageMailbox, stageMessages, stageVanished, stageAnnotations, stageTokens, stageBodies, stageEnd:
		return c, nil
	}
	return c, errPosition
}

var errPosition = domicile.E("export", domicile.Invalid, "this store wrote no such position")

// Export collects the items of the index in one short snapshot, and reads bodies behind it.
func (s *Store) Export(ctx context.Context, id domicile.AccountID, after store.Position, size int64) (store.Part, error) {
	const op = "export account"
	c, err := parsePosition(after)
	if err != nil {
		return store.Part{}, domicile.W(op, err)
	}
	if err := ctx.Err(); err != nil {
		return store.Part{}, domicile.W(op, unavailable(err))
	}
	x := &exporter{s: s, acct: id, at: c, left: max(1, min(size, store.MaxPart))}
	if err = s.view(x.index); err == nil {
		err = x.readBodies()
	}
	if err != nil {
		return store.Part{}, domicile.W(op, err)
	}
	return store.Part{After: after, Next: x.at.position(), Last: x.at.stage == stageEnd, Items: x.items}, nil
}

type exporter struct {
	s      *Store
	acct   domicile.AccountID
	at     cursor
	left   int64 // bytes of bodies
	weight int   // bytes of the rest, more or less
	items  []store.Item
	bodies []wantedBody // of this part
	more   bool         // there are bodies behind these
}

type wantedBody struct {
	id domicile.MessageID
	bodyRecord
}

// maxWeight keeps a part of messages with many long keywords to a size that crosses.
const maxWeight = 1 << 20

func (x *exporter) full() bool { return len(x.items) >= store.MaxPartItems || x.weight >= maxWeight }

func (x *exporter) add(i store.Item, next cursor) {
	x.items = append(x.items, i)
	x.at = next
	x.weight += weigh(i)
}

// weigh is about how many bytes an item takes, those of a body aside.
func weigh(i store.Item) int {
	n := 256 + len(i.Subscribed)
	flags := func(m store.ExportedMessage) {
		for _, f := range m.Flags {
			n += len(f) + 3
		}
	}
	switch {
	case i.Mailbox != nil:
		n += len(i.Mailbox.Name)
	case i.Annotation != nil:
		n += len(i.Annotation.Entry) + len(i.Annotation.Value)*4/3
	case i.Message != nil:
		flags(*i.Message)
	case i.Token != nil:
		flags(i.Token.Made)
	}
	return n
}

// index collects items until the part is full, and which bodies follow if there is room for them.
func (x *exporter) index(tx *txn) error {
	a, err := x.s.account(tx, x.acct)
	if err != nil {
		return err
	}
	if a.b.Get(kState) == nil {
		return domicile.E("account", domicile.Conflict, "only a moving account is exported: set its state first")
	}
	for !x.full() && x.at.stage != stageBodies && x.at.stage != stageEnd {
		if err := x.step(a); err != nil {
			return err
		}
	}
	if len(x.items) == 0 && x.at.stage == stageBodies { // in a part of their own, behind the messages that name them
		x.wanted(a)
	}
	return nil
}

// step adds items of one stage and comes to the next, or fills the part.
func (x *exporter) step(a account) error {
	switch x.at.stage {
	case "":
		return x.account(a)
	case stageSubscribed:
		return x.subscribed(a)
	case stageMailbox:
		return x.mailbox(a)
	case stageMessages:
		return x.messages(a)
	case stageVanished:
		return x.vanished(a)
	case stageAnnotations:
		return x.annotations(a)
	}
	return x.tokens(a)
}

func (x *exporter) account(a account) error {
	n, err := a.annotated()
	if err != nil {
		return err
	}
	out := &store.ExportedAccount{UIDValidity: uint32(readNumber(a.b.Get(kValidity))), Bytes: int64(readNumber(a.b.Get(kUsage)) - n.bytes)}
	if err := x.s.openRecord(a.id, a.b.Get(kRecord), accountPlace(a.id), &out.Account); err != nil {
		return err
	}
	x.add(store.Item{Account: out}, cursor{stage: stageSubscribed})
	return nil
}

// subscribed adds the subscribed names that no mailbox has, in the order of their keys.
func (x *exporter) subscribed(a account) error {
	n := uint64(0)
	err := a.b.sub(bSubscribed).ForEach(func(k, v []byte) error {
		if n++; n <= x.at.n {
			return nil
		}
		if x.full() {
			return errStop
		}
		name, err := x.s.openSubscribed(a.id, k, v)
		if err == nil {
			x.add(store.Item{Subscribed: name}, cursor{stage: stageSubscribed, n: n})
		}
		return err
	})
	if err == nil && !x.full() {
		x.at = cursor{stage: stageAnnotations}
	}
	return err
}

// annotations adds those of a mailbox, or with no id those of the account itself, in the order of their keys.
func (x *exporter) annotations(a account) error {
	mbox := domicile.MailboxID(x.at.id)
	b, err := a.annotations(mbox)
	if err != nil {
		return err
	}
	n := uint64(0)
	err = b.ForEach(func(k, v []byte) error {
		if n++; n <= x.at.n {
			return nil
		}
		if x.full() {
			return errStop
		}
		out, err := x.s.openAnnotation(a.id, mbox, entry{k, v})
		out.Changed = 0 // the other store counts for itself
		if err == nil {
			x.add(store.Item{Annotation: &out}, cursor{stage: stageAnnotations, id: x.at.id, n: n})
		}
		return err
	})
	if err == nil && !x.full() {
		x.at = cursor{stage: stageMailbox, id: x.at.id}
	}
	return err
}

// mailbox adds the first mailbox behind x.at.id.
func (x *exporter) mailbox(a account) error {
	var id []byte
	err := a.b.sub(bMailboxes).ForEachBucketAfter([]byte(x.at.id), func(name []byte) error {
		if a.rowsAlone(name) {
			return nil
		}
		id = name
		return errStop
	})
	if err != nil {
		return err
	}
	if id == nil {
		x.at = cursor{stage: stageTokens}
		return nil
	}
	m, err := a.mailbox(domicile.MailboxID(id))
	if err != nil {
		return err
	}
	rec, err := m.record()
	if err != nil {
		return err
	}
	full := m.full(m.id, rec)
	x.add(store.Item{Mailbox: &full}, cursor{stage: stageMessages, id: string(m.id)})
	return nil
}

func (x *exporter) messages(a account) error {
	m, err := a.mailbox(domicile.MailboxID(x.at.id))
	if err != nil {
		return err
	}
	err = m.rows.sub(bMessages).ForEachFrom(uidKey(store.UID(x.at.n)), func(k, v []byte) error {
		if x.full() {
			return errStop
		}
		r, err := m.open(readUID(k), v)
		if err == nil {
			x.add(store.Item{Message: r.exported(m.id)}, cursor{stage: stageMessages, id: x.at.id, n: uint64(r.UID) + 1})
		}
		return err
	})
	if err != nil {
		return err
	}
	if !x.full() {
		x.at = cursor{stage: stageVanished, id: x.at.id}
	}
	return nil
}

func (r messageRecord) exported(box domicile.MailboxID) *store.ExportedMessage {
	return &store.ExportedMessage{Mailbox: box, ID: r.ID, UID: r.UID, ModSeq: r.ModSeq, Flags: r.Flags,
		Internal: r.Internal, Zone: r.Zone, Saved: r.Saved, Size: r.Size}
}

func (x *exporter) vanished(a account) error {
	m, err := a.mailbox(domicile.MailboxID(x.at.id))
	if err != nil {
		return err
	}
	if x.at.n == 0 && x.at.m == 0 {
		f, err := m.forgotten()
		if err != nil {
			return err
		}
		if f.seq > 0 {
			x.addVanished(store.Vanished{Mailbox: m.id, UID: f.uids.First, Last: f.uids.Last, ModSeq: f.seq, Some: true}, 0, 1)
		}
	}
	m.rows.sub(bChanges).ForEachFrom(changeKey(store.ModSeq(x.at.n), store.UID(x.at.m)), func(k, v []byte) error {
		if x.full() {
			return errStop
		}
		seq, uid := readChange(k)
		run, is := readVanished(uid, v)
		if !is {
			return nil
		}
		out := store.Vanished{Mailbox: m.id, UID: uid, ModSeq: seq}
		if run.Last > uid {
			out.Last = run.Last
		}
		x.addVanished(out, uint64(seq), uint64(uid)+1)
		return nil
	})
	if !x.full() {
		x.at = cursor{stage: stageAnnotations, id: x.at.id}
	}
	return nil
}

func (x *exporter) addVanished(v store.Vanished, seq, uid uint64) {
	x.add(store.Item{Vanished: &v}, cursor{stage: stageVanished, id: x.at.id, n: seq, m: uid})
}

func (x *exporter) tokens(a account) error {
	err := a.b.sub(bOrder).ForEachFrom(number(x.at.n), func(k, v []byte) error {
		if x.full() {
			return errStop
		}
		if len(v) < 8 {
			return errDamaged
		}
		key, used := v[:len(v)-8], int64(binary.BigEndian.Uint64(v[len(v)-8:]))
		var rec tokenRecord
		if err := x.s.openRecord(a.id, a.b.sub(bTokens).Get(key), a.tokenPlace(key), &rec); err != nil {
			return err
		}
		next := cursor{stage: stageTokens, n: readNumber(k) + 1}
		if x.at = next; rec.Token == "" {
			return nil
		}
		var made messageRecord
		if err := json.Unmarshal(rec.Result, &made); err != nil {
			return err
		}
		x.add(store.Item{Token: &store.UsedToken{Token: rec.Token, Used: used, Made: *made.exported("")}}, next)
		return nil
	})
	if err != nil {
		return err
	}
	if !x.full() {
		x.at = cursor{stage: stageBodies}
	}
	return nil
}

// wanted notes which bodies the part has room for. Of a body that is under way the rest comes first.
func (x *exporter) wanted(a account) {
	room, from := x.left, []byte(x.at.id)
	if x.at.m > 0 {
		from = append(from, 0)
	}
	a.b.sub(bBodies).ForEachFrom(from, func(k, v []byte) error {
		r, err := decodeBody(v)
		if err != nil || r.refs == 0 {
			return nil // Check tells of it; the import finds the body missing
		}
		if x.more = room <= 0 && len(x.bodies) > 0 || len(x.bodies) >= store.MaxPartBodies; x.more {
			return errStop
		}
		x.bodies = append(x.bodies, wantedBody{domicile.MessageID(k), r})
		if room -= r.size; string(k) == x.at.id { // the rest of one that is under way
			room += int64(x.at.n)
		}
		return nil
	})
}

// readBodies reads what wanted noted, as far as there is room.
func (x *exporter) readBodies() error {
	if x.at.stage != stageBodies || len(x.items) > 0 {
		return nil
	}
	for _, b := range x.bodies {
		offset := int64(0)
		if string(b.id) == x.at.id {
			offset = int64(x.at.n)
		}
		p, err := x.piece(b, offset)
		if err != nil {
			return err
		}
		next := cursor{stage: stageBodies, id: string(b.id), m: 1}
		if p.Offset+int64(p.Length) < p.Size {
			next = cursor{stage: stageBodies, id: string(b.id), n: uint64(p.Offset) + uint64(p.Length)}
		}
		x.left -= int64(p.Length)
		if x.add(store.Item{Piece: p}, next); next.n > 0 {
			return nil
		}
	}
	if !x.more {
		x.at = cursor{stage: stageEnd}
	}
	return nil
}

// piece reads a body from offset on, as much as there is room for, and to its end if that is reached, which proves it whole.
func (x *exporter) piece(b wantedBody, offset int64) (*store.Piece, error) {
	r := x.s.openBody(x.acct, b.id, b.bodyRecord)
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return nil, err
	}
	data := make([]byte, min(b.size-offset, max(x.left, 1)))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	if offset+int64(len(data)) == b.size {
		if n, err := io.Copy(io.Discard, io.LimitReader(r, 1)); n != 0 || err != nil {
			return nil, errors.Join(fmt.Errorf("a body is not as long as the index says: run fsck"), err)
		}
	}
	return &store.Piece{ID: b.id, Offset: offset, Size: b.size, Length: len(data), Data: data}, nil
}
