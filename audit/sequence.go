package audit

import (
	"context"
	"slices"
	"time"

	"domicile"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxRound = 256  // leaves that share one round of flushes
	maxQueue = 8192 // who may wait
)

// request is one entry on its way into the log.
type request struct {
	record   record
	openings map[string]opening
	spend    *Spend

	// Set by the round that takes it, before done is closed.
	raw    []byte
	replay []uint64 // the earlier uses, if the token has none left
	leaf   Leaf
	err    error
	done   chan struct{}
}

// submit queues an entry and waits for it. Whoever gets the turn records all that wait, so that entries that come together
// share their flushes; no timer makes anyone wait for company.
func (l *Log) submit(ctx context.Context, e Entry, s *Spend) (Leaf, error) {
	rec, openings, err := newRecord(l.cfg.Origin, e, s)
	if err != nil {
		return Leaf{}, err
	}
	r := &request{record: rec, openings: openings, spend: s, done: make(chan struct{})}
	if err := l.enqueue(r); err != nil {
		return Leaf{}, err
	}
	for {
		select {
		case <-r.done:
			return r.leaf, r.err
		case l.turn <- struct{}{}:
			l.round(l.take())
			<-l.turn
		case <-ctx.Done():
			if l.withdraw(r) {
				return Leaf{}, &domicile.Error{Kind: domicile.Unavailable, Detail: "given up before it was begun", Err: context.Cause(ctx)}
			}
			<-r.done // its round is running and will end
		}
	}
}

func (l *Log) enqueue(r *request) error {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	if len(l.queue) >= maxQueue {
		return domicile.E("audit log", domicile.Unavailable, "too many wait for it; try again")
	}
	l.queue = append(l.queue, r)
	return nil
}

// take returns the next round, oldest first.
func (l *Log) take() []*request {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	n := min(len(l.queue), maxRound)
	round := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	return round
}

// withdraw takes r out of the queue, if it still waits there.
func (l *Log) withdraw(r *request) bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	i := slices.Index(l.queue, r)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return true
}

// round records the entries of one group, and answers each. The turn is held.
func (l *Log) round(group []*request) {
	if len(group) == 0 {
		return
	}
	defer func() {
		for _, r := range group {
			close(r.done)
		}
	}()
	if err := l.mend(); err != nil {
		for _, r := range group {
			r.err = err
		}
		return
	}
	leaves, err := l.assign(group)
	if err == nil && len(leaves) > 0 {
		if err = l.publish(leaves); err != nil { // they are pending, and will be put into the tree by mend
			l.halt(err)
			err = &domicile.Error{Op: "record leaf", Kind: domicile.Unknown, Detail: "the disk failed; whether the leaf is recorded shows when the log records again", Err: err}
		}
	}
	for _, r := range group {
		l.answer(r, err)
	}
}

// assign gives each entry its index, and keeps leaf, spend and private fields in one transaction. From here on recovery
// will put them into the tree. It returns the leaves in order.
func (l *Log) assign(group []*request) (leaves [][]byte, err error) {
	head, now := l.snapshot(), l.cfg.Now().UTC().Truncate(time.Millisecond)
	err = l.update("commit pending", func(tx *bolt.Tx) error {
		if err := settle(tx, head); err != nil {
			return err
		}
		for _, r := range group {
			if r.spend != nil {
				if used := uses(tx, r.spend.key()); len(used) >= r.spend.Max {
					r.replay = used
					continue
				}
			}
			index := head.Size + uint64(len(leaves))
			r.record.Seq, r.record.Time = index, now.Format(leafTime)
			if r.raw, r.err = r.record.encode(); r.err != nil {
				continue
			}
			var sealed []byte
			if sealed, r.err = l.sealPrivate(index, r.openings); r.err != nil {
				continue
			}
			if err := keep(tx, index, r, sealed); err != nil {
				return err
			}
			r.leaf = Leaf{Index: index, Time: now, Hash: tlog.RecordHash(r.raw)}
			leaves = append(leaves, r.raw)
		}
		return nil
	})
	if err != nil && domicile.KindOf(err) != domicile.Unknown {
		err = &domicile.Error{Op: "record leaf", Kind: domicile.Unavailable, Detail: "the disk failed, and nothing was recorded", Err: err}
	}
	return leaves, domicile.W("keep pending leaves", err)
}

// keep puts one entry's parts into the transaction.
func keep(tx *bolt.Tx, index uint64, r *request, sealed []byte) error {
	if err := tx.Bucket(bucketPending).Put(itob(index), r.raw); err != nil {
		return err
	}
	if r.spend != nil {
		if err := use(tx, r.record.Spend, index); err != nil {
			return err
		}
	}
	if sealed == nil {
		return nil
	}
	return tx.Bucket(bucketPrivate).Put(itob(index), sealed)
}

// answer sets what a caller gets, after its round ended with err.
func (l *Log) answer(r *request, err error) {
	switch {
	case r.err != nil: // the entry itself was wrong
		r.leaf = Leaf{}
	case err != nil:
		r.leaf, r.err = Leaf{}, err
	case r.replay != nil:
		if r.leaf, r.err = l.leaf(r.replay[0]); r.err == nil {
			r.err = domicile.Refuse("use token", domicile.Replayed, "house/spend-once", "every use of the token is spent; its first is on record")
		}
	}
}

// publish puts leaves into the tree behind the newest checkpoint: entry bundles and tiles first, then the checkpoint that
// covers them. Recovery calls it too: doing it again writes the same bytes. The turn is held.
func (l *Log) publish(leaves [][]byte) error {
	old := l.snapshot()
	fresh := &freshHashes{added: make(map[int64]tlog.Hash), old: l.tiles.hashes(old)}
	size := int64(old.Size)
	for _, raw := range leaves {
		if err := fresh.add(size, raw); err != nil {
			return domicile.W("hash leaves", err)
		}
		size++
	}
	root, err := tlog.TreeHash(size, fresh)
	if err != nil {
		return domicile.W("hash tree", err)
	}
	head := Head{Origin: l.cfg.Origin, Size: uint64(size), Root: root}
	files, tail := l.bundles(old.Size, leaves)
	changed := tlog.NewTiles(tileHeight, int64(old.Size), size)
	for _, t := range changed {
		data, err := tlog.ReadTileData(t, fresh)
		if err != nil {
			return domicile.W("hash tiles", err)
		}
		l.tiles.keep(t, data)
		files = append(files, file{tilePath(t), data})
	}
	signed, err := signCheckpoint(head, l.cfg.Signer)
	if err != nil {
		return err
	}
	if err := l.disk.put(files...); err != nil {
		return domicile.W("write tiles", err)
	}
	if err := l.disk.put(file{checkpointFile, signed}); err != nil {
		return domicile.W("write checkpoint", err)
	}
	l.tail = tail
	l.become(head, signed)
	for _, t := range changed {
		if t.W == tileWidth {
			l.tiles.prune(t)
			if t.L == 0 {
				l.tiles.prune(tlog.Tile{H: tileHeight, L: entriesLevel, N: t.N, W: tileWidth})
			}
		}
	}
	return nil
}

// bundles returns the entry bundles that change when leaves follow those of a tree of size old, and the entries of the last
// one if it is partial.
func (l *Log) bundles(old uint64, leaves [][]byte) (files []file, tail []byte) {
	tail = slices.Clone(l.tail)
	size := old
	for i, raw := range leaves {
		tail = appendEntry(tail, raw)
		size++
		if size%tileWidth == 0 || i == len(leaves)-1 {
			t := tileOf(entriesLevel, int64((size-1)/tileWidth), size)
			files = append(files, file{tilePath(t), tail})
		}
		if size%tileWidth == 0 {
			tail = nil
		}
	}
	return files, tail
}

// freshHashes reads the hashes of a tree that is being extended: new ones from memory, old ones, checked against the old
// root, from tiles.
type freshHashes struct {
	added map[int64]tlog.Hash
	old   tlog.HashReader
}

// add computes the hashes that come with leaf n.
func (f *freshHashes) add(n int64, raw []byte) error {
	hashes, err := tlog.StoredHashes(n, raw, f)
	if err != nil {
		return err
	}
	first := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		f.added[first+int64(i)] = h
	}
	return nil
}

// ReadHashes implements tlog.HashReader.
func (f *freshHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var missing []int64
	for _, i := range indexes {
		if _, ok := f.added[i]; !ok {
			missing = append(missing, i)
		}
	}
	if len(missing) > 0 {
		read, err := f.old.ReadHashes(missing)
		if err != nil {
			return nil, err
		}
		for i, h := range read {
			f.added[missing[i]] = h
		}
	}
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = f.added[index]
	}
	return out, nil
}
