package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"domicile"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

const checkpointFile = "checkpoint"

// recover, at open and after the disk failed, brings folder and log.db to one state: reads the checkpoint, checks the tree beneath it, takes spends that log.db
// has not seen from the leaves, and publishes what is pending by the code that published it the first time.
func (l *Log) recover() error {
	if err := l.disk.clean(); err != nil {
		return err
	}
	if err := l.loadHead(); err != nil {
		return err
	}
	if err := l.loadTail(); err != nil {
		return err
	}
	if err := l.checkCovered(); err != nil {
		return err
	}
	if err := l.respend(); err != nil {
		return err
	}
	pending, err := l.pending()
	if err != nil || len(pending) == 0 {
		return err
	}
	return l.publish(pending)
}

// loadHead reads and verifies the checkpoint, or starts an empty log.
func (l *Log) loadHead() error {
	signed, err := l.disk.read(checkpointFile)
	if errors.Is(err, fs.ErrNotExist) {
		return l.begin()
	}
	if err != nil {
		return err
	}
	head, _, err := openCheckpoint(signed, l.key)
	if err != nil {
		return err
	}
	// A rename that was seen but not flushed before a crash is flushed now.
	if err := l.disk.sync("sync .", l.disk.dir); err != nil {
		return err
	}
	l.become(head, signed)
	return nil
}

// become takes a checkpoint that is on disk for the newest.
func (l *Log) become(head Head, signed []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head, l.signed = head, signed
}

// begin signs the checkpoint of the empty tree, unless there are traces of a log whose checkpoint is lost.
func (l *Log) begin() error {
	var traces bool
	err := l.db.View(func(tx *bolt.Tx) error {
		size, _ := covered(tx)
		k, _ := tx.Bucket(bucketPending).Cursor().First()
		traces = size > 0 || k != nil
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(l.disk.dir, "tile")); traces || !errors.Is(err, fs.ErrNotExist) {
		return domicile.E("open audit log", domicile.Invalid, "the checkpoint is missing beside leaves; restore the folder from a copy")
	}
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return err
	}
	head := Head{Origin: l.cfg.Origin, Root: root}
	signed, err := signCheckpoint(head, l.cfg.Signer)
	if err != nil {
		return err
	}
	if err := l.disk.put(file{checkpointFile, signed}); err != nil {
		return err
	}
	l.become(head, signed)
	return nil
}

// loadTail reads the last bundle, and in doing so checks the right edge of the tree against the checkpoint.
func (l *Log) loadTail() error {
	l.tail = nil
	if l.head.Size == 0 {
		return nil
	}
	leaves, err := l.tiles.bundle(int64((l.head.Size-1)/tileWidth), l.head)
	if err != nil {
		return err
	}
	if l.head.Size%tileWidth != 0 {
		for _, raw := range leaves {
			l.tail = appendEntry(l.tail, raw)
		}
	}
	return nil
}

// checkCovered refuses a folder that is older than log.db, or of another history.
func (l *Log) checkCovered() error {
	var size uint64
	var root tlog.Hash
	if err := l.db.View(func(tx *bolt.Tx) error { size, root = covered(tx); return nil }); err != nil {
		return err
	}
	if size == 0 {
		return nil
	}
	if size > l.head.Size {
		return domicile.E("open audit log", domicile.Invalid,
			fmt.Sprintf("the checkpoint has size %d, but log.db has seen %d: the folder is an older copy; restore a newer one", l.head.Size, size))
	}
	have, err := tlog.TreeHash(int64(size), l.tiles.hashes(l.head))
	if err != nil {
		return err
	}
	if have != root {
		return domicile.E("open audit log", domicile.Invalid, fmt.Sprintf("the first %d leaves are not those that log.db has seen: a fork", size))
	}
	return nil
}

// respend puts the spends of leaves that log.db has not covered into its index. The index is a convenience; the leaves are
// the ledger.
func (l *Log) respend() error {
	var from uint64
	if err := l.db.View(func(tx *bolt.Tx) error { from, _ = covered(tx); return nil }); err != nil {
		return err
	}
	for from < l.head.Size {
		leaves, err := l.tiles.bundle(int64(from/tileWidth), l.head)
		if err != nil {
			return err
		}
		err = l.update("spend again", func(tx *bolt.Tx) error {
			for _, raw := range leaves[from%tileWidth:] {
				r, err := parseLeaf(raw, l.cfg.Origin, from)
				if err != nil {
					return err
				}
				if p := tx.Bucket(bucketPending).Get(itob(from)); p != nil && string(p) != string(raw) {
					return domicile.E("open audit log", domicile.Invalid, fmt.Sprintf("leaf %d is not the one that log.db has pending: a fork", from))
				}
				if r.Spend != nil {
					if err := use(tx, r.Spend, from); err != nil {
						return err
					}
				}
				from++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return l.update("settle", func(tx *bolt.Tx) error { return settle(tx, l.head) })
}

// pending returns the leaves that follow the tree.
func (l *Log) pending() ([][]byte, error) {
	var leaves [][]byte
	err := l.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketPending).ForEach(func(k, raw []byte) error {
			index := l.head.Size + uint64(len(leaves))
			if binary.BigEndian.Uint64(k) != index {
				return domicile.E("open audit log", domicile.Invalid, fmt.Sprintf("pending leaves do not follow the tree of size %d", l.head.Size))
			}
			if _, err := parseLeaf(raw, l.cfg.Origin, index); err != nil {
				return err
			}
			leaves = append(leaves, append([]byte(nil), raw...))
			return nil
		})
	})
	return leaves, err
}
