package bolt

import (
	"fmt"
	"os"
	"runtime/debug"

	bbolt "go.etcd.io/bbolt"
)

// errPages is of a page of bbolt's file that is damaged, or that the disk does not give. bbolt panics over one, or reads what is not there in its map.
var errPages = fmt.Errorf("the file of the index: %w", errDamaged)

// guarded runs fn, which uses bbolt, and turns such a panic into errPages.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPages, r)
		}
	}()
	return fn()
}

// remakeIndex makes the index anew from base and log, and keeps the file that is damaged.
func (s *Store) remakeIndex(why error) (*bbolt.DB, error) {
	s.cfg.Log.Error("store: the index is damaged and is made anew from the log", "error", why)
	s.remade = why
	path := s.path(indexFile)
	if err := os.Rename(path, path+".damaged"); err != nil {
		return nil, err
	}
	if err := s.makeIndex(); err != nil {
		return nil, err
	}
	return openBolt(path)
}
