package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"domicile"
	"domicile/store"
)

// annotated is what an account counts of its annotations. It rests unsealed.
type annotated struct {
	entries uint32
	bytes   uint64 // of names and values
	changes uint64 // ever
}

func (a account) annotated() (n annotated, err error) {
	raw := a.b.Get(kAnnotated)
	if raw == nil {
		return n, nil
	}
	if len(raw) != 20 {
		return n, errDamaged
	}
	return annotated{binary.BigEndian.Uint32(raw), readNumber(raw[4:12]), readNumber(raw[12:])}, nil
}

func (n annotated) encode() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 20), n.entries)
	b = binary.BigEndian.AppendUint64(b, n.bytes)
	return binary.BigEndian.AppendUint64(b, n.changes)
}

// An annotation rests as the number of the change that made it so and the bytes of name and value together, plain, and these two sealed.
const annotationHead = 12

func annotationPlace(acct domicile.AccountID, mbox domicile.MailboxID, key []byte) []byte {
	return place("annotation", string(acct), string(mbox), string(key))
}

func (a account) annotationKey(mbox domicile.MailboxID, entry string) []byte {
	return a.s.cfg.Sealer.Digest("annotation", string(a.id), string(mbox), entry)
}

// annotations are those of a mailbox, or the account's own.
func (a account) annotations(mbox domicile.MailboxID) (bucket, error) {
	if mbox == "" {
		return a.b.sub(bAnnotations), nil
	}
	m, err := a.mailbox(mbox)
	if err != nil {
		return bucket{}, err
	}
	return m.b.sub(bAnnotations), nil
}

func annotationSize(v []byte) uint64 {
	if len(v) < annotationHead {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(v[8:annotationHead]))
}

// Annotate sets annotations of a mailbox or of the account.
func (s *Store) Annotate(ctx context.Context, tok store.Token, acct domicile.AccountID, mbox domicile.MailboxID, set []store.Annotation) (changed uint64, err error) {
	const op = "annotate"
	set, err = checkAnnotations(set)
	if err := firstError(err, checkToken(tok)); err != nil {
		return 0, domicile.W(op, err)
	}
	err = s.once(ctx, acct, tok, op, &changed, func(a account) (err error) {
		changed, err = a.annotate(mbox, set)
		return err
	})
	if err != nil {
		return 0, domicile.W(op, err)
	}
	return changed, nil
}

// checkAnnotations brings names to their form.
func checkAnnotations(set []store.Annotation) ([]store.Annotation, error) {
	if len(set) > store.MaxAnnotations {
		return nil, domicile.E("annotations", domicile.TooLarge, "more than an account may have")
	}
	out := slices.Clone(set)
	for i := range out {
		var err error
		if out[i].Entry, err = store.EntryName(out[i].Entry); err != nil {
			return nil, err
		}
		if len(out[i].Value) > store.MaxAnnotation {
			return nil, domicile.E("annotations", domicile.TooLarge, "a value has at most 64 KiB")
		}
	}
	return out, nil
}

// annotate sets all, or an error and the transaction is dropped.
func (a account) annotate(mbox domicile.MailboxID, set []store.Annotation) (uint64, error) {
	b, err := a.annotations(mbox)
	if err != nil {
		return 0, err
	}
	n, err := a.annotated()
	if err != nil {
		return 0, err
	}
	before, now := n, n.changes+1
	for _, x := range set {
		key := a.annotationKey(mbox, x.Entry)
		if old := b.Get(key); old != nil {
			n.entries, n.bytes, n.changes = n.entries-1, n.bytes-annotationSize(old), now
			b.Delete(key)
		}
		if x.Value == nil {
			continue
		}
		value, err := a.sealAnnotation(mbox, key, x, now)
		if err != nil {
			return 0, err
		}
		b.Put(key, value)
		n.entries, n.bytes, n.changes = n.entries+1, n.bytes+annotationSize(value), now
	}
	if n.entries > store.MaxAnnotations || n.bytes > store.MaxAnnotationBytes {
		return 0, domicile.E("annotations", domicile.TooLarge, "an account has at most 4096, of 1 MiB together: remove some first")
	}
	if n == before {
		return n.changes, nil
	}
	a.b.Put(kAnnotated, n.encode())
	return n.changes, a.useMore(int64(n.bytes) - int64(before.bytes))
}

// useMore counts bytes for or against the quota. What makes them fewer is never over it.
func (a account) useMore(bytes int64) error {
	if bytes > 0 {
		return a.use(bytes)
	}
	a.b.Put(kUsage, number(readNumber(a.b.Get(kUsage))-uint64(-bytes)))
	return nil
}

func (a account) sealAnnotation(mbox domicile.MailboxID, key []byte, x store.Annotation, changed uint64) ([]byte, error) {
	sealed, err := a.s.cfg.Sealer.SealRecord(a.id, append(appendString(nil, x.Entry), x.Value...), annotationPlace(a.id, mbox, key))
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint64(make([]byte, 0, annotationHead+len(sealed)), changed)
	out = binary.BigEndian.AppendUint32(out, uint32(len(x.Entry)+len(x.Value)))
	return append(out, sealed...), nil
}

func (s *Store) openAnnotation(acct domicile.AccountID, mbox domicile.MailboxID, e entry) (x store.Annotation, err error) {
	if len(e.value) < annotationHead {
		return x, errDamaged
	}
	plain, err := s.cfg.Sealer.OpenRecord(acct, e.value[annotationHead:], annotationPlace(acct, mbox, e.key))
	if err != nil {
		return x, err
	}
	d := decoder{b: plain}
	x = store.Annotation{Mailbox: mbox, Entry: d.string(), Changed: readNumber(e.value[:8])}
	if x.Value = append([]byte{}, d.b...); d.bad || uint64(len(x.Entry)+len(x.Value)) != annotationSize(e.value) {
		return x, errDamaged
	}
	return x, nil
}

// dropAnnotations removes those of a mailbox, in whatever acts its other entries go.
func (m *mailbox) dropAnnotations() error {
	n, err := m.annotated()
	if err != nil {
		return err
	}
	before := n
	err = m.b.sub(bAnnotations).ForEach(func(_, v []byte) error {
		n.entries, n.bytes = n.entries-1, n.bytes-annotationSize(v)
		return nil
	})
	if err != nil || n == before {
		return err
	}
	m.b.sub(bAnnotations).deleteSome(store.MaxAnnotations)
	m.account.b.Put(kAnnotated, n.encode())
	return m.useMore(int64(n.bytes) - int64(before.bytes))
}

// copyAnnotations gives another mailbox those of m.
func (m *mailbox) copyAnnotations(to domicile.MailboxID) error {
	var all []entry
	err := m.b.sub(bAnnotations).ForEach(func(k, v []byte) error {
		all = append(all, cloneEntry(k, v))
		return nil
	})
	if err != nil || len(all) == 0 {
		return err
	}
	set := make([]store.Annotation, len(all))
	for i, e := range all {
		if set[i], err = m.s.openAnnotation(m.account.id, m.id, e); err != nil {
			return err
		}
	}
	_, err = m.annotate(to, set)
	return err
}

// sealedAnnotation is one copied out of a snapshot.
type sealedAnnotation struct {
	mbox domicile.MailboxID
	entry
}

// openAnnotations opens annotations, and puts them in their order.
func (s *Store) openAnnotations(acct domicile.AccountID, sealed []sealedAnnotation) (all []store.Annotation, err error) {
	all = make([]store.Annotation, len(sealed))
	for i, x := range sealed {
		if all[i], err = s.openAnnotation(acct, x.mbox, x.entry); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b store.Annotation) int {
		if c := strings.Compare(string(a.Mailbox), string(b.Mailbox)); c != 0 {
			return c
		}
		return strings.Compare(a.Entry, b.Entry)
	})
	return all, nil
}

// Annotations opens records outside of the snapshot.
func (s *Store) Annotations(_ context.Context, acct domicile.AccountID, mbox domicile.MailboxID) ([]store.Annotation, error) {
	const op = "read annotations"
	var sealed []sealedAnnotation
	err := s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		b, err := a.annotations(mbox)
		if err != nil {
			return err
		}
		return b.ForEach(func(k, v []byte) error {
			sealed = append(sealed, sealedAnnotation{mbox, cloneEntry(k, v)})
			return nil
		})
	})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	all, err := s.openAnnotations(acct, sealed)
	return all, domicile.W(op, err)
}

// AnnotationChange reads one number.
func (s *Store) AnnotationChange(_ context.Context, acct domicile.AccountID) (changed uint64, err error) {
	err = s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		n, err := a.annotated()
		changed = n.changes
		return err
	})
	return changed, domicile.W("read the change of annotations", err)
}

// Annotated reads one number where nothing changed, and opens, outside of the snapshot, what changed after since: a name rests with its value.
func (s *Store) Annotated(_ context.Context, acct domicile.AccountID, since uint64) (uint64, []store.AnnotationMark, error) {
	const op = "list annotations"
	var all []store.AnnotationMark
	var news []sealedAnnotation // of all, those at places
	var places []int
	var n annotated
	err := s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		if n, err = a.annotated(); err != nil || n.changes == since {
			return err
		}
		return a.eachAnnotation(func(mbox domicile.MailboxID, k, v []byte) error {
			if len(v) < annotationHead {
				return errDamaged
			}
			x := store.AnnotationMark{Key: string(k), Mailbox: mbox, Changed: readNumber(v[:8])}
			if x.Changed > since {
				news, places = append(news, sealedAnnotation{mbox, cloneEntry(k, v)}), append(places, len(all))
			}
			all = append(all, x)
			return nil
		})
	})
	if err != nil {
		return 0, nil, domicile.W(op, err)
	}
	for i, x := range news {
		opened, err := s.openAnnotation(acct, x.mbox, x.entry)
		if err != nil {
			return 0, nil, domicile.W(op, err)
		}
		all[places[i]].Entry = opened.Entry
	}
	return n.changes, all, nil
}

// eachAnnotation walks those of the account and of its mailboxes.
func (a account) eachAnnotation(do func(mbox domicile.MailboxID, k, v []byte) error) error {
	err := a.b.sub(bAnnotations).ForEach(func(k, v []byte) error { return do("", k, v) })
	if err != nil {
		return err
	}
	return a.b.sub(bMailboxes).ForEachBucket(func(id []byte) error {
		mbox := domicile.MailboxID(id)
		return a.b.sub(bMailboxes).sub(id).sub(bAnnotations).ForEach(func(k, v []byte) error { return do(mbox, k, v) })
	})
}

// allAnnotations copies all of them out.
func (a account) allAnnotations() (all []sealedAnnotation, err error) {
	err = a.eachAnnotation(func(mbox domicile.MailboxID, k, v []byte) error {
		all = append(all, sealedAnnotation{mbox, cloneEntry(k, v)})
		return nil
	})
	return all, err
}

// countAnnotations counts anew.
func (a account) countAnnotations() (n annotated, err error) {
	all, err := a.allAnnotations()
	for _, x := range all {
		n.entries++
		n.bytes += annotationSize(x.value)
		if len(x.value) >= annotationHead {
			n.changes = max(n.changes, readNumber(x.value[:8]))
		}
	}
	return n, err
}

// importAnnotation takes one annotation of an account that comes in.
func (a account) importAnnotation(x store.Annotation) error {
	entry, err := store.EntryName(x.Entry)
	if err != nil || entry != x.Entry || x.Value == nil || len(x.Value) > store.MaxAnnotation {
		return domicile.E("annotation", domicile.Invalid, "an annotation whose name or value cannot be")
	}
	b, err := a.annotations(x.Mailbox)
	if err != nil || b.Get(a.annotationKey(x.Mailbox, entry)) != nil {
		return domicile.E("annotation", domicile.Invalid, "an annotation comes twice, or before its mailbox")
	}
	n, err := a.annotated()
	if err != nil {
		return err
	}
	key := a.annotationKey(x.Mailbox, entry)
	n.changes++
	value, err := a.sealAnnotation(x.Mailbox, key, x, n.changes)
	if err != nil {
		return err
	}
	n.entries, n.bytes = n.entries+1, n.bytes+annotationSize(value)
	if n.entries > store.MaxAnnotations || n.bytes > store.MaxAnnotationBytes {
		return domicile.E("annotation", domicile.TooLarge, "more annotations than an account may have")
	}
	b.Put(key, value)
	a.b.Put(kAnnotated, n.encode())
	a.b.Put(kUsage, number(readNumber(a.b.Get(kUsage))+annotationSize(value)))
	return nil
}

// annotations holds what is counted of annotations against those that are there, and opens them.
func (c *checker) annotations(a account) {
	all, err := a.allAnnotations()
	c.failIf(err, "annotations of account", a.id)
	for _, x := range all {
		got, err := c.s.openAnnotation(a.id, x.mbox, x.entry)
		if err == nil && !bytes.Equal(a.annotationKey(x.mbox, got.Entry), x.key) {
			err = errDamaged
		}
		c.failIf(err, "an annotation of account", a.id)
	}
	counted, err := a.annotated()
	c.failIf(err, "annotations of account", a.id)
	n, err := a.countAnnotations()
	c.failIf(err, "annotations of account", a.id)
	if n.entries != counted.entries || n.bytes != counted.bytes || n.changes > counted.changes {
		c.fail("account %s: it has annotations %+v, counted as %+v", a.id, n, counted)
	}
}

// annotations counts those of an account anew.
func (r *repairer) annotations(a account, where string) error {
	n, err := a.countAnnotations()
	if err != nil {
		return err
	}
	counted, err := a.annotated()
	if err == nil {
		n.changes = max(n.changes, counted.changes)
	}
	if n != counted || err != nil {
		r.put(a.b, kAnnotated, n.encode(), "the number and bytes of its annotations", where)
	}
	return nil
}
