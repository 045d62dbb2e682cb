package bolt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	bbolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"domicile"
	"domicile/store"
	"domicile/store/segment"
)

// errOnlyLooked gives up the transaction of a check.
var errOnlyLooked = errors.New("nothing to write")

// Check reads the whole store and returns everything that is wrong, joined: a
// record, body or frame that does not open, an entry without its counterpart, a counter
// that does not add up. Acts of callers may go on beside it: it looks at a snapshot.
func (s *Store) Check(ctx context.Context) error {
	s.upkeep.Lock() // no segment goes away meanwhile
	defer s.upkeep.Unlock()
	c := newChecker(ctx, s)
	// bbolt's own check holds pages against the free list of now, so no commit may run beside it: a write transaction
	// keeps others out, and is given up.
	err := s.index.db.Update(func(tx *bbolt.Tx) error {
		if err := checkPages(tx); err != nil {
			c.fail("bbolt: %w", err)
			return errOnlyLooked
		}
		for err := range tx.Check() {
			c.fail("bbolt: %v", err)
		}
		return errOnlyLooked
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		err = errClosed
	}
	if !errors.Is(err, errOnlyLooked) {
		return domicile.W("check store", err)
	}
	err = s.view(func(tx *txn) error {
		c.accounts(tx)
		c.imports(tx)
		c.tables(tx)
		c.segments(tx)
		return ctx.Err()
	})
	if err != nil {
		return domicile.W("check store", err)
	}
	c.frames()
	c.readBodies()
	return domicile.W("check store", errors.Join(c.wrong...))
}

// checkPages looks at the headers of bbolt's pages alone. bbolt's own check believes them: of a page that says that four billion others follow it
// would note each.
func checkPages(tx *bbolt.Tx) error {
	return guarded(func() error {
		for id := 0; ; {
			p, err := tx.Page(id)
			if err != nil || p == nil {
				return err
			}
			id++
			if p.Type == "free" {
				continue
			}
			end := id + p.OverflowCount
			if last, err := tx.Page(end - 1); err != nil || last == nil || !slices.Contains(pageTypes, p.Type) {
				return fmt.Errorf("page %d is %s and %d others follow: its header is damaged", p.ID, p.Type, p.OverflowCount)
			}
			id = end
		}
	})
}

var pageTypes = []string{"meta", "freelist", "branch", "leaf"}

type bodyID struct {
	acct domicile.AccountID
	id   domicile.MessageID
}

type checker struct {
	s      *Store
	ctx    context.Context
	bodies map[bodyID]bodyRecord
	named  map[digest]uint32 // of the account that is looked at: how often bodies name a chunk
	live   map[uint32]int64  // bytes of each segment that bodies and chunks are in
	wrong  []error
}

func newChecker(ctx context.Context, s *Store) *checker {
	return &checker{s: s, ctx: ctx, bodies: map[bodyID]bodyRecord{}, named: map[digest]uint32{}, live: map[uint32]int64{}}
}

func (c *checker) fail(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

// failIf notes err, if any, as found at the place named.
func (c *checker) failIf(err error, where string, id any) {
	if err != nil {
		c.fail("%s %v: %w", where, id, err)
	}
}

func (c *checker) accounts(tx *txn) {
	addresses := 0
	c.failIf(tx.root(bAddresses).ForEach(func(k, id []byte) error {
		addresses++
		if a, err := c.s.account(tx, domicile.AccountID(id)); err != nil || !bytes.Equal(a.b.Get(kAddress), k) {
			c.fail("an address entry names account %s, which does not answer to it", id)
		}
		return nil
	}), "bucket", "addresses")
	c.failIf(tx.root(bErasing).ForEach(func(id, _ []byte) error {
		c.fail("account %s: its erasure was not finished", id)
		return nil
	}), "bucket", "erasing")
	ids := c.s.accountIDs(tx)
	for _, id := range ids {
		a, err := c.s.account(tx, id)
		if c.failIf(err, "account", id); err == nil {
			c.account(a)
		}
	}
	if len(ids) != addresses {
		c.fail("%d accounts have %d addresses", len(ids), addresses)
	}
}

// imports looks at what has come in of accounts that are not whole yet: that it opens, and which bodies it has.
func (c *checker) imports(tx *txn) {
	c.failIf(tx.root(bAccounts).ForEachBucket(func(key []byte) error {
		id := domicile.AccountID(key)
		a, coming := c.s.arrival(tx, id)
		if !coming {
			if _, err := c.s.account(tx, id); err != nil {
				c.fail("account %s: has entries and is not there", id)
			}
			return nil
		}
		var rec store.Account
		if err := c.s.openRecord(id, a.b.Get(kRecord), accountPlace(id), &rec); err != nil {
			return err
		}
		if len(a.notes.Get(kPosition)) == 0 {
			c.fail("account %s: it comes in, and has no position", id)
		}
		err := a.b.sub(bBodies).ForEach(func(k, v []byte) error {
			r, err := decodeBody(v)
			if err == nil {
				c.name(bodyID{id, domicile.MessageID(k)}, r)
			}
			return err
		})
		c.chunks(a.account)
		return err
	}), "bucket", "accounts")
}

// name notes a body that the index has, and what it names.
func (c *checker) name(id bodyID, r bodyRecord) {
	c.bodies[id] = r
	c.alive(r.place)
	for _, d := range r.chunks {
		c.named[d]++
	}
}

func (c *checker) alive(p segment.Place) {
	if p != (segment.Place{}) {
		c.live[p.Segment] += segment.Bytes(int(p.Length))
	}
}

// chunks holds the chunks of an account against the bodies that were named before.
func (c *checker) chunks(a account) {
	c.failIf(a.b.sub(bChunks).ForEach(func(k, v []byte) error {
		r, err := decodeChunk(v)
		if err != nil || len(k) != len(digest{}) {
			return errDamaged
		}
		if n := c.named[digest(k)]; n != r.refs {
			c.fail("account %s: a chunk is named %d times, counted as %d", a.id, n, r.refs)
		}
		delete(c.named, digest(k))
		c.alive(r.place)
		return nil
	}), "chunks of account", a.id)
	if len(c.named) > 0 {
		c.fail("account %s: %d chunks that bodies name are not there", a.id, len(c.named))
	}
	clear(c.named)
}

// segments holds what is counted of each segment against what is named.
func (c *checker) segments(tx *txn) {
	files := map[uint32]int64{}
	for _, i := range c.s.log.List() {
		files[i.Number] = i.Size
	}
	counted := 0
	c.failIf(tx.root(bSegments).ForEach(func(k, v []byte) error {
		counted++
		n := uint32(readNumber(k))
		if have := int64(readNumber(v)); have != c.live[n] {
			c.fail("segment %d: %d bytes are named, counted as %d", n, c.live[n], have)
		}
		return nil
	}), "bucket", "segments")
	if counted != len(c.live) {
		c.fail("%d segments have bodies, %d are counted", len(c.live), counted)
	}
	for n, live := range c.live {
		if size, ok := files[n]; !ok || live > size {
			c.fail("segment %d: it has %d bytes, bodies of %d are in it", n, size, live)
		}
	}
}

// frames reads the log.
func (c *checker) frames() {
	before, list := c.s.log.Damaged(), c.s.log.List()
	p := c.s.pace("reads the log", int64(len(list)))
	c.failIf(c.s.log.Scan(0, func(f segment.Frame) error {
		p.at(int64(f.Place.Segment-list[0].Number) + 1)
		switch f.Kind {
		case frameBody, frameChunk, frameSearch:
			_, _, err := parseFrame(f.Payload)
			c.failIf(err, "frame", f.LSN)
		case frameChange:
			_, err := eachChange(f.Payload, func(_, _ []byte) error { return nil })
			c.failIf(err, "frame", f.LSN)
		case framePart:
			c.failIf(eachEntry(f.Payload, func(_, _ []byte) error { return nil }), "frame", f.LSN)
		case frameLast:
			_, entries, err := parseLast(f.Payload)
			c.failIf(firstError(err, eachEntry(entries, func(_, _ []byte) error { return nil })), "frame", f.LSN)
		default:
			c.fail("frame %d is of no kind that this release knows", f.LSN)
		}
		return c.ctx.Err()
	}), "folder", segmentsDir)
	if n := c.s.log.Damaged() - before; n > 0 {
		c.fail("%d frames of the log are damaged", n)
	}
}

// readBodies reads every body to its end, which proves it whole.
func (c *checker) readBodies() {
	p, n := c.s.pace("reads bodies", int64(len(c.bodies))), int64(0)
	for id, r := range c.bodies {
		n++
		p.at(n)
		if c.ctx.Err() != nil {
			c.fail("%w", c.ctx.Err())
			return
		}
		if r.place == (segment.Place{}) {
			continue // it comes in
		}
		read, err := io.Copy(io.Discard, c.s.openBody(id.acct, id.id, r))
		if domicile.KindOf(err) == domicile.NotExist {
			continue // expunged since the snapshot
		}
		if err == nil && read != r.size {
			err = fmt.Errorf("%d bytes, the index says %d", read, r.size)
		}
		if err != nil {
			c.fail("body of message %s, which is %s: %w", id.id, c.whose(id), err)
		}
	}
}

// whose says which messages have a body, for whoever has to tell the owner.
func (c *checker) whose(id bodyID) string {
	where := fmt.Sprintf("account %s", id.acct)
	c.failIf(c.s.view(func(tx *txn) error {
		a := c.s.accountIn(tx, id.acct)
		return a.eachMailbox(func(m *mailbox) error {
			return m.rows.sub(bMessages).ForEach(func(k, sealed []byte) error {
				if r, err := m.open(readUID(k), sealed); err == nil && r.ID == id.id {
					where += fmt.Sprintf(", mailbox %s UID %d", m.id, r.UID)
				}
				return nil
			})
		})
	}), "mailboxes of account", id.acct)
	return where
}

func (c *checker) account(a account) {
	var rec store.Account
	if err := c.s.openRecord(a.id, a.b.Get(kRecord), accountPlace(a.id), &rec); err != nil {
		c.failIf(err, "account", a.id)
		return
	}
	if rec.ID != a.id || !bytes.Equal(c.s.addressKey(rec.Address), a.b.Get(kAddress)) {
		c.fail("account %s: its record is of another account or address", a.id)
	}
	if (rec.State == store.Moving) != (a.b.Get(kState) != nil) || rec.Quota != int64(readNumber(a.b.Get(kQuota))) {
		c.fail("account %s: its record and its marks differ on whether it moves, or its quota", a.id)
	}
	refs := map[domicile.MessageID]bodyRecord{}
	mailboxes, validities := 0, map[uint32]bool{}
	c.failIf(a.eachMailbox(func(m *mailbox) error {
		mailboxes++
		if validities[m.validity] || uint64(m.validity) > readNumber(a.b.Get(kValidity)) {
			c.fail("mailbox %s: its UIDVALIDITY is used twice or was never given out", m.id)
		}
		validities[m.validity] = true
		c.mailbox(m, refs)
		return nil
	}), "mailboxes of account", a.id)
	c.failIf(a.eachHeld(func(id domicile.MessageID) {
		ref := refs[id]
		if ref.refs == 0 {
			ref, _ = a.body(id)
		}
		refs[id] = bodyRecord{refs: refs[id].refs + 1, size: ref.size}
	}), "what is left of account", a.id)
	if names, counted := a.b.sub(bNames).count(), readNumber(a.b.Get(kBoxes)); mailboxes != names || uint64(mailboxes) != counted {
		c.fail("account %s: %d mailboxes, %d names, %d counted", a.id, mailboxes, names, counted)
	}
	c.references(a, refs)
	c.annotations(a)
	c.subscribed(a)
	c.tokens(a)
}

func (c *checker) mailbox(m *mailbox, refs map[domicile.MessageID]bodyRecord) {
	rec, err := m.record()
	c.failIf(err, "mailbox", m.id)
	if !bytes.Equal(m.account.b.sub(bNames).Get(m.nameKey(rec.Name)), []byte(m.id)) {
		c.fail("mailbox %s: its name leads elsewhere", m.id)
	}
	if m.at != "" && string(m.rows.Get(kOwner)) != string(m.id) {
		c.fail("mailbox %s: what it says is its own is another's", m.id)
	}
	if m.hidden.Last > 0 && string(m.left().Get([]byte(m.rowsOf(m.id)))) != string(m.id) {
		c.fail("mailbox %s: it hides messages that nobody will remove", m.id)
	}
	records := c.records(m)
	sum := counters{validity: m.validity, next: m.next, modseq: m.modseq, hidden: m.hidden, at: m.at}
	changes := m.rows.sub(bChanges)
	summaries := map[store.UID][]byte{}
	c.failIf(m.eachRow(bSummaries, 0, func(k, v []byte) error {
		summaries[readUID(k)] = v
		return nil
	}), "summaries of mailbox", m.id)
	for _, r := range records {
		if sealed, ok := summaries[r.UID]; ok {
			_, err := c.s.openSummary(m.account.id, r.ID, sealed)
			c.failIf(err, "summary of message", r.ID)
			delete(summaries, r.UID)
		}
		sum.messages++
		sum.size += r.Size
		if r.unseen() {
			sum.unseen++
		}
		ref := refs[r.ID]
		if ref.refs > 0 && ref.size != r.Size {
			c.fail("message %s: its copies differ in size", r.ID)
		}
		refs[r.ID] = bodyRecord{refs: ref.refs + 1, size: r.Size}
		if r.UID >= m.next || r.ModSeq > m.modseq || !bytes.Equal(changes.Get(changeKey(r.ModSeq, r.UID)), isLive) {
			c.fail("mailbox %s: UID %d has a number not given out or no entry in the list of changes", m.id, r.UID)
		}
	}
	if len(summaries) > 0 {
		c.fail("mailbox %s: %d summaries are of no message", m.id, len(summaries))
	}
	if sum != m.counters {
		c.fail("mailbox %s: counters say %+v and the messages %+v", m.id, m.counters, sum)
	}
	c.changes(m, len(records))
}

// records returns those messages that open.
func (c *checker) records(m *mailbox) (records []messageRecord) {
	c.failIf(m.eachRow(bMessages, 0, func(k, sealed []byte) error {
		r, err := m.open(readUID(k), sealed)
		if err != nil {
			c.fail("account %s, mailbox %s, UID %d: %w", m.account.id, m.id, readUID(k), err)
			return nil
		}
		records = append(records, r)
		return nil
	}), "messages of mailbox", m.id)
	return records
}

func (c *checker) changes(m *mailbox, messages int) {
	live, seen := 0, map[store.UID]bool{}
	var gone []store.UIDRange
	c.failIf(m.rows.sub(bChanges).ForEach(func(k, v []byte) error {
		seq, uid := readChange(k)
		run, is := readVanished(uid, v)
		if m.hides(uid) && !is {
			return nil
		}
		if seen[uid] || uid == 0 || run.Last >= m.next || seq > m.modseq {
			c.fail("mailbox %s: change of UID %d is doubled or of a number not given out", m.id, uid)
		}
		if is {
			gone = append(gone, run)
			return nil
		}
		live++
		seen[uid] = true
		return nil
	}), "changes of mailbox", m.id)
	if live != messages {
		c.fail("mailbox %s: %d messages, %d live changes", m.id, messages, live)
	}
	f, err := m.forgotten()
	if c.failIf(err, "mailbox", m.id); m.rows.Get(kForgotten) != nil && (int(f.runs) != len(gone) || f.runs > store.VanishedRuns || f.seq > m.modseq || f.uids.Last >= m.next) {
		c.fail("mailbox %s: it has %d runs of UIDs that vanished, and says %+v", m.id, len(gone), f)
	}
	slices.SortFunc(gone, func(a, b store.UIDRange) int { return cmp.Compare(a.First, b.First) })
	for i, run := range gone {
		if i > 0 && run.First <= gone[i-1].Last {
			c.fail("mailbox %s: UID %d has vanished twice", m.id, run.First)
		}
		c.failIf(m.eachRow(bMessages, run.First, func(k, _ []byte) error {
			if uid := readUID(k); uid <= run.Last {
				c.fail("mailbox %s: UID %d has vanished and is there", m.id, uid)
			}
			return errStop
		}), "messages of mailbox", m.id)
	}
}

// references compares what the mailboxes name with what the account counts.
func (c *checker) references(a account, refs map[domicile.MessageID]bodyRecord) {
	counted, _ := a.annotated()
	used := int64(counted.bytes)
	for id, r := range refs {
		used += r.size
		have, err := a.body(id)
		if err != nil || have.refs != r.refs || have.size != r.size || have.place == (segment.Place{}) {
			c.fail("message %s: %d copies of %d bytes, counted as %+v", id, r.refs, r.size, have)
		}
		c.name(bodyID{a.id, id}, have)
	}
	expunged := c.expunged(a)
	c.chunks(a)
	c.blocks(a)
	if n := a.b.sub(bBodies).count(); n != len(refs)+expunged {
		c.fail("account %s: %d bodies counted, %d named by a message and %d expunged", a.id, n, len(refs), expunged)
	}
	if have := readNumber(a.b.Get(kUsage)); have != uint64(used) {
		c.fail("account %s: uses %d bytes, counted as %d", a.id, used, have)
	}
}

// expunged looks at messages that can be undeleted, and returns how many there are.
func (c *checker) expunged(a account) (n int) {
	c.failIf(a.b.sub(bExpunged).ForEach(func(k, v []byte) error {
		n++
		id := domicile.MessageID(k)
		_, at, err := a.openExpunged(id, v)
		if err != nil {
			return err
		}
		r, err := a.body(id)
		if err == nil && (r.refs != 0 || a.b.tx.root(bDue).Get(dueKey(number(uint64(at.UnixMilli())), a.id, id)) == nil) {
			c.fail("message %s: it was expunged, and is named or never due", id)
		}
		c.name(bodyID{a.id, id}, r)
		return err
	}), "expunged messages of account", a.id)
	return n
}

func (c *checker) tokens(a account) {
	c.failIf(a.b.sub(bTokens).ForEach(func(k, sealed []byte) error {
		var rec tokenRecord
		if err := c.s.openRecord(a.id, sealed, a.tokenPlace(k), &rec); err != nil {
			return err
		}
		if !bytes.HasPrefix(a.b.sub(bOrder).Get(number(rec.Seq)), k) {
			c.fail("account %s: a token is not in the order of tokens", a.id)
		}
		return nil
	}), "tokens of account", a.id)
	if n, o := a.b.sub(bTokens).count(), a.b.sub(bOrder).count(); n != o {
		c.fail("account %s: %d tokens, %d in their order", a.id, n, o)
	}
}

func (c *checker) tables(tx *txn) {
	c.failIf(tx.root(bTables).ForEachBucket(func(table []byte) error {
		return tx.root(bTables).sub(table).ForEach(func(k, sealed []byte) error {
			var rec tableRecord
			return c.s.openRecord("", sealed, tablePlace(table, k), &rec)
		})
	}), "records of", "tables")
}
