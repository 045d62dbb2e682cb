package bolt

import (
	"errors"
	"os"

	bbolt "go.etcd.io/bbolt"
)

// renewMeta writes the meta pages of a file that was just opened anew where they are, and flushes them.
//
// The newest commit may be in the page cache alone: its process was killed before it flushed the meta page, or that flush failed, and the
// system has since held the page for written. bbolt would take it for durable, and write over pages that the commit before it, which is the one on
// the disk, still needs. All other pages of the newest commit are on the disk: bbolt flushes them before it writes the meta page.
func (s *Store) renewMeta(db *bbolt.DB) error {
	f, err := os.OpenFile(db.Path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	pages := make([]byte, 2*db.Info().PageSize)
	if _, err := f.ReadAt(pages, 0); err != nil {
		return err
	}
	return s.cfg.step("renew meta", func() error {
		_, err := f.WriteAt(pages, 0)
		return errors.Join(err, f.Sync(), db.Sync())
	})
}
