package backup

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"domicile"
	"domicile/keys"
)

// keysHead is the clear line of the copy of the account keys.
type keysHead struct {
	Period  string       `json:"period"`
	Edition keys.Edition `json:"edition"`
	Made    time.Time    `json:"made"`
}

const (
	keysFile  = "account.keys"
	keysMagic = "domicile-backup-keys-v1\n"
	keysUse   = "repository"
)

// copyKeys copies the account keys when they are others. One copy serves all sets and lines. After an erasure it is sealed under a new key, and the old one
// destroyed: no copy of the repository of before opens any more without the new one, which lacks the account.
func (m *Mirror) copyKeys() error {
	is := m.cfg.Ring.Edition()
	if m.keysAre.Period == "" {
		head, err := readKeysHead(m.cfg.Dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		m.keysAre = head
	}
	was, now := m.keysAre, m.cfg.Now().UTC().Truncate(time.Second)
	if was.Edition == is && sameMonth(was.Made, now) {
		return m.cfg.Root.DestroyRepositoryPeriods(was.Period) // a crash may have left one
	}
	var period *keys.Period
	err := error(nil)
	if was.Edition.Wrap == is.Wrap && sameMonth(was.Made, now) {
		period, err = m.cfg.Root.Period(was.Period)
	}
	if period == nil && (err == nil || domicile.KindOf(err) == domicile.NotExist) {
		period, err = m.cfg.Root.RepositoryPeriod(now, cmp.Or(m.cfg.Keep, DefaultKeep))
	}
	if err != nil {
		return err
	}
	head := keysHead{Period: period.Name, Edition: is, Made: now}
	if err := writeKeys(m.cfg.Dir, head, period, m.cfg.Ring); err != nil {
		return err
	}
	m.keysAre = head
	return m.cfg.Root.DestroyRepositoryPeriods(head.Period)
}

func sameMonth(a, b time.Time) bool { return a.Format("2006-01") == b.Format("2006-01") }

func (h keysHead) bytes() ([]byte, error) {
	line, err := json.Marshal(h)
	return append(append([]byte(keysMagic), line...), '\n'), err
}

// writeKeys replaces the copy of the account keys.
func writeKeys(dir string, head keysHead, period *keys.Period, ring *keys.Ring) error {
	clear, err := head.bytes()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, tempMark+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(clear)
	if err == nil {
		var sealed io.WriteCloser
		if sealed, err = period.SealTo(keysUse, f, clear); err == nil {
			err = errors.Join(ring.CopyTo(sealed), sealed.Close())
		}
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), filepath.Join(dir, keysFile)), syncDir(dir))
}

// openKeys opens the copy of the account keys. NotExist if the key of its period is not beside the root key.
func openKeys(root *keys.Root, dir string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(dir, keysFile))
	if err != nil {
		return nil, err
	}
	head, clear, err := parseKeysHead(f)
	var period *keys.Period
	if err == nil {
		period, err = root.Period(head.Period)
	}
	var in io.Reader
	if err == nil {
		in, err = period.OpenFrom(keysUse, f, clear)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{in, f}, nil
}
