package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"domicile"
	"domicile/keys"
)

const (
	pieceSize = 1 << 20  // bytes of a source that are sealed as one
	syncEvery = 8 << 20  // bytes that may be written before they are flushed
	tornMost  = 16 << 20 // bytes that a crash can have torn
	tempMark  = ".tmp-"
	pieceMost = pieceSize + 64
)

// vault is a folder of sealed files, each a row of pieces: its length (4 bytes, big-endian) and a sealed record, bound to the repository, the
// file's name and the offset of its first byte in what was sealed. A file only grows, or is replaced whole. One goroutine at a time.
type vault struct {
	dir  string
	box  *keys.Box
	bind string                                   // region, node and line
	ends map[string]end                           // of the files that this process has extended
	own  bool                                     // nobody else writes here
	step func(name string, do func() error) error // does it; a test has it fail, before or after

	count *counters // of what was written
}

// counters count bytes since a mirror was opened.
type counters struct{ plain, sealed atomic.Int64 }

// end is how far a file goes.
type end struct{ plain, sealed int64 }

func run(_ string, do func() error) error { return do() }

func (v *vault) path(name string) string { return filepath.Join(v.dir, filepath.FromSlash(name)) }

func (v *vault) place(name string, at int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(v.bind+"\x00"+name+"\x00"), uint64(at))
}

// seal writes pieces of all of in, of which the first byte is that at the offset, and returns how much it wrote.
func (v *vault) seal(name string, at int64, in io.Reader, out *os.File) (n end, err error) {
	buf, unsynced := make([]byte, pieceSize), 0
	for {
		got, err := io.ReadFull(in, buf)
		if got == 0 {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = nil
			}
			return n, err
		}
		sealed, serr := v.box.Seal(buf[:got], v.place(name, at+n.plain))
		if serr != nil {
			return n, serr
		}
		frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(sealed)), uint32(len(sealed))), sealed...)
		if err := v.step("write "+name, func() error { _, err := out.Write(frame); return err }); err != nil {
			return n, err
		}
		n.plain, n.sealed = n.plain+int64(got), n.sealed+int64(len(frame))
		v.count.plain.Add(int64(got))
		v.count.sealed.Add(int64(len(frame)))
		if unsynced += len(frame); unsynced >= syncEvery {
			if err := out.Sync(); err != nil {
				return n, err
			}
			unsynced = 0
		}
	}
}

// extend seals what in has behind the end of a file, and returns when that is durable. After an error the file is as it was, or the next call makes it so.
func (v *vault) extend(name string, in io.Reader) error {
	e, err := v.end(name)
	if err != nil {
		return err
	}
	f, err := v.create(name, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	n, err := v.seal(name, e.plain, in, f)
	if err == nil {
		err = v.step("flush "+name, f.Sync)
	}
	if err != nil {
		delete(v.ends, name) // looked at anew, since nobody knows what is there
		return errors.Join(err, f.Truncate(e.sealed), f.Close())
	}
	v.ends[name] = end{e.plain + n.plain, e.sealed + n.sealed}
	return f.Close()
}

// create opens a file for writing whose name is durable.
func (v *vault) create(name string, flags int) (*os.File, error) {
	path := v.path(name)
	_, err := os.Stat(path)
	if err == nil {
		return os.OpenFile(path, flags, 0o600)
	}
	if err := makeDirs(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flags|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := v.step("name "+name, func() error { return syncDir(filepath.Dir(path)) }); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// end finds the end of a file, and cuts off what was never flushed.
func (v *vault) end(name string) (end, error) {
	if e, ok := v.ends[name]; ok {
		return e, nil
	}
	f, err := os.OpenFile(v.path(name), os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return end{}, nil
	} else if err != nil {
		return end{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return end{}, err
	}
	r := &pieces{v: v, name: name, f: f, size: info.Size(), trust: info.Size() - tornMost}
	for err == nil {
		_, err = r.next()
	}
	if err != io.EOF {
		return end{}, err
	}
	if r.at.sealed < info.Size() {
		err = f.Truncate(r.at.sealed)
	} else {
		err = nil
	}
	if err = errors.Join(err, f.Sync()); err == nil {
		v.ends[name] = r.at
	}
	return r.at, err
}

// put replaces a file by all of in, whole or not at all; durable on return.
func (v *vault) put(name string, in io.Reader) error {
	path := v.path(name)
	if err := makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), tempMark+filepath.Base(path))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := v.seal(name, 0, in, f)
	if err == nil {
		err = v.step("flush "+name, f.Sync)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = v.step("put "+name, func() error { return errors.Join(os.Rename(temp, path), syncDir(filepath.Dir(path))) })
	}
	if err != nil {
		delete(v.ends, name)
		os.Remove(temp)
		return err
	}
	v.ends[name] = n
	return nil
}

// remove forgets a file.
func (v *vault) remove(name string) error {
	delete(v.ends, name)
	err := v.step("remove "+name, func() error { return os.Remove(v.path(name)) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pieces reads a file's pieces in order.
type pieces struct {
	v     *vault
	name  string
	f     *os.File
	size  int64
	trust int64 // pieces that end before this are stepped over, not opened
	at    end
}

// next returns a piece, nil if it is stepped over. io.EOF at the end, which is also where what follows was torn by a crash: then at is before
// the size. Invalid if a piece is damaged, and a later one is not.
func (r *pieces) next() ([]byte, error) {
	sealed, err := r.read(r.at.sealed)
	if err != nil {
		return nil, err
	}
	length := int64(len(sealed))
	if sealed == nil && r.size-r.at.sealed > tornMost {
		return nil, r.damaged()
	}
	if sealed == nil {
		return nil, io.EOF
	}
	if r.at.sealed+4+length < r.trust {
		r.at = end{r.at.plain + length - overhead, r.at.sealed + 4 + length}
		return nil, nil
	}
	plain, err := r.v.box.Open(sealed, r.v.place(r.name, r.at.plain))
	if err != nil {
		return nil, r.tail(length)
	}
	r.at = end{r.at.plain + int64(len(plain)), r.at.sealed + 4 + length}
	return plain, nil
}

// overhead is what sealing adds to a piece: a version, a nonce and a tag.
const overhead = 1 + 12 + 16

// read returns the sealed piece at an offset, nil if there is no whole one.
func (r *pieces) read(at int64) ([]byte, error) {
	var head [4]byte
	if r.size-at < 4 {
		return nil, nil
	}
	if _, err := r.f.ReadAt(head[:], at); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(head[:]))
	if length <= overhead || length > pieceMost || r.size-at-4 < length {
		return nil, nil
	}
	sealed := make([]byte, length)
	_, err := r.f.ReadAt(sealed, at+4)
	return sealed, err
}

func (r *pieces) damaged() error {
	return domicile.E("read backup", domicile.Invalid, fmt.Sprintf("%s is damaged at byte %d", r.name, r.at.sealed))
}

// tail tells a torn end from a damaged piece in the middle, by the pieces behind it.
func (r *pieces) tail(length int64) error {
	at := end{r.at.plain + length - overhead, r.at.sealed + 4 + length}
	for {
		sealed, err := r.read(at.sealed)
		if err != nil {
			return err
		}
		if sealed == nil {
			return io.EOF
		}
		if _, err := r.v.box.Open(sealed, r.v.place(r.name, at.plain)); err == nil {
			return r.damaged()
		}
		at = end{at.plain + int64(len(sealed)) - overhead, at.sealed + 4 + int64(len(sealed))}
	}
}

// reader gives what was sealed in a file. What a crash tore off its end is not there.
type reader struct {
	pieces
	rest []byte
}

func (v *vault) open(name string) (*reader, error) {
	f, err := os.Open(v.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, domicile.E("read backup", domicile.Invalid, name+" is missing")
	} else if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &reader{pieces: pieces{v: v, name: name, f: f, size: info.Size()}}, nil
}

func (r *reader) Read(p []byte) (n int, err error) {
	for len(r.rest) == 0 {
		if r.rest, err = r.next(); err != nil {
			return 0, err
		}
	}
	n = copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *reader) Close() error { return r.f.Close() }

// all reads a small file.
func (v *vault) all(name string) ([]byte, error) {
	r, err := v.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	return b.Bytes(), err
}

// makeDirs makes a folder and those above it, durable.
func makeDirs(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
