//go:build linux

package faultfs

import (
	"context"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// inodeOf is what go-fuse calls for a node. The kernel may forget one and ask for the node again, so that a node can have
// several, one after the other.
type inodeOf struct {
	fs.Inode
	*node
}

var _ interface {
	fs.NodeLookuper
	fs.NodeGetattrer
	fs.NodeSetattrer
	fs.NodeCreater
	fs.NodeMkdirer
	fs.NodeLinker
	fs.NodeUnlinker
	fs.NodeRmdirer
	fs.NodeRenamer
	fs.NodeReaddirer
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeFsyncer
	fs.NodeStatfser
} = (*inodeOf)(nil)

func (i *inodeOf) inode(ctx context.Context, n *node, out *fuse.EntryOut) *fs.Inode {
	n.attr(&out.Attr)
	return i.NewInode(ctx, &inodeOf{node: n}, fs.StableAttr{Mode: out.Attr.Mode & syscall.S_IFMT, Ino: n.number})
}

// Lookup finds a name.
func (i *inodeOf) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	if n := i.names[name]; n != nil {
		return i.inode(ctx, n, out), 0
	}
	return nil, syscall.ENOENT
}

// Getattr tells size and mode.
func (i *inodeOf) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	i.attr(&out.Attr)
	return 0
}

// Setattr sets size and mode.
func (i *inodeOf) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		i.mode = mode & 0o7777
	}
	if size, ok := in.GetSize(); ok {
		o := i.op(Truncate)
		o.Off = int64(size)
		if errno := i.f.admit(o); errno != 0 {
			return errno
		}
		i.resize(int64(size))
	}
	i.attr(&out.Attr)
	return 0
}

func (i *inodeOf) make(ctx context.Context, name string, dir bool, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	kind := Create
	if dir {
		kind = Mkdir
	}
	if errno := i.f.admit(i.named(kind, name, nil)); errno != 0 {
		return nil, errno
	}
	if i.names[name] != nil {
		return nil, syscall.EEXIST
	}
	if i.number == 1 && name == NoteFile {
		return i.inode(ctx, &node{f: i.f, number: 1 << 32, mode: 0o600, parent: i.node, name: name, links: 1}, out), 0
	}
	return i.inode(ctx, i.add(name, dir, mode&0o7777), out), 0
}

// Create makes a file and opens it.
func (i *inodeOf) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	in, errno := i.make(ctx, name, false, mode, out)
	return in, nil, cached(name), errno
}

// Mkdir makes a folder.
func (i *inodeOf) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return i.make(ctx, name, true, mode, out)
}

// Link gives a file another name.
func (i *inodeOf) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	n := target.(*inodeOf).node
	o := i.named(Link, name, n)
	if errno := i.f.admit(o); errno != 0 {
		return nil, errno
	}
	if i.names[name] != nil {
		return nil, syscall.EEXIST
	}
	i.names[name] = n
	n.links, n.parent, n.name = n.links+1, i.node, name
	i.f.trace = append(i.f.trace, o)
	return i.inode(ctx, n, out), 0
}

// Unlink removes a file's name.
func (i *inodeOf) Unlink(_ context.Context, name string) syscall.Errno {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	n := i.names[name]
	o := i.named(Unlink, name, n)
	if errno := i.f.admit(o); errno != 0 {
		return errno
	}
	switch {
	case n == nil:
		return syscall.ENOENT
	case len(n.names) > 0:
		return syscall.ENOTEMPTY
	}
	delete(i.names, name)
	n.links--
	i.f.trace = append(i.f.trace, o)
	return 0
}

// Rmdir removes an empty folder.
func (i *inodeOf) Rmdir(ctx context.Context, name string) syscall.Errno { return i.Unlink(ctx, name) }

// Rename gives a file or folder another name, in the place of a file that has that name.
func (i *inodeOf) Rename(_ context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	dir := to.(*inodeOf).node
	n := i.names[name]
	o := i.named(Rename, name, n)
	o.To, o.ToPath, o.New = dir.number, dir.path(), newName
	if errno := i.f.admit(o); errno != 0 {
		return errno
	}
	old := dir.names[newName]
	switch {
	case flags != 0:
		return syscall.EINVAL
	case n == nil:
		return syscall.ENOENT
	case old != nil && old.dir:
		return syscall.EEXIST
	}
	if old != nil {
		old.links--
	}
	delete(i.names, name)
	dir.names[newName] = n
	n.parent, n.name = dir, newName
	i.f.trace = append(i.f.trace, o)
	return 0
}

// Readdir lists the names, in order.
func (i *inodeOf) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	var list []fuse.DirEntry
	for name, n := range i.names {
		e := fuse.DirEntry{Name: name, Ino: n.number, Mode: fuse.S_IFREG}
		if n.dir {
			e.Mode = fuse.S_IFDIR
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b fuse.DirEntry) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return fs.NewListDirStream(list), 0
}

// Open keeps no state: reads and writes name their place. Pages are cached by the kernel, which is what makes bbolt's
// memory map see what is written beside it.
func (i *inodeOf) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, cached(i.name), 0
}

// cached says whether the kernel caches a file: all but the file of notes, each of which must come at once and whole.
func cached(name string) uint32 {
	if name == NoteFile {
		return fuse.FOPEN_DIRECT_IO
	}
	return fuse.FOPEN_KEEP_CACHE
}

// Read reads.
func (i *inodeOf) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	return fuse.ReadResultData(dest[:i.blob.readAt(dest, off)]), 0
}

// Write writes.
func (i *inodeOf) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	p := slices.Clone(data)
	o := i.op(Write)
	o.Data, o.Off = p, off
	if i.name == NoteFile {
		o = Op{Kind: Note, Inode: 1, Data: p}
	}
	if errno := i.f.admit(o); errno != 0 {
		return 0, errno
	}
	if o.Kind == Note {
		i.f.trace = append(i.f.trace, o)
	} else {
		i.write(p, off)
	}
	return uint32(len(p)), 0
}

// Fsync makes a file's bytes, or a folder's names, durable.
func (i *inodeOf) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	o := i.op(Sync)
	errno := i.f.admit(o)
	if errno == Dead {
		return syscall.EIO
	}
	if errno != 0 {
		o.Kind = LostSync
	}
	i.f.trace = append(i.f.trace, o)
	return errno
}

// Statfs tells of a disk with room.
func (i *inodeOf) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = pageSize, pageSize, 255
	out.Blocks, out.Bfree, out.Bavail = 1<<24, 1<<23, 1<<23
	return 0
}
