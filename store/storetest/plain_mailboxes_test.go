package storetest

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"domicile"
	"domicile/store"
)

// full is the mailbox with its counts.
func (d *doc) full(b *box) store.Mailbox {
	m := b.Mailbox
	m.Subscribed = d.Subscribed[m.Name]
	m.Messages, m.Unseen, m.Size = uint32(len(b.Live)), 0, 0
	for _, x := range b.Live {
		m.Size += x.Size
		if !store.HasFlag(x.Flags, store.Seen) {
			m.Unseen++
		}
	}
	return m
}

func (d *doc) named(name string) *box {
	for _, b := range d.Boxes {
		if b.Name == name {
			return b
		}
	}
	return nil
}

func (d *doc) box(id domicile.MailboxID) (*box, error) {
	for _, b := range d.Boxes {
		if b.ID == id {
			return b, nil
		}
	}
	return nil, plainError(domicile.NotExist, "no such mailbox")
}

// find is named for a name as a caller gives it.
func (d *doc) find(name string) (*box, error) {
	name, err := store.MailboxName(name)
	if err != nil {
		return nil, err
	}
	if b := d.named(name); b != nil {
		return b, nil
	}
	return nil, plainError(domicile.NotExist, "no mailbox of that name")
}

func (d *doc) sort() {
	slices.SortFunc(d.Boxes, func(a, b *box) int {
		if a.Name == store.Inbox || b.Name == store.Inbox {
			return cmp.Compare(b2i(b.Name == store.Inbox), b2i(a.Name == store.Inbox))
		}
		return strings.Compare(a.Name, b.Name)
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// make makes a mailbox that is not there.
func (d *doc) make(p *plain, name, use string) *box {
	if p.bug != "uses a UIDVALIDITY twice" {
		d.Validity = max(d.Validity+1, uint32(p.at.Now().Unix()))
	}
	b := &box{Mailbox: store.Mailbox{ID: domicile.MailboxID(domicile.NewID("b")), Name: name, SpecialUse: use,
		UIDValidity: max(1, d.Validity), UIDNext: 1, HighestModSeq: 1}}
	d.Boxes = append(d.Boxes, b)
	d.sort()
	return b
}

// makePath makes a mailbox and its parents.
func (d *doc) makePath(p *plain, name, use string) (*box, error) {
	if d.named(name) != nil {
		return nil, plainError(domicile.Exist, "there is a mailbox of that name")
	}
	for i, c := range name {
		if c == '/' && d.named(name[:i]) == nil {
			d.make(p, name[:i], "")
		}
	}
	b := d.make(p, name, use)
	if len(d.Boxes) > store.MaxMailboxes {
		return nil, plainError(domicile.TooLarge, "too many mailboxes")
	}
	return b, nil
}

func (p *plain) Mailboxes(_ context.Context, id domicile.AccountID) (all []store.Mailbox, err error) {
	d, err := p.served(id)
	if err == nil {
		for _, b := range d.Boxes {
			all = append(all, d.full(b))
		}
	}
	return all, err
}

func (p *plain) MailboxByName(_ context.Context, id domicile.AccountID, name string) (store.Mailbox, error) {
	if _, err := store.MailboxName(name); err != nil {
		return store.Mailbox{}, err
	}
	d, err := p.served(id)
	if err != nil {
		return store.Mailbox{}, err
	}
	b, err := d.find(name)
	if err != nil {
		return store.Mailbox{}, err
	}
	return d.full(b), nil
}

func (p *plain) CreateMailbox(ctx context.Context, tok store.Token, id domicile.AccountID, name, use string) (m store.Mailbox, err error) {
	name, err1 := store.MailboxName(name)
	use, err2 := store.SpecialUse(use)
	if err := cmp.Or(err1, err2); err != nil {
		return m, err
	}
	err = p.change(ctx, id, func(d *doc) error {
		m, err = once(p, d, tok, "create mailbox", func() (store.Mailbox, error) {
			b, err := d.makePath(p, name, use)
			if err != nil {
				return store.Mailbox{}, err
			}
			return d.full(b), nil
		})
		return err
	})
	return m, err
}

func (p *plain) RenameMailbox(ctx context.Context, tok store.Token, id domicile.AccountID, from, to string) error {
	from, err1 := store.MailboxName(from)
	to, err2 := store.MailboxName(to)
	err := cmp.Or(err1, err2)
	if err == nil && from != store.Inbox && strings.HasPrefix(to, from+"/") {
		err = plainError(domicile.Invalid, "below itself")
	}
	if err != nil {
		return err
	}
	return p.change(ctx, id, func(d *doc) error {
		return onlyOnce(p, d, tok, "rename mailbox", func() error {
			b, err := d.find(from)
			if err != nil && !slices.ContainsFunc(d.Boxes, func(b *box) bool { return strings.HasPrefix(b.Name, from+"/") }) {
				return err
			}
			if from == to {
				return plainError(domicile.Exist, "that is its name")
			}
			dst, err := d.makePath(p, to, "")
			if err != nil {
				return err
			}
			if from == store.Inbox {
				if len(b.Live) > 0 {
					dst.Live, dst.UIDNext, dst.HighestModSeq = slices.Clone(b.Live), b.UIDNext, b.HighestModSeq
					dst.Gone = slices.Clone(b.Gone)
					for i := range dst.Live {
						dst.Live[i].Mailbox = dst.ID
					}
					for i := range dst.Gone {
						dst.Gone[i].Mailbox = dst.ID
					}
					b.HighestModSeq++
					b.drop(b.Live)
				}
				return d.annotate(dst.ID, d.annotations(b.ID))
			}
			d.Boxes = slices.DeleteFunc(d.Boxes, func(x *box) bool { return x == dst })
			if p.bug == "loses annotations with a rename" {
				d.Annotations = nil
			}
			return d.rename(from, to)
		})
	})
}

func (d *doc) rename(from, to string) error {
	var moved []*box
	for _, b := range d.Boxes {
		if b.Name == from || strings.HasPrefix(b.Name, from+"/") {
			moved = append(moved, b)
		}
	}
	for _, b := range moved {
		name, err := store.MailboxName(to + strings.TrimPrefix(b.Name, from))
		if err != nil {
			return err
		}
		if x := d.named(name); x != nil && !slices.Contains(moved, x) {
			return plainError(domicile.Exist, "there is a mailbox of that name")
		}
		b.Name = name
	}
	d.sort()
	return nil
}

func (p *plain) DeleteMailbox(ctx context.Context, tok store.Token, id domicile.AccountID, name string) error {
	name, err := store.MailboxName(name)
	if err == nil && name == store.Inbox {
		err = plainError(domicile.Invalid, "INBOX stays")
	}
	if err != nil {
		return err
	}
	return p.change(ctx, id, func(d *doc) error {
		return onlyOnce(p, d, tok, "delete mailbox", func() error {
			b, err := d.find(name)
			if err != nil {
				return err
			}
			d.Boxes = slices.DeleteFunc(d.Boxes, func(x *box) bool { return x == b })
			d.Annotations = slices.DeleteFunc(d.Annotations, func(x store.Annotation) bool { return x.Mailbox == b.ID })
			if d.apart() > store.MaxSubscribed || p.bug == "ends a subscription with its mailbox" {
				delete(d.Subscribed, b.Name)
			}
			d.sweep()
			return nil
		})
	})
}

// sweep removes bodies that nothing names.
func (d *doc) sweep() {
	named := map[domicile.MessageID]bool{}
	for _, b := range d.Boxes {
		for _, m := range b.Live {
			named[m.ID] = true
		}
	}
	for id := range d.Bodies {
		if !named[id] {
			delete(d.Bodies, id)
		}
	}
}

func (p *plain) NumberMailbox(ctx context.Context, id domicile.AccountID, mbox domicile.MailboxID, validity uint32, next store.UID) error {
	if validity == 0 || validity > store.MaxUIDValidity || next == 0 {
		return plainError(domicile.Invalid, "numbers that cannot be")
	}
	return p.change(ctx, id, func(d *doc) error {
		b, err := d.box(mbox)
		if err != nil {
			return err
		}
		if b.UIDValidity == validity && b.UIDNext >= next {
			return nil
		}
		if b.UIDValidity != validity && b.UIDNext != 1 {
			return plainError(domicile.Conflict, "the mailbox has or had messages")
		}
		d.Validity = max(d.Validity, validity)
		for _, other := range d.Boxes {
			if other == b || other.UIDValidity != validity {
				continue
			}
			if other.UIDNext != 1 {
				return plainError(domicile.Conflict, "the number is in use")
			}
			d.Validity++
			other.UIDValidity = d.Validity
			other.HighestModSeq++
		}
		b.UIDValidity, b.UIDNext = validity, max(b.UIDNext, next)
		b.HighestModSeq++
		return nil
	})
}
