package backup

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"domicile"
	"domicile/audit"
)

// log makes the audit log anew of its leaves.
func (r *recovery) log() error {
	man, err := r.newest.readManifest(r.point.newest.Name)
	if err != nil {
		return err
	}
	most := uint64(math.MaxUint64)
	if r.point.stops != "" { // what came behind a gap is not whole: the log must not tell of more than the store has
		mark, err := r.newest.readMark(r.point.stops)
		if err != nil {
			return err
		}
		most = mark.Leaves
	}
	leaves := &leafFiles{v: r.newest, most: most, opened: r.read}
	defer leaves.close()
	if leaves.names, err = r.newest.list("log"); err != nil {
		return err
	}
	err = audit.Rebuild(audit.Config{Dir: filepath.Join(r.n.Data, auditDir), Origin: r.n.Signer.Name(), Signer: r.n.Signer, Sealer: r.secret.Box("audit")}, leaves.next)
	r.out.Leaves = leaves.n
	if err == nil && leaves.n < man.Leaves {
		err = domicile.E("restore", domicile.Invalid, fmt.Sprintf("%d of %d leaves of the log are there", leaves.n, man.Leaves))
	}
	return err
}

// leafFiles reads the files of leaves of a line, one after another.
type leafFiles struct {
	v      *vault
	names  []string // that are not read yet
	most   uint64   // leaves
	opened func(bytes int64)
	in     *reader
	n      uint64 // that were read
}

// next returns nil at the end.
func (l *leafFiles) next() (raw, private []byte, err error) {
	for l.n < l.most {
		if l.in != nil {
			raw, private, err := (&leafReader{l.in}).next()
			if raw != nil || err != nil {
				l.n++
				return raw, private, err
			}
			l.close()
		}
		if len(l.names) == 0 {
			break
		}
		if logFirst(l.names[0]) != l.n {
			return nil, nil, domicile.E("read backup", domicile.Invalid, fmt.Sprintf("leaf %d is missing", l.n))
		}
		if l.in, err = l.v.open(l.names[0]); err != nil {
			return nil, nil, err
		}
		l.opened(l.v.sizeOf(l.names[0]))
		l.names = l.names[1:]
	}
	return nil, nil, nil
}

func (l *leafFiles) close() {
	if l.in != nil {
		l.in.Close()
		l.in = nil
	}
}

// logFirst is the index of the first leaf in a file of leaves.
func logFirst(name string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(name, "log/"), 16, 64)
	return n
}

// leafReader parts a file of leaves. A leaf that was cut off is not there.
type leafReader struct{ in io.Reader }

// next returns nil at the end.
func (r *leafReader) next() (raw, private []byte, err error) {
	for _, part := range []*[]byte{&raw, &private} {
		var head [4]byte
		_, err := io.ReadFull(r.in, head[:])
		if err == nil {
			n := binary.BigEndian.Uint32(head[:])
			if n > 1<<20 {
				return nil, nil, domicile.E("read backup", domicile.Invalid, "a leaf that cannot be")
			}
			*part = make([]byte, n)
			_, err = io.ReadFull(r.in, *part)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil, nil, nil
		} else if err != nil {
			return nil, nil, err
		}
	}
	return raw, private, nil
}
