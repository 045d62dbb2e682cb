package faultfs

import (
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Kind says what an operation does.
type Kind int

// The kinds of operations that a Trace records. Reads are none.
const (
	Create   Kind = iota // a file with a name
	Mkdir                // a folder with a name
	Link                 // another name of a file
	Unlink               // a name goes away, of a file or an empty folder
	Rename               // a name becomes another
	Write                // bytes into a file
	Truncate             // a file's size is set
	Sync                 // fsync or fdatasync of a file or folder
	LostSync             // the same, answered with an error: what it should have kept is gone
	Note                 // no operation: what the program under test says at this point, see NoteFile
)

func (k Kind) String() string {
	return []string{"create", "mkdir", "link", "unlink", "rename", "write", "truncate", "sync", "failed sync", "note"}[k]
}

// Op is one operation. Inodes are numbered from 1, which is the root.
type Op struct {
	Kind   Kind
	Inode  uint64 // of the file, or of the folder that a name is in
	Path   string // of that, from the mount, when it happened
	Name   string // of Create, Mkdir, Link, Unlink, Rename
	Child  uint64 // what the name stands for
	To     uint64 // Rename: the folder of the new name
	New    string // Rename: the new name
	ToPath string // Rename: where that folder was
	Off    int64  // Write: where; Truncate: the size
	Data   []byte // Write, Note
}

func (o Op) String() string {
	s := fmt.Sprintf("%s %s", o.Kind, path.Join("/", o.Path, o.Name))
	switch o.Kind {
	case Write:
		s += fmt.Sprintf(" %d+%d", o.Off, len(o.Data))
	case Truncate:
		s += fmt.Sprintf(" %d", o.Off)
	case Rename:
		s += " to " + path.Join("/", o.ToPath, o.New)
	case Note:
		s = "note " + string(o.Data)
	}
	return s
}

// Trace is all that happened on a file system since it was mounted.
type Trace []Op

// Keep says which operations survive a power cut though nothing made them durable. It is asked once for each of them,
// oldest first; n is its place in the trace, left how many later ones there are of the same file or folder.
type Keep func(n, left int) bool

// Drop keeps nothing, All keeps everything, Newest only the last one of each file and folder: what a disk does that
// writes in an order of its own.
var (
	Drop   Keep = func(int, int) bool { return false }
	All    Keep = func(int, int) bool { return true }
	Newest Keep = func(_, left int) bool { return left == 0 }
)

// Some keeps about half, by a seed.
func Some(seed int) Keep {
	return func(n, _ int) bool {
		h := fnv.New32a()
		fmt.Fprint(h, seed, n)
		return h.Sum32()>>7&1 == 0
	}
}

// Image is a tree of files as a disk holds it.
type Image struct{ inodes map[uint64]*inode }

type inode struct {
	dir     bool
	blob    blob
	names   map[string]uint64
	pending []change
}

// change is what one operation does to one inode once it is durable.
type change struct {
	op    int // place in the trace
	write *Op // Write or Truncate
	names map[string]uint64
}

func newInode(dir bool) *inode { return &inode{dir: dir, names: map[string]uint64{}} }

// Crash returns what is on the disk if the power fails after the first n operations. without, if not nil, names the
// fsyncs that are left out, by their place in the trace.
func (t Trace) Crash(n int, keep Keep, without func(n int) bool) *Image {
	im := &Image{map[uint64]*inode{1: newInode(true)}}
	for i := range t[:n] {
		if t[i].Kind != Sync || without == nil || !without(i) {
			im.apply(i, &t[i])
		}
	}
	for _, in := range im.inodes {
		for i, c := range in.pending {
			if keep(c.op, len(in.pending)-1-i) {
				in.settle(c)
			}
		}
		in.pending = nil
	}
	return im
}

func (im *Image) apply(n int, o *Op) {
	in := im.inodes[o.Inode]
	add := func(in *inode, names map[string]uint64) { in.pending = append(in.pending, change{op: n, names: names}) }
	switch o.Kind {
	case Create, Mkdir:
		im.inodes[o.Child] = newInode(o.Kind == Mkdir)
		add(in, map[string]uint64{o.Name: o.Child})
	case Link:
		add(in, map[string]uint64{o.Name: o.Child})
	case Unlink:
		add(in, map[string]uint64{o.Name: 0})
	case Rename:
		if o.To == o.Inode {
			add(in, map[string]uint64{o.Name: 0, o.New: o.Child})
		} else {
			add(in, map[string]uint64{o.Name: 0})
			add(im.inodes[o.To], map[string]uint64{o.New: o.Child})
		}
	case Write, Truncate:
		in.pending = append(in.pending, change{op: n, write: o})
	case Sync:
		for _, c := range in.pending {
			in.settle(c)
		}
		in.pending = nil
	case LostSync:
		in.pending = nil
	}
}

func (in *inode) settle(c change) {
	for name, child := range c.names {
		if in.names[name] = child; child == 0 {
			delete(in.names, name)
		}
	}
	switch {
	case c.write == nil:
	case c.write.Kind == Write:
		in.blob.writeAt(c.write.Data, c.write.Off)
	default:
		in.blob.truncate(c.write.Off)
	}
}

// Save writes the tree into an empty folder, all for the owner only.
func (im *Image) Save(dir string) error { return im.save(1, dir) }

// SaveNameless writes each file that no name leads to any more into a folder: whoever reads the bare disk finds its bytes,
// until something else is written there.
func (im *Image) SaveNameless(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	named := map[uint64]bool{}
	for _, in := range im.inodes {
		for _, child := range in.names {
			named[child] = true
		}
	}
	for n, in := range im.inodes {
		if in.dir || named[n] || in.blob.size == 0 {
			continue
		}
		if err := in.blob.save(filepath.Join(dir, fmt.Sprint(n))); err != nil {
			return err
		}
	}
	return nil
}

func (im *Image) save(n uint64, to string) error {
	in := im.inodes[n]
	if !in.dir {
		return in.blob.save(to)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for name, child := range in.names {
		if err := im.save(child, filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *blob) save(to string) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(b.size); err != nil {
		return err
	}
	for n, page := range b.pages {
		if _, err := f.WriteAt(page[:min(pageSize, b.size-n*pageSize)], n*pageSize); err != nil {
			return err
		}
	}
	return nil
}

// Saves says, for each Sync of the trace, what only that one made durable: its path and the kinds and names of the
// operations. An fsync that had nothing to do is left out.
func (t Trace) Saves() map[int]Saved {
	im := &Image{map[uint64]*inode{1: newInode(true)}}
	out := map[int]Saved{}
	for i := range t {
		if in := im.inodes[t[i].Inode]; t[i].Kind == Sync && len(in.pending) > 0 {
			s := Saved{Path: t[i].Path, Dir: in.dir, Fresh: in.blob.size == 0}
			for _, c := range in.pending {
				s.Ops, s.Newest = append(s.Ops, t[c.op]), c.op
			}
			out[i] = s
		}
		im.apply(i, &t[i])
	}
	return out
}

// Saved is what an fsync made durable.
type Saved struct {
	Path   string
	Dir    bool
	Fresh  bool // the file had no durable bytes before
	Ops    []Op
	Newest int // place in the trace of the last of Ops
}

// Names lists the names that the fsync of a folder kept or removed, each once.
func (s Saved) Names(rewrite func(string) string) string {
	set := map[string]bool{}
	for _, o := range s.Ops {
		switch {
		case o.Kind == Unlink:
			set["-"+rewrite(path.Join(o.Path, o.Name))] = true
		case o.Kind == Rename && o.ToPath != s.Path:
			set["-"+rewrite(path.Join(o.Path, o.Name))] = true
		case o.Kind == Rename:
			set["+"+rewrite(path.Join(o.ToPath, o.New))] = true
		default:
			set["+"+rewrite(path.Join(o.Path, o.Name))] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), " ")
}
