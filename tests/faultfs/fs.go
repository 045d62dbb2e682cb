//go:build linux

package faultfs

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// NoteFile is a file in the root that keeps nothing: what is written to it goes into the trace as a Note, so that a
// program can say, in the order of its operations, what it has acknowledged.
const NoteFile = ".note"

// Fault is asked before every operation, one at a time; it may call nothing of FS but Len, which nobody else may. An errno other than 0 is the operation's answer, and it is not done.
type Fault func(Op) syscall.Errno

// Dead is a Fault's answer to a process that is being killed: an error that leaves no trace, not even a failed fsync.
const Dead = syscall.EREMOTEIO

// FS is a mounted file system. Safe for concurrent use.
type FS struct {
	dir    string
	server *fuse.Server

	mu    sync.Mutex
	fault Fault // guarded by mu, as is all that follows
	trace Trace
	last  uint64 // newest inode number
}

// Available returns why this machine cannot mount, nil if it can.
func Available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a FUSE file system is mounted by root only: run the tests as root")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("FUSE is missing: load the kernel's fuse module, and give a container /dev/fuse and SYS_ADMIN (%w)", err)
	}
	return f.Close()
}

// Mount mounts on an existing folder. The file system holds what im does, all of it durable; nil is empty.
func Mount(dir string, im *Image) (*FS, error) {
	f := &FS{dir: dir, last: 1}
	root := &node{f: f, number: 1, dir: true, mode: 0o700, names: map[string]*node{}}
	if im != nil {
		f.fill(root, im, 1)
	}
	long := time.Hour // nobody changes it but through the mount
	var err error
	f.server, err = fs.Mount(dir, &inodeOf{node: root}, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "faultfs", Name: "faultfs", MaxWrite: 1 << 20, DisableReadDirPlus: true},
		EntryTimeout: &long, AttrTimeout: &long, NullPermissions: true,
	})
	return f, err
}

// fill makes the tree of an image, as if it had been written and synced.
func (f *FS) fill(to *node, im *Image, from uint64) {
	for _, name := range slices.Sorted(maps.Keys(im.inodes[from].names)) {
		in := im.inodes[im.inodes[from].names[name]]
		mode := uint32(0o600)
		if in.dir {
			mode = 0o700
		}
		child := to.add(name, in.dir, mode)
		if in.dir {
			f.fill(child, im, im.inodes[from].names[name])
			continue
		}
		for at, page := range in.blob.pages {
			child.write(slices.Clone(page[:min(pageSize, in.blob.size-at*pageSize)]), at*pageSize)
		}
		child.resize(in.blob.size)
		f.trace = append(f.trace, Op{Kind: Sync, Inode: child.number, Path: child.path()})
	}
	f.trace = append(f.trace, Op{Kind: Sync, Inode: to.number, Path: to.path()})
}

// Unmount ends it. Whoever still has a file open gets errors.
func (f *FS) Unmount() error {
	if err := syscall.Unmount(f.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", f.dir, err)
	}
	return nil
}

// Trace returns all that happened so far.
func (f *FS) Trace() Trace {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clip(slices.Clone(f.trace))
}

// Len is how many operations there were. For a Fault only: others take the length of Trace.
func (f *FS) Len() int { return len(f.trace) }

// SetFault puts a fault in the place of the one before; nil is none.
func (f *FS) SetFault(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// admit asks the fault whether an operation is done. f.mu is held.
func (f *FS) admit(o Op) syscall.Errno {
	if f.fault != nil {
		return f.fault(o)
	}
	return 0
}

// node is a file or folder, as programs see it. Guarded by FS.mu.
type node struct {
	f      *FS
	number uint64
	dir    bool
	mode   uint32
	blob   blob
	names  map[string]*node
	parent *node
	name   string
	links  uint32
	mtime  time.Time
}

func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	return path.Join(n.parent.path(), n.name)
}

func (n *node) op(k Kind) Op { return Op{Kind: k, Inode: n.number, Path: n.path()} }

func (n *node) named(k Kind, name string, child *node) Op {
	o := n.op(k)
	o.Name = name
	if child != nil {
		o.Child = child.number
	}
	return o
}

// add makes a child and records it.
func (n *node) add(name string, dir bool, mode uint32) *node {
	n.f.last++
	c := &node{f: n.f, number: n.f.last, dir: dir, mode: mode, parent: n, name: name, links: 1, mtime: time.Now()}
	kind := Create
	if dir {
		kind, c.names = Mkdir, map[string]*node{}
	}
	n.names[name] = c
	n.f.trace = append(n.f.trace, n.named(kind, name, c))
	return c
}

func (n *node) write(p []byte, off int64) {
	n.blob.writeAt(p, off)
	n.mtime = time.Now()
	for len(p) > 0 { // page by page, since a disk may keep one page and lose the next
		part := min(pageSize-int(off%pageSize), len(p))
		o := n.op(Write)
		o.Data, o.Off = p[:part], off
		n.f.trace = append(n.f.trace, o)
		p, off = p[part:], off+int64(part)
	}
}

func (n *node) resize(size int64) {
	n.blob.truncate(size)
	n.mtime = time.Now()
	o := n.op(Truncate)
	o.Off = size
	n.f.trace = append(n.f.trace, o)
}

func (n *node) attr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Size, out.Nlink = n.number, n.mode|fuse.S_IFREG, uint64(n.blob.size), n.links
	if n.dir {
		out.Mode, out.Nlink = n.mode|fuse.S_IFDIR, 2
	}
	out.Blksize, out.Blocks = pageSize, uint64(len(n.blob.pages)*8)
	out.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}
