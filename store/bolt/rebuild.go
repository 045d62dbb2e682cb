package bolt

import (
	"errors"
	"fmt"
	"os"

	berrors "go.etcd.io/bbolt/errors"

	"domicile"
)

const oldIndex = indexFile + ".old"

// setAside renames an index that is to be made anew. One of an earlier format stays: it has what no log has.
func (s *Store) setAside() error {
	path := s.path(indexFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := openBolt(path)
	if errors.Is(err, berrors.ErrTimeout) {
		return domicile.E("new index", domicile.Unavailable, "another process holds this store: stop it first")
	}
	if err == nil { // one that does not open is made anew in any case
		f, damaged := formatOf(db)
		if err := db.Close(); err != nil {
			return err
		}
		if damaged == nil && (f < logFormat || f > format) {
			return domicile.E("new index", domicile.Invalid, fmt.Sprintf("the index is of format %d, of which no log has the changes: start the node once, or give an index of format %d", f, format))
		}
	}
	s.aside = true
	return errors.Join(os.Rename(path, s.path(oldIndex)), syncDir(s.cfg.Dir))
}

// putBack undoes setAside where no new index could be made.
func (s *Store) putBack() error {
	if !s.aside {
		return nil
	}
	return errors.Join(os.Rename(s.path(oldIndex), s.path(indexFile)), syncDir(s.cfg.Dir))
}
