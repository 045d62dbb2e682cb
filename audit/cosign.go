package audit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"domicile"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxCosigners = 16  // of one checkpoint
	maxCosigned  = 256 // checkpoints kept with cosignatures
)

// AddCosignature keeps a cosigner's line for a checkpoint of this log, after verifying it against the vkey of that cosigner
// (signature type 4), and that the checkpoint is this log's own. A later line of the same cosigner for the same size takes
// the place of the earlier. Durable on return. Checkpoints whose cosigners have all cosigned a newer one are let go.
func (l *Log) AddCosignature(checkpoint, line []byte, vkey string) error {
	const op = "add cosignature"
	if err := l.usable(); err != nil {
		return err
	}
	head, _, err := openCheckpoint(checkpoint, l.key)
	if err != nil {
		return domicile.W(op, err)
	}
	v, err := parseVerifier(vkey, algCosign)
	if err != nil {
		return domicile.W(op, err)
	}
	sig, err := parseSignature(string(line))
	if err != nil {
		return domicile.W(op, err)
	}
	if _, ok := v.cosigned(head.text(), sig); !ok {
		return domicile.Refuse(op, domicile.BadSignature, "c2sp/tlog-cosignature", "the line is not a cosignature of this checkpoint by "+v.name)
	}
	if err := l.own(head); err != nil {
		return domicile.W(op, err)
	}
	signed, err := signCheckpoint(head, l.cfg.Signer)
	if err != nil {
		return domicile.W(op, err)
	}
	key := append(itob(head.Size), fmt.Sprintf("%s+%08x", v.name, v.id)...)
	err = l.update("commit cosignature", func(tx *bolt.Tx) error {
		if err := tx.Bucket(bucketCosigned).Put(itob(head.Size), signed); err != nil {
			return err
		}
		if err := tx.Bucket(bucketCosigners).Put(key, line); err != nil {
			return err
		}
		if len(cosignersOf(tx, head.Size)) > maxCosigners {
			return domicile.E(op, domicile.TooLarge, "a checkpoint has at most 16 cosigners")
		}
		return dropDominated(tx)
	})
	if domicile.KindOf(err) == domicile.Other && err != nil {
		return &domicile.Error{Op: op, Kind: domicile.Unavailable, Detail: "the disk failed, and nothing was kept; ask the cosigner again", Err: err}
	}
	return domicile.W(op, err)
}

// CosignedAt returns the time that a cosigner signed into its line (c2sp.org/tlog-cosignature). It does not verify the line.
func CosignedAt(line []byte) (time.Time, error) {
	s, err := parseSignature(string(line))
	if err == nil && len(s.sig) < 8 {
		err = domicile.E("read a cosignature", domicile.Invalid, "it has no time")
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(int64(binary.BigEndian.Uint64(s.sig)), 0).UTC(), nil
}

// own says whether a checkpoint is one of this tree's.
func (l *Log) own(head Head) error {
	h := l.snapshot()
	if head.Size > h.Size {
		return domicile.E("check checkpoint", domicile.Invalid, "it is larger than the log")
	}
	var reader tlog.HashReader
	if head.Size > 0 {
		reader = l.tiles.hashes(h)
	}
	root, err := tlog.TreeHash(int64(head.Size), reader)
	if err != nil {
		return err
	}
	if root != head.Root {
		return domicile.E("check checkpoint", domicile.Invalid, "its root is not that of the log at this size")
	}
	return nil
}

// cosignersOf returns the lines held for a size, by cosigner, in the order of their keys.
func cosignersOf(tx *bolt.Tx, size uint64) (lines []cosignature) {
	c := tx.Bucket(bucketCosigners).Cursor()
	for k, v := c.Seek(itob(size)); bytes.HasPrefix(k, itob(size)); k, v = c.Next() {
		lines = append(lines, cosignature{by: string(k[8:]), line: string(v)})
	}
	return lines
}

// cosignature is a kept line and the key, name and hash, that made it.
type cosignature struct{ by, line string }

// dropDominated removes each cosigned checkpoint for which a newer one has all of its cosigners, and the oldest beyond
// maxCosigned.
func dropDominated(tx *bolt.Tx) error {
	var newer []map[string]bool
	var drop []uint64
	c := tx.Bucket(bucketCosigned).Cursor()
	for k, _ := c.Last(); k != nil; k, _ = c.Prev() {
		size := binary.BigEndian.Uint64(k)
		set := make(map[string]bool)
		for _, s := range cosignersOf(tx, size) {
			set[s.by] = true
		}
		if len(newer) >= maxCosigned || dominated(set, newer) {
			drop = append(drop, size)
		} else {
			newer = append(newer, set)
		}
	}
	for _, size := range drop {
		for _, s := range cosignersOf(tx, size) {
			if err := tx.Bucket(bucketCosigners).Delete(append(itob(size), s.by...)); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bucketCosigned).Delete(itob(size)); err != nil {
			return err
		}
	}
	return nil
}

func dominated(set map[string]bool, newer []map[string]bool) bool {
	for _, n := range newer {
		all := true
		for by := range set {
			all = all && n[by]
		}
		if all {
			return true
		}
	}
	return false
}

// bestCosigned returns the checkpoint that covers a leaf with the most cosigners, the newest of several, and their lines.
// It returns nil if none is held.
func (l *Log) bestCosigned(index uint64) (signed []byte, lines []cosignature, err error) {
	err = l.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketCosigned).Cursor()
		for k, v := c.Last(); k != nil && binary.BigEndian.Uint64(k) > index; k, v = c.Prev() {
			if have := cosignersOf(tx, binary.BigEndian.Uint64(k)); len(have) > len(lines) {
				signed, lines = bytes.Clone(v), have
			}
		}
		return nil
	})
	return signed, lines, domicile.W("read cosignatures", err)
}

// Cosigners returns the names of those who have cosigned the checkpoint that Receipt would use for leaf index, with their
// times: none, if none that covers the leaf has been cosigned yet.
func (l *Log) Cosigners(index uint64) (map[string]time.Time, error) {
	const op = "read cosigners"
	if index >= l.snapshot().Size {
		return nil, domicile.E(op, domicile.NotExist, "the log has no such leaf")
	}
	_, lines, err := l.bestCosigned(index)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	out := make(map[string]time.Time)
	for _, c := range lines {
		s, err := parseSignature(c.line)
		at, err2 := CosignedAt([]byte(c.line))
		if err != nil || err2 != nil {
			return nil, domicile.E(op, domicile.Invalid, "log.db holds a damaged cosignature")
		}
		out[s.name] = at
	}
	return out, nil
}
