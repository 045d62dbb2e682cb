package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"domicile"
	"domicile/store"
)

// items are an account's items but its bodies, always in the same order.
func (d *doc) items() []store.Item {
	a := &store.ExportedAccount{Account: d.Account, UIDValidity: d.Validity}
	for _, size := range d.Bodies {
		a.Bytes += size
	}
	items := []store.Item{{Account: a}}
	for _, b := range d.Boxes {
		m := b.full()
		items = append(items, store.Item{Mailbox: &m})
		for _, x := range b.Live {
			items = append(items, store.Item{Message: &x})
		}
		for _, x := range b.Gone {
			items = append(items, store.Item{Vanished: &x})
		}
	}
	for _, tok := range slices.Sorted(maps.Keys(d.Tokens)) {
		if u := d.Tokens[tok]; u.Act == "deliver" {
			var c committed
			mustUnmarshal(u.Result, &c)
			items = append(items, store.Item{Token: &store.UsedToken{Token: tok, Used: u.At, Made: c.Made[0]}})
		}
	}
	return items
}

// Export counts in its position the items that went before, and the bytes of the body that is next.
func (p *plain) Export(_ context.Context, id domicile.AccountID, after store.Position, size int64) (part store.Part, err error) {
	d, err := p.load(id)
	if err != nil {
		return part, err
	}
	if d.Account.State != store.Moving {
		return part, plainError(domicile.Conflict, "freeze it first")
	}
	n, offset := 0, int64(0)
	if _, err := fmt.Sscanf(cmp.Or(string(after), "0+0"), "%d+%d", &n, &offset); err != nil {
		return part, plainError(domicile.Invalid, "not a position of this store")
	}
	part.After = after
	all, ids := d.items(), slices.Sorted(maps.Keys(d.Bodies))
	if n < len(all) {
		part.Items = all[n:min(n+store.MaxPartItems, len(all))]
		n += len(part.Items)
	} else {
		for room := min(size, store.MaxPart); n < len(all)+len(ids) && room > 0 && len(part.Items) < store.MaxPartBodies; {
			var body []byte
			if err := p.read(bodyName(id, ids[n-len(all)]), id, &body); err != nil {
				return part, err
			}
			data := body[offset:min(int64(len(body)), offset+room)]
			part.Items = append(part.Items, store.Item{Piece: &store.Piece{ID: ids[n-len(all)], Offset: offset, Size: int64(len(body)), Length: len(data), Data: data}})
			room, offset = room-int64(len(data)), offset+int64(len(data))
			if offset == int64(len(body)) {
				n, offset = n+1, 0
			}
		}
	}
	part.Next, part.Last = store.Position(fmt.Sprintf("%d+%d", n, offset)), n == len(all)+len(ids)
	return part, nil
}

func (p *plain) Import(_ context.Context, id domicile.AccountID, part store.Part) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.arriving[id]
	first := len(part.Items) > 0 && part.Items[0].Account != nil
	switch {
	case p.closed:
		return plainError(domicile.Unavailable, "closed")
	case p.docs[id] != nil:
		return plainError(domicile.Exist, "it is here")
	case !validID(string(id)) || part.Next == "" || part.Next == part.After || len(part.Next) > store.MaxPosition || d == nil && part.After == "" && !first:
		return plainError(domicile.Invalid, "a part that leads nowhere, or does not begin with the account")
	case d == nil && part.After != "" || d != nil && (d.Whole || d.At != part.After):
		return plainError(domicile.Conflict, "not the next part")
	}
	if d == nil {
		a := part.Items[0].Account
		a.State = store.Moving
		fresh, err := p.newDoc(a.Account)
		if err == nil && a.ID != id {
			err = plainError(domicile.Invalid, "another account")
		}
		if err := cmp.Or(err, p.taken(a.Account), p.at.Sealer.CreateAccountKey(id)); err != nil {
			return err
		}
		d, fresh.Validity = fresh, a.UIDValidity
		part.Items = part.Items[1:]
	}
	old := d
	d = clone(d)
	for _, i := range part.Items {
		if err := d.take(p, i, old); err != nil {
			return err
		}
	}
	d.At, d.Whole = part.Next, part.Last
	if err := d.addsUp(); part.Last && err != nil {
		return err
	}
	if err := p.write(string(id)+".arriving", id, d); err != nil {
		return err
	}
	p.arriving[id] = d
	if p.bug == "shows what comes in" {
		p.docs[id] = d
	}
	return nil
}

// take takes one item in. Bodies must belong to what is there from earlier parts.
func (d *doc) take(p *plain, i store.Item, old *doc) error {
	wrong := plainError(domicile.Invalid, "an item that cannot be")
	switch {
	case i.Mailbox != nil:
		m := *i.Mailbox
		name, err1 := store.MailboxName(m.Name)
		use, err2 := store.SpecialUse(m.SpecialUse)
		_, known := d.box(m.ID)
		if err1 != nil || err2 != nil || name != m.Name || use != m.SpecialUse || !validID(string(m.ID)) || known == nil || d.named(name) != nil || m.UIDNext == 0 || len(d.Boxes) == store.MaxMailboxes {
			return wrong
		}
		d.Boxes = append(d.Boxes, &box{Mailbox: m})
		d.sort()
	case i.Message != nil:
		x := *i.Message
		b, err := d.box(x.Mailbox)
		if err != nil || !validMessage(x) || len(b.some([]store.UID{x.UID})) > 0 {
			return wrong
		}
		if size, ok := d.Sizes[x.ID]; ok && size != x.Size {
			return wrong
		}
		d.Sizes[x.ID] = x.Size
		b.Live = append(b.Live, x)
	case i.Vanished != nil:
		b, err := d.box(i.Vanished.Mailbox)
		if err != nil || i.Vanished.UID == 0 {
			return wrong
		}
		if x := *i.Vanished; x.Some || x.Last > 0 { // it forgets nothing itself
			return wrong
		}
		b.Gone = append(b.Gone, *i.Vanished)
	case i.Token != nil:
		if i.Token.Token == "" || len(i.Token.Token) > store.MaxToken || d.Tokens[i.Token.Token] != nil || !validMessage(i.Token.Made) {
			return wrong
		}
		d.Uses++
		d.Tokens[i.Token.Token] = &used{"deliver", d.Uses, i.Token.Used, mustMarshal(committed{Made: []store.ExportedMessage{i.Token.Made}})}
	case i.Piece != nil:
		return d.takePiece(p, i.Piece, old)
	default:
		return wrong
	}
	return nil
}

func (d *doc) takePiece(p *plain, x *store.Piece, old *doc) error {
	size, missing := old.Sizes[x.ID]
	have := int64(len(d.Parts[x.ID]))
	if !missing || x.Size != size || x.Offset != have || x.Length != len(x.Data) || have+int64(x.Length) > size || x.Length == 0 && size > 0 {
		return plainError(domicile.Invalid, "a piece of a body that cannot be")
	}
	d.Parts[x.ID] = append(d.Parts[x.ID], x.Data...)
	if have+int64(x.Length) < size {
		return nil
	}
	err := p.write(bodyName(d.Account.ID, x.ID), d.Account.ID, d.Parts[x.ID])
	d.Bodies[x.ID] = size
	delete(d.Sizes, x.ID)
	delete(d.Parts, x.ID)
	return err
}

func validMessage(x store.ExportedMessage) bool {
	flags, err := store.CanonicalFlags(x.Flags)
	return err == nil && slices.Equal(flags, x.Flags) && validID(string(x.ID)) && len(x.ID) >= 3 && x.UID > 0 && x.ModSeq > 0 && x.Size >= 0
}

// addsUp says whether the parts of an account fit together.
func (d *doc) addsUp() error {
	wrong := plainError(domicile.Invalid, "it does not add up")
	if d.named(store.Inbox) == nil || len(d.Sizes) > 0 {
		return wrong
	}
	for _, b := range d.Boxes {
		now := b.full()
		if d.Whole && (b.Messages != now.Messages || b.Unseen != now.Unseen || b.Size != now.Size) || b.UIDValidity == 0 || b.UIDValidity > d.Validity {
			return wrong
		}
		for _, x := range b.Live {
			if !d.has(x.ID) || x.UID >= b.UIDNext || x.ModSeq > b.HighestModSeq {
				return wrong
			}
		}
		for _, x := range b.Gone {
			if x.UID >= b.UIDNext || x.ModSeq > b.HighestModSeq {
				return wrong
			}
		}
	}
	return nil
}

func (p *plain) Imported(_ context.Context, id domicile.AccountID) (store.Arrival, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.arriving[id]
	if d == nil {
		return store.Arrival{}, plainError(domicile.NotExist, "it does not come in")
	}
	return store.Arrival{Account: d.Account, At: d.At, Whole: d.Whole}, nil
}

func (p *plain) Activate(_ context.Context, id domicile.AccountID, fn func(*store.Account) error) error {
	p.mu.Lock()
	here, d := p.docs[id], p.arriving[id]
	p.mu.Unlock()
	switch {
	case here != nil:
		return nil
	case d == nil:
		return plainError(domicile.NotExist, "it does not come in")
	case !d.Whole:
		return plainError(domicile.Invalid, "it is not whole")
	}
	d = clone(d)
	if err := edit(&d.Account, fn); err != nil {
		return err
	}
	d.Whole, d.At = false, ""
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.arriving[id] == nil {
		return plainError(domicile.Conflict, "it was abandoned meanwhile")
	}
	delete(p.arriving, id)
	if err := p.taken(d.Account); err != nil {
		return err
	}
	if err := p.put(d); err != nil {
		return err
	}
	return os.Remove(filepath.Join(p.at.Dir, string(id)+".arriving"))
}

func (p *plain) Abandon(_ context.Context, id domicile.AccountID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.docs[id] != nil {
		return plainError(domicile.Conflict, "it was activated")
	}
	if p.arriving[id] == nil {
		return nil
	}
	delete(p.arriving, id)
	return p.remove(id, ".arriving")
}
