package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"time"

	"domicile"
	"domicile/store"
)

type plainIncoming struct {
	p     *plain
	id    domicile.AccountID
	limit int64
	buf   bytes.Buffer
	err   error
	ended bool
}

func (p *plain) Incoming(ctx context.Context, id domicile.AccountID, limit int64) (store.Incoming, error) {
	if limit <= 0 {
		return nil, plainError(domicile.Invalid, "a limit is needed")
	}
	_, err := p.served(id)
	return &plainIncoming{p: p, id: id, limit: limit}, err
}

func (in *plainIncoming) Write(b []byte) (int, error) {
	switch {
	case in.ended:
		return 0, plainError(domicile.Invalid, "it has ended")
	case int64(in.buf.Len()+len(b)) > in.limit:
		in.err = plainError(domicile.TooLarge, "over the limit")
	}
	if in.err != nil {
		return 0, in.err
	}
	return in.buf.Write(b)
}

func (in *plainIncoming) Abort() { in.ended = true }

func message(x store.ExportedMessage) store.Message {
	zone := time.UTC
	if x.Zone != 0 {
		zone = time.FixedZone("", x.Zone*60)
	}
	return store.Message{ID: x.ID, UID: x.UID, ModSeq: x.ModSeq, Flags: x.Flags, Size: x.Size,
		Internal: time.Unix(x.Internal, 0).In(zone), Saved: time.Unix(x.Saved, 0).UTC()}
}

func messages(list []store.ExportedMessage) (out []store.Message) {
	for _, x := range list {
		out = append(out, message(x))
	}
	return out
}

// add gives a message the next UID and the ModSeq that the caller has raised.
func (b *box) add(p *plain, x store.ExportedMessage) (store.ExportedMessage, error) {
	if b.UIDNext == math.MaxUint32 {
		return x, plainError(domicile.TooLarge, "no UID is left")
	}
	x.Mailbox, x.UID, x.ModSeq = b.ID, b.UIDNext, b.HighestModSeq
	b.UIDNext++
	b.Live = append(b.Live, x)
	return x, nil
}

func (b *box) addCopies(p *plain, list []store.ExportedMessage) (made []store.ExportedMessage, err error) {
	if len(list) > 0 {
		b.HighestModSeq++
	}
	for _, x := range list {
		x.Saved = p.at.Now().Unix()
		if p.bug == "gives copies an id of their own" {
			x.ID = domicile.MessageID(domicile.NewID("m"))
		}
		if x, err = b.add(p, x); err != nil {
			return nil, err
		}
		made = append(made, x)
	}
	return made, nil
}

// drop removes messages under the ModSeq that the caller has raised.
func (b *box) drop(list []store.ExportedMessage) {
	gone := map[store.UID]bool{}
	for _, x := range list {
		gone[x.UID] = true
		b.Gone = append(b.Gone, store.Vanished{Mailbox: b.ID, UID: x.UID, ModSeq: b.HighestModSeq})
	}
	b.Live = slices.DeleteFunc(slices.Clone(b.Live), func(x store.ExportedMessage) bool { return gone[x.UID] })
}

// some returns the messages of uids, in that order, none twice.
func (b *box) some(uids []store.UID) (list []store.ExportedMessage) {
	for i, uid := range uids {
		at := slices.IndexFunc(b.Live, func(x store.ExportedMessage) bool { return x.UID == uid })
		if at >= 0 && !slices.Contains(uids[:i], uid) {
			list = append(list, b.Live[at])
		}
	}
	return list
}

func (p *plain) view(id domicile.AccountID, mbox domicile.MailboxID) (d *doc, b *box, err error) {
	if d, err = p.served(id); err == nil {
		b, err = d.box(mbox)
	}
	return d, b, err
}

func (p *plain) Messages(_ context.Context, id domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) (out []store.Message, err error) {
	_, b, err := p.view(id, mbox)
	if err != nil {
		return nil, err
	}
	for _, x := range b.Live {
		if x.UID > after && len(out) < max(1, min(limit, store.MaxPage)) {
			out = append(out, message(x))
		}
	}
	return out, nil
}

// Changes keeps the ModSeq and the UID behind which the next part begins.
func (p *plain) Changes(_ context.Context, id domicile.AccountID, mbox domicile.MailboxID, seq store.ModSeq, at store.Position, limit int) (out store.Changes, err error) {
	d, b, err := p.view(id, mbox)
	if err != nil {
		return out, err
	}
	first, uid := b.HighestModSeq, store.UID(0) // what vanished before concerns nobody who begins with nothing
	if at != "" {
		if _, err := fmt.Sscanf(string(at), "%d/%d/%d", &seq, &uid, &first); err != nil {
			return out, plainError(domicile.Invalid, "no such position")
		}
	} else if seq > 0 {
		first, uid = seq, math.MaxUint32
	}
	out.Mailbox = d.full(b)
	if p.bug == "reads two snapshots" {
		time.Sleep(time.Millisecond)
		if _, b, err = p.view(id, mbox); err != nil {
			return out, err
		}
	}
	changes := slices.Clone(b.Live)
	for _, x := range b.Gone {
		if x.ModSeq > first && p.bug != "keeps no tombstones" {
			changes = append(changes, store.ExportedMessage{UID: x.UID, ModSeq: x.ModSeq})
		}
	}
	slices.SortFunc(changes, func(x, y store.ExportedMessage) int {
		return cmp.Or(cmp.Compare(x.ModSeq, y.ModSeq), cmp.Compare(x.UID, y.UID))
	})
	n := 0
	for _, x := range changes {
		switch {
		case x.ModSeq < seq || x.ModSeq == seq && x.UID <= uid:
			continue
		case n == max(1, min(limit, store.MaxPage)):
			out.Next = store.Position(fmt.Sprintf("%d/%d/%d", seq, uid, first))
			slices.SortFunc(out.Vanished, func(x, y store.UIDRange) int { return cmp.Compare(x.First, y.First) })
			return out, nil
		case x.ID == "":
			out.Vanished = append(out.Vanished, store.UIDRange{First: x.UID, Last: x.UID})
		default:
			out.Changed = append(out.Changed, message(x))
		}
		n++
		if seq, uid = x.ModSeq, x.UID; p.bug == "pages by ModSeq alone" {
			uid = math.MaxUint32
		}
		if p.bug == "passes over a neighbour between parts" {
			uid++
		}
	}
	slices.SortFunc(out.Vanished, func(x, y store.UIDRange) int { return cmp.Compare(x.First, y.First) })
	return out, nil
}

func (p *plain) Body(_ context.Context, id domicile.AccountID, msg domicile.MessageID) (io.ReadCloser, error) {
	d, err := p.served(id)
	if err != nil {
		return nil, err
	}
	var body []byte
	if d.has(msg) {
		err = p.read(bodyName(id, msg), id, &body)
	}
	if p.bug == "calls a damaged body empty" {
		err = nil
	}
	if d, still := p.served(id); still != nil || !d.has(msg) {
		return nil, cmp.Or(still, plainError(domicile.NotExist, "no such message"))
	}
	return io.NopCloser(bytes.NewReader(body)), err
}

func (p *plain) Bodies(ctx context.Context, id domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error] {
	return func(yield func(io.Reader, error) bool) {
		for _, msg := range ids {
			if r, err := p.Body(ctx, id, msg); !yield(r, err) {
				return
			}
		}
	}
}

func (p *plain) StoreFlags(ctx context.Context, tok store.Token, id domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, op store.FlagOp, flags []string, unless store.ModSeq) (store.Stored, error) {
	flags, err := store.CanonicalFlags(flags)
	if err != nil {
		return store.Stored{}, err
	}
	var f flagged
	err = p.change(ctx, id, func(d *doc) (err error) {
		f, err = once(p, d, tok, "flags", func() (flagged, error) { return d.storeFlags(p, mbox, uids, op, flags, unless) })
		return err
	})
	if err != nil {
		return store.Stored{}, err
	}
	return store.Stored{Done: messages(f.Done), Before: f.Before, Failed: f.Failed, From: f.From}, nil
}

type flagged struct {
	Done   []store.ExportedMessage
	Before []store.ModSeq
	Failed []store.UID
	From   store.ModSeq
}

func (d *doc) storeFlags(p *plain, mbox domicile.MailboxID, uids []store.UID, op store.FlagOp, flags []string, unless store.ModSeq) (f flagged, err error) {
	b, err := d.box(mbox)
	if err != nil {
		return f, err
	}
	f.From = b.HighestModSeq
	seq := f.From + 1
	for i := range b.Live {
		x := &b.Live[i]
		if !slices.Contains(uids, x.UID) {
			continue
		}
		if unless != 0 && x.ModSeq > unless && p.bug != "stores unless changed all the same" {
			f.Failed = append(f.Failed, x.UID)
			continue
		}
		now, err := store.ApplyFlags(x.Flags, op, flags)
		if err != nil {
			return f, err
		}
		f.Before = append(f.Before, x.ModSeq)
		if !slices.Equal(now, x.Flags) {
			x.Flags, x.ModSeq = now, seq
			if p.bug != "changes without a ModSeq" {
				b.HighestModSeq = seq
			}
		}
		f.Done = append(f.Done, *x)
	}
	if p.bug == "gives the ModSeq after an act for that before" {
		f.From = b.HighestModSeq
	}
	return f, nil
}

type transferred struct {
	Validity uint32
	From     []store.UID
	Made     []store.ExportedMessage
}

func (p *plain) transfer(ctx context.Context, tok store.Token, act string, id domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	var t transferred
	err := p.change(ctx, id, func(d *doc) (err error) {
		t, err = once(p, d, tok, act, func() (t transferred, err error) {
			src, err := d.box(mbox)
			if err != nil {
				return t, err
			}
			dst, err := d.find(to)
			if err != nil {
				return t, err
			}
			t.Validity = dst.UIDValidity
			list := src.some(uids)
			if t.Made, err = dst.addCopies(p, list); err != nil {
				return t, err
			}
			for _, x := range list {
				t.From = append(t.From, x.UID)
			}
			if act == "move" {
				if src != dst && len(list) > 0 {
					src.HighestModSeq++
				}
				src.drop(list)
			}
			return t, nil
		})
		return err
	})
	if err != nil {
		return 0, nil, nil, err
	}
	return t.Validity, t.From, messages(t.Made), nil
}

func (p *plain) Copy(ctx context.Context, tok store.Token, id domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	return p.transfer(ctx, tok, "copy", id, mbox, uids, to)
}

func (p *plain) Move(ctx context.Context, tok store.Token, id domicile.AccountID, mbox domicile.MailboxID, uids []store.UID, to string) (uint32, []store.UID, []store.Message, error) {
	if p.bug != "moves in two acts" {
		return p.transfer(ctx, tok, "move", id, mbox, uids, to)
	}
	validity, from, made, err := p.transfer(ctx, tok, "copy", id, mbox, uids, to)
	if err == nil {
		time.Sleep(time.Millisecond)
		err = p.change(ctx, id, func(d *doc) error {
			b, err := d.box(mbox)
			if err == nil {
				b.HighestModSeq++
				b.drop(b.some(from))
			}
			return err
		})
	}
	return validity, from, made, err
}

func (p *plain) Expunge(ctx context.Context, tok store.Token, id domicile.AccountID, mbox domicile.MailboxID, uids []store.UID) (gone []store.UID, err error) {
	err = p.change(ctx, id, func(d *doc) (err error) {
		gone, err = once(p, d, tok, "expunge", func() ([]store.UID, error) { return d.expunge(p, mbox, uids) })
		return err
	})
	return gone, err
}

func (d *doc) expunge(p *plain, mbox domicile.MailboxID, uids []store.UID) (gone []store.UID, err error) {
	b, err := d.box(mbox)
	if err != nil {
		return nil, err
	}
	var list []store.ExportedMessage
	for _, x := range b.Live {
		if (uids == nil || slices.Contains(uids, x.UID)) && store.HasFlag(x.Flags, store.Deleted) {
			list = append(list, x)
			gone = append(gone, x.UID)
		}
	}
	if len(list) > 0 {
		b.HighestModSeq++
	}
	b.drop(list)
	if p.bug == "uses UIDs again" && len(b.Live) > 0 {
		b.UIDNext = b.Live[len(b.Live)-1].UID + 1
	}
	if p.bug != "keeps the bytes" {
		d.sweep()
	}
	return gone, nil
}
