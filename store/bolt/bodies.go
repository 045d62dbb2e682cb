package bolt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"domicile"
	"domicile/store"
)

// bodies keeps one sealed file for each message, outside the index. Nothing
// outside this file knows how a body lies on disk.
type bodies struct {
	dir     string // bodies/<xx>/<account>.<message>
	staging string // what is being received
	sealer  store.Sealer
	step    func(string, func() error) error

	mu     sync.Mutex
	shards map[string]bool // guarded by mu; folders <xx> known to be durable
}

func openBodies(dir string, sealer store.Sealer, step func(string, func() error) error) (*bodies, error) {
	b := &bodies{dir: filepath.Join(dir, "bodies"), staging: filepath.Join(dir, "staging"),
		sealer: sealer, step: step, shards: map[string]bool{}}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(dir, 0o700), syncDir(filepath.Dir(dir))); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{b.dir, b.staging} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	return b, syncDir(dir)
}

func (b *bodies) empty() (bool, error) {
	found := false
	err := b.each(func(string, domicile.AccountID, domicile.MessageID) error {
		found = true
		return nil
	})
	return !found, err
}

// bodyPlace is what a body is bound to: bytes moved to another name do not open.
func bodyPlace(acct domicile.AccountID, id domicile.MessageID) []byte {
	return place("body", string(acct), string(id))
}

// shard spreads files over folders by the first two random characters of the id.
func shard(id domicile.MessageID) string { return string(id[1:3]) }

func (b *bodies) path(acct domicile.AccountID, id domicile.MessageID) string {
	return filepath.Join(b.dir, shard(id), string(acct)+"."+string(id))
}

// staged is a body on its way in.
type staged struct {
	b    *bodies
	acct domicile.AccountID
	id   domicile.MessageID
	file *os.File
	buf  *bufio.Writer
	seal io.WriteCloser
	at   string // where the file is now; "" = nowhere
}

func (b *bodies) stage(acct domicile.AccountID, id domicile.MessageID) (*staged, error) {
	s := &staged{b: b, acct: acct, id: id, at: filepath.Join(b.staging, string(id))}
	err := b.step("create staging", func() (err error) {
		s.file, err = os.OpenFile(s.at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err == nil {
		s.buf = bufio.NewWriterSize(s.file, 32<<10)
		s.seal, err = b.sealer.SealTo(acct, s.buf, bodyPlace(acct, id))
	}
	if err != nil {
		s.discard()
		return nil, err
	}
	return s, nil
}

func (s *staged) Write(p []byte) (int, error) { return s.seal.Write(p) }

// publish makes the body durable under its final name.
func (s *staged) publish() error {
	final := s.b.path(s.acct, s.id)
	if err := s.b.makeShard(shard(s.id)); err != nil {
		return err
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"write body", func() error { return errors.Join(s.seal.Close(), s.buf.Flush()) }},
		{"sync body", s.file.Sync},
		{"close body", s.file.Close},
		{"rename body", func() error { return s.rename(final) }},
		{"sync folder", func() error { return syncDir(filepath.Dir(final)) }},
	}
	for _, st := range steps {
		if err := s.b.step(st.name, st.do); err != nil {
			return fmt.Errorf("%s: %w", st.name, err)
		}
	}
	return nil
}

func (s *staged) rename(final string) error {
	if err := os.Rename(s.at, final); err != nil {
		return err
	}
	s.at = final
	return nil
}

// discard removes the file wherever it is. What cannot be removed now is swept at the next opening.
func (s *staged) discard() {
	if s.file != nil {
		s.file.Close()
	}
	if s.at != "" {
		os.Remove(s.at)
		s.at = ""
	}
}

// makeShard makes a folder durable once, before the first file in it counts.
func (b *bodies) makeShard(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shards[name] {
		return nil
	}
	err := b.step("make folder", func() error {
		folder := filepath.Join(b.dir, name)
		if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		err := syncDir(b.dir)
		if err != nil { // its name may be lost for good though the next sync succeeds: let that find it made anew
			os.Remove(folder) // fails where a body is in it, whose folder was durable before
		}
		return err
	})
	b.shards[name] = err == nil
	return err
}

type bodyReader struct {
	io.Reader
	io.Closer
}

func (b *bodies) open(acct domicile.AccountID, id domicile.MessageID) (io.ReadCloser, error) {
	f, err := os.Open(b.path(acct, id))
	if err != nil {
		return nil, err
	}
	r, err := b.sealer.OpenFrom(acct, bufio.NewReaderSize(f, 32<<10), bodyPlace(acct, id))
	if err != nil {
		f.Close()
		return nil, err
	}
	return bodyReader{r, f}, nil
}

// remove is for bodies that the index no longer names. A body that is gone already is no error.
func (b *bodies) remove(acct domicile.AccountID, id domicile.MessageID) error {
	return b.step("remove body", func() error {
		if err := os.Remove(b.path(acct, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	})
}

// each calls fn for every body file. A file whose name is not a body's is an error: nothing else belongs here.
func (b *bodies) each(fn func(path string, acct domicile.AccountID, id domicile.MessageID) error) error {
	shards, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, d := range shards {
		files, err := os.ReadDir(filepath.Join(b.dir, d.Name()))
		if err != nil {
			return err
		}
		for _, f := range files {
			path := filepath.Join(b.dir, d.Name(), f.Name())
			acct, id, ok := strings.Cut(f.Name(), ".")
			if !ok || len(id) < 3 || shard(domicile.MessageID(id)) != d.Name() {
				return domicile.E("bodies", domicile.Invalid, "a file in the folder of bodies is not the store's: remove it: "+path)
			}
			if err := fn(path, domicile.AccountID(acct), domicile.MessageID(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep removes staged files and bodies that known does not know.
func (b *bodies) sweep(known func(domicile.AccountID, domicile.MessageID) (bool, error)) (removed int, err error) {
	left, err := os.ReadDir(b.staging)
	if err != nil {
		return 0, err
	}
	for _, f := range left {
		if err := os.Remove(filepath.Join(b.staging, f.Name())); err != nil {
			return removed, err
		}
		removed++
	}
	err = b.each(func(path string, acct domicile.AccountID, id domicile.MessageID) error {
		ok, err := known(acct, id)
		if ok || err != nil {
			return err
		}
		removed++
		return os.Remove(path)
	})
	return removed, err
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
