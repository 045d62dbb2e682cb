package storetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"domicile"
	"domicile/store"
)

func (in *plainIncoming) Commit(ctx context.Context, tok store.Token, mailbox string, flags []string, internal time.Time) (store.Message, error) {
	return commitAlone(ctx, in.p, in.id, in, tok, mailbox, flags, internal)
}

// committed is what a token of Commit remembers, and what that of a letter does.
type committed struct {
	Validity uint32
	Made     []store.ExportedMessage
}

func (p *plain) Commit(ctx context.Context, tok store.Token, id domicile.AccountID, to string, letters []store.Letter, instead *store.Instead) (uint32, []store.Message, error) {
	if p.bug == "commits one by one" && len(letters) > 1 {
		return p.commitEach(ctx, tok, id, to, letters, instead)
	}
	came, list, err := p.came(id, letters)
	_, err2 := store.MailboxName(to)
	if err := cmp.Or(err, err2); err != nil {
		return 0, nil, err
	}
	own := make([]store.Token, len(letters))
	for i, l := range letters {
		if own[i] = l.Token; own[i] != "" && instead != nil {
			return 0, nil, plainError(domicile.Invalid, "a letter that comes in the place of another has no token")
		}
		if own[i] != "" && own[i] == tok {
			return 0, nil, plainError(domicile.Invalid, "a token is of one message or of all")
		}
	}
	if p.bug == "knows a group by its first letter" {
		clear(own[1:])
	}
	later := instead
	if p.bug == "replaces in two acts" {
		instead = nil
	}
	var c committed
	err = p.change(ctx, id, func(d *doc) (err error) {
		c, err = once(p, d, tok, "commit", func() (committed, error) { return d.commit(p, to, came, list, own, instead) })
		return err
	})
	if err == nil && later != instead {
		time.Sleep(time.Millisecond)
		err = p.change(ctx, id, func(d *doc) error { return d.replace(p, *later, nil) })
	}
	if err != nil {
		return 0, nil, err
	}
	return c.Validity, messages(c.Made), nil
}

// commitEach is what a mutant does.
func (p *plain) commitEach(ctx context.Context, tok store.Token, id domicile.AccountID, to string, letters []store.Letter, instead *store.Instead) (validity uint32, made []store.Message, err error) {
	for i := range letters {
		if i > 0 {
			instead, tok = nil, ""
			time.Sleep(time.Millisecond)
		}
		var one []store.Message
		if validity, one, err = p.Commit(ctx, tok, id, to, letters[i:i+1], instead); err != nil {
			return 0, nil, err
		}
		made = append(made, one...)
	}
	return validity, made, nil
}

// came ends letters, and returns their bytes and what they will be in a mailbox.
func (p *plain) came(id domicile.AccountID, letters []store.Letter) (came []*plainIncoming, list []store.ExportedMessage, err error) {
	now := p.at.Now()
	for _, l := range letters {
		in, ok := l.Bytes.(*plainIncoming)
		if !ok || in.p != p || in.id != id || in.ended {
			err = plainError(domicile.Invalid, "it has ended, or came in elsewhere")
		}
		if !ok {
			continue
		}
		in.ended = true
		flags, wrong := store.CanonicalFlags(l.Flags)
		err = cmp.Or(err, in.err, wrong)
		if l.Internal.IsZero() {
			l.Internal = now.UTC()
		}
		_, zone := l.Internal.Zone()
		came = append(came, in)
		list = append(list, store.ExportedMessage{ID: domicile.MessageID(domicile.NewID("m")), Flags: flags, Internal: l.Internal.Unix(), Zone: zone / 60,
			Saved: now.Unix(), Size: int64(in.buf.Len())})
	}
	switch {
	case len(letters) == 0:
		err = plainError(domicile.Invalid, "no letters")
	case len(letters) > store.MaxPage:
		err = plainError(domicile.TooLarge, "too many letters")
	}
	if p.bug == "makes them in another order" {
		slices.Reverse(came)
		slices.Reverse(list)
	}
	return came, list, err
}

func (d *doc) commit(p *plain, to string, came []*plainIncoming, list []store.ExportedMessage, own []store.Token, instead *store.Instead) (c committed, err error) {
	var b *box // nil while all of them came before
	for i, x := range list {
		one, err := once(p, d, own[i], "deliver", func() (one committed, err error) {
			if b == nil {
				if b, err = d.receiving(p, to, instead); err != nil {
					return one, err
				}
			}
			if d.Account.Quota > 0 && d.used()+x.Size > d.Account.Quota && p.bug != "counts no quota" {
				return one, errPlainQuota
			}
			if err := p.write(bodyName(d.Account.ID, x.ID), d.Account.ID, came[i].buf.Bytes()); err != nil {
				return one, plainError(domicile.Unavailable, err.Error())
			}
			d.Bodies[x.ID] = x.Size
			x, err = b.add(p, x)
			return committed{b.UIDValidity, []store.ExportedMessage{x}}, err
		})
		if err != nil {
			return c, err
		}
		c.Validity, c.Made = one.Validity, append(c.Made, one.Made...)
	}
	if instead != nil && p.bug == "asks for the quota first" {
		return c, d.replace(p, *instead, nil)
	}
	return c, nil
}

// receiving is the mailbox into which messages come, and what goes has gone.
func (d *doc) receiving(p *plain, to string, instead *store.Instead) (*box, error) {
	b, err := d.find(to)
	if err != nil {
		return nil, err
	}
	b.HighestModSeq++
	if instead != nil && p.bug != "asks for the quota first" {
		if err := d.replace(p, *instead, b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// replace expunges a message in whose place others come, into to.
func (d *doc) replace(p *plain, x store.Instead, to *box) error {
	b, err := d.box(x.Mailbox)
	if err != nil {
		return err
	}
	list := b.some([]store.UID{x.UID})
	if len(list) == 0 && p.bug != "replaces what is not there" {
		return plainError(domicile.NotExist, "no such message")
	}
	if b != to {
		b.HighestModSeq++
	}
	b.drop(list)
	d.sweep()
	return nil
}
