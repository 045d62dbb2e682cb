package bolt

import (
	"context"
	"sync"

	"domicile"
	"domicile/message"
	"domicile/store/search"
)

// indexer is the goroutine that puts messages into search blocks, when an account has enough that are in none, and merges blocks.
type indexer struct {
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan domicile.AccountID

	mu    sync.Mutex
	count map[domicile.AccountID]int  // guarded by mu; of bodies that came since the account was last indexed
	hurt  map[domicile.AccountID]bool // guarded by mu; a block of the account may be damaged

	turn chan struct{} // holds one while somebody makes blocks
}

// A block is made of 64 messages or more, in steps of a bounded size; eight blocks of one size become one.
const (
	indexLeast = 64
	indexMost  = 1024
	indexBytes = 32 << 20
	tierWidth  = 8
)

func (s *Store) startIndexer() {
	ctx, cancel := context.WithCancel(context.Background())
	x := &indexer{cancel: cancel, done: make(chan struct{}), wake: make(chan domicile.AccountID, 64), count: map[domicile.AccountID]int{}, hurt: map[domicile.AccountID]bool{}, turn: make(chan struct{}, 1)}
	s.indexer = x
	go func() {
		defer close(x.done)
		s.indexWaiting(ctx)
		for {
			select {
			case acct := <-x.wake:
				s.indexQuietly(ctx, acct)
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (s *Store) stopIndexer() {
	if s.indexer != nil {
		s.indexer.cancel()
		<-s.indexer.done
	}
}

// came counts bodies, and has the account indexed when there are enough. If the indexer has its hands full, a later one does.
func (x *indexer) came(acct domicile.AccountID, bodies int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.count[acct] += bodies; x.count[acct] < indexLeast {
		return
	}
	select {
	case x.wake <- acct:
		delete(x.count, acct)
	default:
	}
}

// isHurt has an account's damaged blocks made anew. If the indexer has its hands full, it does so when it next comes to the account.
func (x *indexer) isHurt(acct domicile.AccountID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hurt[acct] = true
	select {
	case x.wake <- acct:
	default:
	}
}

func (x *indexer) wasHurt(acct domicile.AccountID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.hurt[acct]
	delete(x.hurt, acct)
	return was
}

// indexWaiting looks at all accounts once, as after a start.
func (s *Store) indexWaiting(ctx context.Context) {
	var ids []domicile.AccountID
	s.view(func(tx *txn) error { ids = s.accountIDs(tx); return nil })
	for _, id := range ids {
		n := 0
		s.view(func(tx *txn) error {
			return s.accountIn(tx, id).b.sub(bUnfound).ForEach(func(_, _ []byte) error {
				if n++; n >= indexLeast {
					return errStop
				}
				return nil
			})
		})
		if ctx.Err() != nil {
			return
		}
		if n >= indexLeast {
			s.indexQuietly(ctx, id)
		}
	}
}

func (s *Store) indexQuietly(ctx context.Context, acct domicile.AccountID) {
	if err := s.indexAccount(ctx, acct, indexLeast); err != nil && ctx.Err() == nil && domicile.KindOf(err) != domicile.NotExist {
		s.cfg.Log.Warn("store: messages are searched without an index for now", "error", err)
	}
}

// indexAccount makes blocks until fewer messages than least are in none, and merges.
func (s *Store) indexAccount(ctx context.Context, acct domicile.AccountID, least int) error {
	select {
	case s.indexer.turn <- struct{}{}:
		defer func() { <-s.indexer.turn }()
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	if err := s.update(ctx, "", func(tx *txn) error { return s.dropUnfinished(tx, acct) }); err != nil {
		return err
	}
	hurt := s.indexer.wasHurt(acct)
	if hurt {
		dropped, err := s.dropDamaged(ctx, acct)
		if err != nil {
			return err
		}
		if len(dropped) > 0 {
			s.cfg.Log.Warn("store: search blocks are damaged and are made anew", "blocks", len(dropped))
		}
	}
	for {
		ids, err := s.unfound(acct, indexMost)
		if err != nil {
			return err
		}
		if len(ids) < max(least, 1) {
			if err = s.mergeBlocks(ctx, acct); damage(err) && !hurt {
				s.indexer.isHurt(acct)
			}
			return err
		}
		if err := s.indexSome(ctx, acct, ids); err != nil {
			return err
		}
	}
}

func (s *Store) dropUnfinished(tx *txn, acct domicile.AccountID) error {
	a, err := s.served(tx, acct)
	if err != nil {
		return err
	}
	left, err := a.blocks(true)
	for _, b := range left {
		err = firstError(err, a.dropBlock(b.n))
	}
	return err
}

// unfound returns bodies that are in no block.
func (s *Store) unfound(acct domicile.AccountID, most int) (ids []domicile.MessageID, err error) {
	err = s.view(func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err != nil {
			return err
		}
		return a.b.sub(bUnfound).ForEach(func(k, _ []byte) error {
			if ids = append(ids, domicile.MessageID(k)); len(ids) >= most {
				return errStop
			}
			return nil
		})
	})
	return ids, err
}

// indexSome makes a block of the first of the bodies. Of one that is damaged it has no text.
func (s *Store) indexSome(ctx context.Context, acct domicile.AccountID, ids []domicile.MessageID) error {
	b, room := search.NewBuilder(), texts{s: s, ctx: ctx, acct: acct}
	for i, id := range ids {
		if err := b.Doc(string(id)); err != nil {
			return err
		}
		err := room.each(id, func(kind message.TextKind, folded []byte) bool {
			field := search.Body
			if kind == message.HeaderText {
				field = search.Header
			}
			b.Text(field, folded)
			return true
		})
		if err != nil && !damage(err) {
			return err // try again later
		}
		if b.Size() > indexBytes {
			ids = ids[:i+1]
			break
		}
	}
	w, err := s.newBlock(ctx, acct)
	if err != nil {
		return err
	}
	dir, err := b.Finish(w.emit)
	if err != nil {
		return err
	}
	return w.finish(dir, len(ids), func(a account) error {
		for _, id := range ids {
			a.b.sub(bUnfound).Delete([]byte(id))
		}
		return nil
	})
}

// texts reads the texts of messages of an account, one after the other, into the same memory.
type texts struct {
	s           *Store
	ctx         context.Context
	acct        domicile.AccountID
	raw, folded []byte
}

// keepText is how much of that memory stays behind a message that needed more.
const keepText = 1 << 20

// each gives the folded texts of a message until fn returns false. What fn is given is overwritten when it has returned.
func (t *texts) each(id domicile.MessageID, fn func(kind message.TextKind, folded []byte) bool) (err error) {
	if err := t.ctx.Err(); err != nil {
		return unavailable(err)
	}
	t.raw, err = t.s.whole(t.ctx, t.acct, id, t.raw, func(raw []byte) error {
		for kind, text := range message.Parse(raw).Texts() {
			if t.folded = message.FoldInto(t.folded, text); !fn(kind, t.folded) {
				break
			}
		}
		return nil
	})
	if cap(t.raw) > keepText {
		t.raw, t.folded = nil, nil
	}
	return err
}

// mergeBlocks makes one of tierWidth blocks of about the same size.
func (s *Store) mergeBlocks(ctx context.Context, acct domicile.AccountID) error {
	for {
		var all []blockInfo
		err := s.view(func(tx *txn) (err error) {
			all, err = s.accountIn(tx, acct).blocks(false)
			return err
		})
		some := sameSize(all)
		if err != nil || some == nil {
			return err
		}
		if err := s.merge(ctx, acct, some); err != nil {
			return err
		}
	}
}

// sameSize returns the smallest blocks of one tier, if that is full. Tiers are powers of tierWidth.
func sameSize(all []blockInfo) []blockInfo {
	first, limit := 0, indexLeast*tierWidth
	for i, b := range all {
		for b.docs >= limit {
			first, limit = i, limit*tierWidth
		}
		if i-first+1 == tierWidth && sum(all[first:i+1]) <= search.MaxDocs {
			return all[first : i+1]
		}
	}
	return nil
}

func sum(all []blockInfo) (docs int) {
	for _, b := range all {
		docs += b.docs
	}
	return docs
}

func (s *Store) merge(ctx context.Context, acct domicile.AccountID, some []blockInfo) error {
	var blocks []*search.Block
	for _, b := range some {
		block, err := s.openBlock(acct, b.n)
		if err != nil {
			return err
		}
		blocks = append(blocks, block)
	}
	w, err := s.newBlock(ctx, acct)
	if err != nil {
		return err
	}
	docs := 0
	dir, err := search.Merge(w.emit, blocks, func(doc string) bool {
		gone := false
		s.view(func(tx *txn) error {
			_, err := s.accountIn(tx, acct).body(domicile.MessageID(doc))
			gone = domicile.KindOf(err) == domicile.NotExist
			return nil
		})
		if !gone {
			docs++
		}
		return gone
	})
	if err != nil {
		return err
	}
	return w.finish(dir, docs, func(a account) error {
		for _, b := range some {
			if err := a.dropBlock(b.n); err != nil {
				return err
			}
		}
		return nil
	})
}

// blockWriter writes a block's sections as they come, some at a time.
type blockWriter struct {
	s       *Store
	ctx     context.Context
	acct    domicile.AccountID
	n       uint64
	section uint32
	batch   [][]byte // payloads of the last sections
	bytes   int
}

func (s *Store) newBlock(ctx context.Context, acct domicile.AccountID) (*blockWriter, error) {
	w := &blockWriter{s: s, ctx: ctx, acct: acct}
	err := s.update(ctx, "", func(tx *txn) error {
		a, err := s.served(tx, acct)
		if err == nil {
			w.n = readNumber(a.b.Get(kBlock)) + 1
			a.b.Put(kBlock, number(w.n))
		}
		return err
	})
	return w, err
}

const sectionBatch = 1 << 20

func (w *blockWriter) emit(section []byte) error {
	payload, err := w.seal(w.section, section)
	if err != nil {
		return err
	}
	w.section++
	w.batch = append(w.batch, payload)
	if w.bytes += len(payload); w.bytes < sectionBatch {
		return nil
	}
	return w.write(nil, func(account) error { return nil })
}

func (w *blockWriter) seal(section uint32, data []byte) ([]byte, error) {
	owner := sectionOwner(w.n, section)
	return w.s.sealPiece(w.acct, owner, data, sectionPlace(w.acct, owner))
}

// write writes what has gathered, and the directory if there is one, with what also belongs to that act.
func (w *blockWriter) write(dir []byte, also func(account) error) error {
	err := w.s.update(w.ctx, "", func(tx *txn) error {
		a, err := w.s.served(tx, w.acct)
		if err != nil {
			return err
		}
		enter := func(section uint32, payload []byte) {
			at := tx.frame(frameSearch, payload)
			tx.live(at, 1)
			a.block(w.n).Put(sectionKey(section), appendPlace(nil, at))
		}
		for i, payload := range w.batch {
			enter(w.section-uint32(len(w.batch))+uint32(i), payload)
		}
		if dir != nil {
			enter(directory, dir)
		}
		return also(a)
	})
	w.batch, w.bytes = nil, 0
	return err
}

// finish makes the block count.
func (w *blockWriter) finish(dir []byte, docs int, also func(account) error) error {
	payload, err := w.seal(directory, dir)
	if err != nil {
		return err
	}
	return w.write(payload, func(a account) error {
		a.block(w.n).Put(kRecord, number(uint64(docs)))
		return also(a)
	})
}
