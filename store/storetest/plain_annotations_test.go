package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"domicile"
	"domicile/store"
)

func (p *plain) Subscribe(ctx context.Context, tok store.Token, id domicile.AccountID, name string, on bool) error {
	name, err := store.MailboxName(name)
	if err != nil {
		return err
	}
	return p.change(ctx, id, func(d *doc) error {
		return onlyOnce(p, d, tok, "subscribe", func() error {
			delete(d.Subscribed, name)
			if !on {
				return nil
			}
			d.Subscribed[name] = true
			if d.apart() > store.MaxSubscribed {
				return plainError(domicile.TooLarge, "too many names")
			}
			return nil
		})
	})
}

// apart is how many subscribed names no mailbox has.
func (d *doc) apart() (n int) {
	for name := range d.Subscribed {
		n += b2i(d.named(name) == nil)
	}
	return n
}

func (p *plain) Subscriptions(_ context.Context, id domicile.AccountID) ([]string, error) {
	d, err := p.served(id)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.Subscribed)), nil
}

// annotations are those of a mailbox, or the account's own, by name.
func (d *doc) annotations(mbox domicile.MailboxID) (all []store.Annotation) {
	for _, x := range d.Annotations {
		if x.Mailbox == mbox {
			all = append(all, x)
		}
	}
	return all
}

func (d *doc) annotationBytes() (sum int64) {
	for _, x := range d.Annotations {
		sum += int64(len(x.Entry) + len(x.Value))
	}
	return sum
}

var errPlainQuota = &domicile.Error{Op: "plain", Kind: domicile.TooLarge, Err: store.ErrOverQuota}

// used is what counts against the quota.
func (d *doc) used() int64 {
	sum := d.annotationBytes()
	for _, size := range d.Bodies {
		sum += size
	}
	return sum
}

// annotate sets annotations, as one change.
func (d *doc) annotate(mbox domicile.MailboxID, set []store.Annotation) error {
	changed := false
	for _, x := range set {
		entry, err := store.EntryName(x.Entry)
		if err != nil {
			return err
		}
		if len(x.Value) > store.MaxAnnotation {
			return plainError(domicile.TooLarge, "too large a value")
		}
		before := len(d.Annotations)
		d.Annotations = slices.DeleteFunc(d.Annotations, func(y store.Annotation) bool { return y.Mailbox == mbox && y.Entry == entry })
		changed = changed || x.Value != nil || before > len(d.Annotations)
		if x.Value != nil {
			d.Annotations = append(d.Annotations, store.Annotation{Mailbox: mbox, Entry: entry, Value: x.Value, Changed: d.Changes + 1})
		}
	}
	if changed {
		d.Changes++
	}
	slices.SortFunc(d.Annotations, func(a, b store.Annotation) int {
		return cmp.Or(cmp.Compare(a.Mailbox, b.Mailbox), cmp.Compare(a.Entry, b.Entry))
	})
	if len(d.Annotations) > store.MaxAnnotations || d.annotationBytes() > store.MaxAnnotationBytes {
		return plainError(domicile.TooLarge, "too many annotations")
	}
	return nil
}

func (p *plain) Annotate(ctx context.Context, tok store.Token, id domicile.AccountID, mbox domicile.MailboxID, set []store.Annotation) (changed uint64, err error) {
	for _, x := range set {
		if _, err := store.EntryName(x.Entry); err != nil {
			return 0, err
		}
	}
	err = p.change(ctx, id, func(d *doc) error {
		changed, err = once(p, d, tok, "annotate", func() (uint64, error) {
			if _, err := d.box(mbox); err != nil && mbox != "" {
				return 0, err
			}
			before := d.used()
			if err := d.annotate(mbox, set); err != nil {
				return 0, err
			}
			if now := d.used(); d.Account.Quota > 0 && now > before && now > d.Account.Quota && p.bug != "counts no quota" {
				return 0, errPlainQuota
			}
			return d.Changes, nil
		})
		return err
	})
	return changed, err
}

func (p *plain) Annotations(_ context.Context, id domicile.AccountID, mbox domicile.MailboxID) ([]store.Annotation, error) {
	d, err := p.served(id)
	if err != nil {
		return nil, err
	}
	if _, err := d.box(mbox); err != nil && mbox != "" {
		return nil, err
	}
	return d.annotations(mbox), nil
}

func (p *plain) AnnotationChange(_ context.Context, id domicile.AccountID) (uint64, error) {
	d, err := p.served(id)
	if err != nil {
		return 0, err
	}
	return d.Changes, nil
}

func (p *plain) Annotated(_ context.Context, id domicile.AccountID, since uint64) (uint64, []store.AnnotationMark, error) {
	d, err := p.served(id)
	if err != nil || d.Changes == since {
		return since, nil, err
	}
	all := make([]store.AnnotationMark, len(d.Annotations))
	for i, x := range d.Annotations {
		all[i] = store.AnnotationMark{Key: string(x.Mailbox) + x.Entry, Mailbox: x.Mailbox, Changed: x.Changed}
		if x.Changed > since {
			all[i].Entry = x.Entry
		}
	}
	return d.Changes, all, nil
}
