package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tidwall/btree"

	"domicile"
	"domicile/store"
)

// mailboxes mends all mailboxes of an account, and returns what their messages name; not whole if a record does not open, or what is left of large acts cannot be read.
func (r *repairer) mailboxes(a account, where string) (refs map[domicile.MessageID]uint32, whole bool, err error) {
	refs, whole = map[domicile.MessageID]uint32{}, true
	names, boxes, validity := map[string]domicile.MailboxID{}, 0, readNumber(a.b.Get(kValidity))
	owned, err := r.owners(a)
	if err != nil {
		return nil, false, err
	}
	err = a.b.sub(bMailboxes).ForEachBucket(func(key []byte) error {
		if a.rowsAlone(key) {
			return nil
		}
		id := domicile.MailboxID(key)
		boxes++
		m := &mailbox{account: a, id: id, b: a.b.sub(bMailboxes).sub(key)}
		if rec, err := m.record(); err != nil {
			whole = false
		} else {
			names[string(a.nameKey(rec.Name))] = id
		}
		if m.counters.decode(m.b.Get(kCounters)) != nil {
			m.counters = counters{validity: uint32(a.nextValidity()), at: owned[string(id)]} // mail programs fetch it anew
			a.b.Put(kValidity, number(uint64(m.validity)))
		}
		m.rows = a.rows(m.rowsOf(id))
		validity = max(validity, uint64(m.validity))
		if m.hidden.Last > 0 {
			r.put(a.left(), []byte(m.rowsOf(id)), key, "what it hides is to be removed", "mailbox "+string(id))
		}
		opened, err := r.mailbox(m, refs)
		whole = whole && opened
		return err
	})
	if err != nil {
		return nil, false, err
	}
	r.putNumber(a.b, kValidity, validity, "the greatest UIDVALIDITY", where)
	r.putNumber(a.b, kBoxes, uint64(boxes), "the number of its mailboxes", where)
	if whole {
		r.names(a, names, where)
	}
	if a.eachHeld(func(id domicile.MessageID) { refs[id]++ }) != nil {
		whole = false
	}
	return refs, whole, nil
}

// owners makes mailboxes that have their rows elsewhere and these name each other, and returns where the rows of each are.
func (r *repairer) owners(a account) (map[string]domicile.MailboxID, error) {
	owned := map[string]domicile.MailboxID{}
	err := a.b.sub(bMailboxes).ForEachBucket(func(key []byte) error {
		var c counters
		b := a.rows(domicile.MailboxID(key))
		if owner := b.Get(kOwner); owner != nil {
			owned[string(owner)] = domicile.MailboxID(key)
		}
		if c.decode(b.Get(kCounters)) == nil && c.at != "" {
			r.put(a.rows(c.at), kOwner, bytes.Clone(key), "whose messages these are", "mailbox "+string(key))
		}
		return nil
	})
	return owned, err
}

// names makes the table of names that of the mailboxes' records.
func (r *repairer) names(a account, names map[string]domicile.MailboxID, where string) {
	b := a.b.sub(bNames)
	var stray [][]byte
	b.ForEach(func(k, _ []byte) error {
		if names[string(k)] == "" {
			stray = append(stray, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range stray {
		r.put(b, k, nil, "a name that no mailbox has", where)
	}
	for k, id := range names {
		r.put(b, []byte(k), []byte(id), "the name of mailbox "+string(id), where)
	}
}

// mailbox mends counters and changes, and counts what the messages name.
func (r *repairer) mailbox(m *mailbox, refs map[domicile.MessageID]uint32) (whole bool, err error) {
	c := counters{validity: m.validity, next: max(m.next, 1), modseq: max(m.modseq, 1), hidden: m.hidden, at: m.at}
	live := map[store.UID]store.ModSeq{}
	whole = true
	err = m.eachRow(bMessages, 0, func(k, sealed []byte) error {
		rec, err := m.open(readUID(k), sealed)
		if err != nil {
			whole = false
			return nil
		}
		refs[rec.ID]++
		live[rec.UID] = rec.ModSeq
		c.messages++
		c.size += rec.Size
		if rec.unseen() {
			c.unseen++
		}
		c.next, c.modseq = max(c.next, rec.UID+1), max(c.modseq, rec.ModSeq)
		return nil
	})
	if err != nil || !whole {
		return false, err
	}
	if err := r.summaries(m, live); err != nil {
		return false, err
	}
	r.changes(m, &c, live)
	r.put(m.b, kCounters, c.encode(), "the counters of mailbox "+string(m.id), "account "+string(m.account.id))
	return true, nil
}

// summaries removes those of no message; a message may do without.
func (r *repairer) summaries(m *mailbox, live map[store.UID]store.ModSeq) error {
	var stray [][]byte
	err := m.eachRow(bSummaries, 0, func(k, _ []byte) error {
		if len(k) != 4 || live[readUID(k)] == 0 {
			stray = append(stray, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range stray {
		r.put(m.rows.sub(bSummaries), k, nil, "a summary of no message", "mailbox "+string(m.id))
	}
	return err
}

// changes makes the list of changes name each message once, at its ModSeq, and no other as living. What it says wrongly of UIDs that vanished is forgotten.
func (r *repairer) changes(m *mailbox, c *counters, live map[store.UID]store.ModSeq) {
	b, where := m.rows.sub(bChanges), "mailbox "+string(m.id)
	f, err := m.forgotten()
	if err != nil {
		f = forgotten{}
	}
	f.runs = 0
	var wrong [][]byte
	gone := btree.NewBTreeG(func(a, b store.UIDRange) bool { return a.First < b.First }) // apart from each other; stores of an earlier format have very many
	overlaps := func(run store.UIDRange) bool {
		is := false
		gone.Descend(store.UIDRange{First: run.Last}, func(g store.UIDRange) bool {
			is = run.First <= g.Last
			return false
		})
		_ = m.eachRow(bMessages, run.First, func(k, _ []byte) error {
			is = is || readUID(k) <= run.Last
			return errStop
		})
		return is
	}
	b.ForEach(func(k, v []byte) error {
		seq, uid := readChange(k)
		run, is := readVanished(uid, v)
		if m.hides(uid) && !is {
			return nil
		}
		if uid != 0 {
			c.next, c.modseq = max(c.next, run.Last+1), max(c.modseq, seq)
		}
		switch at, lives := live[uid]; {
		case lives && at == seq && bytes.Equal(v, isLive):
		case is && !overlaps(run):
			gone.Set(run)
			f.runs++
		default:
			wrong = append(wrong, bytes.Clone(k))
			if !lives && uid != 0 {
				f.forget(seq, run)
			}
		}
		return nil
	})
	for _, k := range wrong {
		b.Delete(k)
		r.say("%s: a change that was not so", where)
	}
	if m.rows.Get(kForgotten) != nil || f.seq > 0 {
		f.uids.Last = min(f.uids.Last, c.next-1)
		r.put(m.rows, kForgotten, f.encode(), "what it remembers of UIDs that vanished", where)
	}
	for uid, seq := range live {
		r.put(b, changeKey(seq, uid), isLive, fmt.Sprintf("the change of UID %d", uid), where)
	}
}

// bodies makes the counts of references those of the messages, and the account's usage that of its bodies.
func (r *repairer) bodies(a account, refs map[domicile.MessageID]uint32, where string) error {
	b := a.b.sub(bBodies)
	counted, err := a.annotated()
	if err != nil {
		return err
	}
	used := int64(counted.bytes)
	have := map[domicile.MessageID]bodyRecord{}
	err = b.ForEach(func(k, v []byte) error {
		rec, err := decodeBody(v)
		have[domicile.MessageID(k)] = rec
		return err
	})
	if err != nil {
		return err
	}
	named := map[digest]uint32{}
	for id, rec := range have {
		if rec.refs = refs[id]; rec.refs == 0 && a.b.sub(bExpunged).Get([]byte(id)) != nil {
			for _, d := range rec.chunks {
				named[d]++
			}
			r.put(b, []byte(id), rec.encode(), "the references to body "+string(id)+", which was expunged", where)
			continue
		}
		if rec.refs == 0 {
			r.put(b, []byte(id), nil, "body "+string(id)+", which nobody names", where)
			a.b.sub(bUnfound).Delete([]byte(id))
			continue
		}
		used += rec.size
		for _, d := range rec.chunks {
			named[d]++
		}
		r.put(b, []byte(id), rec.encode(), "the references to body "+string(id), where)
	}
	r.putNumber(a.b, kUsage, uint64(used), "the bytes that it uses", where)
	return r.chunks(a, named, where)
}

// chunks makes the counts of references to chunks those of the bodies.
func (r *repairer) chunks(a account, named map[digest]uint32, where string) error {
	b, have := a.b.sub(bChunks), map[digest]chunkRecord{}
	err := b.ForEach(func(k, v []byte) error {
		if len(k) != len(digest{}) {
			return errDamaged
		}
		rec, err := decodeChunk(v)
		have[digest(k)] = rec
		return err
	})
	if err != nil {
		return err
	}
	for d, rec := range have {
		if rec.refs = named[d]; rec.refs == 0 {
			r.put(b, d[:], nil, "a chunk that no body names", where)
		} else {
			r.put(b, d[:], rec.encode(), "the references to a chunk", where)
		}
	}
	return nil
}

// tokens makes tokens and their order agree. A token that does not open is dropped: nobody can know what it did.
func (r *repairer) tokens(a account, where string) error {
	tokens, order := a.b.sub(bTokens), a.b.sub(bOrder)
	want, newest := map[string]string{}, readNumber(a.b.Get(kSequence))
	var lost, stray [][]byte
	err := tokens.ForEach(func(k, sealed []byte) error {
		var rec tokenRecord
		if r.s.openRecord(a.id, sealed, a.tokenPlace(k), &rec) != nil {
			lost = append(lost, bytes.Clone(k))
			return nil
		}
		want[string(number(rec.Seq))], newest = string(k), max(newest, rec.Seq)
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range lost {
		r.put(tokens, k, nil, "a token that does not open", where)
	}
	err = order.ForEach(func(k, v []byte) error {
		if key, ok := want[string(k)]; ok && bytes.HasPrefix(v, []byte(key)) && len(v) == len(key)+8 {
			delete(want, string(k))
		} else {
			stray = append(stray, bytes.Clone(k))
		}
		return nil
	})
	for _, k := range stray {
		r.put(order, k, nil, "the order of tokens", where)
	}
	for seq, key := range want {
		r.put(order, []byte(seq), binary.BigEndian.AppendUint64([]byte(key), uint64(r.s.cfg.Now().Unix())), "the order of tokens", where)
	}
	r.putNumber(a.b, kSequence, newest, "the number of its tokens", where)
	return err
}
