package audit

import (
	"io"

	"domicile"

	bolt "go.etcd.io/bbolt"
)

// Copy calls fn for each leaf from first on, as Leaves does, with the openings of its private fields as they rest, sealed: nil if it has
// none. What it gives is enough to make the log anew, see Rebuild.
func (l *Log) Copy(first uint64, fn func(index uint64, raw, private []byte) error) error {
	return l.Leaves(first, func(index uint64, raw []byte) error {
		var private []byte
		err := l.db.View(func(tx *bolt.Tx) error {
			private = append(private, tx.Bucket(bucketPrivate).Get(itob(index))...)
			return nil
		})
		if err != nil {
			return domicile.W("copy audit log", err)
		}
		return fn(index, raw, private)
	})
}

// rebuildRound is how many leaves share one round of flushes.
const rebuildRound = 4096

// Rebuild makes the log of cfg in an empty folder, from what Copy gave; next returns nil when there is no more. The tree is
// the same, and so are its spent tokens; cosignatures are not in it and are asked for anew. An error leaves a folder that is of no use.
func Rebuild(cfg Config, next func() (raw, private []byte, err error)) error {
	const op = "make the audit log anew"
	l, err := Open(cfg)
	if err != nil {
		return domicile.W(op, err)
	}
	defer l.Close()
	if l.Head().Size > 0 {
		return domicile.E(op, domicile.Exist, "there is a log already")
	}
	for {
		n, err := l.rebuild(next)
		if err != nil {
			return domicile.W(op, err)
		}
		if n < rebuildRound {
			return nil
		}
	}
}

// rebuild puts one round of leaves into the log, as recovery does with those that are pending.
func (l *Log) rebuild(next func() (raw, private []byte, err error)) (int, error) {
	var leaves [][]byte
	err := l.update("keep leaves", func(tx *bolt.Tx) error {
		if err := settle(tx, l.head); err != nil {
			return err
		}
		for len(leaves) < rebuildRound {
			raw, private, err := next()
			if err != nil || raw == nil {
				return err
			}
			index := l.head.Size + uint64(len(leaves))
			r, err := parseLeaf(raw, l.cfg.Origin, index)
			if err != nil {
				return err
			}
			again := &request{record: *r, raw: raw}
			if r.Spend != nil {
				again.spend = &Spend{} // which one is in the record
			}
			if err := keep(tx, index, again, private); err != nil {
				return err
			}
			leaves = append(leaves, raw)
		}
		return nil
	})
	if err != nil || len(leaves) == 0 {
		return 0, err
	}
	return len(leaves), l.publish(leaves)
}

// CopyTo writes what the witness has seen, a whole witness.db as of now. A witness that begins with it must not have been served in
// between: what it cosigned since it has forgotten.
func (w *Witness) CopyTo(out io.Writer) error {
	return domicile.W("copy what a witness has seen", w.db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(out)
		return err
	}))
}
